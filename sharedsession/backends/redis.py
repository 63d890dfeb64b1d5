"""One Redis or Valkey as a backend: any server with GETEX, so Redis 6.2 or newer.

The operations are written once, over a client of either colour. redis-py reads URLs, hiredis cuts replies.

A record is one string: a byte that tells a live record from a tombstone, eight random bytes that name this version, the
sealed bytes. The compare-and-swap is one command: ``SET … IFEQ`` where the server has it, else a script that compares
the first nine bytes.
"""

import math
import re
from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any, cast
from urllib.parse import urlsplit

import hiredis
from redis.asyncio.connection import parse_url

from sharedsession.backends.adapters import BlockingAdapter
from sharedsession.backends.base import Ended, Stored, Version
from sharedsession.backends.wire import superseding, tls
from sharedsession.backends.wire.blocking_client import BlockingClient
from sharedsession.backends.wire.client import Client
from sharedsession.backends.wire.deadline import Deadline
from sharedsession.backends.wire.node_guard import NodeGuard
from sharedsession.backends.wire.protocol import (
    INCOMPLETE,
    Address,
    Desynchronised,
    Request,
    WireProtocol,
    made,
)
from sharedsession.backends.wire.urls import option_name, redacted
from sharedsession.environment import REAL, Environment
from sharedsession.errors import BackendUnavailable, ConfigurationError
from sharedsession.observe import without_store_keys

_LIVE, _ENDED = b"\x01", b"\x02"
_HEAD = 9  # bytes: live or ended, and the version
_WITHOUT_NOTE_TTL = 1.0  # seconds for which a tombstone without a note is kept
_DOUBT_AGAIN_AFTER = 1.0  # seconds
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
        """Takes bytes as they arrive."""
        self._reader.feed(data)

    def pop(self) -> Any:
        """Returns the next reply, or `INCOMPLETE`. An error of the server is returned, not raised."""
        try:
            return self._reader.gets()
        except hiredis.ProtocolError:
            raise Desynchronised("not a reply of Redis") from None


class _Server:
    """How a connection begins, and what the server at its end can do.

    Args:
        guard: of the node.
        username: for AUTH; ``None`` for the default user.
        password: for AUTH.
        database: its number.

    Attributes:
        has_ifeq: whether the server has ``SET … IFEQ``, as of the newest connection.
    """

    def __init__(self, guard: NodeGuard, username: str | None, password: str | None, database: int) -> None:
        self._guard = guard
        greeting: list[tuple[str, ...]] = []
        if password:
            greeting.append(("AUTH", username, password) if username else ("AUTH", password))
        if database:
            greeting.append(("SELECT", str(database)))
        # HELLO only asks for the version, so an error is no refusal: a server that does not know it has no IFEQ.
        greeting.append(("HELLO", "2"))
        self._commands = [command[0] for command in greeting]
        requests = [*map(_packed, greeting)]
        self.protocol = WireProtocol(parser=RespParser, greeting=requests, greeted=self._greeted, echoes=False)
        self.has_ifeq = False

    def _greeted(self, replies: Sequence[Any]) -> None:
        for command, reply in zip(self._commands[:-1], replies, strict=False):
            if isinstance(reply, hiredis.ReplyError):
                raise self.refused(command, reply, _code(reply))
        self.has_ifeq = _has_ifeq(replies[-1])

    def refused(self, command: str, reply: Exception, message: str) -> BackendUnavailable:
        """Logs a refusal; returns what to raise.

        Args:
            command: its name.
            reply: the server's error.
            message: for the log, where the error has no fix. One that has may name the user, so it is not repeated.
        """
        code = _code(reply)
        logged = f"{code}; {_FIXES[code]}" if code in _FIXES else message
        self._guard.observer.event("store_refused", f"{self._guard.address} refuses {command}: {logged}")
        return BackendUnavailable(f"the server refuses {command}: {code}")


class RedisStore:
    """The asynchronous operations over a client; they suspend if the client does.

    Args:
        client: to the server.
        guard: of the node.
        server: what is known of it.
        environment: where time and random bytes come from.
    """

    max_value = 64_000_000

    def __init__(self, client: Client, guard: NodeGuard, server: _Server, environment: Environment) -> None:
        self._client = client
        self._guard = guard
        self._server = server
        self._monotonic = environment.monotonic
        self._random_bytes = environment.random_bytes
        self._doubted = -math.inf

    async def get(self, key: str, touch: float | None, timeout: float) -> Stored | Ended | None:
        """Same as `Backend.get`."""
        command = ("GET", key) if touch is None else ("GETEX", key, "PX", _milliseconds(touch))
        raw = await self._ask(command, timeout, expected=("WRONGTYPE",))
        if isinstance(raw, bytes):
            return Ended(raw[_HEAD:]) if raw[:1] == _ENDED else Stored(raw[_HEAD:], raw)
        return None if raw is None else Stored(b"", b"")  # no string, so not ours: nothing that opens

    async def add(self, key: str, value: bytes, ttl: float, timeout: float) -> Version | None:
        """Same as `Backend.add`."""
        raw = self._new(_LIVE, value)
        stored = await self._ask(("SET", key, raw, "NX", "PX", _milliseconds(ttl)), timeout)
        return raw if stored else None

    async def replace(self, key: str, value: bytes, ttl: float, version: Version, timeout: float) -> Version | None:
        """Same as `Backend.replace`."""
        raw = self._new(_LIVE, value)
        return raw if await self._swap(key, raw, ttl, version, timeout) else None

    async def _swap(self, key: str, raw: bytes, ttl: float, version: Version, timeout: float) -> bool:
        assert isinstance(version, bytes)  # noqa: S101
        if self._server.has_ifeq:
            command: tuple[Any, ...] = ("SET", key, raw, "IFEQ", version, "PX", _milliseconds(ttl))
        else:
            command = ("EVAL", _SWAP, "1", key, version[:_HEAD], raw, _milliseconds(ttl))
        return bool(await self._ask(command, timeout))

    async def end(self, key: str, ttl: float, timeout: float) -> None:
        """Same as `Backend.end`. It only deletes: no later record has the same random bytes."""
        await self._ask(("DEL", key), timeout)

    async def supersede(
        self, key: str, ttl: float, timeout: float, version: Version, note: bytes = b"", note_ttl: float = 0.0
    ) -> bool:
        """Same as `Backend.supersede`."""
        swap = partial(self._swap, key, self._new(_ENDED, note), note_ttl or _WITHOUT_NOTE_TTL)
        deadline = Deadline(self._monotonic, timeout, self._monotonic() + 2 * timeout)
        return await superseding.supersede(swap, partial(self.get, key, None), version, deadline)

    async def touch(self, key: str, ttl: float, timeout: float) -> bool:
        """Same as `Backend.touch`."""
        return isinstance(await self.get(key, ttl, timeout), Stored)

    def doubt(self) -> bool:
        """Same as `DoubtingBackend.doubt`: the record that did not open may be the reply to another request.

        Returns:
            ``False`` within a second of the last time: then it is the record that is damaged.
        """
        now = self._monotonic()
        if now - self._doubted < _DOUBT_AGAIN_AFTER:
            return False
        self._doubted = now
        self._client.close()
        return True

    async def about(self, *command: str, timeout: float) -> Any:
        """Asks the server about itself; returns ``None`` if it refuses."""
        reply, _ = await self._client.ask(Request(_packed(command)), timeout)
        return None if isinstance(reply, hiredis.ReplyError) else reply

    async def close(self) -> None:
        """Same as `Backend.close`."""
        self._client.close()

    def health(self) -> dict[str, Any]:
        """Same as `Facts.health`."""
        swap = "SET IFEQ" if self._server.has_ifeq else "script"
        return {"kind": "redis", "compare_and_swap": swap, "nodes": [self._guard.facts()]}

    async def _ask(self, command: tuple[Any, ...], timeout: float, expected: Sequence[str] = ()) -> Any:
        """Sends a command. Any error but the expected ones means "cannot answer", never "not there"."""
        reply, _ = await self._client.ask(made(Request, (_packed(command), None, None, False, ())), timeout)
        if isinstance(reply, hiredis.ReplyError) and _code(reply) not in expected:
            raise self._server.refused(command[0], reply, str(reply))
        return reply

    def _new(self, state: bytes, value: bytes) -> bytes:
        return state + self._random_bytes(_HEAD - 1) + value


class RedisBackend(BlockingAdapter):
    """One Redis or Valkey, in both colours.

    Args:
        address: of the server.
        username: for AUTH; ``None`` for the default user.
        password: for AUTH.
        database: its number.
        breaker_window: seconds for which a failed server is skipped.
        environment: where time and random bytes come from.
    """

    def __init__(
        self,
        address: Address,
        *,
        username: str | None = None,
        password: str | None = None,
        database: int = 0,
        breaker_window: float = 2.0,
        environment: Environment = REAL,
    ) -> None:
        self._environment = environment
        self._guard = NodeGuard(address, breaker_window, environment=environment)
        self._server = _Server(self._guard, username, password, database)
        super().__init__(self._store_over(BlockingClient(self._server.protocol, self._guard)))

    @cached_property
    def asynchronous(self) -> RedisStore:
        """The same server for event loops."""
        from sharedsession.backends.wire.multiplexed_client import MultiplexedClient  # noqa: PLC0415

        return self._store_over(MultiplexedClient(self._server.protocol, self._guard))

    def _store_over(self, client: Client) -> RedisStore:
        return RedisStore(client, self._guard, self._server, self._environment)


def from_url(url: str, breaker_window: float = 2.0, environment: Environment = REAL) -> RedisBackend:
    """Makes the backend of ``redis://``, ``rediss://``, ``unix://``, ``valkey://`` or ``valkeys://``.

    Args:
        url: as redis-py reads it.
        breaker_window: seconds for which a failed server is skipped.
        environment: where time and random bytes come from.

    Raises:
        ConfigurationError: the URL is wrong. The message never holds a password.
    """
    options, port = _read(url)
    secure = url.lower().startswith(("rediss://", "valkeys://"))
    address = Address(
        host=options.get("host", "localhost"),
        port=port,
        path=options.get("path"),
        tls=tls.context(options, secure=secure, instead="rediss"),
    )
    return RedisBackend(
        address,
        username=options.get("username"),
        password=options.get("password"),
        database=int(options.get("db", 0)),
        breaker_window=breaker_window,
        environment=environment,
    )


def _read(url: str) -> tuple[Any, int]:
    """Returns the options that redis-py reads in a URL, and the port."""
    try:
        options: Any = parse_url(re.sub("^valkey", "redis", url, flags=re.IGNORECASE))
        port = urlsplit(url).port or 6379
    except ValueError:  # its text may hold a part of a password that was taken for a port
        raise ConfigurationError(
            f"backend {redacted(url)!r} cannot be read: its port and its database are numbers, and / @ # ? and % in a "
            "password are written %2F %40 %23 %3F and %25"
        ) from None
    unknown = options.keys() - _KNOWN_OPTIONS
    if unknown:
        named = "such option" if "@" in url.partition("?")[2] else f"option {option_name(min(unknown))}"
        raise ConfigurationError(f"backend {redacted(url)!r} has no {named}; it has {', '.join(tls.OPTIONS)}")
    if options.get("username") and not options.get("password"):
        raise ConfigurationError(f"backend {redacted(url)!r} has a user without a password: write user:password@")
    return options, port


def _packed(command: tuple[Any, ...]) -> bytes:
    return cast("bytes", hiredis.pack_command(command))


def _milliseconds(seconds: float) -> str:
    return str(max(1, math.ceil(seconds * 1000)))


def _code(error: Exception) -> str:
    """Returns the first word of an error. A refused command inside a script has no code of its own, only a text."""
    text = str(error)
    return "NOPERM" if _SCRIPT_REFUSED.search(text) else without_store_keys(text.partition(" ")[0])


def _has_ifeq(hello: Any) -> bool:
    """Returns whether the reply to HELLO is that of a server whose SET has IFEQ."""
    if not isinstance(hello, list):
        return False
    facts = dict(zip(hello[::2], hello[1::2], strict=False))
    version = tuple(int(part) for part in facts.get(b"version", b"0.0").split(b".")[:2] if part.isdigit())
    return version >= _IFEQ_SINCE.get(facts.get(b"server", b"").decode(), (math.inf,))
