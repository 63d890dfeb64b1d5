"""One Redis or Valkey as a backend: any server with GETEX, which is Redis 6.2.

The verbs are written once, over a link of either colour; URLs are read by redis-py, replies by hiredis.

A record is one string: a mark, live or tombstone, eight random bytes that name this version, the sealed bytes. The
compare-and-swap is one command: ``SET … IFEQ`` where the server has it, else a script that compares the head.
"""

import math
import os
import ssl
from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any, cast
from urllib.parse import urlsplit

import hiredis
from redis.asyncio.connection import parse_url

from sharedsession._drive import Lowered
from sharedsession.backends.base import Ended, Stored, Version
from sharedsession.backends.connect import redacted
from sharedsession.backends.wire import leaving
from sharedsession.backends.wire.blocking import BlockingLink
from sharedsession.backends.wire.dialect import INCOMPLETE, Address, Desynchronised, Dialect
from sharedsession.backends.wire.guard import Guard
from sharedsession.backends.wire.link import Link
from sharedsession.errors import BackendUnavailable, ConfigurationError

_LIVE, _ENDED = b"\x01", b"\x02"
_BRIEFLY = 1.0  # seconds
_HEAD = 9  # the mark and the version
_SWAP = b"""
if redis.call('GETRANGE', KEYS[1], 0, 8) ~= ARGV[1] then return false end
return redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
"""
_TLS_OPTIONS = {
    "ssl_ca_certs",
    "ssl_ca_path",
    "ssl_cert_reqs",
    "ssl_certfile",
    "ssl_check_hostname",
    "ssl_keyfile",
}
_KNOWN_OPTIONS = {"host", "port", "path", "db", "username", "password", "connection_class"} | _TLS_OPTIONS
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

    def __init__(self, username: str | None, password: str | None, database: int) -> None:
        self._greeting: list[tuple[str, ...]] = []
        if password:
            self._greeting.append(("AUTH", username, password) if username else ("AUTH", password))
        if database:
            self._greeting.append(("SELECT", str(database)))
        # This one only asks who is there: a server that does not know it has no IFEQ.
        self._greeting.append(("HELLO", "2"))
        self.has_ifeq = False

    def dialect(self) -> Dialect:
        packed = [_packed(command) for command in self._greeting]
        return Dialect(parser=RespParser, greeting=packed, greeted=self._greeted)

    def _greeted(self, replies: Sequence[Any]) -> None:
        for command, reply in zip(self._greeting[:-1], replies, strict=False):
            if isinstance(reply, hiredis.ReplyError):
                raise BackendUnavailable(f"the server refuses {command[0]}: {_code(reply)}")
        self.has_ifeq = _has_ifeq(replies[-1])


class RedisVerbs:
    """The verbs over a link; of the link's colour.

    Args:
        link: to the server.
        guard: of the node.
        server: what is known of it.
    """

    max_value = 64_000_000

    def __init__(self, link: Link, guard: Guard, server: _Server) -> None:
        self._link = link
        self._guard = guard
        self._server = server

    async def get(self, key: str, touch: float | None, within: float) -> Stored | Ended | None:
        """Same as `Backend.get`."""
        command = ("GET", key) if touch is None else ("GETEX", key, "PX", _milliseconds(touch))
        raw = await self._ask(command, within, planted=("WRONGTYPE",))
        if isinstance(raw, bytes):
            return Ended(raw[_HEAD:]) if raw[:1] == _ENDED else Stored(raw[_HEAD:], raw)
        return None if raw is None else Stored(b"", b"")

    async def add(self, key: str, value: bytes, ttl: float, within: float) -> Version | None:
        """Same as `Backend.add`."""
        raw = _marked(_LIVE, value)
        stored = await self._ask(("SET", key, raw, "NX", "PX", _milliseconds(ttl)), within)
        return raw if stored else None

    async def replace(self, key: str, value: bytes, ttl: float, version: Version, within: float) -> Version | None:
        """Same as `Backend.replace`."""
        raw = _marked(_LIVE, value)
        return raw if await self._swap(key, raw, ttl, version, within) else None

    async def _swap(self, key: str, raw: bytes, ttl: float, version: Version, within: float) -> bool:
        assert isinstance(version, bytes)  # noqa: S101
        if self._server.has_ifeq:
            command: tuple[Any, ...] = ("SET", key, raw, "IFEQ", version, "PX", _milliseconds(ttl))
        else:
            command = ("EVAL", _SWAP, "1", key, version[:_HEAD], raw, _milliseconds(ttl))
        return bool(await self._ask(command, within))

    async def end(self, key: str, ttl: float, within: float, note: bytes = b"", note_ttl: float = 0.0) -> None:
        """Same as `Backend.end`. A full server still deletes where it takes no note."""
        del ttl
        if note:
            command = ("SET", key, _marked(_ENDED, note), "PX", _milliseconds(note_ttl))
            if await self._ask(command, within, planted=("OOM",)) == b"OK":
                return
        await self._ask(("DEL", key), within)

    async def leave(
        self, key: str, ttl: float, within: float, version: Version, note: bytes = b"", note_ttl: float = 0.0
    ) -> bool:
        """Same as `Backend.leave`."""
        raw = _marked(_ENDED, note)
        bury_if = partial(self._swap, key, raw, note_ttl or _BRIEFLY)
        return await leaving.leave(bury_if, partial(self.get, key, None), version, within)

    async def touch(self, key: str, ttl: float, within: float) -> bool:
        """Same as `Backend.touch`."""
        return isinstance(await self.get(key, ttl, within), Stored)

    async def close(self) -> None:
        """Same as `Backend.close`."""
        self._link.close()

    def health(self) -> dict[str, Any]:
        """Same as `Backend.health`."""
        swap = "SET IFEQ" if self._server.has_ifeq else "script"
        return {"kind": "redis", "compare_and_swap": swap, "nodes": [self._guard.facts()]}

    async def _ask(self, command: tuple[Any, ...], within: float, planted: Sequence[str] = ()) -> Any:
        """Sends a command. Any error but those named means "cannot answer", never "not there"."""
        reply, _ = await self._link.ask(_packed(command), within)
        if isinstance(reply, hiredis.ReplyError) and _code(reply) not in planted:
            self._guard.observer.event("store_refused", f"{self._guard.address} refuses {command[0]}: {reply}")
            raise BackendUnavailable(f"the server refuses {command[0]}: {_code(reply)}")
        return reply


class RedisBackend(Lowered):
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
        self._guard = Guard(address, breaker_window)
        self._server = _Server(username, password, database)
        link = BlockingLink(self._server.dialect(), self._guard)
        super().__init__(RedisVerbs(link, self._guard, self._server))

    @cached_property
    def asynchronous(self) -> RedisVerbs:
        """The same server for event loops."""
        from sharedsession.backends.wire.multiplexed import MultiplexedLink  # noqa: PLC0415

        return RedisVerbs(MultiplexedLink(self._server.dialect(), self._guard), self._guard, self._server)


def from_url(url: str, breaker_window: float = 2.0) -> RedisBackend:
    """Makes the backend of ``redis://``, ``rediss://``, ``unix://``, ``valkey://`` or ``valkeys://``."""
    try:
        read = parse_url(url.replace("valkey", "redis", 1) if url.startswith("valkey") else url)
        port = urlsplit(url).port or 6379
    except ValueError as error:
        raise ConfigurationError(f"backend {redacted(url)!r} cannot be read: {error}") from None
    unknown = read.keys() - _KNOWN_OPTIONS
    if unknown:
        raise ConfigurationError(
            f"backend {redacted(url)!r} has no option {min(unknown)!r}; it has {', '.join(sorted(_TLS_OPTIONS))}"
        )
    secure = url.startswith(("rediss://", "valkeys://"))
    address = Address(
        host=read.get("host", "localhost"),
        port=port,
        path=read.get("path"),
        tls=_tls(read) if secure else None,
    )
    return RedisBackend(
        address,
        username=read.get("username"),
        password=read.get("password"),
        database=int(read.get("db", 0)),
        breaker_window=breaker_window,
    )


def _tls(read: Any) -> ssl.SSLContext:
    """TLS as redis-py's ``ssl_*`` options in the URL ask for it; certificates are verified unless told otherwise."""
    context = ssl.create_default_context(cafile=read.get("ssl_ca_certs"), capath=read.get("ssl_ca_path"))
    if read.get("ssl_certfile"):
        context.load_cert_chain(read["ssl_certfile"], read.get("ssl_keyfile"))
    if str(read.get("ssl_check_hostname", "true")).lower() in {"false", "0", "no"}:
        context.check_hostname = False
    if read.get("ssl_cert_reqs") == "none":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _packed(command: tuple[Any, ...]) -> bytes:
    return cast("bytes", hiredis.pack_command(command))


def _marked(mark: bytes, value: bytes) -> bytes:
    return mark + os.urandom(_HEAD - 1) + value


def _milliseconds(seconds: float) -> str:
    return str(max(1, math.ceil(seconds * 1000)))


def _code(error: Exception) -> str:
    return str(error).partition(" ")[0]


def _has_ifeq(hello: Any) -> bool:
    """Whether the reply to HELLO is that of a server whose SET knows IFEQ."""
    if not isinstance(hello, list):
        return False
    said = dict(zip(hello[::2], hello[1::2], strict=False))
    version = tuple(int(part) for part in said.get(b"version", b"0.0").split(b".")[:2] if part.isdigit())
    return version >= _IFEQ_SINCE.get(said.get(b"server", b"").decode(), (math.inf,))
