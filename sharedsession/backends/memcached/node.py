"""One memcached as a backend. The operations are written once, over a client of either colour.

A version is a CAS token with the serial number of the newest connection at that time. memcached numbers its items anew
after a restart (doc/protocol.txt: the token is unique within one server run), so a token means nothing on a connection
that was opened after it was read.
"""

import itertools
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import suppress
from types import ModuleType
from typing import Any, NamedTuple, Protocol

from sharedsession.backends.base import Ended, Read, Stored, Version
from sharedsession.backends.memcached import refusals
from sharedsession.backends.memcached.protocol import TOMBSTONE, Done, Hit, Reply, expiry
from sharedsession.backends.tombstone import (
    KeyState,
    Tombstone,
    has_note,
    is_tombstone,
    life_before,
    life_of,
    note_on,
    plain,
)
from sharedsession.backends.wire.client import Client
from sharedsession.backends.wire.deadline import Deadline
from sharedsession.backends.wire.protocol import STALE, FollowUp, Request, StaleToken, made, together
from sharedsession.environment import Environment
from sharedsession.errors import BackendError, BackendUnavailable


class _Token(NamedTuple):
    cas: int
    newest_serial: int


class Server(Protocol):
    """What the operations must know of a node; see `MemcachedServer`."""

    protocol: ModuleType
    in_ring: bool
    environment: Environment
    max_value: int

    def admits(self, reply: Any) -> bool:
        """Returns ``True`` for a reply that does not refuse us; raises otherwise."""

    def refused(self, reply: Reply) -> BackendError:
        """Logs that the server refuses a request, and the fix; returns what to raise."""

    def facts(self) -> dict[str, Any]:
        """Returns JSON-able facts about the node."""


class MemcachedStore:
    """The asynchronous operations over a client; they suspend if the client does.

    Args:
        client: to the node.
        server: what is known of the node.
    """

    def __init__(self, client: Client, server: Server) -> None:
        self._client = client
        self._server = server
        self._protocol = server.protocol
        self._answers = server.protocol.answers
        self._answers_get = server.protocol.answers_get
        self._reads = {server.protocol.get, server.protocol.look}
        self._in_ring = server.in_ring
        self._opaques = itertools.count(1)
        self._clock = server.environment.clock
        self._monotonic = server.environment.monotonic

    @property
    def max_value(self) -> int:
        """Same as `Facts.max_value`: the server's own limit (``-I``) as soon as a connection was opened."""
        return self._server.max_value

    def get(self, key: str, touch: float | None, timeout: float) -> Awaitable[Stored | Ended | None]:
        """Same as `Backend.get`."""
        exptime = touch if touch is None else expiry(touch, self._clock)
        opaque = next(self._opaques)
        check = (self._answers_get, key, opaque)
        read = (self._protocol.get(key, exptime, opaque), check, None, False, (), self._read, (key, touch, timeout))
        return self._client.ask(made(Request, read), timeout)

    def _read(self, reply: Any, serial: int, about: tuple[str, float | None, float]) -> Any:
        """Makes the result of `get`."""
        if type(reply) is Hit and not reply.flags & TOMBSTONE:
            value, cas, _, seconds, _ = reply
            return made(Stored, (value, made(_Token, (cas, serial)), float(seconds) if seconds >= 0 else None, True))
        found = reply if type(reply) is Hit else self._hit(reply)
        return None if found is None else FollowUp(self._of_hit(found, serial, *about))

    def get_many(self, reads: Sequence[Read], timeout: float) -> Awaitable[list[Stored | Ended | None]]:
        """Same as `BatchingBackend.get_many`."""
        data, checks = b"", []
        for key, touch, default, _ in reads:
            exptime = touch if touch is None else expiry(touch, self._clock)
            if default is not None:
                opaque = next(self._opaques)
                data += self._protocol.add(key, default, exptime, opaque)
                checks.append((self._answers, key, opaque))
            opaque = next(self._opaques)
            data += self._protocol.get(key, exptime, opaque)
            checks.append((self._answers_get, key, opaque))
        request = (data, checks[0], None, False, checks[1:], self._read_many, (reads, timeout))
        return self._client.ask(made(Request, request), timeout)

    def _read_many(self, replies: Any, serial: int, about: tuple[Sequence[Read], float]) -> Any:
        """Makes the result of `get_many`."""
        reads, timeout = about
        if type(replies) is not list:
            replies = [replies]
        if len(replies) == len(reads) and all(type(each) is Hit and not each.flags & TOMBSTONE for each in replies):
            return [self._read(each, serial, ("", None, timeout)) for each in replies]
        return FollowUp(self._found_many(iter(replies), serial, reads, timeout))

    async def _found_many(
        self, replies: Iterator[Any], serial: int, reads: Sequence[Read], timeout: float
    ) -> list[Stored | Ended | None]:
        found: list[Stored | Ended | None] = []
        for key, touch, default, _ in reads:
            if default is not None:
                self._stored(next(replies), serial, _TAKEN)
            found.append(await self._found(key, next(replies), serial, touch, timeout))
        return found

    async def _found(
        self, key: str, reply: Any, serial: int, touch: float | None, timeout: float
    ) -> Stored | Ended | None:
        found = reply if type(reply) is Hit else self._hit(reply)
        return None if found is None else await self._of_hit(found, serial, key, touch, timeout)

    async def _of_hit(self, found: Hit, serial: int, key: str, touch: float | None, timeout: float) -> Stored | Ended:
        value, cas, flags, seconds, _ = found
        token = made(_Token, (cas, serial))
        if flags & TOMBSTONE:
            return await self._ended(key, found, token, touch, timeout)
        return Stored(value, token, float(seconds) if seconds >= 0 else None)

    async def _ended(self, key: str, found: Hit, token: _Token, touch: float | None, timeout: float) -> Ended:
        kept, ttl = found.value, float(found.ttl) if found.ttl >= 0 else None
        if touch is not None and is_tombstone(kept):
            ttl = await self._give_back(key, kept, ttl, token, touch, timeout)
        if self._in_ring:  # the ring compares what its nodes keep, so it gets that as it is
            return Ended(kept, ttl)
        return Ended(note_on(kept, ttl) if is_tombstone(kept) else b"", ttl)

    async def _give_back(
        self, key: str, kept: bytes, ttl: float | None, token: _Token, touch: float, timeout: float
    ) -> float | None:
        """Gives a tombstone the life back that it had before this read, since memcached cannot renew records alone.

        Another reader may have been faster, and give it back as well: one of the two compare-and-swaps is refused.
        Where the server reports no life, the tombstone becomes a plain one, with its full life.

        Returns:
            The life in seconds, as far as known.
        """
        if ttl is None:
            life, back = life_of(kept), plain(kept)
        else:
            life, back = life_before(kept, ttl, touch, self._clock()), kept
        if life != touch:
            with suppress(BackendUnavailable):  # the tombstone was found, and that is what was asked
                await self._write_tombstone_if(key, back, life, timeout, token)
        return ttl if ttl is None else life

    def add(self, key: str, value: bytes, ttl: float, timeout: float) -> Awaitable[Version | None]:
        """Same as `Backend.add`."""
        opaque = next(self._opaques)
        data = self._protocol.add(key, value, expiry(ttl, self._clock), opaque)
        return self._write(data, key, opaque, None, _TAKEN, timeout)

    def replace(
        self, key: str, value: bytes, ttl: float, version: Version, timeout: float
    ) -> Awaitable[Version | None]:
        """Same as `Backend.replace`."""
        assert isinstance(version, _Token)  # noqa: S101
        cas, serial = version
        opaque = next(self._opaques)
        data = self._protocol.replace(key, value, expiry(ttl, self._clock), cas, opaque)
        return self._write(data, key, opaque, serial, _CHANGED, timeout)

    def _write(
        self, data: bytes, key: str, opaque: int, serial: int | None, refusals: Collection[bytes], timeout: float
    ) -> Awaitable[Version | None]:
        check = (self._answers, key, opaque)
        return self._client.ask(made(Request, (data, check, serial, False, (), self._stored, refusals)), timeout)

    async def end(self, key: str, ttl: float, timeout: float) -> bytes:
        """Same as `Backend.end`."""
        (held,) = await self.write_tombstones([key], Tombstone(ttl).encode(self._clock()), ttl, timeout)
        return held.note if isinstance(held, Ended) else b""

    async def end_many(self, keys: Sequence[str], ttl: float, timeout: float) -> list[bool]:
        """Same as `BatchingBackend.end_many`."""
        return [
            isinstance(held, Stored)
            for held in await self.write_tombstones(keys, Tombstone(ttl).encode(self._clock()), ttl, timeout)
        ]

    async def write_tombstones(
        self, keys: Sequence[str], tombstone: bytes, ttl: float, timeout: float
    ) -> list[Stored | Ended | None]:
        """Same as `NodeStore.write_tombstones`. Without memory for a tombstone, the record is deleted instead."""
        exptime = expiry(ttl, self._clock)
        look = self._protocol.get if len(keys) == 1 else self._protocol.look  # only the end of one is told the note
        requests = []
        for key in keys:
            requests.append(self._request(look, key, None, *([None] if len(keys) == 1 else [])))
            requests.append(self._request(self._protocol.write_tombstone, key, None, tombstone, exptime, None))
        replies, serial = await self._client.ask(together(requests), timeout)
        for key, written in zip(keys, replies[1::2], strict=True):
            if not self._is_done(written):
                await self._delete(key, timeout)
        found = zip(keys, replies[::2], strict=True)
        return [await self._found(key, held, serial, None, timeout) for key, held in found]

    async def _delete(self, key: str, timeout: float) -> None:
        """Deletes a record: within one server run, memcached gives no CAS token twice."""
        reply, _ = await self._ask(self._protocol.delete, key, timeout)
        self._is_done(reply, b"NF")

    async def supersede(
        self, key: str, ttl: float, timeout: float, version: Version, note: bytes = b"", note_ttl: float = 0.0
    ) -> bool:
        """Same as `Backend.supersede`."""
        tombstone = Tombstone(ttl, note, note_ttl).encode(self._clock())
        held = await self.supersede_copy(key, tombstone, ttl, timeout, version)
        if held is KeyState.NOTHING:
            await self.end(key, ttl, timeout)
        return held in {KeyState.LIVE, KeyState.NOTE}

    async def supersede_copy(
        self, key: str, tombstone: bytes, ttl: float, timeout: float, version: Version | None
    ) -> KeyState:
        """Same as `NodeStore.supersede_copy`: by compare-and-swap, however often the record changes meanwhile."""
        deadline = Deadline(self._monotonic, timeout, self._monotonic() + 2 * timeout)
        try:
            while not await self._write_tombstone_if(key, tombstone, ttl, deadline.require(), version, or_delete=True):
                reply, serial = await self._ask(self._protocol.get, key, deadline.require(), None, None)
                held = reply if type(reply) is Hit else self._hit(reply)
                if held is not None and held.flags & TOMBSTONE:
                    return KeyState.NOTE if has_note(held.value) else KeyState.PLAIN
                version = None if held is None else made(_Token, (held.cas, serial))
        except TimeoutError:
            raise BackendUnavailable("the record changes too often to be superseded in time") from None
        return KeyState.NOTHING if version is None else KeyState.LIVE

    async def _write_tombstone_if(
        self,
        key: str,
        tombstone: bytes,
        ttl: float,
        timeout: float,
        version: Version | None,
        *,
        or_delete: bool = False,
    ) -> bool:
        """Writes a tombstone in the place of one version; ``None``: if the key holds nothing. Returns if it did.

        With ``or_delete``, that version is deleted where there is no memory for a tombstone.
        """
        exptime = expiry(ttl, self._clock)
        if version is None:
            reply, _ = await self._ask(self._protocol.add_tombstone, key, timeout, None, tombstone, exptime)
            return (or_delete and refusals.is_full(reply)) or self._is_done(reply, b"NS")
        assert isinstance(version, _Token)  # noqa: S101
        cas, serial = version
        try:
            reply, _ = await self._ask(self._protocol.write_tombstone, key, timeout, serial, tombstone, exptime, cas)
            if or_delete and refusals.is_full(reply):
                reply, _ = await self._ask(self._protocol.delete_if, key, timeout, serial, cas)
        except StaleToken:
            return False
        return self._is_done(reply, b"EX", b"NF")

    async def touch(self, key: str, ttl: float, timeout: float) -> bool:
        """Same as `Backend.touch`."""
        return isinstance(await self.get(key, ttl, timeout), Stored)

    async def ping(self, timeout: float) -> None:
        """Same as `NodeStore.ping`."""
        request = Request(self._protocol.NOTHING, _IS_PONG, anyway=True)
        answer = await self._client.ask(request, timeout)
        self._expect(answer.reply, b"MN")

    async def statistics(self, request: bytes, timeout: float) -> dict[str, str]:
        """Asks the node for statistics or settings; a proxy may give none."""
        if not self._protocol.GREETING:
            return {}
        reply, _ = await self._client.ask(Request(request), timeout)
        pairs = reply.items() if isinstance(reply, dict) else ()
        return {name.decode("latin-1"): value.decode("latin-1") for name, value in pairs}

    async def close(self) -> None:
        """Same as `Backend.close`."""
        self._client.close()

    def health(self) -> dict[str, Any]:
        """Same as `Facts.health`."""
        return {"kind": "memcached", "nodes": [self._server.facts()]}

    def _ask(
        self, command: Callable[..., bytes], key: str, timeout: float, serial: int | None = None, *arguments: Any
    ) -> Awaitable[Any]:
        return self._client.ask(self._request(command, key, serial, *arguments), timeout)

    def _request(self, command: Callable[..., bytes], key: str, serial: int | None, *arguments: Any) -> Request:
        opaque = next(self._opaques)
        data = command(key, *arguments, opaque)
        answers = self._answers_get if command in self._reads else self._answers
        return made(Request, (data, (answers, key, opaque), serial, False, (), None, None))

    def _stored(self, reply: Any, serial: int, refusals: Collection[bytes]) -> Version | None:
        """Makes the result of a write: its version; ``None`` for a refusal."""
        if type(reply) is Done:
            return made(_Token, (reply.cas, serial))
        if reply is STALE or reply.status in refusals:
            return None
        self._expect(reply, b"HD")
        (cas,) = reply.numbers(b"c")
        return _Token(cas, serial)

    def _is_done(self, reply: Any, *refusals: bytes) -> bool:
        """Returns whether a tombstone was written. Without refusals, ``False`` is for want of memory."""
        if type(reply) is Done or reply.status == b"HD":
            return True
        if reply.status in refusals or not refusals:
            return False
        self._expect(reply, b"HD")
        return True

    def _hit(self, reply: Reply) -> Hit | None:
        """Returns what a reply of any form found; ``None`` if there is no item."""
        if reply.status == b"EN":
            return None
        if reply.status != b"HD":  # where the value was not asked for
            self._expect(reply, b"VA")
        cas, flags, ttl = reply.numbers(b"c", b"f", b"t")
        return Hit(reply.value, cas, flags, ttl, opaque=0)

    def _expect(self, reply: Reply, status: bytes) -> None:
        """Takes any other status for "cannot answer"; it is never taken for an absence."""
        if reply.status == status:
            return
        self._server.admits(reply)
        raise self._server.refused(reply)


def _is_pong(reply: Any, _key: str, _opaque: int) -> bool:
    return isinstance(reply, Reply) and reply.status == b"MN"


_IS_PONG = (_is_pong, "", 0)
_TAKEN = (b"NS",)
_CHANGED = (b"EX", b"NF")
