"""The command ``sharedsession``: reads the command line, calls one command, turns errors into one line.

A command is a file here with `add_to(commands)`, which describes its arguments and names the function that runs it.
Packages of an extra are imported when a command needs them, so that ``genkey`` works where no extra is installed.

Exit codes: 0 done, 1 it failed, 2 the command line is wrong, 130 interrupted.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import NoReturn

from sharedsession.backends import without_passwords
from sharedsession.cli import bench, demo, doctor, farm, genkey, principals, ring
from sharedsession.errors import SessionError

COMMANDS = (genkey, demo, doctor, farm, ring, principals, bench)


class OneLineParser(argparse.ArgumentParser):
    """An argument parser that reports an error in one line, without the usage text."""

    def error(self, message: str) -> NoReturn:
        """Exits with the message and how to get help."""
        self.exit(2, f"{self.prog}: {without_passwords(message)} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: the arguments after the program's name; by default those of this process.

    Returns:
        The exit code.
    """
    arguments = build_parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        return command(arguments)
    except (SessionError, OSError) as error:
        print(f"sharedsession: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser with the arguments of all commands."""
    parser = OneLineParser(prog="sharedsession", description="Web sessions shared by every node of a web farm.")
    parser.add_argument("--version", action="version", version=f"sharedsession {_version()}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_to(commands)
    return parser


def _version() -> str:
    try:
        return version("sharedsession")
    except PackageNotFoundError:
        return "(not installed)"


if __name__ == "__main__":
    sys.exit(main())
