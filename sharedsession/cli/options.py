"""What several commands share: settings from an application, or from flags and the environment; a flag beats that."""

import argparse
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import cast

from sharedsession.backends.adapters import is_asynchronous
from sharedsession.backends.base import AsyncBackend, Backend
from sharedsession.backends.connect import connect
from sharedsession.cli import application
from sharedsession.cli.application import ApplicationNotFoundError
from sharedsession.cli.parser import OneLineParser
from sharedsession.errors import ConfigurationError
from sharedsession.manager import SessionManager, engines_of
from sharedsession.settings import PREFIX, Settings

_FLAGS = ("backend", "key_file", "app_name")
_SECRETS = ("secret_key", "key_file")
_BREAKER_WINDOW = 0.1  # seconds: a command asks a server that was down again, and has no visitors to protect


def add_backend(parser: OneLineParser) -> None:
    """Adds the flags of a command that asks the store and opens no record."""
    if parser.home is None:
        parser.add_argument("--backend", metavar="URL", help="the store (default: SHAREDSESSION_BACKEND)")
        add_application(parser)
        add_key_file(parser)
    parser.add_argument("--json", action="store_true", help="print JSON, errors as well")


def add_application(parser: OneLineParser, taken: str = "all settings") -> None:
    """Adds the flag that names the application whose settings count, with what is taken from it."""
    parser.add_argument(
        "--app",
        metavar="MODULE:NAME",
        help=f"take {taken} from this WSGI, ASGI, Flask or Django application, named as for its web server",
    )


def add_key_file(parser: OneLineParser) -> None:
    """Adds the flag that names the secrets. Each command accepts it, so that one set of flags fits all."""
    parser.add_argument(
        "--key-file", metavar="FILE", help="the secrets (default: SHAREDSESSION_KEY_FILE or SHAREDSESSION_SECRET_KEY)"
    )


def add_settings(parser: OneLineParser) -> None:
    """Adds the flags of a command that has the settings of a web node."""
    add_backend(parser)
    if parser.home is None:
        parser.add_argument("--app-name", metavar="NAME", help="the farm (default: SHAREDSESSION_APP_NAME)")


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
def application_of(arguments: argparse.Namespace) -> Iterator[SessionManager | None]:
    """Yields the manager of the application around the command, or of ``--app``; ``None``: there is no application.

    Raises:
        ConfigurationError: the application cannot be found, or its settings are wrong.
    """
    if arguments.home is not None:
        yield arguments.home()
    elif arguments.app is None:
        yield None
    elif beside := [f"--{name.replace('_', '-')}" for name in keywords_of(arguments)]:
        raise ApplicationNotFoundError(f"--app has all settings: leave out {' and '.join(beside)}, or --app")
    else:
        with application.imported(arguments.app) as manager:
            try:
                yield manager
            finally:
                close(engines_of(manager).settings.backend)


@contextmanager
def manager_of(arguments: argparse.Namespace) -> Iterator[SessionManager]:
    """Yields the application's manager, or makes one from flags and environment and closes its connections at the end.

    Raises:
        ConfigurationError: a setting is wrong.
    """
    with application_of(arguments) as manager:
        if manager is not None:
            yield manager
            return
    keywords = keywords_of(arguments)
    settings = Settings.load(keywords, environ_for(keywords))
    try:
        yield SessionManager(settings)
    finally:
        close(settings.backend)


@contextmanager
def backend_of(arguments: argparse.Namespace) -> Iterator[Backend]:
    """Yields the application's store, or makes the store alone, which needs no secret, and closes it at the end.

    Raises:
        ConfigurationError: the URL is wrong, or the backend has only asynchronous verbs.
    """
    with application_of(arguments) as manager:
        if manager is not None:
            yield _blocking(engines_of(manager).settings.backend)
            return
    url = arguments.backend or os.environ.get(variable("backend")) or "sqlite:///"
    backend = _blocking(connect(url, breaker_window=_BREAKER_WINDOW))
    try:
        yield backend
    finally:
        close(backend)


def _blocking(backend: Backend | AsyncBackend) -> Backend:
    if is_asynchronous(backend):
        raise ConfigurationError("backend has only asynchronous verbs: the command line needs blocking ones")
    return cast("Backend", backend)


def close(backend: Backend | AsyncBackend) -> None:
    """Closes the connections of a backend; one with asynchronous verbs only has opened none."""
    if not is_asynchronous(backend):
        cast("Backend", backend).close()


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
