"""One change of a record on its way to several nodes: by compare-and-swap, or ``add`` where there is no copy."""

import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from sharedsession.backends.base import AsyncBackend, Ended, Stored, Version
from sharedsession.backends.ring.node import RingNode
from sharedsession.backends.ring.read_result import Revision, NodeReply, NoAnswer, Tokens


class ReplicatedWrite:
    """One change.

    Args:
        members: the nodes.
        key: of the record.
        value: the new one.
        ttl: its time to live in seconds.
        expected: what each node held when the record was read.
        timeout: seconds to wait for one request; the whole change takes twice that at most.
        revision: opens a copy and tells its number.
        includes: tells whether another's copy was made from this change.

    Attributes:
        stored: the nodes that have it, with their own versions; the first is where writers meet.
    """

    def __init__(
        self,
        members: Sequence[RingNode],
        key: str,
        value: bytes,
        ttl: float,
        expected: Tokens,
        timeout: float,
        revision: Revision,
        includes: Callable[[bytes], bool],
    ) -> None:
        self._members = members
        self._key = key
        self._value = value
        self._ttl = ttl
        self._known = expected.by_node
        self._within = timeout
        self._deadline = time.monotonic() + 2 * timeout
        self._revision = revision
        self._includes = includes
        self.stored: dict[int, Version | None] = {}

    async def on(self, node: int) -> bool | None:
        """Brings one node up to date.

        Returns:
            Whether it is; ``False`` if another request was there before, ``None`` if the node gave no answer.
        """
        if time.monotonic() >= self._deadline:
            return None
        if node in self._known:
            version = await self._put(node, self._known[node])
            if version is not None:
                return self._noted(node, version)
            if not self.stored:
                return False
        said = await self._ask(node)
        if isinstance(said, NoAnswer) or said is None:
            return None if isinstance(said, NoAnswer) else self._noted(node, await self._put(node, None))
        if isinstance(said, Ended) or not self._is_older(said):
            return isinstance(said, Stored) and self._is_in(said) and self._noted(node, said.version)
        return self._noted(node, await self._put(node, said.version))

    def _is_older(self, copy: Stored) -> bool:
        """Whether a copy may be overwritten: it is older than this change, or damaged."""
        number, ours = self._revision(copy.value), self._revision(self._value)
        return number is None or ours is None or number < ours

    def _is_in(self, copy: Stored) -> bool:
        """Whether a copy is this change, or was made from it by others, who met it on the first node."""
        return copy.value == self._value or (bool(self.stored) and self._includes(copy.value))

    def _noted(self, node: int, version: "Version | NoAnswer | None") -> bool | None:
        if isinstance(version, NoAnswer):
            return None
        if version is None:
            return False
        self.stored[node] = version
        return True

    def _ask(self, node: int) -> Coroutine[Any, Any, NodeReply]:
        return self._members[node].ask(partial(get_copy, self._key, None, self._within), self._within)

    def _put(self, node: int, token: Version | None) -> "Coroutine[Any, Any, Version | NoAnswer | None]":
        if token is None:
            verb = partial(add_copy, self._key, self._value, self._ttl, self._within)
        else:
            verb = partial(replace_copy, self._key, self._value, self._ttl, token, self._within)
        return self._members[node].ask(verb, self._within)


def get_copy(
    key: str, touch: float | None, timeout: float, verbs: AsyncBackend
) -> Coroutine[Any, Any, Stored | Ended | None]:
    """Asks a node for its copy, and renews it or leaves its life as it is."""
    return verbs.get(key, touch, timeout)


def add_copy(
    key: str, value: bytes, ttl: float, timeout: float, verbs: AsyncBackend
) -> Coroutine[Any, Any, Version | None]:
    """Gives a copy to a node that has none."""
    return verbs.add(key, value, ttl, timeout)


def replace_copy(
    key: str, value: bytes, ttl: float, token: Version, timeout: float, verbs: AsyncBackend
) -> Coroutine[Any, Any, Version | None]:
    """Gives a copy to a node in the place of the one that the token stands for."""
    return verbs.replace(key, value, ttl, token, timeout)
