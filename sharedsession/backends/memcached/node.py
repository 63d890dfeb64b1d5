"""One memcached as a backend. The operations are written once, over a client of either colour.

A version is a CAS token with the serial number of the newest connection at that time. memcached numbers its items anew
after a restart (doc/protocol.txt: the token is unique within one server run), so a token means nothing on a connection
that was opened after it was read.
"""

import itertools
import math
from collections.abc import Callable, Coroutine, Sequence
from functools import cached_property, partial
from types import ModuleType
from typing import Any, NamedTuple

from sharedsession.backends.adapters import BlockingAdapter
from sharedsession.backends.base import Ended, Stored, Version
from sharedsession.backends.memcached import login
from sharedsession.backends.memcached import protocol as meta
from sharedsession.backends.memcached.protocol import ITEM_OVERHEAD, MAX_VALUE, TOMBSTONE, Done, Hit, Reply, expiry
from sharedsession.backends.wire import superseding
from sharedsession.backends.wire.blocking_client import BlockingClient
from sharedsession.backends.wire.client import Client
from sharedsession.backends.wire.deadline import Deadline
from sharedsession.backends.wire.node_guard import NodeGuard
from sharedsession.backends.wire.protocol import Address, Answer, Request, StaleToken, WireProtocol, made
from sharedsession.environment import REAL, Environment
from sharedsession.errors import BackendError, BackendUnavailable
from sharedsession.observe import without_store_keys

_WITHOUT_NOTE_TTL = 1.0  # seconds for which a tombstone without a note is kept


class _Token(NamedTuple):
    cas: int
    newest_serial: int


class MemcachedStore:
    """The asynchronous operations over a client; they suspend if the client does.

    Args:
        client: to the node.
        server: what is known of the node.
    """

    def __init__(self, client: Client, server: "MemcachedServer") -> None:
        self._client = client
        self._server = server
        self._protocol = server.protocol
        self._answers = server.protocol.answers
        self._opaques = itertools.count(1)
        self._clock = server.environment.clock
        self._monotonic = server.environment.monotonic

    @property
    def max_value(self) -> int:
        """Same as `Facts.max_value`: the server's own limit (``-I``) as soon as a connection was opened."""
        return self._server.max_value

    async def get(self, key: str, touch: float | None, timeout: float) -> Stored | Ended | None:
        """Same as `Backend.get`."""
        exptime = touch if touch is None else expiry(touch, self._clock)
        reply, serial = await self._ask(self._protocol.get, key, timeout, None, exptime)
        found = reply if type(reply) is Hit else self._hit(reply)
        if found is None:
            return None
        value, cas, flags, seconds, _ = found
        ttl = float(seconds) if seconds >= 0 else None
        return Ended(value, ttl) if flags & TOMBSTONE else Stored(value, made(_Token, (cas, serial)), ttl)

    async def add(self, key: str, value: bytes, ttl: float, timeout: float) -> Version | None:
        """Same as `Backend.add`."""
        reply, serial = await self._ask(self._protocol.add, key, timeout, None, value, expiry(ttl, self._clock))
        return self._stored(reply, serial, b"NS")

    async def replace(self, key: str, value: bytes, ttl: float, version: Version, timeout: float) -> Version | None:
        """Same as `Backend.replace`."""
        assert isinstance(version, _Token)  # noqa: S101
        cas, serial = version
        exptime = expiry(ttl, self._clock)
        try:
            reply, serial = await self._ask(self._protocol.replace, key, timeout, serial, value, exptime, cas)
        except StaleToken:
            return None
        return self._stored(reply, serial, b"EX", b"NF")

    async def end(self, key: str, ttl: float, timeout: float) -> None:
        """Same as `Backend.end`. It only deletes: within one server run, memcached gives no CAS token twice."""
        reply, _ = await self._ask(self._protocol.delete, key, timeout)
        if reply.status != b"NF":
            self._expect(reply, b"HD")

    async def supersede(
        self, key: str, ttl: float, timeout: float, version: Version, note: bytes = b"", note_ttl: float = 0.0
    ) -> bool:
        """Same as `Backend.supersede`."""
        tombstone_ttl = note_ttl or _WITHOUT_NOTE_TTL

        def write_tombstone_if(version: Version, timeout: float) -> Coroutine[Any, Any, bool]:
            return self.write_tombstone(key, note, tombstone_ttl, timeout, version)

        deadline = Deadline(self._monotonic, timeout, self._monotonic() + 2 * timeout)
        return await superseding.supersede(write_tombstone_if, partial(self.get, key, None), version, deadline)

    async def write_tombstone(
        self, key: str, tombstone: bytes, ttl: float, timeout: float, version: Version | None = None
    ) -> bool:
        """Same as `NodeStore.write_tombstone`. An unconditional one that finds no memory deletes the record instead."""
        exptime = expiry(ttl, self._clock)
        if version is not None:
            return await self._write_tombstone_if(key, tombstone, exptime, timeout, version)
        reply, _ = await self._ask(self._protocol.write_tombstone, key, timeout, None, tombstone, exptime, None)
        if reply.status != b"HD":
            await self.end(key, ttl, timeout)
        return True

    async def _write_tombstone_if(
        self, key: str, tombstone: bytes, exptime: int, timeout: float, version: Version
    ) -> bool:
        assert isinstance(version, _Token)  # noqa: S101
        cas, serial = version
        try:
            reply, _ = await self._ask(self._protocol.write_tombstone, key, timeout, serial, tombstone, exptime, cas)
        except StaleToken:
            return False
        if reply.status in {b"EX", b"NF"}:
            return False
        self._expect(reply, b"HD")
        return True

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
    ) -> Coroutine[Any, Any, Answer]:
        opaque = next(self._opaques)
        data = command(key, *arguments, opaque)
        return self._client.ask(made(Request, (data, (self._answers, key, opaque), serial, False, ())), timeout)

    def _stored(self, reply: Any, serial: int, *refusals: bytes) -> Version | None:
        if type(reply) is Done:
            return made(_Token, (reply.cas, serial))
        if reply.status in refusals:
            return None
        self._expect(reply, b"HD")
        (cas,) = _numbers(reply, b"c")
        return _Token(cas, serial)

    def _hit(self, reply: Reply) -> Hit | None:
        """Returns what a reply of any form found; ``None`` if there is no item."""
        if reply.status == b"EN":
            return None
        self._expect(reply, b"VA")
        cas, flags, ttl = _numbers(reply, b"c", b"f", b"t")
        return Hit(reply.value, cas, flags, ttl, opaque=0)

    def _expect(self, reply: Reply, status: bytes) -> None:
        """Takes any other status for "cannot answer"; it is never taken for an absence."""
        if reply.status == status:
            return
        self._server.admits(reply)
        text = without_store_keys(login.as_text(reply))
        if reply.is_error and "too large" in text:
            raise BackendError(f"memcached refused an item as too large ({text}): lower max_size, or raise its -I")
        raise BackendUnavailable(f"memcached answered {text!r}")


class MemcachedServer:
    """What is known of one node, for clients of both colours.

    Args:
        address: of the node.
        breaker_window: seconds for which a failed node is skipped.
        name: of the node; ``None``: its address.
        in_ring: whether other nodes hold the same data. Then the node is skipped while it is slow.
        protocol: the commands to use, `protocol` or `text`.
        environment: where clocks come from.

    Attributes:
        is_askable: returns whether a request would be sent to the node now.
        evictions: of items that had not expired, when the last connection was opened.
        max_value: bytes of one value at most.
    """

    def __init__(
        self,
        address: Address,
        breaker_window: float,
        *,
        name: str | None = None,
        in_ring: bool = False,
        protocol: ModuleType = meta,
        environment: Environment = REAL,
    ) -> None:
        self.protocol = protocol
        self.environment = environment
        self.guard = NodeGuard(address, breaker_window, name=name, demotes_slow=in_ring, environment=environment)
        self.is_askable = self.guard.is_askable
        self.evictions = 0
        self.max_value = MAX_VALUE
        self._in_ring = in_ring
        self._up_since = math.inf  # on the monotonic clock
        self._login = address.login
        first = (login.request(self._login),) if self._login else ()
        self._protocol = WireProtocol(
            parser=protocol.Parser,
            greeting=(*first, *protocol.GREETING),
            admits=(self.admits, "", 0),
            greeted=self._greeted,
        )

    def blocking_store(self) -> MemcachedStore:
        """Makes the operations for applications that block."""
        return self.store(self.blocking_client())

    def asynchronous_store(self) -> MemcachedStore:
        """Makes the operations for event loops."""
        from sharedsession.backends.wire.multiplexed_client import MultiplexedClient  # noqa: PLC0415

        return self.store(MultiplexedClient(self._protocol, self.guard))

    def blocking_client(self) -> BlockingClient:
        """Makes a client for applications that block."""
        return BlockingClient(self._protocol, self.guard, side_by_side=self._in_ring)

    def store(self, client: Client) -> MemcachedStore:
        """Makes the operations over a client."""
        return MemcachedStore(client, self)

    def knows(self, seconds: float) -> bool:
        """Returns whether the node has been up for longer than so many seconds, and so remembers all since then."""
        return self.environment.monotonic() - self._up_since > seconds

    def facts(self) -> dict[str, Any]:
        """Returns JSON-able facts about the node."""
        return {**self.guard.facts(), "evictions": self.evictions}

    def admits(self, reply: Any, _key: str = "", _opaque: int = 0) -> bool:
        """Returns ``True`` for a reply that does not refuse us.

        Raises:
            BackendUnavailable: it does.
        """
        fix = login.fix(reply, self._login)
        if fix:
            raise self.guard.refused(fix)
        return True

    def _greeted(self, replies: Sequence[Any]) -> None:
        """Takes the replies to the greeting of a new connection; a proxy may give no statistics."""
        if self._login and not login.is_admitted(replies[0]):
            raise self.guard.refused(login.OTHER)
        facts = replies[1:] if self._login else replies
        statistics, settings = (reply if isinstance(reply, dict) else {} for reply in facts or ({}, {}))
        if statistics.get(b"uptime", b"").isdigit():
            self._up_since = self.environment.monotonic() - int(statistics[b"uptime"])
            self.evictions = _count(statistics.get(b"evictions", b""))
        if settings.get(b"cas_enabled") == b"no":
            raise BackendError("it runs with -C and refuses every change: start memcached without -C")
        if settings.get(b"item_size_max", b"").isdigit():
            self.max_value = int(settings[b"item_size_max"]) - ITEM_OVERHEAD
        if settings.get(b"evictions") == b"off":
            self.guard.observer.event(
                "never_evicts",
                f"{self.guard.name} runs with -M: when it is full, a change that finds no memory loses its session; "
                "start memcached without -M",
            )


class MemcachedBackend(BlockingAdapter):
    """One memcached, in both colours.

    Args:
        server: the node.
    """

    def __init__(self, server: MemcachedServer) -> None:
        self._server = server
        super().__init__(server.blocking_store())

    @cached_property
    def asynchronous(self) -> MemcachedStore:
        """The same node for event loops."""
        return self._server.asynchronous_store()


def _is_pong(reply: Any, _key: str, _opaque: int) -> bool:
    return isinstance(reply, Reply) and reply.status == b"MN"


_IS_PONG = (_is_pong, "", 0)


def _numbers(reply: Reply, *letters: bytes) -> list[int]:
    """Returns the numbers of some flags. A reply without them was damaged on the way, and is no answer."""
    arguments = {flag[:1]: flag[1:] for flag in reply.flags}
    digits = [arguments.get(letter, b"") for letter in letters]
    if not all(number.removeprefix(b"-").isdigit() for number in digits):
        raise BackendUnavailable("memcached's reply is damaged")
    return [int(number) for number in digits]


def _count(digits: bytes) -> int:
    return int(digits) if digits.isdigit() else 0
