"""One Redis or Valkey as a backend: any server with GETEX, which is Redis 6.2.

The verbs are written once, over a client of either colour; URLs are read by redis-py, replies by hiredis.

A record is one string: a mark, live or tombstone, eight random bytes that name this version, the sealed bytes. The
compare-and-swap is one command: ``SET … IFEQ`` where the server has it, else a script that compares the head.
"""

import math
import os
import re
import time
from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any, cast
from urllib.parse import urlsplit

import hiredis
from redis.asyncio.connection import parse_url

from sharedsession.backends.base import Ended, Stored, Version
from sharedsession.backends.connect import redacted
from sharedsession.backends.wire import superseding
from sharedsession.backends.wire import tls
from sharedsession.backends.wire.blocking_client import BlockingClient
from sharedsession.backends.wire.client import Client
from sharedsession.backends.wire.node_guard import NodeGuard
from sharedsession.backends.wire.protocol import INCOMPLETE, Address, Desynchronised, WireProtocol
from sharedsession.backends.adapters import BlockingAdapter
from sharedsession.errors import BackendUnavailable, ConfigurationError

_LIVE, _ENDED = b"\x01", b"\x02"
_BRIEFLY = 1.0  # seconds
_HEAD = 9  # the mark and the version
_SWAP = b"""
if redis.call('GETRANGE', KEYS[1], 0, 8) ~= ARGV[1] then return false end
return redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
"""
_KNOWN_OPTIONS = {"host", "port", "path", "db", "username", "password", "connection_class", *tls.OPTIONS}
_SCRIPT_REFUSED = re.compile(r"user executing the script can't|ACL failure in script|no permissions to ")
_FIXES = {
    "WRONGPASS": "compare user and password in the backend's URL with the server's",
    "NOAUTH": "put user:password@ in front of the host in the backend's URL",
    "NOPERM": "give the user of the backend's URL the rights that the documentation lists, on keys ss:*",
}
_IFEQ_SINCE = {"valkey": (8, 1), "redis": (8, 4)}


class RespParser:
    """hiredis behind the parser interface."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader(notEnoughData=INCOMPLETE)

    def feed(self, data: bytes) -> None:
        """Takes bytes as they come."""
        self._reader.feed(data)

    def pop(self) -> Any:
        """The next reply, or `INCOMPLETE`; errors of the server are returned, not raised."""
        try:
            return self._reader.gets()
        except hiredis.ProtocolError:
            raise Desynchronised("not a reply of Redis") from None


class _Server:
    """How to begin a connection, and what the server at its end can do."""

    def __init__(self, guard: NodeGuard, username: str | None, password: str | None, database: int) -> None:
        self._guard = guard
        greeting: list[tuple[str, ...]] = []
        if password:
            greeting.append(("AUTH", username, password) if username else ("AUTH", password))
        if database:
            greeting.append(("SELECT", str(database)))
        # This one only asks who is there: a server that does not know it has no IFEQ.
        greeting.append(("HELLO", "2"))
        self._asked = [command[0] for command in greeting]
        requests = [*map(_packed, greeting)]
        self.protocol = WireProtocol(parser=RespParser, greeting=requests, greeted=self._greeted, echoes=False)
        self.has_ifeq = False

    def _greeted(self, replies: Sequence[Any]) -> None:
        for command, reply in zip(self._asked[:-1], replies, strict=False):
            if isinstance(reply, hiredis.ReplyError):
                raise self.refused(command, reply, _code(reply))
        self.has_ifeq = _has_ifeq(replies[-1])

    def refused(self, command: str, reply: Exception, words: str) -> BackendUnavailable:
        """Tells the log; returns what to raise. An error that has a fix is not repeated: it may name the user."""
        code = _code(reply)
        told = f"{code}; {_FIXES[code]}" if code in _FIXES else words
        self._guard.observer.event("store_refused", f"{self._guard.address} refuses {command}: {told}")
        return BackendUnavailable(f"the server refuses {command}: {code}")


class RedisStore:
    """The verbs over a client; of the client's colour.

    Args:
        client: to the server.
        guard: of the node.
        server: what is known of it.
    """

    max_value = 64_000_000

    def __init__(self, client: Client, guard: NodeGuard, server: _Server) -> None:
        self._client = client
        self._guard = guard
        self._server = server
        self._doubted = -math.inf

    async def get(self, key: str, touch: float | None, timeout: float) -> Stored | Ended | None:
        """Same as `Backend.get`."""
        command = ("GET", key) if touch is None else ("GETEX", key, "PX", _milliseconds(touch))
        raw = await self._ask(command, timeout, planted=("WRONGTYPE",))
        if isinstance(raw, bytes):
            return Ended(raw[_HEAD:]) if raw[:1] == _ENDED else Stored(raw[_HEAD:], raw)
        return None if raw is None else Stored(b"", b"")

    async def add(self, key: str, value: bytes, ttl: float, timeout: float) -> Version | None:
        """Same as `Backend.add`."""
        raw = _marked(_LIVE, value)
        stored = await self._ask(("SET", key, raw, "NX", "PX", _milliseconds(ttl)), timeout)
        return raw if stored else None

    async def replace(self, key: str, value: bytes, ttl: float, version: Version, timeout: float) -> Version | None:
        """Same as `Backend.replace`."""
        raw = _marked(_LIVE, value)
        return raw if await self._swap(key, raw, ttl, version, timeout) else None

    async def _swap(self, key: str, raw: bytes, ttl: float, version: Version, timeout: float) -> bool:
        assert isinstance(version, bytes)  # noqa: S101
        if self._server.has_ifeq:
            command: tuple[Any, ...] = ("SET", key, raw, "IFEQ", version, "PX", _milliseconds(ttl))
        else:
            command = ("EVAL", _SWAP, "1", key, version[:_HEAD], raw, _milliseconds(ttl))
        return bool(await self._ask(command, timeout))

    async def end(self, key: str, ttl: float, timeout: float, note: bytes = b"", note_ttl: float = 0.0) -> None:
        """Same as `Backend.end`. A full server still deletes where it takes no note."""
        del ttl
        if note:
            command = ("SET", key, _marked(_ENDED, note), "PX", _milliseconds(note_ttl))
            if await self._ask(command, timeout, planted=("OOM",)) == b"OK":
                return
        await self._ask(("DEL", key), timeout)

    async def supersede(
        self, key: str, ttl: float, timeout: float, version: Version, note: bytes = b"", note_ttl: float = 0.0
    ) -> bool:
        """Same as `Backend.supersede`."""
        raw = _marked(_ENDED, note)
        write_tombstone_if = partial(self._swap, key, raw, note_ttl or _BRIEFLY)
        return await superseding.supersede(write_tombstone_if, partial(self.get, key, None), version, timeout)

    async def touch(self, key: str, ttl: float, timeout: float) -> bool:
        """Same as `Backend.touch`."""
        return isinstance(await self.get(key, ttl, timeout), Stored)

    def doubt(self) -> bool:
        """Gives up the connections: a reply names no request, so what does not open may be the answer to another one.

        Returns:
            Whether it is worth asking again. Not twice in a moment: then it is the record that is damaged.
        """
        now = time.monotonic()
        if now - self._doubted < _BRIEFLY:
            return False
        self._doubted = now
        self._client.close()
        return True

    async def about(self, *command: str, timeout: float) -> Any:
        """Asks the server about itself; ``None`` if it does not tell."""
        reply, _ = await self._client.ask(_packed(command), timeout)
        return None if isinstance(reply, hiredis.ReplyError) else reply

    async def close(self) -> None:
        """Same as `Backend.close`."""
        self._client.close()

    def health(self) -> dict[str, Any]:
        """Same as `Backend.health`."""
        swap = "SET IFEQ" if self._server.has_ifeq else "script"
        return {"kind": "redis", "compare_and_swap": swap, "nodes": [self._guard.facts()]}

    async def _ask(self, command: tuple[Any, ...], timeout: float, planted: Sequence[str] = ()) -> Any:
        """Sends a command. Any error but those named means "cannot answer", never "not there"."""
        reply, _ = await self._client.ask(_packed(command), timeout)
        if isinstance(reply, hiredis.ReplyError) and _code(reply) not in planted:
            raise self._server.refused(command[0], reply, str(reply))
        return reply


class RedisBackend(BlockingAdapter):
    """One Redis or Valkey, in both colours.

    Args:
        address: of the server.
        username: for AUTH; ``None`` for the default user.
        password: for AUTH.
        database: its number.
        breaker_window: seconds for which a failed server is left alone.
    """

    def __init__(
        self,
        address: Address,
        *,
        username: str | None = None,
        password: str | None = None,
        database: int = 0,
        breaker_window: float = 2.0,
    ) -> None:
        self._guard = NodeGuard(address, breaker_window)
        self._server = _Server(self._guard, username, password, database)
        client = BlockingClient(self._server.protocol, self._guard)
        super().__init__(RedisStore(client, self._guard, self._server))

    @cached_property
    def asynchronous(self) -> RedisStore:
        """The same server for event loops."""
        from sharedsession.backends.wire.multiplexed_client import MultiplexedClient  # noqa: PLC0415

        return RedisStore(MultiplexedClient(self._server.protocol, self._guard), self._guard, self._server)


def from_url(url: str, breaker_window: float = 2.0) -> RedisBackend:
    """Makes the backend of ``redis://``, ``rediss://``, ``unix://``, ``valkey://`` or ``valkeys://``."""
    read, port = _read(url)
    secure = url.lower().startswith(("rediss://", "valkeys://"))
    address = Address(
        host=read.get("host", "localhost"),
        port=port,
        path=read.get("path"),
        tls=tls.context(read, secure=secure, instead="rediss"),
    )
    return RedisBackend(
        address,
        username=read.get("username"),
        password=read.get("password"),
        database=int(read.get("db", 0)),
        breaker_window=breaker_window,
    )


def _read(url: str) -> tuple[Any, int]:
    """What redis-py reads in a URL, and the port."""
    try:
        read: Any = parse_url(re.sub("^valkey", "redis", url, flags=re.IGNORECASE))
        port = urlsplit(url).port or 6379
    except ValueError as error:
        # The words of others may hold what they took for a port, and what is a part of a password.
        words = "write / @ # ? and % in a password as %2F %40 %23 %3F and %25" if "@" in url else str(error)
        raise ConfigurationError(f"backend {redacted(url)!r} cannot be read: {words}") from None
    unknown = read.keys() - _KNOWN_OPTIONS
    if unknown:
        named = "such option" if "@" in url.partition("?")[2] else f"option {min(unknown)!r}"
        raise ConfigurationError(f"backend {redacted(url)!r} has no {named}; it has {', '.join(tls.OPTIONS)}")
    if read.get("username") and not read.get("password"):
        raise ConfigurationError(f"backend {redacted(url)!r} has a user without a password: write user:password@")
    return read, port


def _packed(command: tuple[Any, ...]) -> bytes:
    return cast("bytes", hiredis.pack_command(command))


def _marked(mark: bytes, value: bytes) -> bytes:
    return mark + os.urandom(_HEAD - 1) + value


def _milliseconds(seconds: float) -> str:
    return str(max(1, math.ceil(seconds * 1000)))


def _code(error: Exception) -> str:
    """The first word of an error; a script that was refused a command says so in words only."""
    said = str(error)
    return "NOPERM" if _SCRIPT_REFUSED.search(said) else said.partition(" ")[0]


def _has_ifeq(hello: Any) -> bool:
    """Whether the reply to HELLO is that of a server whose SET knows IFEQ."""
    if not isinstance(hello, list):
        return False
    said = dict(zip(hello[::2], hello[1::2], strict=False))
    version = tuple(int(part) for part in said.get(b"version", b"0.0").split(b".")[:2] if part.isdigit())
    return version >= _IFEQ_SINCE.get(said.get(b"server", b"").decode(), (math.inf,))
