"""The floor: what a session costs somebody who writes the least that works, by hand, straight on a socket.

The cookie is the key and the value is JSON: no signature, no seal, no merge, no timeout, no failure. Reading is one
``mg … T`` or GETEX, writing is one command that the server refuses if another request wrote in between. A connection
serves one visitor at a time: blocking ones belong to a thread, those of an event loop to a task.
"""

# ruff: noqa: D102  (the names say it)

import asyncio
import json
import secrets
import socket
import threading
from collections.abc import Callable, Generator
from typing import Any, Protocol, cast
from urllib.parse import urlsplit

import hiredis

from benchmarks.deeds import deed

COOKIE = "floor"
_TTL = 1200
_SWAP = b"""
if redis.call('GETRANGE', KEYS[1], 0, 7) ~= ARGV[1] then return false end
return redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
"""
_HEAD = [("Content-Type", "text/plain")]


class Words(Protocol):
    """One protocol: requests to bytes; and when a reply is complete, what it says."""

    def get(self, key: str) -> bytes: ...
    def add(self, key: str, value: bytes) -> bytes: ...
    def swap(self, key: str, value: bytes, version: bytes) -> bytes: ...
    def found(self, data: bytes) -> tuple[bytes, bytes] | None: ...
    def stored(self, data: bytes) -> bool | None: ...


class MemcachedWords:
    """memcached's meta commands."""

    def get(self, key: str) -> bytes:
        return b"mg %b v c T%d\r\n" % (key.encode(), _TTL)

    def add(self, key: str, value: bytes) -> bytes:
        return b"ms %b %d ME T%d\r\n%b\r\n" % (key.encode(), len(value), _TTL, value)

    def swap(self, key: str, value: bytes, version: bytes) -> bytes:
        return b"ms %b %d C%b T%d\r\n%b\r\n" % (key.encode(), len(value), version, _TTL, value)

    def found(self, data: bytes) -> tuple[bytes, bytes] | None:
        head, _, rest = data.partition(b"\r\n")
        _, size, version = head.split(b" ")
        return (rest[:-2], version[1:]) if len(rest) == int(size) + 2 else None

    def stored(self, data: bytes) -> bool | None:
        return data[:2] == b"HD" if data.endswith(b"\r\n") else None


class RedisWords:
    """The commands of Redis; eight random bytes in front of the value are its version."""

    def get(self, key: str) -> bytes:
        return packed("GETEX", key, "EX", _TTL)

    def add(self, key: str, value: bytes) -> bytes:
        return packed("SET", key, secrets.token_bytes(8) + value, "NX", "EX", _TTL)

    def swap(self, key: str, value: bytes, version: bytes) -> bytes:
        raw = secrets.token_bytes(8) + value
        return packed("EVAL", _SWAP, 1, key, version, raw, _TTL)

    def found(self, data: bytes) -> tuple[bytes, bytes] | None:
        head, _, rest = data.partition(b"\r\n")
        return (rest[8:-2], rest[:8]) if len(rest) == int(head[1:]) + 2 else None

    def stored(self, data: bytes) -> bool | None:
        return data[:1] == b"+" if data.endswith(b"\r\n") else None


def packed(*command: Any) -> bytes:
    """A command of Redis as it is sent."""
    return cast("bytes", hiredis.pack_command(command))


def address(url: str) -> tuple[str, int]:
    """Host and port."""
    return urlsplit(url).hostname or "", urlsplit(url).port or 0


async def connected(url: str) -> "TaskWire":
    """A connection for one task."""
    loop = asyncio.get_running_loop()
    return (await loop.create_connection(TaskWire, *address(url)))[1]


def words(url: str) -> Words:
    """The protocol of a URL."""
    return MemcachedWords() if url.startswith("memcached") else RedisWords()


class Wire:
    """A blocking socket for each thread."""

    def __init__(self, url: str) -> None:
        self._address = address(url)
        self._local = threading.local()

    def ask(self, request: bytes, complete: Callable[[bytes], Any]) -> Any:
        """Sends, and receives until the reply is complete."""
        link = getattr(self._local, "link", None) or self._connected()
        link.sendall(request)
        data = link.recv(65536)
        while (reply := complete(data)) is None:
            data += link.recv(65536)
        return reply

    def _connected(self) -> socket.socket:
        self._local.link = socket.create_connection(self._address)
        self._local.link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link: socket.socket = self._local.link
        return link


class TaskWire(asyncio.Protocol):
    """A connection of one task on an event loop."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._data = b""
        self._complete: Callable[[bytes], Any] = bytes
        self._reply: asyncio.Future[Any] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._data += data
        reply = self._complete(self._data)
        if reply is not None and self._reply and not self._reply.done():
            self._data = b""
            self._reply.set_result(reply)

    def ask(self, request: bytes, complete: Callable[[bytes], Any]) -> "asyncio.Future[Any]":
        """Same as `Wire.ask`."""
        self._complete = complete
        self._reply = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self._reply


def wsgi(url: str, payload: dict[str, Any]) -> Any:
    """The floor as a WSGI application."""
    speak, wire = words(url), Wire(url)

    def app(environ: Any, start_response: Any) -> list[bytes]:
        step = _session(environ["PATH_INFO"], environ.get("HTTP_COOKIE", ""), payload, speak)
        try:
            ask = next(step)
            while True:
                ask = step.send(wire.ask(*ask))
        except StopIteration as done:
            text, cookie = done.value
        start_response("200 OK", [*_HEAD, ("Set-Cookie", f"{COOKIE}={cookie}")] if cookie else list(_HEAD))
        return [text.encode()]

    return app


def asgi(url: str, payload: dict[str, Any]) -> Any:
    """The floor as an ASGI application: a task (``scope["bench.task"]``) has a connection of its own."""
    speak = words(url)
    wires: dict[int, TaskWire] = {}

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        cookie = next((value for name, value in scope["headers"] if name == b"cookie"), b"").decode()
        wire = wires.get(scope["bench.task"])
        if wire is None:
            wire = wires[scope["bench.task"]] = await connected(url)
        step = _session(scope["path"], cookie, payload, speak)
        try:
            ask = next(step)
            while True:
                ask = step.send(await wire.ask(*ask))
        except StopIteration as done:
            text, cookie = done.value
        headers = [(b"content-type", b"text/plain")]
        headers += [(b"set-cookie", f"{COOKIE}={cookie}".encode())] if cookie else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": text.encode()})

    return app


Step = Generator[tuple[bytes, Callable[[bytes], Any]], Any, tuple[str, str]]


def _session(path: str, cookie: str, payload: dict[str, Any], speak: Words) -> Step:
    """One request, without its I/O: yields what to ask, returns the body and a cookie to set."""
    if path == "/untouched":
        return "-", ""
    key = cookie.partition("=")[2]
    if not key:
        key = secrets.token_urlsafe(32)
        data: dict[str, Any] = {}
        text = deed(path, lambda: data, payload)
        yield speak.add(key, json.dumps(data).encode()), speak.stored
        return text, key
    value, version = yield speak.get(key), speak.found
    data = json.loads(value)
    text = deed(path, lambda: data, payload)
    if path == "/write" and not (yield speak.swap(key, json.dumps(data).encode(), version), speak.stored):
        raise RuntimeError("another request won")
    return text, ""
