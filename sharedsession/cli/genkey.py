"""``sharedsession genkey``: one new machine key on standard output.

``sharedsession genkey > key_file`` makes a valid key file; a new first line in it later rotates the key.
"""

import argparse
import json
from typing import Any


def add_to(commands: "argparse._SubParsersAction[Any]") -> None:
    """Describes the command's arguments."""
    parser = commands.add_parser(
        "genkey",
        help="print a new machine key",
        description="Prints a new machine key for the setting secret_key, or as a line of a key_file.",
    )
    parser.add_argument("--json", action="store_true", help='print {"key": "..."} instead of the bare key')
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the key."""
    from sharedsession.machinekey import MachineKey  # noqa: PLC0415 - a help text needs no cryptography

    key = MachineKey.generate()
    print(json.dumps({"key": key}) if arguments.json else key)
    return 0
