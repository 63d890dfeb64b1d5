"""The command ``sharedsession``: reads the command line, calls one command, turns errors into one line.

A command is a file here with `add_to(commands)`, which describes its arguments and names the function that runs it.
Packages of an extra are imported when a command needs them, so that ``genkey`` works where no extra is installed.

Exit codes of every command: 0 all is well, 1 it looked and found a fault or nothing, 2 it could not do its work: the
command line or a setting is wrong, or the store does not answer. 130: interrupted.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import cast

from sharedsession.cli import bench, demo, doctor, farm, genkey, principals, ring
from sharedsession.cli.captured_log import captured_log
from sharedsession.cli.parser import OneLineParser, failed
from sharedsession.errors import BackendError, LogoutNotConfirmed, SessionError
from sharedsession.manager import SessionManager

COMMANDS = (genkey, demo, doctor, farm, ring, principals, bench)
EXIT_CODES = (
    "exit codes: 0 all is well; 1 there is a fault, or what was asked for does not exist; 2 the command could not do "
    'its work (command line, setting, store that does not answer). With --json an error is {"error": "..."}.'
)


def main(
    argv: Sequence[str] | None = None,
    *,
    prog: str = "sharedsession",
    home: Callable[[], SessionManager] | None = None,
) -> int:
    """Runs one command.

    Args:
        argv: the arguments after the program's name; by default those of this process.
        prog: the name under which it was called.
        home: returns the manager of the application that the command runs inside of; ``None``: it runs alone, and
            has its settings from flags and the environment.

    Returns:
        The exit code.
    """
    arguments = build_parser(prog, home).parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    report = partial(failed, f"{prog} {arguments.name}", as_json=arguments.json)
    # The log of the demo belongs on its terminal.
    with nullcontext(list[str]()) if command is demo.run else captured_log() as messages:
        try:
            return command(arguments)
        except (BackendError, LogoutNotConfirmed) as error:
            return report(messages[-1] if messages else str(error))
        except SessionError as error:
            return report(str(error))
        except OSError as error:
            return report(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        except KeyboardInterrupt:
            return 130


def build_parser(
    prog: str = "sharedsession", home: Callable[[], SessionManager] | None = None
) -> argparse.ArgumentParser:
    """Returns the parser with the arguments of all commands."""
    description = "Web sessions shared by every node of a web farm."
    parser = OneLineParser(prog=prog, description=description, epilog=EXIT_CODES, home=home)
    parser.add_argument("--version", action="version", version=f"sharedsession {_version()}")
    parser.set_defaults(home=home, app=None, backend=None, key_file=None, app_name=None)
    commands = parser.add_subparsers(
        title="commands",
        metavar="COMMAND",
        dest="name",
        required=True,
        parser_class=cast("type[OneLineParser]", partial(OneLineParser, home=home, epilog=EXIT_CODES)),
    )
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
