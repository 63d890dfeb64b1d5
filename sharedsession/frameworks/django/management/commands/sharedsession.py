"""``manage.py sharedsession …``: the command line, with the settings of the project.

Needs ``"sharedsession.frameworks.django"`` in ``INSTALLED_APPS``.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from sharedsession.cli.__main__ import main
from sharedsession.frameworks.django.configuration import manager

_OF_DJANGO = ("--settings", "--pythonpath")  # manage.py has obeyed them before it calls a command


class Command(BaseCommand):
    """Runs one command of `sharedsession`."""

    help = "Shows, checks and ends the sessions of this project: manage.py sharedsession --help"
    requires_system_checks: Sequence[str] = ()

    def run_from_argv(self, argv: list[str]) -> None:
        """Leaves all arguments, ``--help`` among them, to our own parser."""
        parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        for flag in _OF_DJANGO:
            parser.add_argument(flag)
        _, arguments = parser.parse_known_args(argv[2:])
        self.handle(arguments=arguments)

    def add_arguments(self, parser: CommandParser) -> None:
        """For ``call_command("sharedsession", "list", "user:42")``."""
        parser.add_argument("arguments", nargs=argparse.REMAINDER)

    def handle(self, *, arguments: list[str], **_options: Any) -> None:
        """Ends with the exit code of the command."""
        sys.exit(main(arguments, prog="manage.py sharedsession", home=manager))
