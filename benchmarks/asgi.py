"""The driver of ASGI applications: awaits them in this process, on one event loop, from one task or from many."""

import asyncio
import itertools
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.race import Answer, Served


class Asgi:
    """A `race.Driver`."""

    def __init__(self, runner: asyncio.Runner, crowd: int = 1) -> None:
        self.crowd = crowd
        self._runner = runner

    def serve(self, app: Any, path: str, cookies: Sequence[str]) -> Served:
        """Serves one request for each cookie."""
        return self._runner.run(self._serve(app, path, cookies))

    async def _serve(self, app: Any, path: str, cookies: Sequence[str]) -> Served:
        shares = [cookies[first :: self.crowd] for first in range(self.crowd)]
        wall, cpu = time.perf_counter(), time.process_time()
        if self.crowd == 1:
            parts = [await _visits(app, path, cookies, 0)]
        else:
            visits = (_visits(app, path, share, task) for task, share in enumerate(shares))
            parts = list(await asyncio.gather(*visits))
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        found: list[Any] = [None] * len(cookies)
        for first, part in enumerate(parts):
            found[first :: self.crowd] = part
        each = 1e6 / len(cookies)
        return Served(cpu * each, wall * each, [wait * 1e6 for wait, _ in found], [answer for _, answer in found])


async def _visits(app: Any, path: str, cookies: Sequence[str], task: int) -> list[tuple[float, Answer]]:
    return [await visit(app, path, cookie, task) for cookie in cookies]


async def visit(app: Any, path: str, cookie: str, task: int) -> tuple[float, Answer]:
    """Serves one request. Returns the seconds that it took, and what was answered."""
    headers = [(b"host", b"bench")] + ([(b"cookie", cookie.encode())] if cookie else [])
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "bench.task": task,
    }
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    begin = time.perf_counter()
    await app(scope, _receiver(), send)
    took = time.perf_counter() - begin
    return took, (sent[0]["headers"], b"".join(message.get("body", b"") for message in sent[1:]))


def _receiver() -> Any:
    """An empty request body, and then a client that stays."""
    asked = itertools.count()

    async def receive() -> Any:
        if next(asked):
            await asyncio.get_running_loop().create_future()
        return {"type": "http.request", "body": b"", "more_body": False}

    return receive
