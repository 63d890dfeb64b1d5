"""One Redis or Valkey as a backend: any server with GETEX, so Redis 6.2 or newer.

The operations are written once, over a client of either colour. redis-py reads URLs, hiredis cuts replies.

A record is a string: nine bytes that name this version, then the sealed bytes. The compare-and-swap is one command:
``SET … IFEQ`` where the server has it, else a script that compares the first nine bytes.

A tombstone is a list of one element. So each command for strings fails on it and leaves its life alone: a read that
renews, an ``add``, a compare-and-swap. Nothing but the rare read of a tombstone pays for that, with a second question.
"""

import itertools
import math
import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any, cast
from urllib.parse import urlsplit

import hiredis
from redis.asyncio.connection import parse_url

from sharedsession.backends.adapters import BlockingAdapter
from sharedsession.backends.base import Ended, Read, Stored, Version
from sharedsession.backends.tombstone import Tombstone, has_note, is_tombstone, note_on
from sharedsession.backends.wire import tls
from sharedsession.backends.wire.blocking_client import BlockingClient
from sharedsession.backends.wire.client import Client
from sharedsession.backends.wire.node_guard import NodeGuard
from sharedsession.backends.wire.protocol import (
    INCOMPLETE,
    Address,
    Desynchronised,
    Request,
    WireProtocol,
    made,
    together,
)
from sharedsession.backends.wire.urls import option_name, redacted
from sharedsession.environment import REAL, Environment
from sharedsession.errors import BackendUnavailable, ConfigurationError
from sharedsession.observe import without_store_keys

_HEAD = 9  # bytes: a format, and the version
_FORMAT = b"\x01"
_NAMED = b"%b*2\r\n$4\r\nECHO\r\n$9\r\n%09d\r\n"  # a command, and the number that names it
_NUMBERS = 1_000_000_000  # they have nine digits
_SWAP = b"""
if redis.call('TYPE', KEYS[1])['ok'] ~= 'string' then return false end
if redis.call('GETRANGE', KEYS[1], 0, 8) ~= ARGV[1] then return false end
return redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
"""
# KEYS: the key. ARGV: the tombstone, its life in milliseconds. They return the tombstone before, with its life; or 1.
_END = b"""
local type, before = redis.call('TYPE', KEYS[1])['ok'], false
if type == 'list' then before = {redis.call('LINDEX', KEYS[1], 0), redis.call('PTTL', KEYS[1])} end
if type == 'string' then before = 1 end
redis.call('DEL', KEYS[1])
redis.call('RPUSH', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return before
"""
_SUPERSEDE = b"""
local type = redis.call('TYPE', KEYS[1])['ok']
if type == 'list' then return {redis.call('LINDEX', KEYS[1], 0), redis.call('PTTL', KEYS[1])} end
redis.call('DEL', KEYS[1])
redis.call('RPUSH', KEYS[1], type == 'string' and ARGV[1] or ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return type == 'string' and 1
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
    """hiredis behind the parser interface. What it cuts are pairs: a reply, and the name of its request.

    Redis repeats nothing of a request in its reply. So an ECHO travels behind each command, with a number of its own.
    """

    def __init__(self) -> None:
        self._reader = hiredis.Reader(notEnoughData=INCOMPLETE)
        self._reply: Any = INCOMPLETE

    def feed(self, data: bytes) -> None:
        """Takes bytes as they arrive."""
        self._reader.feed(data)

    def pop(self) -> Any:
        """Returns the next reply and its name, or `INCOMPLETE`. An error of the server is returned, not raised."""
        reply, gets = self._reply, self._reader.gets
        try:
            if reply is INCOMPLETE:
                reply = gets()
            name = INCOMPLETE if reply is INCOMPLETE else gets()
        except hiredis.ProtocolError:
            raise Desynchronised("not a reply of Redis") from None
        if name is INCOMPLETE:
            self._reply = reply
            return INCOMPLETE
        self._reply = INCOMPLETE
        return reply, name


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
        requests = [_NAMED % (_packed(command), 0) for command in greeting]
        self.protocol = WireProtocol(parser=RespParser, greeting=requests, greeted=self._greeted)
        self.has_ifeq = False

    def _greeted(self, replies: Sequence[Any]) -> None:
        for command, (reply, _) in zip(self._commands[:-1], replies, strict=False):
            if isinstance(reply, hiredis.ReplyError):
                raise self.refused(command, reply, _code(reply))
        hello, name = replies[-1]
        if isinstance(name, hiredis.ReplyError):
            raise self.refused("ECHO", name, _code(name))
        self.has_ifeq = _has_ifeq(hello)

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
        self._numbers = itertools.count(1)

    async def get(self, key: str, touch: float | None, timeout: float) -> Stored | Ended | None:
        """Same as `Backend.get`."""
        raw = await self._ask(_get(key, touch), timeout, expected=("WRONGTYPE",))
        return await self._found(key, raw, timeout)

    async def get_many(self, reads: Sequence[Read], timeout: float) -> list[Stored | Ended | None]:
        """Same as `BatchingBackend.get_many`."""
        commands: list[tuple[Any, ...]] = []
        for key, touch, default, _ in reads:
            if default is not None and touch is not None:
                commands.append(("SET", key, self._new(default), "NX", "PX", _milliseconds(touch)))
            commands.append(_get(key, touch))
        replies = await self._ask_together(commands, timeout, expected=("WRONGTYPE",))
        answers = [reply for reply, command in zip(replies, commands, strict=True) if command[0] != "SET"]
        found = zip(reads, answers, strict=True)
        return [await self._found(read.key, answer, timeout) for read, answer in found]

    async def _found(self, key: str, raw: Any, timeout: float) -> Stored | Ended | None:
        if isinstance(raw, bytes):
            return Stored(raw[_HEAD:], raw)
        return None if raw is None else await self._ended(key, timeout)

    async def _ended(self, key: str, timeout: float) -> Stored | Ended | None:
        """Returns what a key holds that is no string: a tombstone. Anything else is not ours, and does not open."""
        kept, left = await self._ask_together([("LINDEX", key, "0"), ("PTTL", key)], timeout, expected=("WRONGTYPE",))
        if isinstance(kept, bytes) and is_tombstone(kept):
            return _tombstone(kept, left)
        return None if kept is None else Stored(b"", b"")

    async def add(self, key: str, value: bytes, ttl: float, timeout: float) -> Version | None:
        """Same as `Backend.add`."""
        raw = self._new(value)
        stored = await self._ask(("SET", key, raw, "NX", "PX", _milliseconds(ttl)), timeout)
        return raw if stored else None

    async def replace(self, key: str, value: bytes, ttl: float, version: Version, timeout: float) -> Version | None:
        """Same as `Backend.replace`."""
        assert isinstance(version, bytes)  # noqa: S101
        raw = self._new(value)
        if self._server.has_ifeq:
            command: tuple[Any, ...] = ("SET", key, raw, "IFEQ", version, "PX", _milliseconds(ttl))
        else:
            command = ("EVAL", _SWAP, "1", key, version[:_HEAD], raw, _milliseconds(ttl))
        stored = await self._ask(command, timeout, expected=("WRONGTYPE",))
        return raw if stored and not isinstance(stored, hiredis.ReplyError) else None

    async def end(self, key: str, ttl: float, timeout: float) -> bytes:
        """Same as `Backend.end`."""
        (before,) = await self._end([key], ttl, timeout)
        return _tombstone(*before).note if isinstance(before, list) else b""

    async def end_many(self, keys: Sequence[str], ttl: float, timeout: float) -> list[bool]:
        """Same as `BatchingBackend.end_many`."""
        return [before == 1 for before in await self._end(keys, ttl, timeout)]

    async def _end(self, keys: Sequence[str], ttl: float, timeout: float) -> list[Any]:
        """Leaves tombstones. A server without memory for them deletes instead (Redis lets ``DEL`` through then)."""
        tombstone, life = Tombstone(ttl).encode(), _milliseconds(ttl)
        ends = [("EVAL", _END, "1", key, tombstone, life) for key in keys]
        held = await self._ask_together(ends, timeout, expected=("OOM",))
        full = [key for key, before in zip(keys, held, strict=True) if isinstance(before, hiredis.ReplyError)]
        if full:
            await self._ask(("DEL", *full), timeout)
        return held

    async def supersede(
        self, key: str, ttl: float, timeout: float, version: Version, note: bytes = b"", note_ttl: float = 0.0
    ) -> bool:
        """Same as `Backend.supersede`."""
        tombstone, plain = Tombstone(ttl, note, note_ttl).encode(), Tombstone(ttl).encode()
        command = ("EVAL", _SUPERSEDE, "1", key, tombstone, _milliseconds(ttl), plain)
        before = await self._ask(command, timeout)
        return before == 1 or (isinstance(before, list) and has_note(before[0]))

    async def touch(self, key: str, ttl: float, timeout: float) -> bool:
        """Same as `Backend.touch`."""
        return isinstance(await self.get(key, ttl, timeout), Stored)

    async def get_afresh(self, key: str, doubted: Stored, timeout: float) -> Stored | Ended | None:
        """Same as `DoubtingBackend.get_afresh`."""
        raw = await self._ask(("GET", key), timeout, expected=("WRONGTYPE",), afresh=True)
        found = await self._found(key, raw, timeout)
        if found != doubted:
            self._client.close()
        return found

    async def about(self, *command: str, timeout: float) -> Any:
        """Asks the server about itself; returns ``None`` if it refuses."""
        (reply, _), _ = await self._client.ask(self._request(command), timeout)
        return None if isinstance(reply, hiredis.ReplyError) else reply

    async def close(self) -> None:
        """Same as `Backend.close`."""
        self._client.close()

    def health(self) -> dict[str, Any]:
        """Same as `Facts.health`."""
        swap = "SET IFEQ" if self._server.has_ifeq else "script"
        return {"kind": "redis", "compare_and_swap": swap, "nodes": [self._guard.facts()]}

    async def _ask(
        self, command: tuple[Any, ...], timeout: float, expected: Sequence[str] = (), *, afresh: bool = False
    ) -> Any:
        """Sends a command. Any error but the expected ones means "cannot answer", never "not there"."""
        (reply, _), _ = await (self._client.ask_afresh if afresh else self._client.ask)(self._request(command), timeout)
        if isinstance(reply, hiredis.ReplyError):
            self._check(command, reply, expected)
        return reply

    async def _ask_together(
        self, commands: Sequence[tuple[Any, ...]], timeout: float, expected: Sequence[str] = ()
    ) -> list[Any]:
        """Same as `_ask` for several commands in one packet."""
        named, _ = await self._client.ask(together([self._request(command) for command in commands]), timeout)
        replies = [reply for reply, _ in (named if len(commands) > 1 else [named])]
        for command, reply in zip(commands, replies, strict=True):
            if isinstance(reply, hiredis.ReplyError):
                self._check(command, reply, expected)
        return replies

    def _request(self, command: tuple[Any, ...]) -> Request:
        number = next(self._numbers) % _NUMBERS
        return made(Request, (_NAMED % (_packed(command), number), (_answers, "", number), None, False, ()))

    def _check(self, command: tuple[Any, ...], error: Exception, expected: Sequence[str]) -> None:
        if _code(error) not in expected:
            raise self._server.refused(command[0], error, str(error))

    def _new(self, value: bytes) -> bytes:
        return _FORMAT + self._random_bytes(_HEAD - len(_FORMAT)) + value


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


def _get(key: str, touch: float | None) -> tuple[Any, ...]:
    return ("GET", key) if touch is None else ("GETEX", key, "PX", _milliseconds(touch))


def _tombstone(kept: bytes, milliseconds: int) -> Ended:
    left = milliseconds / 1000
    return Ended(note_on(kept, left), left)


def _packed(command: tuple[Any, ...]) -> bytes:
    return cast("bytes", hiredis.pack_command(command))


def _answers(reply: Any, _key: str, number: int) -> bool:
    """Returns whether a reply names the request with this number."""
    return bool(reply[1] == b"%09d" % number)


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
