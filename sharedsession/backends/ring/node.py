"""One node of a ring, in one colour: whom to ask, and what it must hear first."""

import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from sharedsession.backends.base import AsyncBackend, Ended, Version
from sharedsession.backends.ring.hints import Hints
from sharedsession.backends.ring.read_result import NO_ANSWER, NoAnswer
from sharedsession.backends.ring.tombstone import is_tombstone
from sharedsession.errors import BackendUnavailable

T = TypeVar("T")

_CATCH_UP = 0.1  # of the time there is
_BRIEFLY = 0.1


class NodeStore(AsyncBackend, Protocol):
    """What a ring needs of a node beyond the verbs."""

    async def ping(self, timeout: float) -> None:
        """Asks for a sign of life, even of a node that is left alone; if it gives one, it is asked as before."""
        ...

    async def write_tombstone_if(self, key: str, note: bytes, ttl: float, version: Version, timeout: float) -> bool:
        """Leaves a tombstone if the record is still the one that the version stands for."""
        ...


class Gather(Protocol):
    """Runs coroutines that never raise side by side."""

    async def __call__(self, coroutines: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
        """Their results, in order."""
        ...


@dataclass(eq=False, slots=True)
class RingNode:
    """A node of the ring.

    Attributes:
        verbs: of the node.
        is_askable: whether a request would be sent to it now.
        knows: whether it has been up, and so has forgotten nothing, for so many seconds.
        hints: the tombstones that it did not hear of.
    """

    verbs: NodeStore
    is_askable: Callable[[], bool]
    knows: Callable[[float], bool]
    hints: Hints

    async def ask(self, verb: Callable[[AsyncBackend], Coroutine[Any, Any, T]], timeout: float) -> "T | NoAnswer":
        """Asks the node; no answer is an answer of its own kind. What it missed while it was away goes first.

        Args:
            verb: what to ask.
            timeout: seconds to wait for each request.
        """
        try:
            if self.hints.waiting:
                await self._catch_up(timeout)
            said = await verb(self.verbs)
        except BackendUnavailable:
            return NO_ANSWER
        return NO_ANSWER if isinstance(said, Ended) and not is_tombstone(said.note) else said

    async def _catch_up(self, timeout: float) -> None:
        """Sends some of what the node missed; a visitor's request waits for it no longer than is hardly noticed."""
        started = time.monotonic()
        for key, note, ttl in self.hints.due(started):
            await self.verbs.end(key, ttl, timeout, note, ttl)
            self.hints.done(key)
            if time.monotonic() - started > timeout * _CATCH_UP:
                return

    async def ping(self, timeout: float) -> bool:
        """Whether the node can be asked; one that is left alone is asked for a sign of life, briefly.

        It may be back, and other web nodes may have noticed before this one.
        """
        if self.is_askable() or not timeout:
            return self.is_askable()
        try:
            await self.verbs.ping(timeout * _BRIEFLY)
        except BackendUnavailable:
            return False
        return True

    async def write_tombstone(self, key: str, tombstone: bytes, ttl: float, timeout: float, version: Version | None = None) -> bool:
        """Leaves a tombstone, now or as soon as the node can be asked again.

        Args:
            key: of the record.
            tombstone: the tombstone.
            ttl: for how long it matters, in seconds.
            timeout: seconds to wait.
            version: what the node held; if given, nothing is done if that has changed.

        Returns:
            Whether the node has confirmed it: ``False`` if it could not be asked, or has refused.
        """

        async def end(verbs: AsyncBackend) -> bool:
            if version is not None:
                return await self.verbs.write_tombstone_if(key, tombstone, ttl, version, timeout)
            await verbs.end(key, ttl, timeout, tombstone, ttl)
            return True

        confirmed = await self.ask(end, timeout) if timeout and await self.ping(timeout) else NO_ANSWER
        if isinstance(confirmed, NoAnswer):
            self.hints.add(key, tombstone, ttl, time.monotonic())
        return confirmed is True

    def health(self) -> dict[str, Any]:
        """Of this node, as `Backend.health` has it, with what it has not heard yet."""
        return {**self.verbs.health()["nodes"][0], "tombstones_waiting": len(self.hints)}
