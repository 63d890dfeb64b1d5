"""``sharedsession bench``: how long this store takes to answer this machine.

It reads and changes one record under a key of its own, and ends that record at the end. It touches no session.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from sharedsession.backends.base import Backend, Stored
from sharedsession.cli import options
from sharedsession.cli.format import count, milliseconds, table
from sharedsession.cli.parser import OneLineParser
from sharedsession.environment import REAL
from sharedsession.errors import BackendError

T = TypeVar("T")

_ROUNDS = 300
_LARGEST = 1_000_000
_TTL = 60.0  # seconds that the record lives if this process is killed
_TOMBSTONE_TTL = 1.0  # seconds for which a ring remembers the end of the record


def add_to(commands: "argparse._SubParsersAction[OneLineParser]") -> None:
    """Describes the command's arguments."""
    parser = commands.add_parser(
        "bench",
        help="measure the store from this machine",
        description="A few hundred reads and changes of one record under a key of its own, one after the other.",
    )
    options.add_backend(parser)
    number = options.whole_number(1, _LARGEST)
    parser.add_argument("--rounds", type=number, default=_ROUNDS, help=f"how many of each (default: {_ROUNDS})")
    parser.add_argument("--size", type=number, default=1024, help="bytes of the record (default: 1024)")
    parser.add_argument("--timeout", type=options.timeout, default=5.0, help="seconds for one answer")
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Measures, cleans up, and prints the times."""
    with options.backend_of(arguments) as backend:
        times = measure(backend, arguments.rounds, arguments.size, arguments.timeout)
        kind = str(backend.health().get("kind", ""))
    facts = {verb: _facts(seconds) for verb, seconds in times.items()}
    if arguments.json:
        print(json.dumps({"backend": kind, "rounds": arguments.rounds, "size": arguments.size, **facts}))
    else:
        print(_text(kind, arguments, facts))
    return 0


def measure(backend: Backend, rounds: int, size: int, timeout: float) -> dict[str, list[float]]:
    """Reads and changes one record; returns the seconds that each took, by verb.

    Args:
        backend: the store.
        rounds: how many of each.
        size: bytes of the record.
        timeout: seconds to wait for one answer.

    Raises:
        BackendError: the store does not answer, or lost the record.
    """
    key = f"ss:bench-{REAL.random_bytes(9).hex()}"
    value = REAL.random_bytes(size)
    times: dict[str, list[float]] = {"get": [], "replace": []}
    if backend.add(key, value, _TTL, timeout) is None:
        raise BackendError("the store refused a new record under a fresh random key")
    try:
        for _ in range(rounds):
            found = _timed(times["get"], partial(backend.get, key, _TTL, timeout))
            if not isinstance(found, Stored):
                raise BackendError("the store lost the record during the measurement")
            change = partial(backend.replace, key, value, _TTL, found.version, timeout)
            if _timed(times["replace"], change) is None:
                raise BackendError("the store lost the record during the measurement")
    finally:
        backend.end(key, _TOMBSTONE_TTL, timeout)
    return times


def _timed(times: list[float], ask: Callable[[], T]) -> T:
    started = REAL.monotonic()
    answer = ask()
    times.append(REAL.monotonic() - started)
    return answer


def _facts(times: list[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {
        "median": statistics.median(ordered),
        "p99": ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)],
        "worst": ordered[-1],
    }


def _text(kind: str, arguments: argparse.Namespace, facts: dict[str, dict[str, float]]) -> str:
    rows = [
        [verb, *(milliseconds(times[name]) for name in ("median", "p99", "worst"))] for verb, times in facts.items()
    ]
    title = f"{kind}: {count(arguments.rounds)} rounds, {count(arguments.size)} bytes, one after the other"
    return f"{title}\n\n" + table("<>>>", ["", "median", "p99", "worst"], rows)
