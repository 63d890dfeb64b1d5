"""The driver of WSGI applications: calls them in this process, from one thread or from several at a time."""

import io
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

from benchmarks.race import Answer, Served

_ENVIRON = {
    "REQUEST_METHOD": "GET",
    "SCRIPT_NAME": "",
    "QUERY_STRING": "",
    "SERVER_NAME": "bench",
    "SERVER_PORT": "80",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "HTTP_HOST": "bench",
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "http",
    "wsgi.input": io.BytesIO(),
    "wsgi.errors": io.StringIO(),
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
}


class Wsgi:
    """A `race.Driver`; the threads live as long as it does, so that they keep their connections."""

    def __init__(self, crowd: int = 1) -> None:
        self.crowd = crowd
        self._threads = ThreadPoolExecutor(crowd) if crowd > 1 else None

    def serve(self, app: Any, path: str, cookies: Sequence[str]) -> Served:
        """Serves one request for each cookie."""
        threads, barrier = self._threads, Barrier(self.crowd)
        wall, cpu = time.perf_counter(), time.process_time()
        if threads is None:
            parts = [_visits(app, path, cookies)]
        else:
            shares = [cookies[first :: self.crowd] for first in range(self.crowd)]
            parts = list(threads.map(lambda share: _visits(app, path, share, barrier), shares))
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        found: list[Any] = [None] * len(cookies)
        for first, part in enumerate(parts):
            found[first :: self.crowd] = part
        each = 1e6 / len(cookies)
        return Served(cpu * each, wall * each, [wait * 1e6 for wait, _ in found], [answer for _, answer in found])


def _visits(app: Any, path: str, cookies: Sequence[str], barrier: Barrier | None = None) -> list[tuple[float, Answer]]:
    if barrier:
        barrier.wait()
    return [visit(app, path, cookie) for cookie in cookies]


def visit(app: Any, path: str, cookie: str) -> tuple[float, Answer]:
    """Serves one request. Returns the seconds that it took, and what was answered."""
    environ = {**_ENVIRON, "PATH_INFO": path}
    if cookie:
        environ["HTTP_COOKIE"] = cookie
    head: list[Any] = []
    begin = time.perf_counter()
    body = app(environ, lambda _status, headers, _info=None: head.append(headers))
    text = b"".join(body)
    if hasattr(body, "close"):
        body.close()
    return time.perf_counter() - begin, (head[-1], text)
