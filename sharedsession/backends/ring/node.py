"""One node of a ring, in one colour: whom to ask, and what it must hear first."""

import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from sharedsession.backends.base import AsyncBackend, Ended, Version
from sharedsession.backends.ring.hints import Backlog
from sharedsession.backends.ring.read_result import SILENCE, Silence
from sharedsession.backends.ring.tombstone import is_stone
from sharedsession.errors import BackendUnavailable

T = TypeVar("T")

_CATCH_UP = 0.1  # of the time there is
_BRIEFLY = 0.1


class RingNode(AsyncBackend, Protocol):
    """What a ring needs of a node beyond the verbs."""

    async def knock(self, within: float) -> None:
        """Asks for a sign of life, even of a node that is left alone; if it gives one, it is asked as before."""
        ...

    async def bury_if(self, key: str, note: bytes, ttl: float, version: Version, within: float) -> bool:
        """Leaves a tombstone if the record is still the one that the version stands for."""
        ...


class Gather(Protocol):
    """Runs coroutines that never raise side by side."""

    async def __call__(self, coroutines: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
        """Their results, in order."""
        ...


@dataclass(eq=False, slots=True)
class Member:
    """A node of the ring.

    Attributes:
        verbs: of the node.
        is_askable: whether a request would be sent to it now.
        knows: whether it has been up, and so has forgotten nothing, for so many seconds.
        backlog: the tombstones that it did not hear of.
    """

    verbs: RingNode
    is_askable: Callable[[], bool]
    knows: Callable[[float], bool]
    backlog: Backlog

    async def ask(self, verb: Callable[[AsyncBackend], Coroutine[Any, Any, T]], within: float) -> "T | Silence":
        """Asks the node; no answer is an answer of its own kind. What it missed while it was away goes first.

        Args:
            verb: what to ask.
            within: seconds to wait for each request.
        """
        try:
            if self.backlog.waiting:
                await self._catch_up(within)
            said = await verb(self.verbs)
        except BackendUnavailable:
            return SILENCE
        return SILENCE if isinstance(said, Ended) and not is_stone(said.note) else said

    async def _catch_up(self, within: float) -> None:
        """Sends some of what the node missed; a visitor's request waits for it no longer than is hardly noticed."""
        started = time.monotonic()
        for key, note, ttl in self.backlog.due(started):
            await self.verbs.end(key, ttl, within, note, ttl)
            self.backlog.done(key)
            if time.monotonic() - started > within * _CATCH_UP:
                return

    async def knock(self, within: float) -> bool:
        """Whether the node can be asked; one that is left alone is asked for a sign of life, briefly.

        It may be back, and other web nodes may have noticed before this one.
        """
        if self.is_askable() or not within:
            return self.is_askable()
        try:
            await self.verbs.knock(within * _BRIEFLY)
        except BackendUnavailable:
            return False
        return True

    async def bury(self, key: str, stone: bytes, ttl: float, within: float, version: Version | None = None) -> bool:
        """Leaves a tombstone, now or as soon as the node can be asked again.

        Args:
            key: of the record.
            stone: the tombstone.
            ttl: for how long it matters, in seconds.
            within: seconds to wait.
            version: what the node held; if given, nothing is done if that has changed.

        Returns:
            Whether the node has confirmed it: ``False`` if it could not be asked, or has refused.
        """

        async def end(verbs: AsyncBackend) -> bool:
            if version is not None:
                return await self.verbs.bury_if(key, stone, ttl, version, within)
            await verbs.end(key, ttl, within, stone, ttl)
            return True

        confirmed = await self.ask(end, within) if within and await self.knock(within) else SILENCE
        if isinstance(confirmed, Silence):
            self.backlog.add(key, stone, ttl, time.monotonic())
        return confirmed is True

    def health(self) -> dict[str, Any]:
        """Of this node, as `Backend.health` has it, with what it has not heard yet."""
        return {**self.verbs.health()["nodes"][0], "tombstones_waiting": len(self.backlog)}
