"""``sharedsession demo``: a web farm on this machine, until Ctrl-C."""

import argparse

from sharedsession.cli.options import whole_number
from sharedsession.cli.parser import OneLineParser

BACKENDS = ("sqlite", "memcached", "redis")
MOST_NODES = 9


def add_to(commands: "argparse._SubParsersAction[OneLineParser]") -> None:
    """Describes the command's arguments."""
    parser = commands.add_parser(
        "demo",
        help="run a small web farm on this machine",
        description="Web nodes, each a process of its own, behind one round-robin port on 127.0.0.1. "
        "Kill one of them on the page: the session is still there. Ctrl-C stops all of it.",
    )
    parser.add_argument("--backend", choices=BACKENDS, default="sqlite", help="the store (default: sqlite)")
    parser.add_argument("--port", type=whole_number(0, 65535), default=0, help="port of the farm (default: a free one)")
    parser.add_argument("--nodes", type=whole_number(1, MOST_NODES), default=3, help="number of web nodes (default: 3)")
    parser.add_argument("--json", action="store_true", help="print the address and the nodes as JSON")
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the farm and waits for its end."""
    from sharedsession.demo.supervisor import Plan, run_demo  # noqa: PLC0415 - needs packages of the extra "demo"

    run_demo(Plan(arguments.backend, arguments.port, arguments.nodes, arguments.json))
    return 0
