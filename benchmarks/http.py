"""The HTTP part: uvicorn with one worker, 50 connections, a read, or a load and a conditional save, of 1 KB a request.

All servers run all the time and are asked in turn, so that a contender and its bare application meet the same machine.
"""

# ruff: noqa: S603  (it runs this package and nothing else)

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from os import environ
from socket import create_connection
from typing import Any

from benchmarks.contenders import BARE, FLOOR, LAZY, OWNED, STRAIGHT, Contender, chosen
from benchmarks.stats import spread
from tests.support.processes import HOST, PATIENCE, free_port

CONNECTIONS = 50
PAYLOAD = "1 KB"
FRAMES = {"ASGI", "Starlette", "FastAPI", "Litestar"}
WITHOUT = {FLOOR, STRAIGHT, OWNED, LAZY}  # need a task of their own, or say nothing that the races do not
REQUESTS = ("read", "write")
KEPT = ("cpu", "rate", "p50", "p99")


@contextmanager
def serving(row: Contender, url: str) -> Iterator[int]:
    """Runs a contender under uvicorn. Yields the port."""
    port = free_port()
    env = {**environ, "BENCH_CONTENDER": row.label, "BENCH_URL": url, "BENCH_PAYLOAD": PAYLOAD}
    words = [
        "--port",
        str(port),
        "--loop",
        "asyncio",
        "--log-level",
        "critical",
        "--no-access-log",
        "--lifespan",
        "off",
    ]
    server = subprocess.Popen([sys.executable, "-m", "uvicorn", "benchmarks.webapp:app", *words], env=env)
    try:
        _await_answer(server, port)
        yield port
    finally:
        server.terminate()
        server.wait(PATIENCE)


def _await_answer(server: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + 3 * PATIENCE
    while time.monotonic() < deadline and server.poll() is None:
        with suppress(OSError), create_connection((HOST, port), timeout=1):
            return
        time.sleep(0.02)
    raise RuntimeError("uvicorn did not start")


def measure(store: str, url: str, rounds: int, seconds: float, names: Sequence[str]) -> list[dict[str, Any]]:
    """The rounds, summarised: CPU of the worker, requests a second, and both against the bare application."""
    rows = [row for row in chosen("asgi", store, tuple(names)) if row.frame in FRAMES and row.name not in WITHOUT]
    found: dict[tuple[str, str], list[dict[str, Any]]] = {(row.label, each): [] for row in rows for each in REQUESTS}
    with ExitStack() as stack:
        ports = _started(stack, rows, url)
        for turn in range(rounds):
            for label in list(ports) if turn % 2 else list(reversed(ports)):
                for request in REQUESTS:
                    found[label, request].append(_load(ports[label], f"/{request}", seconds))
    return [_summary(store, row, request, found) for row in rows for request in REQUESTS if found[row.label, request]]


def _started(stack: ExitStack, rows: Sequence[Contender], url: str) -> dict[str, int]:
    ports = {}
    for row in rows:
        try:
            ports[row.label] = stack.enter_context(serving(row, url))
        except RuntimeError as error:
            sys.stderr.write(f"left out: {row.label} over HTTP: {error}\n")
    return ports


def _load(port: int, path: str, seconds: float) -> dict[str, Any]:
    words = [str(port), path, str(seconds), str(CONNECTIONS)]
    done = subprocess.run([sys.executable, "-m", "benchmarks.load", *words], stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _summary(store: str, row: Contender, request: str, found: dict[Any, list[dict[str, Any]]]) -> dict[str, Any]:
    mine, bare = found[row.label, request], found[f"{row.frame}: {BARE}", request]
    names = {"frame": row.frame, "name": row.name, "request": request, "payload": PAYLOAD}
    out: dict[str, Any] = {"part": "http", "store": store, **names}
    out |= {key: spread([each[key] for each in mine]) for key in KEPT}
    if row.name == BARE:
        return out
    if request == "write":
        out["lost"] = sum(each["requests"] - each["written"] for each in mine)
    out["added_cpu"] = spread([one["cpu"] - other["cpu"] for one, other in zip(mine, bare, strict=True)])
    shares = [(one["cpu"] - other["cpu"]) / other["cpu"] for one, other in zip(mine, bare, strict=True)]
    rates = [one["rate"] / other["rate"] for one, other in zip(mine, bare, strict=True)]
    return out | {"throughput": round(statistics.median(rates), 3), "x_bare": round(statistics.median(shares), 3)}
