"""What several commands share: settings from flags and the environment, and how a wrong one ends the command.

A flag beats the environment. Exit code 2: a setting or the command line is wrong.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import cast

from sharedsession.backends.adapters import is_asynchronous
from sharedsession.backends.base import AsyncBackend, Backend
from sharedsession.backends.connect import connect
from sharedsession.cli.captured_log import captured_log
from sharedsession.errors import BackendError, ConfigurationError, LogoutNotConfirmed
from sharedsession.manager import SessionManager
from sharedsession.settings import PREFIX, Settings

_FLAGS = ("backend", "key_file", "app_name")
_SECRETS = ("secret_key", "key_file")
_BREAKER_WINDOW = 0.1  # seconds: a command asks a server that was down again, and has no visitors to protect


def add_backend(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of a command that asks the store and opens no record."""
    parser.add_argument("--backend", metavar="URL", help="the store (default: SHAREDSESSION_BACKEND)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_key_file(parser)


def add_key_file(parser: argparse.ArgumentParser) -> None:
    """Adds the flag that names the secrets. Each command accepts it, so that one set of flags fits all."""
    parser.add_argument(
        "--key-file", metavar="FILE", help="the secrets (default: SHAREDSESSION_KEY_FILE or SHAREDSESSION_SECRET_KEY)"
    )


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of a command that has the settings of a web node."""
    add_backend(parser)
    parser.add_argument("--app-name", metavar="NAME", help="the application (default: SHAREDSESSION_APP_NAME)")


def variable(setting: str) -> str:
    """Returns the name of the environment variable of a setting."""
    return PREFIX + setting.upper()


def without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """Returns an environment without the variables that hold or name secrets."""
    variables = {variable(name) for name in _SECRETS}
    return {name: value for name, value in environ.items() if name not in variables}


def keywords_of(arguments: argparse.Namespace) -> dict[str, str]:
    """Returns the settings that were given as flags."""
    return {name: value for name in _FLAGS if (value := getattr(arguments, name, None)) is not None}


def environ_for(keywords: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment, without the secrets that a flag replaces."""
    return without_secrets(os.environ) if "key_file" in keywords else dict(os.environ)


@contextmanager
def manager_of(arguments: argparse.Namespace) -> Iterator[SessionManager]:
    """Makes a manager from flags and environment, and closes its connections at the end.

    Raises:
        ConfigurationError: a setting is wrong.
    """
    keywords = keywords_of(arguments)
    settings = Settings.load(keywords, environ_for(keywords))
    try:
        yield SessionManager(settings)
    finally:
        close(settings.backend)


@contextmanager
def backend_of(arguments: argparse.Namespace) -> Iterator[Backend]:
    """Makes the store alone, which needs no secret, and closes its connections at the end.

    Raises:
        ConfigurationError: the URL is wrong, or the backend has only asynchronous verbs.
    """
    url = arguments.backend or os.environ.get(variable("backend")) or "sqlite:///"
    backend = connect(url, breaker_window=_BREAKER_WINDOW)
    if is_asynchronous(backend):
        raise ConfigurationError("backend has only asynchronous verbs: the command line needs blocking ones")
    try:
        yield cast("Backend", backend)
    finally:
        close(backend)


def close(backend: Backend | AsyncBackend) -> None:
    """Closes the connections of a backend; one with asynchronous verbs only has opened none."""
    if not is_asynchronous(backend):
        cast("Backend", backend).close()


def guarded(name: str, command: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """Makes a command fail with one line: exit code 2 where a setting is wrong, 1 where the store does not answer."""

    def run(arguments: argparse.Namespace) -> int:
        with captured_log() as messages:
            try:
                return command(arguments)
            except ConfigurationError as error:
                return _failed(name, str(error), 2)
            except (BackendError, LogoutNotConfirmed) as error:
                return _failed(name, messages[-1] if messages else str(error), 1)

    return run


def _failed(name: str, message: str, exit_code: int) -> int:
    print(f"sharedsession {name}: {message}", file=sys.stderr)
    return exit_code


def timeout(text: str) -> float:
    """Returns a number of seconds that was given as an argument.

    Raises:
        ArgumentTypeError: it is not between 0 and 60.
    """
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 60:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds up to 60")
    return seconds


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """Returns a function that reads a whole number in a range; it raises ``ArgumentTypeError`` for anything else."""

    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} to {most}")
        return int(text)

    return read
