"""One memcached as a backend. The verbs are written once, over a client of either colour.

A version is a CAS token with the mark of its connection: memcached numbers anew after a restart, so a token means
nothing on a connection that was opened after it was read.
"""

import itertools
import math
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import cached_property, partial
from types import ModuleType
from typing import Any, NamedTuple

from sharedsession.backends.base import Ended, Stored, Version
from sharedsession.backends.memcached import login
from sharedsession.backends.memcached import protocol as meta
from sharedsession.backends.memcached.protocol import ITEM_OVERHEAD, MAX_VALUE, TOMBSTONE, Done, Hit, Reply
from sharedsession.backends.wire import superseding
from sharedsession.backends.wire.blocking_client import BlockingClient
from sharedsession.backends.wire.client import Client
from sharedsession.backends.wire.node_guard import NodeGuard
from sharedsession.backends.wire.protocol import Address, Answer, WireProtocol, StaleMark, made
from sharedsession.backends.adapters import BlockingAdapter
from sharedsession.errors import BackendError, BackendUnavailable

_BRIEFLY = 1.0  # seconds


class _Token(NamedTuple):
    cas: int
    mark: int


class MemcachedStore:
    """The verbs over a client; of the client's colour.

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

    @property
    def max_value(self) -> int:
        """Same as `Facts.max_value`: what the server was started with (``-I``), once it was asked."""
        return self._server.max_value

    async def get(self, key: str, touch: float | None, timeout: float) -> Stored | Ended | None:
        """Same as `Backend.get`."""
        reply, mark = await self._ask(self._protocol.get, key, timeout, None, touch)
        found = reply if type(reply) is Hit else self._hit(reply)
        if found is None:
            return None
        value, cas, flags, seconds, _ = found
        ttl = float(seconds) if seconds >= 0 else None
        return Ended(value, ttl) if flags & TOMBSTONE else Stored(value, made(_Token, (cas, mark)), ttl)

    async def add(self, key: str, value: bytes, ttl: float, timeout: float) -> Version | None:
        """Same as `Backend.add`."""
        reply, mark = await self._ask(self._protocol.add, key, timeout, None, value, ttl)
        return self._stored(reply, mark, b"NS")

    async def replace(self, key: str, value: bytes, ttl: float, version: Version, timeout: float) -> Version | None:
        """Same as `Backend.replace`."""
        assert isinstance(version, _Token)  # noqa: S101
        cas, mark = version
        try:
            reply, mark = await self._ask(self._protocol.replace, key, timeout, mark, value, ttl, cas)
        except StaleMark:
            return None
        return self._stored(reply, mark, b"EX", b"NF")

    async def end(self, key: str, ttl: float, timeout: float, note: bytes = b"", note_ttl: float = 0.0) -> None:
        """Same as `Backend.end`. A note that finds no memory gives way to the deletion."""
        del ttl
        if note:
            reply, _ = await self._ask(self._protocol.write_tombstone, key, timeout, None, note, note_ttl, None)
            if reply.status == b"HD":
                return
        reply, _ = await self._ask(self._protocol.delete, key, timeout)
        if reply.status != b"NF":
            self._expect(reply, b"HD")

    async def supersede(
        self, key: str, ttl: float, timeout: float, version: Version, note: bytes = b"", note_ttl: float = 0.0
    ) -> bool:
        """Same as `Backend.supersede`."""
        write_tombstone_if = partial(self.write_tombstone_if, key, note, note_ttl or _BRIEFLY)
        return await superseding.supersede(write_tombstone_if, partial(self.get, key, None), version, timeout)

    async def write_tombstone_if(self, key: str, note: bytes, ttl: float, version: Version, timeout: float) -> bool:
        """Leaves a tombstone if the record is still the one that the version stands for."""
        assert isinstance(version, _Token)  # noqa: S101
        try:
            reply, _ = await self._ask(self._protocol.write_tombstone, key, timeout, version.mark, note, ttl, version.cas)
        except StaleMark:
            return False
        if reply.status in {b"EX", b"NF"}:
            return False
        self._expect(reply, b"HD")
        return True

    async def ping(self, timeout: float) -> None:
        """Asks for a sign of life, even of a node that is left alone; if it gives one, it is asked as before."""
        answer = await self._client.ask(self._protocol.NOTHING, timeout, _SIGN_OF_LIFE, anyway=True)
        self._expect(answer.reply, b"MN")

    async def touch(self, key: str, ttl: float, timeout: float) -> bool:
        """Same as `Backend.touch`."""
        return isinstance(await self.get(key, ttl, timeout), Stored)

    async def statistics(self, request: bytes, timeout: float) -> dict[str, str]:
        """Asks the node about itself; a proxy may tell nothing."""
        if not self._protocol.GREETING:
            return {}
        said, _ = await self._client.ask(request, timeout)
        pairs = said.items() if isinstance(said, dict) else ()
        return {name.decode("latin-1"): value.decode("latin-1") for name, value in pairs}

    async def close(self) -> None:
        """Same as `Backend.close`."""
        self._client.close()

    def health(self) -> dict[str, Any]:
        """Same as `Backend.health`."""
        return {"kind": "memcached", "nodes": [self._server.facts()]}

    def _ask(
        self, request: Callable[..., bytes], key: str, timeout: float, mark: int | None = None, *arguments: Any
    ) -> Coroutine[Any, Any, Answer]:
        opaque = next(self._opaques)
        return self._client.ask(request(key, *arguments, opaque), timeout, (self._answers, key, opaque), mark)

    def _stored(self, reply: Any, mark: int, *refusals: bytes) -> Version | None:
        if type(reply) is Done:
            return made(_Token, (reply.cas, mark))
        if reply.status in refusals:
            return None
        self._expect(reply, b"HD")
        (cas,) = _numbers(reply, b"c")
        return _Token(cas, mark)

    def _hit(self, reply: Reply) -> Hit | None:
        """What was found, however the reply was written; ``None`` if nothing was."""
        if reply.status == b"EN":
            return None
        self._expect(reply, b"VA")
        cas, flags, ttl = _numbers(reply, b"c", b"f", b"t")
        return Hit(reply.value, cas, flags, ttl, opaque=0)

    def _expect(self, reply: Reply, status: bytes) -> None:
        """Anything but what was expected means "cannot answer"; it is never taken for an absence."""
        if reply.status == status:
            return
        self._server.admits(reply)
        words = login.words(reply)
        if reply.is_error and "too large" in words:
            raise BackendError(f"memcached refused an item as too large ({words}): lower max_size, or raise its -I")
        raise BackendUnavailable(f"memcached answered {words!r}")


class MemcachedServer:
    """What there is to know of one node, whatever the colour of those who ask it.

    Args:
        address: of the node.
        breaker_window: seconds for which a failed node is left alone.
        name: of the node; ``None``: its address.
        in_ring: whether others hold the same data: then it is left alone while it is slow.
        protocol: the commands to speak, `protocol` or `text`.
    """

    def __init__(
        self,
        address: Address,
        breaker_window: float,
        *,
        name: str | None = None,
        in_ring: bool = False,
        protocol: ModuleType = meta,
    ) -> None:
        self.protocol = protocol
        self._in_ring = in_ring
        self.guard = NodeGuard(address, breaker_window, name=name, demotes_slow=in_ring)
        self._up_since = math.inf
        self.evictions = 0
        self.max_value = MAX_VALUE
        self._login = address.login
        first = (login.request(self._login),) if self._login else ()
        self._protocol = WireProtocol(
            parser=protocol.Parser,
            greeting=(*first, *protocol.GREETING),
            admits=(self.admits, "", 0),
            greeted=self._greeted,
        )

    def verbs(self, client: Client) -> MemcachedStore:
        """The verbs over a client."""
        return MemcachedStore(client, self)

    def blocking_client(self) -> BlockingClient:
        """A client for applications that block."""
        return BlockingClient(self._protocol, self.guard, side_by_side=self._in_ring)

    def multiplexed_client(self) -> Client:
        """A client for event loops."""
        from sharedsession.backends.wire.multiplexed_client import MultiplexedClient  # noqa: PLC0415

        return MultiplexedClient(self._protocol, self.guard)

    def knows(self, seconds: float) -> bool:
        """Whether the node has been up for so long, so that it would know of a record as young as that."""
        return time.monotonic() - self._up_since > seconds

    def facts(self) -> dict[str, Any]:
        """JSON-able facts about the node."""
        return {**self.guard.facts(), "evictions": self.evictions}

    def admits(self, reply: Any, _key: str = "", _opaque: int = 0) -> bool:
        """Sees to it that a reply is none that refuses us."""
        fix = login.fix(reply, self._login)
        if fix:
            raise self.guard.refused(fix)
        return True

    def _greeted(self, replies: Sequence[Any]) -> None:
        """Learns what matters to sessions from a new connection; a proxy may tell nothing of it."""
        if self._login and not login.is_admitted(replies[0]):
            raise self.guard.refused(login.OTHER)
        told = replies[1:] if self._login else replies
        statistics, settings = (reply if isinstance(reply, dict) else {} for reply in told or ({}, {}))
        if statistics.get(b"uptime", b"").isdigit():
            self._up_since = time.monotonic() - int(statistics[b"uptime"])
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
        address: of the node.
        breaker_window: seconds for which a failed node is left alone.
        protocol: the commands to speak, `protocol` or `text`.
    """

    def __init__(self, address: Address, breaker_window: float = 2.0, *, protocol: ModuleType = meta) -> None:
        self._server = MemcachedServer(address, breaker_window, protocol=protocol)
        super().__init__(self._server.verbs(self._server.blocking_client()))

    @cached_property
    def asynchronous(self) -> MemcachedStore:
        """The same node for event loops."""
        return self._server.verbs(self._server.multiplexed_client())


def _is_sign_of_life(reply: Any, _key: str, _opaque: int) -> bool:
    return isinstance(reply, Reply) and reply.status == b"MN"


_SIGN_OF_LIFE = (_is_sign_of_life, "", 0)


def _numbers(reply: Reply, *letters: bytes) -> list[int]:
    """The numbers of some flags; without them the reply was garbled on the way, and says nothing."""
    arguments = {flag[:1]: flag[1:] for flag in reply.flags}
    digits = [arguments.get(letter, b"") for letter in letters]
    if not all(number.removeprefix(b"-").isdigit() for number in digits):
        raise BackendUnavailable("memcached's reply is garbled")
    return [int(number) for number in digits]


def _count(digits: bytes) -> int:
    return int(digits) if digits.isdigit() else 0
