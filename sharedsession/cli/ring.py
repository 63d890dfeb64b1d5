"""``sharedsession ring``: which nodes hold a key, how keys and records are spread, what a change of nodes would move.

It only looks: it writes, renews and repairs nothing, and shows no value. Exit codes: 0 no fault, 1 a node is down or a
record has too few copies, 2 the command line is wrong.
"""

import argparse
import json
import os
from collections.abc import Callable, Sequence
from typing import Any

from sharedsession.cli import options, ring_report
from sharedsession.cli.captured_log import silence_log
from sharedsession.cli.format import count, percent, span, table
from sharedsession.cli.parser import OneLineParser
from sharedsession.cli.ring_report import Facts, Layout
from sharedsession.manager import SessionManager, engines_of

_LONGEST_KEY = 250
_CHANGES = ("added", "removed", "moved", "reweighted")
_SHARES = {
    "first_owner": "of the keys get another first owner",
    "new_owner": "of the records get a new owner: they are copied at their next read",
    "no_common_owner": "of the records keep no owner: their next read searches all nodes, and moves them",
    "lost": "of the records have no copy on a node that stays: they are lost",
}


def add_to(commands: "argparse._SubParsersAction[OneLineParser]") -> None:
    """Describes the command's arguments."""
    parser = commands.add_parser(
        "ring",
        help="show a ring of memcached nodes, and what a change of it would move",
        description="Without options: the nodes, their share of the keys, and what they report. Exit code 1 if "
        "a node is down or records have too few copies.",
    )
    parser.add_argument("--key", type=_key, help="which nodes should hold a key of the store, and which do")
    parser.add_argument("--change", metavar="URL", help="what another list of nodes would move; no node is asked")
    parser.add_argument(
        "--survey", action="store_true", help="count the records by their copies; reads all keys of all nodes"
    )
    parser.add_argument(
        "--timeout", type=options.timeout, default=1.0, help="seconds for one answer of a node (default: 1)"
    )
    options.add_backend(parser)
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Looks, and prints what was asked for."""
    silence_log()
    with options.application_of(arguments) as manager:
        return _run(_layout(arguments.backend, manager), arguments)


def _layout(url: str | None, manager: SessionManager | None) -> Layout:
    if manager is not None:
        return Layout.of_backend(engines_of(manager).settings.backend)
    return Layout.of(url or os.environ.get(options.variable("backend"), ""))


def _run(layout: Layout, arguments: argparse.Namespace) -> int:
    changed = Layout.of(arguments.change) if arguments.change else None
    facts = _look(layout, changed, arguments)
    print(json.dumps(facts) if arguments.json else "\n\n".join(_paragraphs(facts)))
    return 1 if _has_fault(facts) else 0


def _look(layout: Layout, changed: Layout | None, arguments: argparse.Namespace) -> Facts:
    """Collects what was asked for; by default the nodes."""
    facts: Facts = {"ring": layout.facts()}
    if arguments.key:
        facts["key"] = ring_report.holders(layout, arguments.key, arguments.timeout)
    if changed:
        moves = ring_report.change(layout, changed)
        facts["change"] = {**moves, "warnings": ring_report.warnings(moves)}
    if arguments.survey:
        facts["survey"] = ring_report.survey(layout, arguments.timeout)
    if len(facts) == 1:
        facts["nodes"] = ring_report.nodes(layout, arguments.timeout)
    return facts


def _has_fault(facts: Facts) -> bool:
    """Returns whether a node is down, or a copy is missing."""
    asked = [*facts.get("nodes", ()), *facts.get("key", ())]
    survey = facts.get("survey", {})
    return (
        any(node["state"] == "down" for node in asked)
        or _lacks_copies(facts.get("key", ()))
        or bool(survey.get("under_replicated") or survey.get("not_walked"))
    )


def _lacks_copies(holders: Sequence[Facts]) -> bool:
    held = {node["holds"] for node in holders}
    if held.isdisjoint({"record", "tombstone"}):
        return False
    wanted = "tombstone" if "tombstone" in held else "record"
    return any(node["owner"] and node["holds"] != wanted for node in holders)


# -- text


def _paragraphs(facts: Facts) -> list[str]:
    ring = facts["ring"]
    copies = f"{ring['replicas']} {'copy' if ring['replicas'] == 1 else 'copies'} of each session"
    title = [f"{copies}, layout {ring['layout']}, fingerprint {ring['fingerprint']}"]
    texts: dict[str, Callable[[Any], str]] = {"nodes": _nodes, "key": _holders, "change": _change, "survey": _survey}
    return title + [texts[part](facts[part]) for part in texts if part in facts]


def _nodes(nodes: Sequence[Facts]) -> str:
    rows = [
        [
            node["name"],
            node["address"],
            str(node["weight"]),
            percent(node["share"]),
            node["state"],
            count(node["items"]),
            span(node["uptime"]),
            count(node["evictions"]),
        ]
        for node in nodes
    ]
    return table("<<>><>>>", ["name", "address", "weight", "keys", "state", "items", "up for", "evictions"], rows)


def _holders(holders: Sequence[Facts]) -> str:
    rows = [
        [node["name"], "yes" if node["owner"] else "", node["state"], node["holds"] or "?", span(node["seconds"])]
        for node in holders
    ]
    return table("<<<<>", ["node", "owner", "state", "holds", "expires in"], rows)


def _change(change: Facts) -> str:
    named = [f"{word}: {', '.join(change[word])}" for word in _CHANGES if change[word]]
    rows = [[percent(change[share]), meaning] for share, meaning in _SHARES.items()]
    warnings = [f"WARNING: {warning}" for warning in change["warnings"]]
    return "\n".join(["; ".join(named) or "no node changes", "", table("><", [], rows), *warnings])


def _survey(survey: Facts) -> str:
    most = max(map(int, survey["copies"]))
    rows = [
        [count(number), f"on {copies} of {most} owners", "TOO FEW COPIES" if number and int(copies) < most else ""]
        for copies, number in survey["copies"].items()
    ]
    notes = [f"{name} could not be read: its copies are not counted" for name in survey["not_walked"]]
    if not survey["checked_again"]:
        notes.append("too many for a second look: sessions that began or ended meanwhile may be among them")
    return "\n".join([table("><<", ["records", "copies", ""], rows), *notes])


# -- arguments


def _key(text: str) -> str:
    if not text.isascii() or not text.isprintable() or " " in text or not 0 < len(text) <= _LONGEST_KEY:
        raise argparse.ArgumentTypeError("a key is 1 to 250 printable ASCII characters without spaces")
    return text
