"""What goes over the wire, and what stays in the store: round trips and bytes of a request, memory of 10,000 sessions.

Counting, not timing: a relay stands between, and a quiet machine is not needed.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.asgi import Asgi
from benchmarks.contenders import BARE, Contender, chosen
from benchmarks.deeds import NAMED, PAYLOADS, REQUESTS, SMALL
from benchmarks.race import SETTLING, Driver, Entrant, entrants
from benchmarks.wsgi import Wsgi
from tests.support.relay import Relay

VISITORS = 6


def trips(store: str, server: Any, names: Sequence[str]) -> list[dict[str, Any]]:
    """Round trips and bytes up and down, of each contender and request; connections are there already."""
    found: list[dict[str, Any]] = []
    with asyncio.Runner() as runner, Relay(server.port) as relay:
        relay.delay(0.001)  # so that what is sent in one burst counts as one
        url = server.url.replace(str(server.port), str(relay.port))
        for part, driver in _drivers(runner):
            for entrant in entrants(_stored(part, store, names), url, SMALL, driver, 2):
                found += [{**_named(part, store, entrant), **each} for each in _counted(entrant, driver, relay)]
    return found


def _counted(entrant: Entrant, driver: Driver, relay: Relay) -> list[dict[str, Any]]:
    found = []
    for request in REQUESTS:
        relay.reset_counts()
        entrant.visit(driver, request, VISITORS)
        time.sleep(SETTLING)
        counts = {name: getattr(relay, name) / VISITORS for name in ("round_trips", "bytes_up", "bytes_down")}
        found.append({"request": request.name} | {name: round(count, 1) for name, count in counts.items()})
    return found


def memory(store: str, server: Any, names: Sequence[str], sessions: int) -> list[dict[str, Any]]:
    """Bytes that 10,000 sessions take in the server, by its own account."""
    found = []
    with asyncio.Runner() as runner:
        for part, driver in _drivers(runner):
            for payload in [name for name in PAYLOADS if not name.startswith("1 KB")]:
                for entrant in entrants(_stored(part, store, names), server.url, payload, driver, 2):
                    before = _used(store, server)
                    entrant.visit(driver, NAMED["new"], sessions)
                    taken = (_used(store, server) - before) / sessions * 10_000
                    found.append({**_named(part, store, entrant), "payload": payload, "bytes_10k": round(taken)})
    return [{**each, "part": "memory"} for each in found]


def _drivers(runner: asyncio.Runner) -> list[tuple[str, Driver]]:
    return [("wsgi", Wsgi()), ("asgi", Asgi(runner))]


def _stored(part: str, store: str, names: Sequence[str]) -> list[Contender]:
    return [row for row in chosen(part, store, tuple(names)) if row.name != BARE]


def _named(part: str, store: str, entrant: Entrant) -> dict[str, Any]:
    row = entrant.row
    return {"part": "trips", "colour": part, "store": store, "frame": row.frame, "name": row.name}


def _used(store: str, server: Any) -> int:
    return int(server.stat("bytes" if store == "memcached" else "used_memory"))
