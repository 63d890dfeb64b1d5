"""``sharedsession farm``: the web nodes that have announced themselves, and the servers of the store.

It only looks. Exit codes: 0 no fault, 1 a server is down or web nodes disagree, 2 the command line or
a setting is wrong.
"""

import argparse
import json
import sys
from typing import Any

from sharedsession.backends.adapters import for_blocking
from sharedsession.backends.base import Backend
from sharedsession.cli import options
from sharedsession.cli.backend_nodes import BackendNode, ask
from sharedsession.cli.format import count, milliseconds, span, table
from sharedsession.cli.parser import OneLineParser
from sharedsession.concurrency import run as run_now
from sharedsession.environment import REAL
from sharedsession.errors import BackendError
from sharedsession.farm import Registry, WebNode, disagreements, leading

Facts = dict[str, Any]
_CLEAR = "\x1b[H\x1b[J"  # ECMA-48: cursor to the upper left corner, then erase everything below
_WATCH = 2.0  # seconds


def add_to(commands: "argparse._SubParsersAction[OneLineParser]") -> None:
    """Describes the command's arguments."""
    parser = commands.add_parser(
        "farm",
        help="show the web nodes and the servers of a farm",
        description="The web nodes that have announced themselves (farm_check), and the servers of the store with the "
        "time of one read. Exit code 1 if a server is down or web nodes disagree.",
    )
    options.add_backend(parser)
    parser.add_argument("--timeout", type=options.timeout, default=1.0, help="seconds for one answer")
    parser.add_argument(
        "--watch",
        metavar="SECONDS",
        type=options.timeout,
        nargs="?",
        const=_WATCH,
        help=f"look again every so many seconds (default: {_WATCH:g}), until Ctrl-C",
    )
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Looks once, or until it is interrupted."""
    with options.backend_of(arguments) as backend:
        facts = _show(backend, arguments)
        while arguments.watch:
            REAL.sleep(arguments.watch)
            facts = _show(backend, arguments)
    return 1 if _has_fault(facts) else 0


def _show(backend: Backend, arguments: argparse.Namespace) -> Facts:
    facts = look(backend, arguments.timeout)
    text = json.dumps(facts) if arguments.json else _text(facts)
    is_redrawn = arguments.watch and not arguments.json and sys.stdout.isatty()
    print(f"{_CLEAR if is_redrawn else ''}{text}", flush=True)
    return facts


def look(backend: Backend, timeout: float) -> Facts:
    """Returns JSON-able facts about the farm as it is now.

    Args:
        backend: the store.
        timeout: seconds to wait for one answer.
    """
    nodes = ask(backend, timeout, 1, REAL)
    return {"servers": [_server(node) for node in nodes], "web_nodes": _web_nodes(backend, timeout)}


def _server(node: BackendNode) -> Facts:
    return {
        "name": node.name,
        "kind": node.kind,
        "state": "up" if node.is_up else "down",
        "seconds": node.seconds,
        "reason": node.reason,
    }


def _web_nodes(backend: Backend, timeout: float) -> list[Facts] | None:
    """Returns those in the registry, compared with the most of their application; ``None`` if it cannot be read."""
    store = for_blocking(backend)
    try:
        nodes = run_now(Registry(store).read(timeout)) if store else []
    except BackendError:
        return None
    leaders = leading(nodes)
    ordered = sorted(nodes, key=lambda node: (node.app, node.name))
    return [_web_node(node, leaders[node.app], REAL.clock()) for node in ordered]


def _web_node(node: WebNode, leader: WebNode, now: float) -> Facts:
    found = disagreements(leader, [node], now)
    return {
        "name": node.name,
        "application": node.app,
        "version": node.version,
        "since": node.since,
        "announced": node.at,
        "faults": [each.difference.part for each in found if each.difference.is_fault],
        "notes": [each.difference.part for each in found if not each.difference.is_fault],
        "differences": [each.difference.seen_by_most for each in found],
    }


def _has_fault(facts: Facts) -> bool:
    nodes = facts["web_nodes"]
    is_down = any(server["state"] == "down" for server in facts["servers"])
    return is_down or nodes is None or any(node["faults"] for node in nodes)


# -- text


def _text(facts: Facts) -> str:
    servers = [
        [server["name"], server["kind"], server["state"], milliseconds(server["seconds"]), server["reason"] or ""]
        for server in facts["servers"]
    ]
    shown = table("<<<><", ["server", "kind", "state", "answers in", ""], servers)
    return "\n\n".join([shown, _text_of_web_nodes(facts["web_nodes"])])


def _text_of_web_nodes(nodes: list[Facts] | None) -> str:
    if nodes is None:
        return "the store does not answer: the registry of the web nodes cannot be read"
    if not nodes:
        return 'no web node has announced itself: set farm_check="warn" on them'
    now = REAL.clock()
    rows = [
        [
            *(node[fact] for fact in ("name", "application", "version")),
            span(max(0.0, now - node["since"])),
            f"{span(max(0.0, now - node['announced']))} ago",
            _differences(node),
        ]
        for node in nodes
    ]
    heading = f"{count(len(nodes))} web node{'' if len(nodes) == 1 else 's'}"
    columns = ["web node", "application", "version", "up for", "last seen", ""]
    return f"{heading}\n\n" + table("<<<>><", columns, rows)


def _differences(node: Facts) -> str:
    if not node["differences"]:
        return ""
    return f"{'DISAGREES' if node['faults'] else 'differs'} on {'; '.join(node['differences'])}"
