"""Our own parts, one by one: what isn't I/O, what the codec takes of it, and our verbs against a raw socket.

The middleware over a store that answers out of a dictionary, without a lock and without a socket, costs what cookie,
keys, sealing and decisions cost.
"""

# ruff: noqa: D102, S101  (the verbs are those of `backends/base.py`)

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import asgi_apps, floor, wsgi_apps
from benchmarks.asgi import Asgi
from benchmarks.contenders import ASGI, BARE, OURS, WSGI, Contender
from benchmarks.deeds import PAYLOADS, SMALL
from benchmarks.race import entrants, run
from benchmarks.stats import spread, summarised
from benchmarks.wsgi import Wsgi
from sharedsession.backends.base import Ended, Stored
from sharedsession.backends.connect import connect
from sharedsession.backends.memory import MemoryBackend
from sharedsession.records.codec import pack, unpack
from sharedsession.records.record import Record

VALUE = b"x" * 400
TTL, WITHIN = 1200.0, 5.0
TASKS = 64


class Canned(MemoryBackend):
    """A store that costs next to nothing, for both colours: the verbs of these requests without lock and clock."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[str, Stored] = {}

    def get(self, key: str, touch: float | None, within: float) -> Stored | Ended | None:
        return self._kept.get(key)

    def add(self, key: str, value: bytes, ttl: float, within: float) -> int:
        self._kept[key] = Stored(value, 1)
        return 1

    def replace(self, key: str, value: bytes, ttl: float, version: Any, within: float) -> int:
        self._kept[key] = Stored(value, version + 1)
        return int(version) + 1


def decisions(rounds: int, visitors: int) -> list[dict[str, Any]]:
    """What isn't I/O, in both colours: requests over the canned stores."""
    found: list[dict[str, Any]] = []
    with asyncio.Runner() as runner:
        colours: list[tuple[Any, Contender, Callable[..., Any], Any]] = [
            (Wsgi(), WSGI[0], wsgi_apps.ours, Canned()),
            (Asgi(runner), ASGI[0], asgi_apps.ours, Canned()),
        ]
        for driver, bare, ours, store in colours:
            assert bare.name == BARE
            mine = bare._replace(name=OURS, build=_over(ours, store))
            fit = entrants([bare, mine], "", SMALL, driver, 16)
            found += [{"part": "own", "store": "none", **each} for each in run(fit, driver, rounds, visitors)]
    return [*summarised(found), _codec(rounds)]


def _over(build: Callable[..., Any], store: Any) -> Callable[..., Any]:
    return lambda _url, payload, slide: build(store, payload, slide)


def _codec(rounds: int) -> dict[str, Any]:
    """What of it is the codec: a record and one value of it, back and forth."""
    items = {key: pack(key, value) for key, value in PAYLOADS[SMALL].items()}
    encoded = Record(version=1, created=1e9, refreshed=1e9, items=items, write_ids=b"0000").encode()

    def there_and_back() -> None:
        record = Record.decode(encoded)
        pack("count", unpack(record.items["count"]) + 1)
        record.encode()

    return {"part": "own", "store": "none", "name": "codec", "request": "write", "cpu": _timed(there_and_back, rounds)}


def _timed(step: Callable[[], Any], rounds: int, times: int = 2000) -> list[float]:
    taken = []
    for _ in range(rounds):
        begin = time.process_time()
        for _ in range(times):
            step()
        taken.append((time.process_time() - begin) / times * 1e6)
    return spread(taken)


# -- verbs against a raw socket


def verbs(store: str, url: str, rounds: int, times: int) -> list[dict[str, Any]]:
    """CPU of one ``get`` with renewal and of one ``replace``, ours and by hand, alternating; then 64 at a time."""
    found = _blocking(url, rounds, times)
    with asyncio.Runner() as runner:
        found |= runner.run(_on_loop(url, rounds, times))
    return [{"part": "verbs", "store": store, "name": name, "cpu": spread(cpu)} for name, cpu in found.items()]


def _blocking(url: str, rounds: int, times: int) -> dict[str, list[float]]:
    ours: Any = connect(url)
    speak, wire = floor.words(url), floor.Wire(url)
    ours.add("o1", VALUE, TTL, WITHIN)
    wire.ask(speak.add("f1", VALUE), speak.stored)

    def cycle() -> None:
        assert ours.replace("o1", VALUE, TTL, ours.get("o1", TTL, WITHIN).version, WITHIN)

    def raw_cycle() -> None:
        _, version = wire.ask(speak.get("f1"), speak.found)
        assert wire.ask(speak.swap("f1", VALUE, version), speak.stored)

    steps: dict[str, Callable[[], Any]] = {
        "get, by hand": lambda: wire.ask(speak.get("f1"), speak.found),
        "get, ours": lambda: ours.get("o1", TTL, WITHIN),
        "get + replace, by hand": raw_cycle,
        "get + replace, ours": cycle,
    }
    found: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            begin = time.process_time()
            for _ in range(times):
                step()
            found[name].append((time.process_time() - begin) / times * 1e6)
    ours.close()
    return found


async def _on_loop(url: str, rounds: int, times: int) -> dict[str, list[float]]:
    backend: Any = connect(url)
    ours, speak = backend.asynchronous, floor.words(url)
    await ours.add("o2", VALUE, TTL, WITHIN)
    wires = [await floor.connected(url) for _ in range(TASKS)]
    await wires[0].ask(speak.add("f2", VALUE), speak.stored)
    steps: dict[str, Callable[[int], Any]] = {
        "get on 64 tasks, by hand": lambda task: wires[task].ask(speak.get("f2"), speak.found),
        "get on 64 tasks, ours": lambda _task: ours.get("o2", TTL, WITHIN),
    }
    found: dict[str, list[float]] = {name: [] for name in steps}
    each = max(1, times // TASKS)
    for _ in range(rounds):
        for name, step in steps.items():
            begin = time.process_time()
            await asyncio.gather(*(_repeat(step, task, each) for task in range(TASKS)))
            found[name].append((time.process_time() - begin) / (each * TASKS) * 1e6)
    await ours.close()
    for wire in wires:
        wire.transport.close()
    return found


async def _repeat(step: Callable[[int], Any], task: int, times: int) -> None:
    for _ in range(times):
        await step(task)


def all_of(store: str, url: str, rounds: int, visitors: int, names: Sequence[str]) -> list[dict[str, Any]]:
    """Both."""
    del names
    return verbs(store, url, rounds, visitors * 4) + (decisions(rounds, visitors * 4) if store == "memcached" else [])
