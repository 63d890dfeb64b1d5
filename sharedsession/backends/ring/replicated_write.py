"""A change of one record on several nodes: by compare-and-swap, or by ``add`` where there is no copy.

It begins at one node that held a copy when it was read; two writers meet there. Then each further node is brought so
far that its copy includes the change. A copy that the change was made from is replaced. A copy that was made from the
change counts as it is, and is what the nodes still behind are given: so writers that confirm the same change do not
disturb each other. A copy of which neither is true is another web node's change: then this one is refused, and the
caller merges the two.
"""

from collections.abc import Awaitable, Coroutine, Sequence
from functools import partial
from typing import Any

from sharedsession.backends.base import AsyncBackend, Ended, Judge, Stored, Version
from sharedsession.backends.ring.node import RingNode
from sharedsession.backends.ring.read_result import Changed, NoAnswer, NodeReply, Tokens
from sharedsession.backends.wire.deadline import Deadline

_ATTEMPTS = 8  # at one node; it changes at each of them, so the whole change has met many others


class ReplicatedWrite:
    """A change of one record.

    Args:
        nodes: the nodes of the ring.
        key: the store key.
        value: the new bytes.
        ttl: their time to live in seconds.
        expected: what each node held when the record was read.
        deadline: of all steps.
        judge: knows what is inside of the copies.
        stored: the nodes that have the change already.

    Attributes:
        stored: the nodes whose copy includes the change, with their own versions.
    """

    def __init__(
        self,
        nodes: Sequence[RingNode],
        key: str,
        value: bytes,
        ttl: float,
        expected: Tokens,
        deadline: Deadline,
        judge: Judge,
        stored: dict[int, Version | None],
    ) -> None:
        self._nodes = nodes
        self._key = key
        self._value = value
        self._newest = value  # what the nodes behind are given: it includes the change
        self._ttl = ttl
        self._known = expected.by_node
        self._changed = expected.changed
        self._deadline = deadline
        self._judge = judge
        self.stored = stored

    def has_changed(self, node: int) -> bool:
        """Returns whether a node has changed after the record was read."""
        return node in self._changed

    def may_begin_at(self, node: int) -> bool:
        """Returns whether a node held a copy when the record was read."""
        return self._known.get(node) is not None

    async def begin_at(self, node: int) -> bool | None:
        """Changes the first node.

        Returns:
            Whether it has the change; ``False`` if its copy is no longer the one that was read, ``None`` if it gave no
            answer.
        """
        version = await self._put(node, self._known[node])
        return self._noted(node, version)

    async def bring_to(self, node: int) -> bool | None:
        """Brings a further node so far that its copy includes the change.

        Returns:
            Whether it does; ``False`` if the node has another web node's change or a tombstone, ``None`` if it gave no
            answer.
        """
        if node in self._known:
            result = self._noted(node, await self._put(node, self._known[node]))
            if result is not False:
                return result
        for _ in range(_ATTEMPTS):
            reply = await self._read(node)
            result = await self._bring_from(node, reply)
            if result is not False or not self._may_follow(reply):
                return result
        return False

    async def _bring_from(self, node: int, reply: NodeReply) -> bool | None:
        """Does what the node's reply asks for; ``False`` if the node has changed since, or refuses."""
        if isinstance(reply, NoAnswer | Changed):
            return None
        if reply is None:
            return self._noted(node, await self._put(node, None))
        if isinstance(reply, Ended):
            return False
        if self._judge.includes(reply.value, self._value):
            self._newest = reply.value
            self.stored[node] = reply.version
            return True
        return self._noted(node, await self._put(node, reply.version)) if self._may_follow(reply) else False

    def _may_follow(self, reply: NodeReply) -> bool:
        """Returns whether the change may take the place of what a node holds."""
        if isinstance(reply, Stored):
            return not self._judge.is_genuine(reply.value) or self._judge.replaces(self._newest, reply.value)
        return reply is None

    def _noted(self, node: int, version: "Version | NoAnswer | None") -> bool | None:
        if isinstance(version, NoAnswer):
            return None
        if version is None:
            return False
        self.stored[node] = version
        return True

    def _read(self, node: int) -> Coroutine[Any, Any, NodeReply]:
        timeout = self._deadline.left()
        return self._nodes[node].ask(partial(get_copy, self._key, None, timeout), timeout)

    def _put(self, node: int, token: Version | None) -> "Coroutine[Any, Any, Version | NoAnswer | None]":
        timeout = self._deadline.left()
        if token is None:
            write = partial(add_copy, self._key, self._newest, self._ttl, timeout)
        else:
            write = partial(replace_copy, self._key, self._newest, self._ttl, token, timeout)
        return self._nodes[node].ask(write, timeout)


def get_copy(key: str, touch: float | None, timeout: float, store: AsyncBackend) -> Awaitable[Stored | Ended | None]:
    """Reads a node's copy and renews it; with ``None`` its life stays as it is."""
    return store.get(key, touch, timeout)


def add_copy(key: str, value: bytes, ttl: float, timeout: float, store: AsyncBackend) -> Awaitable[Version | None]:
    """Gives a copy to a node that has none."""
    return store.add(key, value, ttl, timeout)


def replace_copy(
    key: str, value: bytes, ttl: float, token: Version, timeout: float, store: AsyncBackend
) -> Awaitable[Version | None]:
    """Replaces the copy of a node that the token stands for."""
    return store.replace(key, value, ttl, token, timeout)
