"""``sharedsession doctor``: whether this web node agrees with its farm, and whether its store is fit for sessions.

It only looks, unless ``--announce`` is given. Exit codes: 0 no fault, 1 there is a fault (a wrong setting is one, and a
store that does not answer), 2 the command line is wrong, or names no application.
"""

import argparse
import json
from collections.abc import Sequence

from sharedsession.cli import options
from sharedsession.cli.application import ApplicationNotFoundError
from sharedsession.cli.captured_log import silence_log
from sharedsession.cli.checks import examine, examine_manager, wrong
from sharedsession.cli.findings import FAULT, NOTE, Finding
from sharedsession.cli.parser import OneLineParser
from sharedsession.errors import ConfigurationError

_TOPIC = 12  # characters


def add_to(commands: "argparse._SubParsersAction[OneLineParser]") -> None:
    """Describes the command's arguments."""
    parser = commands.add_parser(
        "doctor",
        help="check this web node against its farm and its store",
        description="Checks the settings of this web node, the servers of its store and the other web nodes, and "
        "names each fault with its fix. Exit code 1 if there is one: a wrong setting and a store that does not answer "
        "are faults, too. Run it before a web node serves: as its user, in its directory and environment, with --app.",
    )
    options.add_settings(parser)
    parser.add_argument("--announce", action="store_true", help="write this web node into the registry of the farm")
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Checks, and prints what was found."""
    silence_log()
    found = _examined(arguments)
    faults = sum(finding.level == FAULT for finding in found)
    if arguments.json:
        print(json.dumps({"faults": faults, "findings": [finding._asdict() for finding in found]}))
    else:
        print("\n".join([*map(_text, found), _summary(faults, found)]))
    return 1 if faults else 0


def _examined(arguments: argparse.Namespace) -> list[Finding]:
    try:
        with options.application_of(arguments) as manager:
            if manager is not None:
                return examine_manager(manager, announce=arguments.announce)
    except ApplicationNotFoundError:
        raise
    except ConfigurationError as error:
        return [wrong(error)]
    keywords = options.keywords_of(arguments)
    return examine(keywords, options.environ_for(keywords), announce=arguments.announce)


def _text(finding: Finding) -> str:
    level = finding.level.upper() if finding.level == FAULT else finding.level
    line = f"{level:5}  {finding.topic:{_TOPIC}}  {finding.text}"
    return f"{line}\n{'':{_TOPIC + 9}}-> {finding.fix}" if finding.fix else line


def _summary(faults: int, found: Sequence[Finding]) -> str:
    notes = sum(finding.level == NOTE for finding in found)
    counts = [f"{number} {noun}{'' if number == 1 else 's'}" for number, noun in ((faults, "fault"), (notes, "note"))]
    return f"\n{', '.join(counts)}"
