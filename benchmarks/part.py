"""One part of the run on one store, in a process of its own: Django can be configured once, and heaps stay clean.

python -m benchmarks.part wsgi memcached quick [name …]      its records as JSON on standard output
"""

import asyncio
import cProfile
import json
import pstats
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import footprint, http, instructions, own, race, scale, stats, wire
from benchmarks.asgi import Asgi
from benchmarks.contenders import OURS, chosen
from benchmarks.deeds import NAMED, REQUESTS, SMALL
from benchmarks.wsgi import Wsgi
from tests.support.binaries import MissingServerError
from tests.support.servers import KINDS


class Size(NamedTuple):
    """How much is measured.

    Attributes:
        rounds: of a race.
        visitors: of one request in one round.
        payloads: of races.
        seconds: of one measurement over HTTP.
        http_rounds: of those.
        sessions: that are made to weigh them.
    """

    rounds: int
    visitors: int
    payloads: tuple[str, ...]
    seconds: float
    http_rounds: int
    sessions: int

    @property
    def is_small(self) -> bool:
        """Whether the long ends of curves are left out."""
        return len(self.payloads) == 1


SIZES = {
    "tiny": Size(2, 8, (SMALL,), 0.1, 1, 50),
    "quick": Size(5, 32, (SMALL,), 0.5, 2, 200),
    "full": Size(9, 96, (SMALL, "20 keys, 2 KB"), 0.6, 5, 1000),
}
THREADS, TASKS = 8, 64
_PROFILED = 30  # rounds


@contextmanager
def running(store: str) -> Iterator[str]:
    """A fresh server. Yields its URL."""
    options = ["-m", "1024"] if store == "memcached" else []
    with KINDS[store].start(options) as server:
        yield server.url


def wsgi(store: str, size: Size, names: Sequence[str]) -> list[Any]:
    """WSGI, one request at a time, and with eight threads."""
    return _races("wsgi", store, size, names, Wsgi, (1, THREADS))


def asgi(store: str, size: Size, names: Sequence[str]) -> list[Any]:
    """ASGI, one request at a time, and 64 at a time."""
    with asyncio.Runner() as runner:
        return _races("asgi", store, size, names, lambda crowd: Asgi(runner, crowd), (1, TASKS))


def _races(
    part: str, store: str, size: Size, names: Sequence[str], driver: Callable[[int], Any], crowds: Sequence[int]
) -> list[Any]:
    records = []
    rows = chosen(part, store, tuple(names))
    if size.is_small and not names:
        rows = [row for row in rows if row.slowness == 1]
    drivers = [driver(crowd) for crowd in crowds]
    with running(store) as url:
        for payload in size.payloads:
            fit = race.entrants(rows, url, payload, drivers[0], min(16, size.visitors))
            for each in drivers if payload == SMALL else drivers[:1]:
                records += race.run(fit, each, size.rounds, max(size.visitors, 2 * each.crowd))
    where = {"part": part, "store": store}
    return stats.summarised([{**where, **record} for record in records])


def over_http(store: str, size: Size, names: Sequence[str]) -> list[Any]:
    """uvicorn, 50 connections."""
    with running(store) as url:
        return http.measure(store, url, size.http_rounds, size.seconds, names)


def on_the_wire(store: str, size: Size, names: Sequence[str]) -> list[Any]:
    """Round trips and bytes."""
    del size
    with KINDS[store].start() as server:
        return wire.trips(store, server, names)


def in_the_store(store: str, size: Size, names: Sequence[str]) -> list[Any]:
    """Memory of sessions."""
    with KINDS[store].start(["-m", "1024"] if store == "memcached" else []) as server:
        return wire.memory(store, server, names, size.sessions)


def our_own(store: str, size: Size, names: Sequence[str]) -> list[Any]:
    """What isn't I/O, and verbs against a raw socket."""
    with running(store) as url:
        return own.all_of(store, url, size.rounds, size.visitors, names)


def at_scale(curve: str, size: Size, _names: Sequence[str]) -> list[Any]:
    """One curve."""
    return scale.CURVES[curve](size.is_small, size.rounds, size.visitors)


def of_the_node(store: str, size: Size, _names: Sequence[str]) -> list[Any]:
    """What a web node remembers. More sessions than any cache of ours holds, and then as many again."""
    with running(store) as url:
        return footprint.measure(url, (1200, 1400) if size.is_small else (12_000, 20_000))


def in_instructions(store: str, size: Size, _names: Sequence[str]) -> list[Any]:
    """Instructions of our paths and the floors', where there is valgrind."""
    paths, calls = (instructions.GUARDED, 20) if size.is_small else (instructions.PATHS, instructions.CALLS)
    try:
        counts = instructions.measured(paths, calls)
    except MissingServerError as missing:
        sys.stderr.write(f"left out: instructions: {missing}\n")
        return []
    return [{"part": "instructions", "store": store, "name": path, "count": count} for path, count in counts.items()]


def raced_in_instructions(store: str, _size: Size, _names: Sequence[str]) -> list[Any]:
    """Instructions of the contenders, both colours side by side: no neighbour changes a count."""
    with ThreadPoolExecutor() as pool:
        try:
            return list(chain.from_iterable(pool.map(instructions.raced, ("wsgi", "asgi"), (store, store))))
        except MissingServerError as missing:
            sys.stderr.write(f"left out: instructions: {missing}\n")
            return []


JOBS = {
    "wsgi": ("memcached", "redis"),
    "asgi": ("memcached", "redis", "valkey"),
    "http": ("memcached", "redis"),
    "own": ("memcached", "redis"),
    "wire": ("memcached", "redis", "valkey"),
    "memory": ("memcached", "redis"),
    "footprint": ("memcached",),
    "instructions": ("memcached",),
    "counted": ("memcached", "redis"),
    "scale": tuple(scale.CURVES),
}
QUICK = {"wsgi": ("memcached",), "asgi": ("redis",), "http": ("memcached",), "own": ("memcached", "redis")}
PARTS: dict[str, Callable[[str, Size, Sequence[str]], list[Any]]] = {
    "wsgi": wsgi,
    "asgi": asgi,
    "http": over_http,
    "own": our_own,
    "wire": on_the_wire,
    "memory": in_the_store,
    "footprint": of_the_node,
    "instructions": in_instructions,
    "counted": raced_in_instructions,
    "scale": at_scale,
}


def in_own_process(part: str, store: str, size: str, names: Sequence[str]) -> list[Any]:
    """Runs a part in a fresh interpreter."""
    command = [sys.executable, "-m", "benchmarks.part", part, store, size, *names]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)  # noqa: S603  (ourselves)
    found: list[Any] = json.loads(done.stdout)
    return found


def profile(part: str, store: str, request: str) -> None:
    """Prints where ours spends its time in one kind of request (of a crowd, if there is one)."""
    rows = [row for row in chosen(part, store) if row.name == OURS][:1]
    with running(store) as url, asyncio.Runner() as runner:
        driver: Any = Wsgi() if part == "wsgi" else Asgi(runner, TASKS)
        (entrant,) = race.entrants(rows, url, SMALL, driver, 64)
        profiler = cProfile.Profile(time.process_time)
        for _ in range(_PROFILED):
            for each in REQUESTS[: REQUESTS.index(NAMED[request])]:
                entrant.visit(driver, each, TASKS)
            profiler.enable()
            entrant.visit(driver, NAMED[request], TASKS)
            profiler.disable()
    _print_by_file(pstats.Stats(profiler).sort_stats("tottime").print_stats(28), _PROFILED * TASKS)


def _print_by_file(stats: pstats.Stats, requests: int) -> None:
    """The same by file: calls and microseconds of own CPU time a request, with what the profiler itself takes."""
    files: dict[str, list[float]] = {}
    for (path, _line, name), (_, calls, seconds, *_) in stats.stats.items():  # type: ignore[attr-defined]
        file = name if path == "~" else "/".join(Path(path).parts[-2:])
        sums = files.setdefault(file, [0, 0])
        sums[0] += calls / requests
        sums[1] += seconds / requests * 1e6
    for file, (calls, taken) in sorted(files.items(), key=lambda item: -item[1][1])[:24]:
        sys.stdout.write(f"{taken:8.1f} us {calls:7.1f} calls  {file}\n")


if __name__ == "__main__":
    json.dump(PARTS[sys.argv[1]](sys.argv[2], SIZES[sys.argv[3]], sys.argv[4:]), sys.stdout)
