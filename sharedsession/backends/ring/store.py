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
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

from sharedsession.backends.base import Ended, Stored, Version
from sharedsession.backends.ring.hashring import HashRing
from sharedsession.backends.ring.node import Gather, RingNode, NodeStore
from sharedsession.backends.ring.read_result import NO_ANSWER, Revision, NodeReply, NoAnswer, ReadResult, Tokens
from sharedsession.backends.ring.replicated_end import ReplicatedEnd
from sharedsession.backends.ring.replicated_write import ReplicatedWrite, add_copy, get_copy, replace_copy
from sharedsession.backends.ring.tombstone import inscribed, note_on
from sharedsession.errors import BackendUnavailable
from sharedsession.observe import Observer

_REPAIR_TTL = 60.0  # for a copy of unknown remaining life; the next renewal sets it right


class RingStore:
    """The verbs over a ring of nodes.

    Args:
        ring: where keys live.
        members: the nodes, in the order of the ring's places.
        replicas: on how many nodes a record is kept.
        gather: of the colour of the members.
        observer: told of repairs and of copies that could not be written.
    """

    def __init__(
        self, ring: HashRing, members: Sequence[RingNode], replicas: int, gather: Gather, observer: Observer
    ) -> None:
        self._ring = ring
        self._members = members
        self._replicas = min(replicas, len(members))
        self._gather = gather
        self._observer = observer
        self._longest_idle = 0.0

    @property
    def max_value(self) -> int:
        """Same as `Facts.max_value`: what the smallest node takes."""
        return min([member.verbs.max_value for member in self._members])

    # -- read

    async def get(self, key: str, touch: float | None, timeout: float) -> Stored | Ended | None:
        """Same as `Backend.get`, by one who cannot tell which copy is the newest: where they differ, they stay so."""
        return await self._read(key, touch, timeout, lambda _value: 0, repairs=False)

    async def get_newest(
        self, key: str, touch: float | None, timeout: float, revision: Revision
    ) -> Stored | Ended | None:
        """Same as `ReplicatedBackend.get_newest`."""
        return await self._read(key, touch, timeout, revision, repairs=True)

    async def _read(
        self, key: str, touch: float | None, timeout: float, revision: Revision, *, repairs: bool
    ) -> Stored | Ended | None:
        order = self._ring.order(key)
        if touch is not None and touch > self._longest_idle:
            self._longest_idle = touch
        deadline = time.monotonic() + 2 * timeout
        result = ReadResult(revision)
        nodes = self._first_askable(order)
        result.add(nodes, await self._gather(self._asks(nodes, key, touch, timeout)))
        agreed = result.agreed(order[: self._replicas])
        if agreed is not None:
            return Stored(agreed.value, result.tokens(), agreed.ttl)
        await self._widen(result, order, key, _left(timeout, deadline))
        if len(order) > result.silent() >= self._replicas:  # a newer copy could be on none but the silent ones
            back = await self._ping(order, timeout)
            result.add(back, await self._gather(self._asks(back, key, None, _left(timeout, deadline))))
        if not repairs and result.tombstone is None and result.siblings:
            return self._found(result)
        return await self._conclude(result, order, key, touch, _left(timeout, deadline))

    def _asks(
        self, nodes: Iterable[int], key: str, touch: float | None, timeout: float
    ) -> list[Coroutine[Any, Any, NodeReply]]:
        verb = partial(get_copy, key, touch, timeout)
        return [self._members[node].ask(verb, timeout) for node in nodes]

    async def _widen(self, result: ReadResult, order: Sequence[int], key: str, timeout: float) -> None:
        self._observer.count("reads_widened")
        others = [node for node in order if node not in result.said]
        askable = list(self._askable(others)) if timeout else []
        result.add(others, [NO_ANSWER] * len(others))
        result.add(askable, await self._gather(self._asks(askable, key, None, timeout)))

    async def _ping(self, order: Sequence[int], timeout: float) -> list[int]:
        """The nodes that were left alone and turn out to be back."""
        left_alone = [node for node in order if not self._is_askable(node)]
        answers = await self._gather([self._members[node].ping(timeout) for node in left_alone])
        return [node for node, is_back in zip(left_alone, answers, strict=True) if is_back]

    async def _conclude(
        self, result: ReadResult, order: Sequence[int], key: str, touch: float | None, timeout: float
    ) -> Stored | Ended | None:
        ended = result.tombstone
        if ended is not None:
            await self._spread(result.holding(), key, ended, touch, timeout)
            return Ended(note_on(ended.note, ended.ttl))
        if result.best is not None:
            await self._repair(result, order, key, touch, timeout)
            return self._found(result)
        return self._nothing(result, order)

    def _found(self, result: ReadResult) -> Stored:
        best = result.best or result.damaged
        assert best is not None  # noqa: S101
        return Stored(best.value, result.tokens(), best.ttl, result.siblings)

    def _nothing(self, result: ReadResult, order: Sequence[int]) -> Stored | None:
        """No copy opens and no tombstone was seen: is that certain?"""
        if result.has_silence() and not self._would_know(result, order):
            raise BackendUnavailable("a node that may hold the session does not answer")
        return self._found(result) if result.damaged else None

    def _would_know(self, result: ReadResult, order: Sequence[int]) -> bool:
        """Whether an owner that says "nothing" has been up for longer than any session lives untouched."""
        if result.damaged or not self._longest_idle:
            return False
        owners = [node for node in result.missing() if node in order[: self._replicas]]
        return any(self._members[node].knows(self._longest_idle) for node in owners)

    async def _spread(self, nodes: Sequence[int], key: str, ended: Ended, touch: float | None, timeout: float) -> None:
        ttl = _remaining(ended.ttl, touch)
        self._observer.counters["tombstones_spread"] += len(nodes)
        await self._gather([self._members[node].write_tombstone(key, ended.note, ttl, timeout) for node in nodes])

    async def _repair(self, result: ReadResult, order: Sequence[int], key: str, touch: float | None, timeout: float) -> None:
        """Gives the newest copy to the owners without it, and in the place of older ones."""
        best = result.best
        assert best is not None  # noqa: S101
        # A copy of a copy must not outlive the first: else two nodes whose seconds differ keep a dead one alive.
        ttl = touch if touch is not None else _remaining(best.ttl) - 1
        if ttl < 1 or not timeout:
            return
        owners = self._first_askable(order)
        missing = [node for node in result.missing() if node in owners]
        tokens = result.tokens().by_node
        repairs = [self._members[n].ask(partial(add_copy, key, best.value, ttl, timeout), timeout) for n in missing]
        for node in result.outdated():
            token = tokens[node]
            repairs.append(self._members[node].ask(partial(replace_copy, key, best.value, ttl, token, timeout), timeout))
        versions = await self._gather(repairs)
        for node, version in zip([*missing, *result.outdated()], versions, strict=True):
            if version is not None and not isinstance(version, NoAnswer):
                result.said[node] = Stored(best.value, version, ttl)
                self._observer.count("repairs")

    # -- write

    async def add(self, key: str, value: bytes, ttl: float, timeout: float) -> Version | None:
        """Same as `Backend.add`."""
        order = self._ring.order(key)
        stored: dict[int, Version | None] = {}
        refused = False
        left = list(self._askable(order))
        deadline = time.monotonic() + 2 * timeout
        while left and len(stored) < self._replicas and (timeout := _left(timeout, deadline)):
            asked, left = left[: self._replicas - len(stored)], left[self._replicas - len(stored) :]
            answers = await self._gather(
                [self._members[node].ask(partial(add_copy, key, value, ttl, timeout), timeout) for node in asked]
            )
            refused = refused or None in answers
            stored |= {
                n: v for n, v in zip(asked, answers, strict=True) if v is not None and not isinstance(v, NoAnswer)
            }
            if not left and 0 < len(stored) < self._replicas:
                left = [node for node in await self._ping(order, timeout) if node not in stored]
        self._count_copies(len(stored), refused=refused)
        return Tokens(stored) if stored and not refused else None

    async def replace(self, key: str, value: bytes, ttl: float, version: Version, timeout: float) -> Version | None:
        """Same as `Backend.replace`."""
        return await self.replace_older(key, value, ttl, version, timeout, lambda _value: 0, lambda _copy: False)

    async def replace_older(
        self,
        key: str,
        value: bytes,
        ttl: float,
        version: Version,
        timeout: float,
        revision: Revision,
        includes: Callable[[bytes], bool],
    ) -> Version | None:
        """Same as `Backend.replace`, by one who can tell genuine copies, their age and what they were made from."""
        assert isinstance(version, Tokens)  # noqa: S101
        write = ReplicatedWrite(self._members, key, value, ttl, version, timeout, revision, includes)
        order = self._ring.order(key)
        if not await self._carry(write, self._askable(order)):
            return None  # the caller looks again, and finds whether its change is part of what is stored
        if 0 < len(write.stored) < self._replicas and not await self._carry(write, await self._ping(order, timeout)):
            return None
        self._count_copies(len(write.stored))
        return Tokens(write.stored)

    async def _carry(self, write: ReplicatedWrite, nodes: Iterable[int]) -> bool:
        """Brings a change to as many nodes as it needs; ``False`` if another request was there before."""
        left = iter(nodes)
        # The first node that answers is where two writers meet; then the others are told side by side.
        while asked := list(islice(left, self._replicas - len(write.stored) if write.stored else 1)):
            changes = [write.on(node) for node in asked]
            if False in (await self._gather(changes) if len(changes) > 1 else [await changes[0]]):
                return False
        return True

    def _count_copies(self, copies: int, *, refused: bool = False) -> None:
        if not copies and not refused:
            raise BackendUnavailable("no node of the ring answers")
        if copies < self._replicas and not refused:
            self._observer.event("too_few_copies", f"a session was stored on {copies} of {self._replicas} nodes")

    # -- end

    async def end(self, key: str, ttl: float, timeout: float, note: bytes = b"", note_ttl: float = 0.0) -> None:
        """Same as `Backend.end`: a tombstone on every node that the key could be looked for on."""
        await self._replicated_end(key, ttl, timeout, note, note_ttl).carry_out()

    async def supersede(
        self, key: str, ttl: float, timeout: float, version: Version, note: bytes = b"", note_ttl: float = 0.0
    ) -> bool:
        """Same as `Backend.supersede`: as `end`, but where a node's copy has changed, it is looked at first."""
        assert isinstance(version, Tokens)  # noqa: S101
        return await self._replicated_end(key, ttl, timeout, note, note_ttl).carry_out(unless_ended=version)

    def _replicated_end(self, key: str, ttl: float, timeout: float, note: bytes, note_ttl: float) -> ReplicatedEnd:
        tombstone = inscribed(note, ttl, note_ttl)
        members = {node: self._members[node] for node in self._ring.order(key)}
        return ReplicatedEnd(members, key, tombstone, ttl, timeout, self._gather, self._observer)

    async def touch(self, key: str, ttl: float, timeout: float) -> bool:
        """Same as `Backend.touch`."""
        return isinstance(await self.get(key, ttl, timeout), Stored)

    @property
    def node_stores(self) -> list[NodeStore]:
        """The verbs of each node, for what is kept on all of them whatever the ring looks like."""
        return [member.verbs for member in self._members]

    async def close(self) -> None:
        """Same as `Backend.close`."""
        for member in self._members:
            await member.verbs.close()

    def health(self) -> dict[str, Any]:
        """Same as `Backend.health`."""
        return {
            "kind": "ring",
            "replicas": self._replicas,
            "layout": self._ring.layout,
            "fingerprint": self._ring.fingerprint(),
            "counters": dict(self._observer.counters),
            "nodes": [member.health() for member in self._members],
        }

    # -- one node

    def _askable(self, order: Iterable[int]) -> Iterator[int]:
        """Looks at no more nodes than are taken: mostly these are the owners alone."""
        return filter(self._is_askable, order)

    def _is_askable(self, node: int) -> bool:
        return self._members[node].is_askable()

    def _first_askable(self, order: Iterable[int]) -> list[int]:
        """As many as hold a record."""
        return list(islice(self._askable(order), self._replicas))


def _left(timeout: float, deadline: float) -> float:
    """The time for one more step; 0 when there is none."""
    return max(0.0, min(timeout, deadline - time.monotonic()))


def _remaining(*lives: float | None) -> float:
    """The first time to live that is known."""
    return next((life for life in lives if life is not None), _REPAIR_TTL)
