"""``sharedsession genkey``: one new machine key on standard output, or one step of a rotation in a key file.

``sharedsession genkey --out key_file`` makes a key file that nobody else reads. ``sharedsession genkey --rotate
key_file``, three times, changes the key in it without ending a session: the third time waits for the absolute timeout,
which is that of the application or of the environment.
"""

import argparse
import json
import os

from sharedsession.cli import options
from sharedsession.cli.parser import OneLineParser
from sharedsession.errors import ConfigurationError
from sharedsession.keys import MachineKey, rotate
from sharedsession.manager import engines_of
from sharedsession.settings import Settings

_ROTATED = {
    1: "a new secret is the second line: it verifies, and signs nothing yet",
    2: "the new secret is the first line: it signs and seals, the old one still verifies",
    3: "the old secret is removed: a session that it signed is logged out",
}
_COPY = "copy the file to every web node, and wait until all have read it (up to a second)"
_COPY_KEY = "copy the file to every web node, and name it in key_file"
_NEXT = {
    1: f"{_COPY}; then run this again",
    2: f"{_COPY}; then wait for the absolute timeout, so that no session needs the old one; then run this again",
    3: f"{_COPY}; this rotation is done",
}


def add_to(commands: "argparse._SubParsersAction[OneLineParser]") -> None:
    """Describes the command's arguments."""
    parser = commands.add_parser(
        "genkey",
        help="print a new machine key, or rotate the one in a key file",
        description="Prints a new machine key for the setting secret_key, or as a line of a key_file.",
    )
    parser.add_argument("--json", action="store_true", help='print {"key": "..."} instead of the bare key')
    parser.add_argument(
        "--out", metavar="FILE", help="write the key to a new file that only you can read (0600); no key is printed"
    )
    parser.add_argument(
        "--rotate",
        metavar="FILE",
        help="take a key_file one step of three towards a new key, and print the next step; no key is printed",
    )
    parser.add_argument(
        "--force", action="store_true", help="with --rotate: drop the old key though sessions may still need it"
    )
    if parser.home is None:
        options.add_application(parser, "the absolute timeout")
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the key, or what was changed in the file."""
    if arguments.rotate is not None:
        return _rotate(arguments)
    key = MachineKey.generate()
    if arguments.out is not None:
        _write(arguments.out, key)
        print(json.dumps({"out": arguments.out}) if arguments.json else f"a new key is in {arguments.out}: {_COPY_KEY}")
        return 0
    print(json.dumps({"key": key}) if arguments.json else key)
    return 0


def _write(path: str, key: str) -> None:
    """Writes a key to a file that did not exist: another key there may be in use."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigurationError(
            f"--out {path!r} exists already, and sessions may need its key: name a new file, or use --rotate"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"--out {path!r} cannot be written: {error.strerror}") from None
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(f"{key}\n")


def _rotate(arguments: argparse.Namespace) -> int:
    step = rotate(arguments.rotate, keep_old_for=0.0 if arguments.force else _absolute_timeout(arguments))
    if arguments.json:
        print(json.dumps({"step": step, "of": 3, "done": _ROTATED[step], "next": _NEXT[step]}))
    else:
        print(f"step {step} of 3: {_ROTATED[step]}\nnext: {_NEXT[step]}")
    return 0


def _absolute_timeout(arguments: argparse.Namespace) -> float | None:
    with options.application_of(arguments) as manager:
        if manager is not None:
            return engines_of(manager).settings.timeouts.absolute
    return Settings.absolute_timeout_in(os.environ)
