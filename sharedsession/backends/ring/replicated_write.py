"""A change of one record on several nodes: by compare-and-swap, or by ``add`` where there is no copy."""

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from sharedsession.backends.base import AsyncBackend, Ended, Revision, Stored, Version
from sharedsession.backends.ring.node import RingNode
from sharedsession.backends.ring.read_result import NoAnswer, NodeReply, Tokens


class ReplicatedWrite:
    """A change of one record.

    Args:
        nodes: the nodes of the ring.
        key: the store key.
        value: the new bytes.
        ttl: their time to live in seconds.
        expected: what each node held when the record was read.
        timeout: seconds to wait for one request; all of them may take twice that.
        revision: opens a copy and returns its number; ``None`` if it is not genuine.
        includes: returns whether another copy was made from this change.
        monotonic: the clock.

    Attributes:
        stored: the nodes that have it, with their own versions. Two writers meet on the first of them.
    """

    def __init__(
        self,
        nodes: Sequence[RingNode],
        key: str,
        value: bytes,
        ttl: float,
        expected: Tokens,
        timeout: float,
        revision: Revision,
        includes: Callable[[bytes], bool],
        monotonic: Callable[[], float],
    ) -> None:
        self._nodes = nodes
        self._key = key
        self._value = value
        self._ttl = ttl
        self._known = expected.by_node
        self._timeout = timeout
        self._monotonic = monotonic
        self._end = monotonic() + 2 * timeout
        self._revision = revision
        self._includes = includes
        self.stored: dict[int, Version | None] = {}

    async def write_to(self, node: int) -> bool | None:
        """Brings one node up to date.

        Returns:
            Whether it is; ``False`` if another request changed the record first, ``None`` if the node gave no answer.
        """
        if self._monotonic() >= self._end:
            return None
        if node in self._known:
            version = await self._put(node, self._known[node])
            if version is not None:
                return self._note(node, version)
            if not self.stored:
                return False
        reply = await self._read(node)
        if isinstance(reply, NoAnswer) or reply is None:
            return None if isinstance(reply, NoAnswer) else self._note(node, await self._put(node, None))
        if isinstance(reply, Ended) or not self._is_older(reply):
            return isinstance(reply, Stored) and self._is_in(reply) and self._note(node, reply.version)
        return self._note(node, await self._put(node, reply.version))

    def _is_older(self, copy: Stored) -> bool:
        """Returns whether a copy may be overwritten: it is older than this change, or damaged."""
        number, ours = self._revision(copy.value), self._revision(self._value)
        return number is None or ours is None or number < ours

    def _is_in(self, copy: Stored) -> bool:
        """Returns whether a copy is this change, or was made from it by a writer that met it on the first node."""
        return copy.value == self._value or (bool(self.stored) and self._includes(copy.value))

    def _note(self, node: int, version: "Version | NoAnswer | None") -> bool | None:
        if isinstance(version, NoAnswer):
            return None
        if version is None:
            return False
        self.stored[node] = version
        return True

    def _read(self, node: int) -> Coroutine[Any, Any, NodeReply]:
        return self._nodes[node].ask(partial(get_copy, self._key, None, self._timeout), self._timeout)

    def _put(self, node: int, token: Version | None) -> "Coroutine[Any, Any, Version | NoAnswer | None]":
        if token is None:
            write = partial(add_copy, self._key, self._value, self._ttl, self._timeout)
        else:
            write = partial(replace_copy, self._key, self._value, self._ttl, token, self._timeout)
        return self._nodes[node].ask(write, self._timeout)


def get_copy(
    key: str, touch: float | None, timeout: float, store: AsyncBackend
) -> Coroutine[Any, Any, Stored | Ended | None]:
    """Reads a node's copy and renews it; with ``None`` its life stays as it is."""
    return store.get(key, touch, timeout)


def add_copy(
    key: str, value: bytes, ttl: float, timeout: float, store: AsyncBackend
) -> Coroutine[Any, Any, Version | None]:
    """Gives a copy to a node that has none."""
    return store.add(key, value, ttl, timeout)


def replace_copy(
    key: str, value: bytes, ttl: float, token: Version, timeout: float, store: AsyncBackend
) -> Coroutine[Any, Any, Version | None]:
    """Replaces the copy of a node that the token stands for."""
    return store.replace(key, value, ttl, token, timeout)
