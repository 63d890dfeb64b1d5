"""``sharedsession doctor``: does this web node agree with its farm, and is the store fit for sessions?

It only looks, unless it is told to announce this web node. Exit codes: 0 nothing is wrong, 1 there is a fault, 2 the
command line is wrong.
"""

import argparse
import json
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sharedsession.cli import options

if TYPE_CHECKING:
    from sharedsession.cli.findings import Finding

_TOPIC = 12  # characters


def add_to(commands: "argparse._SubParsersAction[Any]") -> None:
    """Describes the command's arguments."""
    parser = commands.add_parser(
        "doctor",
        help="check this web node against its farm and its store",
        description="Looks at the settings of this web node, at the servers of its store and at the other web nodes, "
        "and names each fault with its mend. Exit code 1 if there is one.",
    )
    options.add_settings(parser)
    parser.add_argument("--announce", action="store_true", help="write this web node into the register of the farm")
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Looks, and prints what was found."""
    from sharedsession.cli.checks import examine  # noqa: PLC0415 - a help text needs no driver

    logging.getLogger("sharedsession").addHandler(logging.NullHandler())  # the findings say it
    keywords = options.keywords_of(arguments)
    found = examine(keywords, options.environ_for(keywords), announce=arguments.announce)
    faults = sum(finding.level == "fault" for finding in found)
    if arguments.json:
        print(json.dumps({"faults": faults, "findings": [finding._asdict() for finding in found]}))
    else:
        print("\n".join([*map(_words, found), _summary(faults, found)]))
    return 1 if faults else 0


def _words(finding: "Finding") -> str:
    level = finding.level.upper() if finding.level == "fault" else finding.level
    said = f"{level:5}  {finding.topic:{_TOPIC}}  {finding.text}"
    return f"{said}\n{'':{_TOPIC + 9}}-> {finding.mend}" if finding.mend else said


def _summary(faults: int, found: "Sequence[Finding]") -> str:
    notes = sum(finding.level == "note" for finding in found)
    words = [f"{number} {word}{'' if number == 1 else 's'}" for number, word in ((faults, "fault"), (notes, "note"))]
    return f"\n{', '.join(words)}"
