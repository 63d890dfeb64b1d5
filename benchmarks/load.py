"""A load generator: so many connections, each asks again when it has its answer. A process of its own.

    python -m benchmarks.load PORT PATH SECONDS CONNECTIONS      one JSON object on standard output

Each connection makes a few sessions and visits them in turn, so no session is asked for twice at a time; at the end it
reads them and counts what was written: a lost update would show.
"""

# ruff: noqa: D102  (the names say it)

import asyncio
import itertools
import json
import sys
import time
from typing import Any

from benchmarks.stats import percentile

SESSIONS = 4


class Connection(asyncio.Protocol):
    """One HTTP/1.1 connection; answers are small and have a length, or come in one chunk."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._data = b""
        self._answer: asyncio.Future[tuple[bytes, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, gap, body = self._data.partition(b"\r\n\r\n")
        if gap and _is_whole(head, body) and self._answer and not self._answer.done():
            self._data = b""
            self._answer.set_result((head, body))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("the server closed the connection"))

    async def ask(self, path: str, cookie: str = "") -> tuple[bytes, bytes]:
        """Sends a request. Returns head and body."""
        self._answer = asyncio.get_running_loop().create_future()
        line = f"Cookie: {cookie}\r\n" if cookie else ""
        self.transport.write(f"GET {path} HTTP/1.1\r\nHost: bench\r\n{line}\r\n".encode())
        head, body = await self._answer
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.decode())
        return head, _unchunked(body) if b"chunked" in head.lower() else body


def _is_whole(head: bytes, body: bytes) -> bool:
    lower = head.lower()
    if b"transfer-encoding: chunked" in lower:
        return body.endswith(b"0\r\n\r\n")
    length = lower.partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return len(body) == int(length or 0)


def _unchunked(body: bytes) -> bytes:
    size, _, rest = body.partition(b"\r\n")
    return rest[: int(size, 16)]


class Client:
    """A connection and its sessions."""

    def __init__(self, link: Connection) -> None:
        self.link = link
        self.cookies: list[str] = []
        self.waits: list[float] = []

    async def prepare(self) -> None:
        for _ in range(SESSIONS):
            head, _ = await self.link.ask("/new")
            cookie = next((line for line in head.split(b"\r\n") if line.lower().startswith(b"set-cookie: ")), b"")
            self.cookies.append(cookie[12:].partition(b";")[0].decode() or "nobody=1")

    async def ask_until(self, path: str, deadline: float) -> None:
        for cookie in itertools.cycle(self.cookies):
            begin = time.perf_counter()
            await self.link.ask(path, cookie)
            end = time.perf_counter()
            self.waits.append((end - begin) * 1e6)
            if end > deadline:
                return

    async def written(self) -> int:
        return sum([int((await self.link.ask("/read", cookie))[1]) for cookie in self.cookies])


async def measured(port: int, path: str, seconds: float, connections: int) -> dict[str, Any]:
    """One measurement. CPU is that of the server's process, in microseconds for a request."""
    loop = asyncio.get_running_loop()
    links = [(await loop.create_connection(Connection, "127.0.0.1", port))[1] for _ in range(connections)]
    clients = [Client(link) for link in links]
    await asyncio.gather(*(client.prepare() for client in clients))
    await asyncio.gather(*(client.ask_until("/read", 0.0) for client in clients))
    cpu, begin = float((await links[0].ask("/cpu"))[1]), time.perf_counter()
    for client in clients:
        client.waits.clear()
    await asyncio.gather(*(client.ask_until(path, begin + seconds) for client in clients))
    took = time.perf_counter() - begin
    cpu = float((await links[0].ask("/cpu"))[1]) - cpu
    waits = [wait for client in clients for wait in client.waits]
    written = sum(await asyncio.gather(*(client.written() for client in clients)))
    each = {"cpu": cpu / len(waits) * 1e6, "rate": len(waits) / took, "written": written, "requests": len(waits)}
    return each | {"p50": percentile(waits, 0.5), "p99": percentile(waits, 0.99)}


if __name__ == "__main__":
    _port, _path, _seconds, _connections = sys.argv[1:]
    json.dump(asyncio.run(measured(int(_port), _path, float(_seconds), int(_connections))), sys.stdout)
