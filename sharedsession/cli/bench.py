"""``sharedsession bench``: how long this store takes, asked from this machine.

Reads and changes of one record under a key of its own, which is ended afterwards. Nothing of a session is touched.
"""

import argparse
import json
import secrets
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from sharedsession.cli import options
from sharedsession.cli.format import count, milliseconds, table
from sharedsession.errors import BackendError

if TYPE_CHECKING:
    from sharedsession.backends.base import Backend

_ROUNDS = 300
_LIFE = 60.0  # seconds that the record has, should this process be killed
_TOMBSTONE = 1.0  # seconds for which a ring remembers its end


def add_to(commands: "argparse._SubParsersAction[Any]") -> None:
    """Describes the command's arguments."""
    parser = commands.add_parser(
        "bench",
        help="measure the store from this machine",
        description="A few hundred reads and changes of one record under a key of its own, one after the other.",
    )
    options.add_backend(parser)
    parser.add_argument("--rounds", type=_whole, default=_ROUNDS, help=f"how many of each (default: {_ROUNDS})")
    parser.add_argument("--size", type=_whole, default=1024, help="bytes of the record (default: 1024)")
    parser.add_argument("--timeout", type=options.several_seconds, default=5.0, help="seconds for one answer")
    parser.set_defaults(command=options.guarded("bench", run))


def run(arguments: argparse.Namespace) -> int:
    """Measures, cleans up, and prints the times."""
    backend = options.backend_of(arguments)
    try:
        taken = measure(backend, arguments.rounds, arguments.size, arguments.timeout)
    finally:
        options.close(backend)
    kind = str(backend.health().get("kind", ""))
    facts = {verb: _facts(times) for verb, times in taken.items()}
    if arguments.json:
        print(json.dumps({"backend": kind, "rounds": arguments.rounds, "size": arguments.size, **facts}))
    else:
        print(_words(kind, arguments, facts))
    return 0


def measure(backend: "Backend", rounds: int, size: int, within: float) -> dict[str, list[float]]:
    """Reads and changes one record. Returns the seconds that each took, by verb.

    Raises:
        BackendError: the store does not answer, or lost the record.
    """
    key = f"ss:bench-{secrets.token_urlsafe(12)}"
    value = secrets.token_bytes(size)
    taken: dict[str, list[float]] = {"get": [], "replace": []}
    if backend.add(key, value, _LIFE, within) is None:
        raise BackendError("the store refused a new record under a fresh random key")
    try:
        for _ in range(rounds):
            found = _timed(taken["get"], partial(backend.get, key, _LIFE, within))
            change = partial(backend.replace, key, value, _LIFE, getattr(found, "version", None), within)
            if found is None or _timed(taken["replace"], change) is None:
                raise BackendError("the store lost the record in the middle of it")
    finally:
        backend.end(key, _TOMBSTONE, within)
    return taken


def _timed(times: list[float], ask: Callable[[], Any]) -> Any:
    started = time.perf_counter()
    answer = ask()
    times.append(time.perf_counter() - started)
    return answer


def _facts(times: list[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {
        "median": statistics.median(ordered),
        "p99": ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)],
        "worst": ordered[-1],
    }


def _words(kind: str, arguments: argparse.Namespace, facts: dict[str, dict[str, float]]) -> str:
    rows = [
        [verb, *(milliseconds(times[name]) for name in ("median", "p99", "worst"))] for verb, times in facts.items()
    ]
    said = f"{kind}: {count(arguments.rounds)} rounds, {count(arguments.size)} bytes, one after the other"
    return f"{said}\n\n" + table("<>>>", ["", "median", "p99", "worst"], rows)


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 1000000")
    return int(text)
