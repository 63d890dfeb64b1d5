"""What several commands share: settings from flags and the environment, and how a wrong one ends the command.

A flag beats the environment. Exit code 2: a setting or the command line is wrong.
"""

import argparse
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from sharedsession.errors import BackendError, ConfigurationError

if TYPE_CHECKING:
    from sharedsession.backends.base import Backend
    from sharedsession.manager import SessionManager
    from sharedsession.settings.settings import Settings

_PREFIX = "SHAREDSESSION_"
_SECRETS = {"SHAREDSESSION_SECRET_KEY", "SHAREDSESSION_KEY_FILE"}


def add_backend(parser: argparse.ArgumentParser) -> None:
    """The flags of a command that asks the store and opens no record."""
    parser.add_argument("--backend", metavar="URL", help="the store (default: SHAREDSESSION_BACKEND)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_key_file(parser)


def add_key_file(parser: argparse.ArgumentParser) -> None:
    """The flag that names the secrets; each command takes it, so that one set of flags fits all."""
    parser.add_argument(
        "--key-file", metavar="FILE", help="the secrets (default: SHAREDSESSION_KEY_FILE or SHAREDSESSION_SECRET_KEY)"
    )


def add_settings(parser: argparse.ArgumentParser) -> None:
    """The flags of a command that is a web node of the farm, as far as its settings go."""
    add_backend(parser)
    parser.add_argument("--app-name", metavar="NAME", help="the application (default: SHAREDSESSION_APP_NAME)")


def keywords_of(arguments: argparse.Namespace) -> dict[str, str]:
    """The settings that were given as flags."""
    names = ("backend", "key_file", "app_name")
    return {name: value for name in names if (value := getattr(arguments, name, None)) is not None}


def environ_for(keywords: dict[str, str]) -> dict[str, str]:
    """The environment, without the secrets that a flag takes the place of."""
    dropped = _SECRETS if "key_file" in keywords else set()
    return {name: value for name, value in os.environ.items() if name not in dropped}


def settings_of(arguments: argparse.Namespace) -> "Settings":
    """The settings that flags and environment describe.

    Raises:
        ConfigurationError: one is wrong.
    """
    from sharedsession.settings.settings import Settings  # noqa: PLC0415 - a help text needs no cryptography

    keywords = keywords_of(arguments)
    return Settings.load(keywords, environ_for(keywords))


def manager_of(arguments: argparse.Namespace) -> "SessionManager":
    """A manager made from them; it connects when it is first asked.

    Raises:
        ConfigurationError: a setting is wrong.
    """
    from sharedsession.manager import SessionManager  # noqa: PLC0415 - as above

    return SessionManager(settings_of(arguments), blocking=True)


def backend_of(arguments: argparse.Namespace) -> "Backend":
    """The store alone: no secret is needed to ask it.

    Raises:
        ConfigurationError: the URL is wrong, or its verbs are for event loops only.
    """
    from sharedsession.backends.connect import connect  # noqa: PLC0415 - as above
    from sharedsession.concurrency.driver import is_asynchronous  # noqa: PLC0415 - as above

    backend = connect(arguments.backend or os.environ.get(f"{_PREFIX}BACKEND") or "sqlite:///", breaker_window=0.1)
    if is_asynchronous(backend):
        raise ConfigurationError("backend has only asynchronous verbs: the command line needs blocking ones")
    return backend  # type: ignore[return-value]  # as was just asked


def close(backend: object) -> None:
    """Lets go of a backend's connections; one of others may have nothing to let go of."""
    from sharedsession.concurrency.driver import is_asynchronous  # noqa: PLC0415 - as above

    if not is_asynchronous(backend):
        getattr(backend, "close", lambda: None)()


def guarded(name: str, command: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """Makes a command end with one line: exit code 2 where a setting is wrong, 1 where the store does not answer."""

    def run(arguments: argparse.Namespace) -> int:
        from sharedsession.cli.servers import overheard  # noqa: PLC0415 - as above

        with overheard() as heard:
            try:
                return command(arguments)
            except (ConfigurationError, BackendError) as fault:
                is_usage = isinstance(fault, ConfigurationError)
                print(f"sharedsession {name}: {fault if is_usage or not heard else heard[-1]}", file=sys.stderr)
                return 2 if is_usage else 1

    return run


def several_seconds(text: str) -> float:
    """A time as an argument."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 60:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds up to 60")
    return seconds
