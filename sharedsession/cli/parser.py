"""The argument parser of all commands: an error is one line, or JSON where that was asked for.

Inside of an application (``flask sharedsession``, ``manage.py sharedsession``) a parser has no flags for settings: the
application has them.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from sharedsession.backends import without_passwords
from sharedsession.manager import SessionManager

FAILED = 2
"""The exit code of a command that could not do its work: usage, settings, a store that does not answer."""


class OneLineParser(argparse.ArgumentParser):
    """Reports an error without the usage text.

    Args:
        home: returns the manager of the application that the command runs inside of; ``None``: it runs alone.
        **options: of the standard parser.
    """

    def __init__(self, *, home: Callable[[], SessionManager] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.home = home
        self._as_json = False

    def parse_known_args(  # type: ignore[override]  # the overloads of the standard one, in one
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Same as the standard one; notes how errors are to be reported."""
        self._as_json = "--json" in (sys.argv[1:] if args is None else args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Exits with the message and how to get help."""
        text = f"{without_passwords(message)} (see {self.prog} --help)"
        sys.exit(failed(self.prog, text, as_json=self._as_json))


def failed(command: str, message: str, *, as_json: bool) -> int:
    """Reports why a command could not do its work; returns its exit code.

    Args:
        command: as it was called.
        message: one line.
        as_json: to standard output as ``{"error": message}``; else to standard error.
    """
    if as_json:
        print(json.dumps({"error": message}))
    else:
        print(f"{command}: {message}", file=sys.stderr)
    return FAILED
