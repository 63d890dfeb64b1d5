"""``sharedsession ring``: who holds a key, how keys and records are spread, and what a change of nodes would move.

It only looks: nothing is written, renewed or repaired, and no value is shown. Exit codes: 0 all is well, 1 a node is
down or a record has too few copies, 2 the command line is wrong.
"""

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from sharedsession.cli.format import count as _count
from sharedsession.cli.format import percent as _percent
from sharedsession.cli.format import span as _span
from sharedsession.cli.format import table as _table
from sharedsession.cli.options import add_key_file, several_seconds
from sharedsession.errors import ConfigurationError

if TYPE_CHECKING:
    from sharedsession.cli.ring_report import Facts, Layout

_LONGEST_KEY = 250
_CHANGES = ("added", "removed", "moved", "reweighted")
_SHARES = {
    "first_owner": "of the keys get another first owner",
    "new_owner": "of the records get a new owner: they are copied when they are read next",
    "no_common_owner": "of the records keep no owner: they are looked for on all nodes, and moved then",
    "lost": "of the records have no copy on a node that stays: they are lost",
}


def add_to(commands: "argparse._SubParsersAction[Any]") -> None:
    """Describes the command's arguments."""
    parser = commands.add_parser(
        "ring",
        help="show a ring of memcached nodes, and what a change of it would move",
        description="Without options: the nodes, their share of the keys, and what they say of themselves. Exit code "
        "1 if a node is down or records have too few copies.",
    )
    backend = os.environ.get("SHAREDSESSION_BACKEND")
    parser.add_argument("--backend", metavar="URL", default=backend, help="the ring (default: SHAREDSESSION_BACKEND)")
    parser.add_argument("--key", type=_key, help="who shall hold a key of the store, and who does")
    parser.add_argument("--change", metavar="URL", help="what another list of nodes would move; asks no node")
    parser.add_argument(
        "--survey", action="store_true", help="count the records by copies; walks all keys of all nodes"
    )
    parser.add_argument(
        "--timeout", type=several_seconds, default=1.0, help="seconds for one answer of a node (default: 1)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_key_file(parser)
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Looks, and prints what was asked for."""
    from sharedsession.cli.ring_report import Layout  # noqa: PLC0415 - a help text needs no driver

    logging.getLogger("sharedsession").addHandler(logging.NullHandler())  # the tables say what is down
    try:
        layout = Layout.of(arguments.backend or "")
        changed = Layout.of(arguments.change) if arguments.change else None
    except ConfigurationError as fault:
        print(f"sharedsession ring: {fault}", file=sys.stderr)
        return 2
    facts = _look(layout, changed, arguments)
    print(json.dumps(facts) if arguments.json else "\n\n".join(_paragraphs(facts)))
    return 1 if _is_wrong(facts) else 0


def _look(layout: "Layout", changed: "Layout | None", arguments: argparse.Namespace) -> "Facts":
    """Collects what was asked for; by default the nodes."""
    from sharedsession.cli import ring_report as ringfacts  # noqa: PLC0415 - as above

    facts: Facts = {"ring": layout.facts()}
    if arguments.key:
        facts["key"] = ringfacts.holders(layout, arguments.key, arguments.timeout)
    if changed:
        moves = ringfacts.change(layout, changed)
        facts["change"] = {**moves, "warnings": ringfacts.warnings(moves)}
    if arguments.survey:
        facts["survey"] = ringfacts.survey(layout, arguments.timeout)
    if len(facts) == 1:
        facts["nodes"] = ringfacts.nodes(layout, arguments.timeout)
    return facts


def _is_wrong(facts: "Facts") -> bool:
    """Whether somebody must act: a node is down, or a copy is missing."""
    asked = [*facts.get("nodes", ()), *facts.get("key", ())]
    survey = facts.get("survey", {})
    return (
        any(node["state"] == "down" for node in asked)
        or _lacks_copies(facts.get("key", ()))
        or bool(survey.get("under_replicated") or survey.get("not_walked"))
    )


def _lacks_copies(holders: "Sequence[Facts]") -> bool:
    held = {node["holds"] for node in holders}
    if held.isdisjoint({"record", "tombstone"}):
        return False
    wanted = "tombstone" if "tombstone" in held else "record"
    return any(node["owner"] and node["holds"] != wanted for node in holders)


# -- words


def _paragraphs(facts: "Facts") -> list[str]:
    ring = facts["ring"]
    copies = f"{ring['replicas']} {'copy' if ring['replicas'] == 1 else 'copies'} of each session"
    said = [f"{copies}, layout {ring['layout']}, fingerprint {ring['fingerprint']}"]
    words: dict[str, Callable[[Any], str]] = {"nodes": _nodes, "key": _holders, "change": _change, "survey": _survey}
    return said + [words[part](facts[part]) for part in words if part in facts]


def _nodes(nodes: "Sequence[Facts]") -> str:
    rows = [
        [
            node["name"],
            node["address"],
            str(node["weight"]),
            _percent(node["share"]),
            node["state"],
            _count(node["items"]),
            _span(node["uptime"]),
            _count(node["evictions"]),
        ]
        for node in nodes
    ]
    return _table("<<>><>>>", ["name", "address", "weight", "keys", "state", "items", "up for", "evictions"], rows)


def _holders(holders: "Sequence[Facts]") -> str:
    rows = [
        [node["name"], "yes" if node["owner"] else "", node["state"], node["holds"] or "?", _span(node["seconds"])]
        for node in holders
    ]
    return _table("<<<<>", ["node", "owner", "state", "holds", "for another"], rows)


def _change(change: "Facts") -> str:
    named = [f"{word}: {', '.join(change[word])}" for word in _CHANGES if change[word]]
    rows = [[_percent(change[share]), meaning] for share, meaning in _SHARES.items()]
    warnings = [f"WARNING: {warning}" for warning in change["warnings"]]
    return "\n".join(["; ".join(named) or "no node changes", "", _table("><", [], rows), *warnings])


def _survey(survey: "Facts") -> str:
    most = max(map(int, survey["copies"]))
    rows = [
        [_count(number), f"on {copies} of {most} owners", "TOO FEW COPIES" if number and int(copies) < most else ""]
        for copies, number in survey["copies"].items()
    ]
    notes = [f"{name} could not be walked: copies there are not counted" for name in survey["not_walked"]]
    if not survey["checked_again"]:
        notes.append("too many to look at again: sessions that came or went meanwhile may be among them")
    return "\n".join([_table("><<", ["records", "copies", ""], rows), *notes])


# -- arguments


def _key(text: str) -> str:
    if not text.isascii() or not text.isprintable() or " " in text or not 0 < len(text) <= _LONGEST_KEY:
        raise argparse.ArgumentTypeError("a key is 1 to 250 printable ASCII characters without spaces")
    return text
