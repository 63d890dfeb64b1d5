"""``sharedsession farm``: the web nodes that have announced themselves, and the servers of the store.

It only looks. Exit codes: 0 all is well, 1 a server is down or web nodes disagree, 2 the command line is wrong.
"""

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING, Any

from sharedsession.cli import options
from sharedsession.cli.format import count, milliseconds, span, table

if TYPE_CHECKING:
    from sharedsession.backends.base import Backend
    from sharedsession.cli.servers import Server
    from sharedsession.farm.drift import WebNode

Facts = dict[str, Any]
_HOME = "\x1b[H\x1b[J"  # to the upper left corner, and nothing below


def add_to(commands: "argparse._SubParsersAction[Any]") -> None:
    """Describes the command's arguments."""
    parser = commands.add_parser(
        "farm",
        help="show the web nodes and the servers of a farm",
        description="The web nodes that have announced themselves (farm_check), and the servers of the store after "
        "one sign of life each. Exit code 1 if a server is down or web nodes disagree.",
    )
    options.add_backend(parser)
    parser.add_argument("--timeout", type=options.several_seconds, default=1.0, help="seconds for one answer")
    parser.add_argument(
        "--watch",
        metavar="SECONDS",
        type=options.several_seconds,
        nargs="?",
        const=2.0,
        help="look again each so many seconds (default: 2), until Ctrl-C",
    )
    parser.set_defaults(command=options.guarded("farm", run))


def run(arguments: argparse.Namespace) -> int:
    """Looks once, or until it is interrupted."""
    backend = options.backend_of(arguments)
    try:
        facts = _show(backend, arguments)
        while arguments.watch:
            time.sleep(arguments.watch)
            facts = _show(backend, arguments)
    finally:
        options.close(backend)
    return 1 if _is_wrong(facts) else 0


def _show(backend: "Backend", arguments: argparse.Namespace) -> Facts:
    facts = look(backend, arguments.timeout)
    words = json.dumps(facts) if arguments.json else _words(facts)
    is_redrawn = arguments.watch and not arguments.json and sys.stdout.isatty()
    print(f"{_HOME if is_redrawn else ''}{words}", flush=True)
    return facts


def look(backend: "Backend", within: float) -> Facts:
    """What there is now, JSON-able.

    Args:
        backend: one of blocking verbs.
        within: seconds to wait for one answer.
    """
    from sharedsession.cli.servers import ask  # noqa: PLC0415 - a help text needs no driver

    servers = ask(backend, within, 1, time.time)
    return {"servers": [_server(server) for server in servers], "web_nodes": _web_nodes(backend, within)}


def _server(server: "Server") -> Facts:
    return {
        "name": server.name,
        "kind": server.kind,
        "state": "up" if server.is_up else "down",
        "seconds": server.seconds,
        "reason": server.reason,
    }


def _web_nodes(backend: "Backend", within: float) -> list[Facts] | None:
    """Those in the register, compared with the most of their application; ``None``: nobody can tell."""
    from sharedsession.concurrency.driver import for_blocking, run  # noqa: PLC0415 - as above
    from sharedsession.errors import BackendError  # noqa: PLC0415 - as above
    from sharedsession.farm.drift import leading  # noqa: PLC0415 - as above
    from sharedsession.farm.registry import Register  # noqa: PLC0415 - as above

    store = for_blocking(backend)
    try:
        nodes = run(Register(store).read(within)) if store else []
    except BackendError:
        return None
    leaders = leading(nodes)
    ordered = sorted(nodes, key=lambda node: (node.app, node.name))
    return [_web_node(node, leaders[node.app], time.time()) for node in ordered]


def _web_node(node: "WebNode", leader: "WebNode", now: float) -> Facts:
    from sharedsession.farm.drift import disagreements  # noqa: PLC0415 - as above

    found = disagreements(leader, [node], now)
    return {
        "name": node.name,
        "application": node.app,
        "version": node.version,
        "since": node.since,
        "announced": node.at,
        "faults": [each.difference.part for each in found if each.difference.is_fault],
        "notes": [each.difference.part for each in found if not each.difference.is_fault],
    }


def _is_wrong(facts: Facts) -> bool:
    nodes = facts["web_nodes"]
    is_down = any(server["state"] == "down" for server in facts["servers"])
    return is_down or nodes is None or any(node["faults"] for node in nodes)


# -- words


def _words(facts: Facts) -> str:
    servers = [
        [server["name"], server["kind"], server["state"], milliseconds(server["seconds"]), server["reason"] or ""]
        for server in facts["servers"]
    ]
    shown = table("<<<><", ["server", "kind", "state", "answers in", ""], servers)
    return "\n\n".join([shown, _words_of_nodes(facts["web_nodes"])])


def _words_of_nodes(nodes: list[Facts] | None) -> str:
    if nodes is None:
        return "the store does not answer: nobody can tell which web nodes there are"
    if not nodes:
        return 'no web node has announced itself: set farm_check="warn" on them'
    now = time.time()
    rows = [
        [
            *(node[fact] for fact in ("name", "application", "version")),
            *(span(max(0.0, now - node[moment])) for moment in ("since", "announced")),
            _odd(node),
        ]
        for node in nodes
    ]
    heading = f"{count(len(nodes))} web node{'' if len(nodes) == 1 else 's'}"
    return f"{heading}\n\n" + table("<<<>><", ["web node", "application", "version", "up for", "seen before", ""], rows)


def _odd(node: Facts) -> str:
    said = [f"DISAGREES on {', '.join(node['faults'])}"] if node["faults"] else []
    return "; ".join([*said, *(f"other {part}" for part in node["notes"])])
