"""One node of a ring, in one colour: whether to ask it, and what to send it first."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from sharedsession.backends.base import AsyncBackend, Ended, Version
from sharedsession.backends.ring.hints import Hints
from sharedsession.backends.ring.read_result import NO_ANSWER, NoAnswer
from sharedsession.backends.ring.tombstone import is_tombstone
from sharedsession.errors import BackendUnavailable

T = TypeVar("T")

_REPLAY = 0.1  # of the timeout, for tombstones that the node missed
_PING = 0.1  # of the timeout


class NodeStore(AsyncBackend, Protocol):
    """What a ring needs of a node beyond a backend's operations."""

    async def write_tombstone(
        self, key: str, tombstone: bytes, ttl: float, timeout: float, version: Version | None = None
    ) -> bool:
        """Replaces a record by a tombstone.

        Args:
            key: the store key.
            tombstone: the bytes that `Ended` holds afterwards.
            ttl: seconds for which it is kept.
            timeout: seconds to wait at most.
            version: of the record as it was read; ``None``: whatever the key holds.

        Returns:
            Whether the record is gone: ``False`` if it is no longer of the given version.

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


@dataclass(eq=False, slots=True)
class RingNode:
    """A node of the ring.

    Attributes:
        store: the operations of the node.
        is_askable: returns whether a request would be sent to it now.
        knows: returns whether it has been up, and so has forgotten nothing, for so many seconds.
        hints: the tombstones that it missed.
        monotonic: the clock.
    """

    store: NodeStore
    is_askable: Callable[[], bool]
    knows: Callable[[float], bool]
    hints: Hints
    monotonic: Callable[[], float]

    async def ask(self, operation: Callable[[NodeStore], Coroutine[Any, Any, T]], timeout: float) -> "T | NoAnswer":
        """Asks the node; sends tombstones that it missed first.

        Args:
            operation: calls a method of the store.
            timeout: seconds to wait for each request.

        Returns:
            What the operation returns; `NO_ANSWER` if the node cannot be asked, or its reply was damaged.
        """
        try:
            if self.hints.waiting:
                await self._replay_hints(timeout)
            reply = await operation(self.store)
        except BackendUnavailable:
            return NO_ANSWER
        return NO_ANSWER if isinstance(reply, Ended) and not is_tombstone(reply.note) else reply

    async def _replay_hints(self, timeout: float) -> None:
        """Sends some of what the node missed: a request is delayed by a tenth of its timeout at most."""
        started = self.monotonic()
        for key, tombstone, ttl in self.hints.due(started):
            await self.store.write_tombstone(key, tombstone, ttl, timeout)
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

    async def write_tombstone(
        self, key: str, tombstone: bytes, ttl: float, timeout: float, version: Version | None = None
    ) -> bool:
        """Writes a tombstone, now or as soon as the node can be asked again.

        Args:
            key: the store key.
            tombstone: its bytes.
            ttl: seconds for which it is kept.
            timeout: seconds to wait; 0: only later.
            version: of the node's copy; the tombstone is not written if that has changed. ``None``: whatever it holds.

        Returns:
            Whether the node has confirmed it: ``False`` if it cannot be asked, or holds another version.
        """

        def write(store: NodeStore) -> Coroutine[Any, Any, bool]:
            return store.write_tombstone(key, tombstone, ttl, timeout, version)

        confirmed = await self.ask(write, timeout) if timeout and await self.ping(timeout) else NO_ANSWER
        if isinstance(confirmed, NoAnswer):
            self.hints.add(key, tombstone, ttl, self.monotonic())
            return False
        return confirmed

    def health(self) -> dict[str, Any]:
        """Returns the node's entry of `Facts.health`, with the number of tombstones that it missed."""
        return {**self.store.health()["nodes"][0], "tombstones_waiting": len(self.hints)}
