"""One node of a ring, in one colour: whether to ask it, and what to send it first."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from sharedsession.backends.base import AsyncBackend, Ended, Read, Stored, Version
from sharedsession.backends.ring.hints import Hints
from sharedsession.backends.ring.read_result import NO_ANSWER, NoAnswer, NodeReply
from sharedsession.backends.tombstone import KeyState, has_note, is_tombstone
from sharedsession.errors import BackendUnavailable

T = TypeVar("T")

_REPLAY = 0.1  # of the timeout, for tombstones that the node missed
_PING = 0.1  # of the timeout


class NodeStore(AsyncBackend, Protocol):
    """What a ring needs of a node beyond a backend's operations. `Ended.note` holds the tombstone as it is kept."""

    def get_many(self, reads: Sequence[Read], timeout: float) -> Awaitable[list[Stored | Ended | None]]:
        """Same as `BatchingBackend.get_many`."""
        ...

    async def write_tombstones(
        self, keys: Sequence[str], tombstone: bytes, ttl: float, timeout: float
    ) -> list[Stored | Ended | None]:
        """Puts a tombstone under each key, whatever it holds, in one round trip.

        Args:
            keys: the store keys.
            tombstone: the bytes that `Ended` holds afterwards.
            ttl: seconds for which it is kept.
            timeout: seconds to wait at most.

        Returns:
            What each key held before.

        Raises:
            BackendUnavailable: the node cannot be asked.
        """
        ...

    async def supersede_copy(
        self, key: str, tombstone: bytes, ttl: float, timeout: float, version: Version | None
    ) -> KeyState:
        """Puts a tombstone with a note under a key, unless it holds a tombstone.

        Args:
            key: the store key.
            tombstone: the bytes that `Ended` holds afterwards.
            ttl: seconds for which it is kept.
            timeout: seconds to wait at most.
            version: of the copy, as far as known; ``None``: there was none.

        Returns:
            What the key held.

        Raises:
            BackendUnavailable: the node cannot be asked.
        """
        ...

    async def ping(self, timeout: float) -> None:
        """Asks for a sign of life, even if the node is skipped. An answer ends that.

        Raises:
            BackendUnavailable: no answer within ``timeout`` seconds.
        """
        ...


class BreakerState(Protocol):
    """What is known of a node before it is asked; see `NodeGuard`."""

    @property
    def is_calm(self) -> bool:
        """Whether the node is up and was not slow just now."""
        ...


@dataclass(eq=False, slots=True)
class RingNode:
    """A node of the ring.

    Attributes:
        store: the operations of the node.
        guard: tells whether the node is calm.
        is_askable: returns whether a request would be sent to it now.
        knows: returns whether it has been up, and so has forgotten nothing, for so many seconds.
        hints: the tombstones that it missed.
        monotonic: the clock.
    """

    store: NodeStore
    guard: BreakerState
    is_askable: Callable[[], bool]
    knows: Callable[[float], bool]
    hints: Hints
    monotonic: Callable[[], float]

    async def ask(self, operation: Callable[[NodeStore], Awaitable[T]], timeout: float) -> "T | NoAnswer":
        """Asks the node; sends tombstones that it missed first.

        Args:
            operation: calls a method of the store.
            timeout: seconds to wait for each request; 0: it is not asked.

        Returns:
            What the operation returns; `NO_ANSWER` if the node cannot be asked, or its reply was damaged.
        """
        if not timeout:
            return NO_ANSWER
        try:
            if self.hints.waiting:
                await self._replay_hints(timeout)
            reply = await operation(self.store)
        except BackendUnavailable:
            return NO_ANSWER
        return NO_ANSWER if isinstance(reply, Ended) and not is_tombstone(reply.note) else reply

    async def ask_many(self, reads: Sequence[Read], timeout: float) -> list[NodeReply]:
        """Same as `ask` for several reads, in one round trip."""
        found = await self.ask(lambda store: store.get_many(reads, timeout), timeout)
        return [NO_ANSWER] * len(reads) if isinstance(found, NoAnswer) else as_replies(found, len(reads))

    async def _replay_hints(self, timeout: float) -> None:
        """Sends some of what the node missed: a request is delayed by a tenth of its timeout at most."""
        started = self.monotonic()
        for key, tombstone, ttl in self.hints.due(started):
            if has_note(tombstone):  # a plain one may have come since, and stays
                await self.store.supersede_copy(key, tombstone, ttl, timeout, None)
            else:
                await self.store.write_tombstones([key], tombstone, ttl, timeout)
            self.hints.done(key)
            if self.monotonic() - started > timeout * _REPLAY:
                return

    async def ping(self, timeout: float) -> bool:
        """Returns whether the node can be asked. One that is skipped is pinged, for a tenth of the timeout.

        It may be back, and other web nodes may have noticed before this one.

        Args:
            timeout: seconds; 0 for no ping.
        """
        if self.is_askable() or not timeout:
            return self.is_askable()
        try:
            await self.store.ping(timeout * _PING)
        except BackendUnavailable:
            return False
        return True

    async def write_tombstones(
        self, keys: Sequence[str], tombstone: bytes, ttl: float, timeout: float
    ) -> "list[Stored | Ended | None] | NoAnswer":
        """Puts a tombstone under each key, now or as soon as the node can be asked again.

        Args:
            keys: the store keys.
            tombstone: its bytes.
            ttl: seconds for which it is kept.
            timeout: seconds to wait; 0: only later.

        Returns:
            What each key held; `NO_ANSWER` if the node has not confirmed it.
        """
        held: list[Stored | Ended | None] | NoAnswer = NO_ANSWER
        if timeout and await self.ping(timeout):
            held = await self.ask(lambda store: store.write_tombstones(keys, tombstone, ttl, timeout), timeout)
        if isinstance(held, NoAnswer):
            for key in keys:
                self.hints.add(key, tombstone, ttl, self.monotonic())
        return held

    async def supersede(
        self, key: str, tombstone: bytes, ttl: float, timeout: float, version: Version | None
    ) -> "KeyState | NoAnswer":
        """Puts a tombstone with a note under a key, now or as soon as the node can be asked again.

        Args:
            key: the store key.
            tombstone: its bytes.
            ttl: seconds for which it is kept.
            timeout: seconds to wait; 0: only later.
            version: of the node's copy; ``None``: it had none.

        Returns:
            What the key held; `NO_ANSWER` if the node has not confirmed it.
        """
        held: KeyState | NoAnswer = NO_ANSWER
        if timeout and await self.ping(timeout):
            held = await self.ask(lambda store: store.supersede_copy(key, tombstone, ttl, timeout, version), timeout)
        if isinstance(held, NoAnswer):
            self.hints.add(key, tombstone, ttl, self.monotonic())
        return held

    def health(self) -> dict[str, Any]:
        """Returns the node's entry of `Facts.health`, with the number of tombstones that it missed."""
        return {**self.store.health()["nodes"][0], "tombstones_waiting": len(self.hints)}


def as_reply(found: Stored | Ended | BackendUnavailable | None) -> NodeReply:
    """Returns what a node answered to a read; `NO_ANSWER` if it did not, or its reply was damaged."""
    if isinstance(found, BackendUnavailable) or (isinstance(found, Ended) and not is_tombstone(found.note)):
        return NO_ANSWER
    return found


def as_replies(found: Sequence[Stored | Ended | None] | BackendUnavailable, count: int) -> list[NodeReply]:
    """Same as `as_reply` for several reads that travelled together."""
    return [NO_ANSWER] * count if isinstance(found, BackendUnavailable) else [as_reply(each) for each in found]
