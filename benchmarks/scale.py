"""Scale: what a request costs against the number of sessions, of nodes, of copies, of bytes and of processes.

All points of a curve are entrants of one race, so that none has the machine to itself. Records have ``curve`` and
``x``, and CPU and waiting time of each request that was measured; where the bare application ran along, also the CPU
that the session added.
"""

import asyncio
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import filling
from benchmarks.asgi import Asgi
from benchmarks.contenders import ASGI, BARE, OURS, WSGI, Contender
from benchmarks.deeds import NAMED, PAYLOADS, SMALL
from benchmarks.network import delayed
from benchmarks.race import Entrant, run
from benchmarks.stats import added, percentile, spread
from benchmarks.wsgi import Wsgi
from sharedsession.backends.ring.hashring import HashRing, Place
from tests.support.ring import Ring
from tests.support.servers import Memcached, Redis

ROW = next(row for row in WSGI if row.name == OURS)
AROW = next(row for row in ASGI if row.name == OURS)
BARES = [next(row for row in rows if row.name == BARE) for rows in (WSGI, ASGI)]
Points = list[tuple[float, Entrant]]
Records = list[dict[str, Any]]


def _curve(curve: str, store: str, points: Points, driver: Any, rounds: int, visitors: int) -> Records:
    """Runs all points in turn."""
    for _, entrant in points:
        entrant.prove(driver, driver.crowd * 2)
    records = run([entrant for _, entrant in points], driver, rounds, visitors, only=("read", "read + slide", "write"))
    xs = {f"{entrant.row.frame}: {entrant.row.name}": x for x, entrant in points}
    bare = {record["request"]: record for record in records if record["name"] == BARE}
    ours = [record for record in records if record["name"] != BARE]
    return [_point(curve, store, xs[f"{each['frame']}: {each['name']}"], each, bare) for each in ours]


def _point(curve: str, store: str, x: float, record: dict[str, Any], bare: dict[str, Any]) -> dict[str, Any]:
    figures = {"cpu": spread(record["cpu"]), "wall": spread(record["waits"])}
    if bare:
        figures["added_cpu"] = spread(added(record, bare[record["request"]], "cpu"))
    names = {"frame": record["frame"], "request": record["request"], "crowd": record["crowd"]}
    return {"part": "scale", "curve": curve, "store": store, "x": x, **names, **figures}


def _entrant(x: float, url: str, payload: str = SMALL, row: Contender = ROW) -> tuple[float, Entrant]:
    return x, Entrant(row._replace(name=f"{row.name} {x:g}"), url, payload)


def sessions(counts: Sequence[int], rounds: int, visitors: int) -> Records:
    """Against the number of sessions in the store: one server, or file, for each number."""
    found: Records = []
    for kind in (Memcached, Redis):
        with ExitStack() as stack:
            extra = ["-m", "2048", "-o", "hashpower=20"] if kind is Memcached else []
            points = []
            for count in counts:
                server = stack.enter_context(kind.start(extra))
                filling.fill(server.url, count)
                points.append(_entrant(count, server.url))
            found += _curve("sessions", kind.scheme, points, Wsgi(), rounds, visitors)
    with tempfile.TemporaryDirectory() as directory:
        points = []
        for count in counts:
            path = Path(directory, f"{count}.db")
            entrant = _entrant(count, f"sqlite:///{path}")
            entrant[1].prove(Wsgi(), 2)  # makes the file
            filling.fill_file(path, count)
            points.append(entrant)
        return found + _curve("sessions", "sqlite", points, Wsgi(), rounds, visitors)


def payloads(sizes: Sequence[int], rounds: int, visitors: int) -> Records:
    """Against the size of a session."""
    for size in sizes:
        PAYLOADS[f"{size} B"] = {"data": "0123456789" * (size // 10), "count": 0}
    with Memcached.start(["-m", "1024"]) as server:
        points = [_entrant(size, server.url, f"{size} B") for size in sizes]
        return _curve("bytes", "memcached", points, Wsgi(), rounds, visitors)


def nodes(counts: Sequence[int], rounds: int, visitors: int) -> Records:
    """Against the number of nodes on the ring, two copies; and what finding the nodes alone takes."""
    found = [_lookup(count, rounds) for count in counts]
    with ExitStack() as stack:
        servers = [stack.enter_context(Memcached.start(["-t", "1", "-m", "32"])) for _ in range(max(counts))]
        points = [_entrant(count, _url(servers, count, min(2, count))) for count in counts]
        return found + _curve("nodes", "memcached", points, Wsgi(), rounds, visitors)


def replicas(counts: Sequence[int], rounds: int, visitors: int) -> Records:
    """Against the number of copies on a ring, in both colours; one copy is a single node without a ring."""
    with ExitStack() as stack, asyncio.Runner() as runner:
        servers = [stack.enter_context(Memcached.start(["-t", "1"])) for _ in range(max(counts))]
        urls = {count: _url(servers, 1 if count == 1 else len(servers), count) for count in counts}
        blocking, on_loop = ([(0.0, Entrant(bare, "", SMALL))] for bare in BARES)
        blocking += [_entrant(count, urls[count]) for count in counts]
        on_loop += [_entrant(count, urls[count], row=AROW) for count in counts]
        crowd = Asgi(runner, 64)
        found = _curve("replicas", "memcached", blocking, Wsgi(), rounds, visitors)
        return found + _curve("replicas", "memcached", on_loop, crowd, rounds, max(128, visitors))


def network(seconds: float, rounds: int, visitors: int) -> Records:
    """One node against two copies on three nodes, each behind a network of some seconds; one visitor at a time."""
    with ExitStack() as stack, asyncio.Runner() as runner:
        servers = [stack.enter_context(Memcached.start(["-t", "1"])) for _ in range(3)]
        far = stack.enter_context(delayed([server.port for server in servers], seconds))
        urls = {1: f"memcached://127.0.0.1:{far[0]}"}
        urls[2] = f"memcached://{','.join(f'n{port}=127.0.0.1:{port}' for port in far)}?replicas=2"
        blocking, on_loop = ([_entrant(count, urls[count], row=row) for count in urls] for row in (ROW, AROW))
        found = _curve("network", "memcached", blocking, Wsgi(), rounds, visitors)
        return found + _curve("network", "memcached", on_loop, Asgi(runner), rounds, visitors)


def _url(servers: Sequence[Memcached], count: int, copies: int) -> str:
    if count == 1:
        return servers[0].url
    if count <= 8:
        return Ring(servers[:count], f"replicas={copies}").url
    named = ",".join(f"n{index}=127.0.0.1:{server.port}" for index, server in enumerate(servers[:count]))
    return f"memcached://{named}?replicas={copies}"


def _lookup(count: int, rounds: int) -> dict[str, Any]:
    ring = HashRing([Place(f"10.0.0.{index}") for index in range(count)])
    keys = [f"{number:043x}" for number in range(2000)]
    taken = []
    for _ in range(rounds + 1):
        begin = time.process_time()
        for key in keys:
            ring.order(key)
        taken.append((time.process_time() - begin) / len(keys) * 1e6)
    names = {"part": "scale", "curve": "lookup", "store": "ring", "request": "lookup", "frame": "-", "crowd": 1}
    return {**names, "x": count, "cpu": spread(taken[1:]), "wall": spread(taken[1:])}


def processes(counts: Sequence[int], seconds: float) -> Records:
    """Against the number of processes that write to one SQLite file at once."""
    with tempfile.TemporaryDirectory() as directory:
        return [_crowd(f"sqlite:///{Path(directory, f'{count}.db')}", count, seconds) for count in counts]


def _crowd(url: str, count: int, seconds: float) -> dict[str, Any]:
    fork = multiprocessing.get_context("fork")
    app = ROW.build(url, PAYLOADS[SMALL], False)
    Wsgi().serve(app, "/new", [""])
    results: Any = fork.SimpleQueue()
    barrier = fork.Barrier(count)
    workers = [fork.Process(target=_write, args=(app, barrier, seconds, results)) for _ in range(count)]
    for worker in workers:
        worker.start()
    done = [results.get() for _ in workers]
    for worker in workers:
        worker.join()
    waits = [wait for part in done for wait in part[1]]
    names = {"part": "scale", "curve": "processes", "store": "sqlite", "request": "write", "frame": "WSGI", "crowd": 1}
    cpu = sum(part[0] for part in done) / len(waits) * 1e6
    p99 = {"p50": percentile(waits, 0.5), "p99": percentile(waits, 0.99), "worst": round(max(waits), 1)}
    return {
        **names,
        "x": count,
        "cpu": spread([cpu]),
        "wall": spread(waits),
        "rate": round(len(waits) / seconds),
        **p99,
    }


def _write(app: Any, barrier: Any, seconds: float, results: Any) -> None:
    driver, waits = Wsgi(), []
    made = Entrant(ROW._replace(build=lambda *_: app), "", SMALL)
    made.visit(driver, NAMED["new"], 4)
    barrier.wait()
    begin, cpu = time.monotonic(), time.process_time()
    while time.monotonic() < begin + seconds:
        waits += driver.serve(app, "/write", made.cookies[:1]).waits
    results.put((time.process_time() - cpu, waits))


Curve = Callable[[bool, int, int], Records]
CURVES: dict[str, Curve] = {
    "bytes": lambda small, rounds, visitors: payloads(
        (100, 1000, 60_000) if small else (100, 300, 1000, 3000, 10_000, 30_000, 60_000), rounds, visitors
    ),
    "nodes": lambda small, rounds, visitors: nodes((1, 3) if small else (1, 2, 3, 10, 30, 100), rounds, visitors),
    "replicas": lambda small, rounds, visitors: replicas((1, 2) if small else (1, 2, 3, 4, 6, 8), rounds, visitors),
    "network": lambda small, rounds, visitors: network(0.001, *(2, 4) if small else (rounds, visitors // 2)),
    "processes": lambda small, _r, _v: processes((1, 4), 0.3) if small else processes((1, 2, 4, 8, 16, 32, 64), 2.0),
    "sessions": lambda small, rounds, visitors: sessions(
        (1000, 10_000) if small else (1000, 10_000, 100_000, 1_000_000), rounds, visitors
    ),
}
