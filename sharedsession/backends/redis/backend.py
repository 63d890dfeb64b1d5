"""One Redis or Valkey as a backend: any server with GETEX, so Redis 6.2 or newer.

The operations are written once, over a client of either colour.

A record is a string: nine bytes that name this version, then the sealed bytes. The compare-and-swap is one command:
``SET … IFEQ`` where the server has it, else a script that compares the first nine bytes.

A tombstone is a list of one element. So each command for strings fails on it and leaves its life alone: a read that
renews, an ``add``, a compare-and-swap. Nothing but the rare read of a tombstone pays for that, with a second question.
"""

import itertools
import math
from collections.abc import Awaitable, Sequence
from functools import cached_property
from typing import Any

import hiredis

from sharedsession.backends.adapters import BlockingAdapter
from sharedsession.backends.base import Ended, Read, Stored, Version
from sharedsession.backends.redis.refusals import code_of
from sharedsession.backends.redis.resp import EXPECTED, NUMBERS, is_answer, named
from sharedsession.backends.redis.server import Server
from sharedsession.backends.tombstone import Tombstone, has_note, is_tombstone, note_on
from sharedsession.backends.wire.blocking_client import BlockingClient
from sharedsession.backends.wire.client import Client
from sharedsession.backends.wire.node_guard import NodeGuard
from sharedsession.backends.wire.protocol import Address, FollowUp, Reading, Request, made, together
from sharedsession.environment import REAL, Environment

_HEAD = 9  # bytes: a format, and the version
_FORMAT = b"\x01"
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
_TRY = b"""
for _, name in ipairs({'TYPE', 'PTTL'}) do redis.call(name, KEYS[1]) end
redis.call('GETRANGE', KEYS[1], 0, 8)
redis.call('LINDEX', KEYS[1], 0)
"""
_SUPERSEDE = b"""
local type = redis.call('TYPE', KEYS[1])['ok']
if type == 'list' then return {redis.call('LINDEX', KEYS[1], 0), redis.call('PTTL', KEYS[1])} end
redis.call('DEL', KEYS[1])
redis.call('RPUSH', KEYS[1], type == 'string' and ARGV[1] or ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return type == 'string' and 1
"""


Command = tuple[Any, ...]
"""A command, its words in order."""

_NO_STRING = ("WRONGTYPE",)  # the error for a key that holds a tombstone


class RedisStore:
    """The asynchronous operations over a client; they suspend if the client does.

    Args:
        client: to the server.
        guard: of the node.
        server: what is known of it.
        environment: where time and random bytes come from.
    """

    max_value = 64_000_000

    def __init__(self, client: Client, guard: NodeGuard, server: Server, environment: Environment) -> None:
        self._client = client
        self._guard = guard
        self._server = server
        self._monotonic = environment.monotonic
        self._random_bytes = environment.random_bytes
        self._numbers = itertools.count(1)

    def get(self, key: str, touch: float | None, timeout: float) -> Awaitable[Stored | Ended | None]:
        """Same as `Backend.get`."""
        command = _get(key, touch)
        return self._client.ask(self._request(command, self._read, (command, key, timeout)), timeout)

    def _read(self, found: Any, _serial: int, about: tuple[Command, str, float]) -> Any:
        """Makes the result of `get`."""
        raw, _ = found
        if type(raw) is bytes:
            return made(Stored, (raw[_HEAD:], raw, None, True))
        command, key, timeout = about
        if isinstance(raw, hiredis.ReplyError):
            self._check(command, raw, _NO_STRING)
        return None if raw is None else FollowUp(self._ended(key, timeout))

    def get_many(self, reads: Sequence[Read], timeout: float) -> Awaitable[list[Stored | Ended | None]]:
        """Same as `BatchingBackend.get_many`."""
        commands: list[Command] = []
        for key, touch, default, _ in reads:
            if default is not None and touch is not None:
                commands.append(("SET", key, self._new(default), "NX", "PX", _milliseconds(touch)))
            commands.append(_get(key, touch))
        requests = [self._request(command) for command in commands]
        return self._client.ask(together(requests, self._read_many, (reads, commands, timeout)), timeout)

    def _read_many(self, replies: Any, _serial: int, about: tuple[Sequence[Read], Sequence[Command], float]) -> Any:
        """Makes the result of `get_many`."""
        reads, commands, timeout = about
        answers = [reply for reply, _ in (replies if len(commands) > 1 else [replies])]
        if len(commands) == len(reads) and all(type(raw) is bytes for raw in answers):
            return [made(Stored, (raw[_HEAD:], raw, None, True)) for raw in answers]
        for command, raw in zip(commands, answers, strict=True):
            if isinstance(raw, hiredis.ReplyError):
                self._check(command, raw, _NO_STRING)
        held = [raw for raw, command in zip(answers, commands, strict=True) if command[0] != "SET"]
        return FollowUp(self._found_many(reads, held, timeout))

    async def _found_many(
        self, reads: Sequence[Read], held: Sequence[Any], timeout: float
    ) -> list[Stored | Ended | None]:
        return [await self._found(read.key, raw, timeout) for read, raw in zip(reads, held, strict=True)]

    async def _found(self, key: str, raw: Any, timeout: float) -> Stored | Ended | None:
        if isinstance(raw, bytes):
            return Stored(raw[_HEAD:], raw)
        return None if raw is None else await self._ended(key, timeout)

    async def _ended(self, key: str, timeout: float) -> Stored | Ended | None:
        """Returns what a key holds that is no string: a tombstone. Anything else is not ours, and does not open."""
        kept, left = await self._ask_together([("LINDEX", key, "0"), ("PTTL", key)], timeout, expected=_NO_STRING)
        return None if kept is None else _tombstone([kept, left]) or Stored(b"", b"")

    def add(self, key: str, value: bytes, ttl: float, timeout: float) -> Awaitable[Version | None]:
        """Same as `Backend.add`."""
        raw = self._new(value)
        command = ("SET", key, raw, "NX", "PX", _milliseconds(ttl))
        return self._client.ask(self._request(command, self._written, (command, raw, ())), timeout)

    def replace(
        self, key: str, value: bytes, ttl: float, version: Version, timeout: float
    ) -> Awaitable[Version | None]:
        """Same as `Backend.replace`."""
        assert isinstance(version, bytes)  # noqa: S101
        raw = self._new(value)
        if self._server.has_ifeq:
            command: Command = ("SET", key, raw, "IFEQ", version, "PX", _milliseconds(ttl))
        else:
            command = ("EVAL", _SWAP, "1", key, version[:_HEAD], raw, _milliseconds(ttl))
        return self._client.ask(self._request(command, self._written, (command, raw, _NO_STRING)), timeout)

    def _written(self, found: Any, _serial: int, about: tuple[Command, bytes, Sequence[str]]) -> Version | None:
        """Makes the result of a write: its version; ``None`` for a refusal."""
        stored, _ = found
        command, raw, expected = about
        if isinstance(stored, hiredis.ReplyError):
            self._check(command, stored, expected)
            return None
        return raw if stored else None

    async def end(self, key: str, ttl: float, timeout: float) -> bytes:
        """Same as `Backend.end`."""
        (before,) = await self._end([key], ttl, timeout)
        ended = _tombstone(before)
        return ended.note if ended else b""

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
        ended = _tombstone(before)
        return before == 1 if ended is None else has_note(before[0])

    async def touch(self, key: str, ttl: float, timeout: float) -> bool:
        """Same as `Backend.touch`."""
        return isinstance(await self.get(key, ttl, timeout), Stored)

    async def get_afresh(self, key: str, doubted: Stored, timeout: float) -> Stored | Ended | None:
        """Same as `DoubtingBackend.get_afresh`."""
        raw = await self._ask(("GET", key), timeout, expected=_NO_STRING, afresh=True)
        found = await self._found(key, raw, timeout)
        if found != doubted:
            self._client.close()
        return found

    async def try_scripts(self, key: str, timeout: float) -> None:
        """Runs a script of what scripts of sessions read, on a key that holds nothing; it changes nothing.

        Raises:
            BackendUnavailable: the server refuses scripts, or a command in them.
        """
        await self._ask(("EVAL", _TRY, "1", key), timeout)

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
        self, command: Command, timeout: float, expected: Sequence[str] = (), *, afresh: bool = False
    ) -> Any:
        """Sends a command. Any error but the expected ones means "cannot answer", never "not there"."""
        (reply, _), _ = await (self._client.ask_afresh if afresh else self._client.ask)(self._request(command), timeout)
        if isinstance(reply, hiredis.ReplyError):
            self._check(command, reply, expected)
        return reply

    async def _ask_together(
        self, commands: Sequence[Command], timeout: float, expected: Sequence[str] = ()
    ) -> list[Any]:
        """Same as `_ask` for several commands in one packet."""
        named, _ = await self._client.ask(together([self._request(command) for command in commands]), timeout)
        replies = [reply for reply, _ in (named if len(commands) > 1 else [named])]
        for command, reply in zip(commands, replies, strict=True):
            if isinstance(reply, hiredis.ReplyError):
                self._check(command, reply, expected)
        return replies

    def _request(self, command: Command, reading: Reading | None = None, context: Any = None) -> Request:
        number = next(self._numbers) % NUMBERS
        check = (is_answer, "", number)
        return made(Request, (named(command, number), check, None, False, (), reading, context))

    def _check(self, command: Command, error: Exception, expected: Sequence[str]) -> None:
        if code_of(str(error)) not in expected:
            raise self._server.refused(command[0], error, command[1:])

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
        self._guard = NodeGuard(address, breaker_window, EXPECTED, environment=environment)
        self._server = Server(self._guard, username, password, database)
        super().__init__(self._store_over(BlockingClient(self._server.protocol, self._guard)))

    @cached_property
    def asynchronous(self) -> RedisStore:
        """The same server for event loops."""
        from sharedsession.backends.wire.multiplexed_client import MultiplexedClient  # noqa: PLC0415

        return self._store_over(MultiplexedClient(self._server.protocol, self._guard))

    def _store_over(self, client: Client) -> RedisStore:
        return RedisStore(client, self._guard, self._server, self._environment)


def _get(key: str, touch: float | None) -> Command:
    return ("GET", key) if touch is None else ("GETEX", key, "PX", _milliseconds(touch))


def _tombstone(held: Any) -> Ended | None:
    """Returns the tombstone in a pair of its bytes and its life in milliseconds; ``None`` for anything else."""
    match held:
        case [bytes() as kept, int() as milliseconds] if is_tombstone(kept):
            return Ended(note_on(kept, milliseconds / 1000), milliseconds / 1000)
    return None


def _milliseconds(seconds: float) -> str:
    return str(max(1, math.ceil(seconds * 1000)))
