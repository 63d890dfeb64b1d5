"""The replicated backend: each record on several nodes of a ring, so that the loss of any one loses nothing.

The protocol, once for both colours; the requests of one step go out side by side.

- A new record is added on the first ``replicas`` nodes that answer, walking past those that do not.
- A change is made on one node first, by compare-and-swap, and the others follow: two writers meet there.
- A read asks the owners side by side. Unless they agree, all other nodes are asked as well before anything is
  believed; then the newest copy is given to the owners that miss it, by ``add`` and compare-and-swap, never blindly.
- An end leaves a tombstone on every node. For a node that did not hear of it, it is kept, and sent before the node
  is asked anything else.
- "There is nothing" needs a node that would know; else the answer is "cannot say".

Why a late write does no harm: ``add`` fails on any item, a compare-and-swap after any change, and a tombstone absorbs
whatever comes after it.
"""

import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar

from sharedsession.backends.base import AsyncBackend, Ended, Stored, Version
from sharedsession.backends.ring.backlog import Backlog
from sharedsession.backends.ring.hashring import HashRing
from sharedsession.backends.ring.survey import SILENCE, Revision, Said, Silence, Survey, Tokens
from sharedsession.errors import BackendUnavailable
from sharedsession.observe import Observer

T = TypeVar("T")

_MARK = b"."  # a tombstone is never empty: a node would take an empty note for leave to delete
_REPAIR_TTL = 60.0  # for a copy of unknown remaining life; the next renewal sets it right


class Gather(Protocol):
    """Runs coroutines that never raise side by side."""

    async def __call__(self, coroutines: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
        """Their results, in order."""
        ...


@dataclass(eq=False)
class Member:
    """A node of the ring, in one colour.

    Attributes:
        verbs: of the node.
        is_askable: whether a request would be sent to it now.
        knows: whether it has been up, and has not forgotten anything, for so many seconds.
        backlog: the tombstones that it did not hear of.
    """

    verbs: AsyncBackend
    is_askable: Callable[[], bool]
    knows: Callable[[float], bool]
    backlog: Backlog = field(default_factory=Backlog)


class RingVerbs:
    """The verbs over a ring of nodes.

    Args:
        ring: where keys live.
        members: the nodes, in the order of the ring's places.
        replicas: on how many nodes a record is kept.
        gather: of the colour of the members.
        observer: told of repairs and of copies that could not be written.
    """

    def __init__(
        self, ring: HashRing, members: Sequence[Member], replicas: int, gather: Gather, observer: Observer
    ) -> None:
        self._ring = ring
        self._members = members
        self._replicas = min(replicas, len(members))
        self._gather = gather
        self._observer = observer
        self.max_value = min(member.verbs.max_value for member in members)

    # -- read

    async def get(self, key: str, touch: float | None, within: float) -> Stored | Ended | None:
        """Same as `Backend.get`."""
        return await self.get_newest(key, touch, within, lambda _value: 0)

    async def get_newest(
        self, key: str, touch: float | None, within: float, revision: Revision
    ) -> Stored | Ended | None:
        """Same as `Backend.get`, by one who can tell genuine copies and their age.

        Args:
            key: the store key.
            touch: the new time to live in seconds, or ``None``.
            within: seconds to wait for one step; there may be two.
            revision: opens a copy.
        """
        order = self._ring.order(key)
        owners = order[: self._replicas]
        survey = Survey(revision)
        asked = self._askable(order)[: self._replicas]
        await self._ask(survey, asked, key, touch, within)
        if survey.agrees(owners):
            return self._found(survey)
        await self._widen(survey, order, key, within)
        return await self._conclude(survey, order, key, touch, within)

    async def _ask(self, survey: Survey, nodes: Sequence[int], key: str, touch: float | None, within: float) -> None:
        asks = [self._try(node, lambda verbs: verbs.get(key, touch, within), within) for node in nodes]
        survey.add(nodes, await self._gather(asks))

    async def _widen(self, survey: Survey, order: Sequence[int], key: str, within: float) -> None:
        self._observer.count("reads_widened")
        others = [node for node in order if node not in survey.said]
        askable = [node for node in others if self._members[node].is_askable()]
        survey.add(others, [SILENCE] * len(others))
        await self._ask(survey, askable, key, None, within)

    async def _conclude(
        self, survey: Survey, order: Sequence[int], key: str, touch: float | None, within: float
    ) -> Stored | Ended | None:
        ended = survey.tombstone
        if ended is not None:
            await self._spread(survey.holding(), key, ended, touch, within)
            return Ended(ended.note.removeprefix(_MARK))
        if survey.best is not None:
            await self._repair(survey, order, key, touch, within)
            return self._found(survey)
        return self._nothing(survey, order, touch)

    def _found(self, survey: Survey) -> Stored:
        best = survey.best or survey.damaged
        assert best is not None  # noqa: S101
        return Stored(best.value, survey.tokens(), best.ttl, survey.siblings)

    def _nothing(self, survey: Survey, order: Sequence[int], touch: float | None) -> Stored | None:
        """No copy opens and no tombstone was seen: is that certain?"""
        if survey.has_silence():
            owners = [node for node in survey.missing() if node in order[: self._replicas]]
            if survey.damaged or not any(self._members[node].knows(touch or _REPAIR_TTL) for node in owners):
                raise BackendUnavailable("a node that may hold the session does not answer")
        return self._found(survey) if survey.damaged else None

    async def _spread(self, nodes: Sequence[int], key: str, ended: Ended, touch: float | None, within: float) -> None:
        ttl = _remaining(ended.ttl, touch)
        self._observer.counters["tombstones_spread"] += len(nodes)
        await self._gather([self._bury(node, key, ended.note, ttl, within) for node in nodes])

    async def _repair(self, survey: Survey, order: Sequence[int], key: str, touch: float | None, within: float) -> None:
        """Gives the newest copy to the owners without it, and in the place of older ones."""
        best = survey.best
        assert best is not None  # noqa: S101
        # A copy of a copy must not outlive the first: else two nodes whose seconds differ keep a dead one alive.
        ttl = touch if touch is not None else _remaining(best.ttl) - 1
        if ttl < 1:
            return
        owners = self._askable(order)[: self._replicas]
        missing = [node for node in survey.missing() if node in owners]
        tokens = survey.tokens().by_node
        repairs = [self._try(n, partial(_add, key, best.value, ttl, within), within) for n in missing]
        for node in survey.outdated():
            token = tokens[node]
            repairs.append(self._try(node, partial(_replace, key, best.value, ttl, token, within), within))
        versions = await self._gather(repairs)
        for node, version in zip([*missing, *survey.outdated()], versions, strict=True):
            if version is not None and not isinstance(version, Silence):
                survey.said[node] = Stored(best.value, version, ttl)
                self._observer.count("repairs")

    # -- write

    async def add(self, key: str, value: bytes, ttl: float, within: float) -> Version | None:
        """Same as `Backend.add`."""
        order = self._ring.order(key)
        stored: dict[int, Version | None] = {}
        refused = False
        left = self._askable(order)
        while left and len(stored) < self._replicas:
            asked, left = left[: self._replicas - len(stored)], left[self._replicas - len(stored) :]
            answers = await self._gather(
                [self._try(node, lambda verbs: verbs.add(key, value, ttl, within), within) for node in asked]
            )
            refused = refused or None in answers
            stored |= {
                n: v for n, v in zip(asked, answers, strict=True) if v is not None and not isinstance(v, Silence)
            }
        self._count_copies(len(stored), refused=refused)
        return Tokens(1, stored) if stored and not refused else None

    async def replace(self, key: str, value: bytes, ttl: float, version: Version, within: float) -> Version | None:
        """Same as `Backend.replace`."""
        return await self.replace_older(key, value, ttl, version, within, lambda _value: 0)

    async def replace_older(
        self, key: str, value: bytes, ttl: float, version: Version, within: float, revision: Revision
    ) -> Version | None:
        """Same as `Backend.replace`, by one who can tell genuine copies and their age."""
        assert isinstance(version, Tokens)  # noqa: S101
        write = _Write(self, key, value, ttl, version, within, revision)
        left = list(self._askable(self._ring.order(key)))
        while left and not write.stored:  # the first node that answers is where two writers meet
            if await write.on(left.pop(0)) is False:
                return None
        while left and len(write.stored) < self._replicas:
            wanted = self._replicas - len(write.stored)
            asked, left = left[:wanted], left[wanted:]
            if False in await self._gather([write.on(node) for node in asked]) and await write.is_alone():
                return None
        self._count_copies(len(write.stored))
        return Tokens(version.revision + 1, {**write.stored})

    def _count_copies(self, copies: int, *, refused: bool = False) -> None:
        if not copies and not refused:
            raise BackendUnavailable("no node of the ring answers")
        if copies < self._replicas and not refused:
            self._observer.event("too_few_copies", f"a session was stored on {copies} of {self._replicas} nodes")

    # -- end

    async def end(self, key: str, ttl: float, within: float, note: bytes = b"", note_ttl: float = 0.0) -> None:
        """Same as `Backend.end`: a tombstone on every node that the key could be looked for on."""
        del note_ttl
        order = self._ring.order(key)
        heard = await self._gather([self._bury(node, key, _MARK + note, ttl, within) for node in order])
        if not any(heard):
            raise BackendUnavailable("no node of the ring confirmed the end of the session")
        if not all(heard):
            self._observer.count("tombstones_waiting")

    async def _bury(self, node: int, key: str, note: bytes, ttl: float, within: float) -> bool:
        member = self._members[node]
        if member.is_askable():
            said = await self._try(node, lambda verbs: _done(verbs.end(key, ttl, within, note or _MARK, ttl)), within)
            if not isinstance(said, Silence):
                return True
        member.backlog.add(key, note, ttl, time.monotonic())
        return False

    async def touch(self, key: str, ttl: float, within: float) -> bool:
        """Same as `Backend.touch`."""
        return isinstance(await self.get(key, ttl, within), Stored)

    async def close(self) -> None:
        """Same as `Backend.close`."""
        for member in self._members:
            await member.verbs.close()

    def health(self) -> dict[str, Any]:
        """Same as `Backend.health`."""
        nodes = [
            {**member.verbs.health()["nodes"][0], "tombstones_waiting": len(member.backlog)} for member in self._members
        ]
        return {
            "kind": "ring",
            "replicas": self._replicas,
            "layout": self._ring.layout,
            "fingerprint": self._ring.fingerprint(),
            "counters": dict(self._observer.counters),
            "nodes": nodes,
        }

    # -- one node

    def _askable(self, order: Sequence[int]) -> list[int]:
        return [node for node in order if self._members[node].is_askable()]

    async def _try(
        self, node: int, verb: Callable[[AsyncBackend], Coroutine[Any, Any, T]], within: float
    ) -> "T | Silence":
        """Asks one node; a failure is an answer of its own kind. What it missed while it was away goes first."""
        member = self._members[node]
        try:
            for key, note, ttl in member.backlog.due(time.monotonic()):
                await member.verbs.end(key, ttl, within, note, ttl)
                member.backlog.done(key)
            return await verb(member.verbs)
        except BackendUnavailable:
            return SILENCE


class _Write:
    """One change on its way to several nodes."""

    def __init__(
        self,
        ring: RingVerbs,
        key: str,
        value: bytes,
        ttl: float,
        expected: Tokens,
        within: float,
        revision: Revision,
    ) -> None:
        self._ring = ring
        self._key = key
        self._value = value
        self._ttl = ttl
        self._expected = expected
        self._within = within
        self._revision = revision
        self.stored: dict[int, Version | None] = {}

    async def on(self, node: int) -> bool | None:
        """Brings one node up to date.

        Returns:
            Whether it is; ``False`` if another request was there before, ``None`` if the node gave no answer.
        """
        known = self._expected.by_node
        said: Said
        if node in known:
            version = await self._put(node, known[node])
            if version is not None:
                return self._noted(node, version)
            if not self.stored:
                return False
        said = await self._ring._try(node, lambda verbs: verbs.get(self._key, None, self._within), self._within)
        if isinstance(said, Silence) or said is None:
            return None if isinstance(said, Silence) else self._noted(node, await self._put(node, None))
        if isinstance(said, Ended) or not self._is_older(said):
            return isinstance(said, Stored) and said.value == self._value and self._noted(node, said.version)
        return self._noted(node, await self._put(node, said.version))

    async def is_alone(self) -> bool:
        """Whether the node where writers meet still has this change, and another node one that knows nothing of it.

        Else the change was overtaken by one that was made from it: it is part of what is stored now.
        """
        meeting = next(iter(self.stored))
        said = await self._ring._try(meeting, lambda verbs: verbs.get(self._key, None, self._within), self._within)
        return isinstance(said, Stored) and said.value == self._value

    def _is_older(self, copy: Stored) -> bool:
        """Whether a copy may be overwritten: it is one that this change was made from, an older one, or damaged."""
        number = self._revision(copy.value)
        return number is None or number <= self._expected.revision

    def _noted(self, node: int, version: "Version | Silence | None") -> bool | None:
        if isinstance(version, Silence):
            return None
        if version is None:
            return False
        self.stored[node] = version
        return True

    async def _put(self, node: int, token: Version | None) -> "Version | Silence | None":
        if token is None:
            verb = partial(_add, self._key, self._value, self._ttl, self._within)
        else:
            verb = partial(_replace, self._key, self._value, self._ttl, token, self._within)
        return await self._ring._try(node, verb, self._within)


async def _add(key: str, value: bytes, ttl: float, within: float, verbs: AsyncBackend) -> Version | None:
    return await verbs.add(key, value, ttl, within)


async def _replace(
    key: str, value: bytes, ttl: float, token: Version, within: float, verbs: AsyncBackend
) -> Version | None:
    return await verbs.replace(key, value, ttl, token, within)


def _remaining(*lives: float | None) -> float:
    """The first time to live that is known."""
    return next((life for life in lives if life is not None), _REPAIR_TTL)


async def _done(step: Coroutine[Any, Any, None]) -> bool:
    await step
    return True
