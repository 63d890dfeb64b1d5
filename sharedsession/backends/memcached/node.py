"""One memcached as a backend. The verbs are written once, over a link of either colour.

A version is a CAS token with the mark of its connection: memcached numbers anew after a restart, so a token means
nothing on a connection that was opened after it was read.
"""

import itertools
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from sharedsession._drive import Lowered
from sharedsession.backends.base import Ended, Stored, Version
from sharedsession.backends.memcached import protocol
from sharedsession.backends.memcached.protocol import MetaParser, Reply
from sharedsession.backends.wire.blocking import BlockingLink
from sharedsession.backends.wire.dialect import Address, Dialect, StaleMark
from sharedsession.backends.wire.guard import Guard
from sharedsession.backends.wire.link import Link
from sharedsession.errors import BackendError, BackendUnavailable, ConfigurationError

_DIALECT = Dialect(parser=MetaParser)


class _Token(NamedTuple):
    cas: int
    mark: int


class MemcachedVerbs:
    """The verbs over a link; of the link's colour.

    Args:
        link: to the node.
        guard: of the node.
    """

    max_value = protocol.MAX_VALUE

    def __init__(self, link: Link, guard: Guard) -> None:
        self._link = link
        self._guard = guard
        self._opaques = itertools.count(1)

    async def get(self, key: str, touch: float | None, within: float) -> Stored | Ended | None:
        """Same as `Backend.get`."""
        reply, mark = await self._ask(lambda opaque: protocol.get(key, touch, opaque), within)
        if reply.status == b"EN":
            return None
        _expect(reply, b"VA")
        if int(reply.flag(b"f") or 0) & protocol.TOMBSTONE:
            return Ended(reply.value)
        return Stored(reply.value, _Token(int(reply.flag(b"c") or 0), mark))

    async def add(self, key: str, value: bytes, ttl: float, within: float) -> Version | None:
        """Same as `Backend.add`."""
        reply, mark = await self._ask(lambda opaque: protocol.add(key, value, ttl, opaque), within)
        return self._stored(reply, mark, b"NS")

    async def replace(self, key: str, value: bytes, ttl: float, version: Version, within: float) -> Version | None:
        """Same as `Backend.replace`."""
        assert isinstance(version, _Token)  # noqa: S101
        cas = version.cas
        try:
            reply, mark = await self._ask(
                lambda opaque: protocol.replace(key, value, ttl, cas, opaque), within, version.mark
            )
        except StaleMark:
            return None
        return self._stored(reply, mark, b"EX", b"NF")

    async def end(self, key: str, ttl: float, within: float, note: bytes = b"", note_ttl: float = 0.0) -> None:
        """Same as `Backend.end`. A note that finds no memory gives way to the deletion."""
        del ttl
        if note:
            reply, _ = await self._ask(lambda opaque: protocol.bury(key, note, note_ttl, opaque), within)
            if reply.status == b"HD":
                return
        reply, _ = await self._ask(lambda opaque: protocol.delete(key, opaque), within)
        if reply.status != b"NF":
            _expect(reply, b"HD")

    async def touch(self, key: str, ttl: float, within: float) -> bool:
        """Same as `Backend.touch`."""
        return isinstance(await self.get(key, ttl, within), Stored)

    async def close(self) -> None:
        """Same as `Backend.close`."""
        self._link.close()

    def health(self) -> dict[str, Any]:
        """Same as `Backend.health`."""
        return {"kind": "memcached", "nodes": [self._guard.facts()]}

    async def _ask(self, request: Callable[[int], bytes], within: float, mark: int | None = None) -> tuple[Reply, int]:
        opaque = next(self._opaques)
        echoed = b"%d" % opaque
        answer = await self._link.ask(
            request(opaque),
            within,
            check=lambda reply: reply.is_error or reply.flag(b"O") == echoed,
            mark=mark,
        )
        return answer.reply, answer.mark

    @staticmethod
    def _stored(reply: Reply, mark: int, *refusals: bytes) -> Version | None:
        if reply.status in refusals:
            return None
        _expect(reply, b"HD")
        return _Token(int(reply.flag(b"c") or 0), mark)


class MemcachedBackend(Lowered):
    """One memcached, in both colours.

    Args:
        address: of the node.
        breaker_window: seconds for which a failed node is left alone.
    """

    def __init__(self, address: Address, breaker_window: float = 2.0) -> None:
        self._guard = Guard(address, breaker_window)
        super().__init__(MemcachedVerbs(BlockingLink(_DIALECT, self._guard), self._guard))

    @cached_property
    def asynchronous(self) -> MemcachedVerbs:
        """The same node for event loops."""
        from sharedsession.backends.wire.multiplexed import MultiplexedLink  # noqa: PLC0415

        return MemcachedVerbs(MultiplexedLink(_DIALECT, self._guard), self._guard)


def from_url(url: str, breaker_window: float = 2.0) -> MemcachedBackend:
    """Makes the backend of ``memcached://host:11211``."""
    parts = urlsplit(url)
    if "," in parts.netloc or "=" in parts.netloc:
        raise ConfigurationError("backend memcached:// with several nodes (a ring) is not part of this release yet")
    if parts.username or parts.password:
        raise ConfigurationError("backend memcached:// with a user name is not part of this release yet")
    if parse_qs(parts.query).get("protocol") == ["text"]:
        raise ConfigurationError("backend memcached:// with protocol=text is not part of this release yet")
    if parts.query or parts.fragment or parts.path not in {"", "/"} or not parts.hostname:
        raise ConfigurationError("backend memcached:// takes a host and a port, like 'memcached://10.0.0.1:11211'")
    return MemcachedBackend(Address(host=parts.hostname, port=_port(url)), breaker_window)


def _port(url: str) -> int:
    try:
        return urlsplit(url).port or 11211
    except ValueError:
        raise ConfigurationError("backend memcached:// has a port that is not a number from 1 to 65535") from None


def _expect(reply: Reply, status: bytes) -> None:
    """Anything but what was expected means "cannot answer"; it is never taken for an absence."""
    if reply.status == status:
        return
    words = b" ".join([reply.status, *reply.flags]).decode("latin-1")[:80]
    if reply.is_error and "too large" in words:
        raise BackendError(f"memcached refused an item as too large ({words}): lower max_size, or raise its -I")
    raise BackendUnavailable(f"memcached answered {words!r}")
