"""The replicated backend: each record on several nodes of a ring, so that the loss of one node loses no record.

The protocol, once for both colours; the requests of one step are sent side by side.

- A new record is added on the first ``replicas`` nodes that answer, skipping those that do not.
- A change is made on one node first, by compare-and-swap, and the others follow: two writers meet there. It is
  acknowledged when ``replicas`` nodes, an owner among them, hold a record that includes it.
- A read asks the owners side by side. Unless they agree, all other nodes are asked as well before anything is
  believed. Then the newest copy is given to the owners that lack it, by ``add`` and compare-and-swap, never blindly.
- An end leaves a tombstone on every node, and is confirmed by an owner. For a node that missed it, it is kept as a
  hint, and sent before the node is asked anything else.
- "There is nothing" needs a node that would know; else the answer is "cannot say".

A late write does no harm: ``add`` fails on any item, a compare-and-swap after any change, and a tombstone absorbs all
that comes after it.
"""

from collections.abc import Coroutine, Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

from sharedsession.backends.base import Ended, Judge, Read, Stored, Version
from sharedsession.backends.ring.ends import RingEnds
from sharedsession.backends.ring.hashring import HashRing
from sharedsession.backends.ring.node import RingNode, as_replies, as_reply
from sharedsession.backends.ring.read_result import (
    NO_ANSWER,
    NO_JUDGE,
    NO_NODES,
    NoAnswer,
    NodeReply,
    ReadResult,
    Tokens,
    agreed_copies,
    agreed_copy,
)
from sharedsession.backends.ring.replicated_write import ReplicatedWrite, add_copy, get_copy, replace_copy
from sharedsession.backends.tombstone import note_on
from sharedsession.backends.wire.deadline import Deadline
from sharedsession.backends.wire.protocol import made
from sharedsession.concurrency import Driver, abandon, are_under_way
from sharedsession.environment import Environment
from sharedsession.errors import BackendUnavailable
from sharedsession.observe import Observer

_REPAIR_TTL = 60.0  # seconds, for a copy of unknown remaining life; the next renewal corrects it


class RingStore(RingEnds):
    """The asynchronous operations over a ring of nodes; they suspend if the nodes' clients do.

    Args:
        ring: where keys live.
        nodes: in the order of the ring's places.
        replicas: on how many nodes a record is kept.
        driver: of the nodes' colour.
        observer: counts repairs; logs copies that could not be written.
        environment: where clocks come from.
    """

    def __init__(
        self,
        ring: HashRing,
        nodes: Sequence[RingNode],
        replicas: int,
        driver: Driver,
        observer: Observer,
        environment: Environment,
    ) -> None:
        super().__init__(ring, nodes, replicas, driver, observer, environment)
        self._longest_idle = 0.0

    # -- read

    async def get(self, key: str, touch: float | None, timeout: float) -> Stored | Ended | None:
        """Same as `Backend.get`. Without a `Judge` it cannot tell the newest copy, so copies that differ stay so."""
        return await self.get_newest(key, touch, timeout, NO_JUDGE)

    async def get_newest(self, key: str, touch: float | None, timeout: float, judge: Judge) -> Stored | Ended | None:
        """Same as `ReplicatedBackend.get_newest`."""
        order, owners = self._place(key)
        if touch is not None and touch > self._longest_idle:
            self._longest_idle = touch
        end = self._monotonic() + 2 * timeout
        found: list[Stored | Ended | BackendUnavailable | None] = []
        if timeout and self._are_calm(owners):
            asked = []
            for node in owners:
                asked.append(node.store.get(key, touch, timeout))  # noqa: PERF401  (a call less)
            if are_under_way(asked):
                try:
                    for each in asked:
                        found.append(await each)  # noqa: PERF401  (a coroutine less)
                except BackendUnavailable:
                    found = await self._outcomes(asked)
                except BaseException:
                    abandon(asked)
                    raise
            else:
                found = await self._outcomes(asked)
            agreed = agreed_copy(order, found)
            if agreed is not None:
                return agreed
        result = ReadResult(order, self._replicas, judge)
        return await self._read(result, order, Read(key, touch), Deadline(self._monotonic, timeout, end), found)

    async def get_many(self, reads: Sequence[Read], timeout: float) -> list[Stored | Ended | None]:
        """Same as `BatchingBackend.get_many`."""
        found = await self.get_many_newest(reads, timeout, None)
        for held in found:
            if isinstance(held, BackendUnavailable):
                raise held
        return found  # type: ignore[return-value]  # none of them is an error

    async def get_many_newest(
        self, reads: Sequence[Read], timeout: float, judges: Sequence[Judge] | None
    ) -> list[Stored | Ended | BackendUnavailable | None]:
        """Same as `ReplicatedBackend.get_many_newest`. Keys that live on the same nodes are asked for together."""
        judges = judges or [NO_JUDGE] * len(reads)
        deadline = Deadline(self._monotonic, timeout, self._monotonic() + 2 * timeout)
        by_order: dict[tuple[int, ...], list[int]] = {}
        for at, read in enumerate(reads):
            by_order.setdefault(self._place(read.key).order, []).append(at)
            self._longest_idle = max(self._longest_idle, read.touch or 0.0)
        found: dict[int, Stored | Ended | BackendUnavailable | None] = {}
        steps, groups, held = [], [], await self._held_by_owners(by_order, reads, timeout)
        for order, group in by_order.items():
            agreed = agreed_copies(order, held.get(order, []), len(group))
            if agreed:
                found.update(zip(group, agreed, strict=True))
                continue
            asked, judged = [reads[at] for at in group], [judges[at] for at in group]
            steps.append(self._read_together(order, asked, deadline, judged, held.get(order, [])))
            groups.append(group)
        answers = await self._gather(steps) if len(steps) > 1 else [await step for step in steps]
        for group, answer in zip(groups, answers, strict=True):
            found.update(zip(group, answer, strict=True))
        return [found[at] for at in range(len(reads))]

    async def _held_by_owners(
        self, by_order: Mapping[tuple[int, ...], Sequence[int]], reads: Sequence[Read], timeout: float
    ) -> dict[tuple[int, ...], list[Sequence[Stored | Ended | None] | BackendUnavailable]]:
        """Asks the owners of each key at once. Returns what they hold; nothing, if the plain path is not open."""
        owners = [(order, [self._nodes[node] for node in order[: self._replicas]]) for order in by_order]
        if not timeout or not all(self._are_calm(nodes) for _, nodes in owners):
            return {}
        asked = []
        for order, nodes in owners:
            plain = [reads[at]._replace(default=None) for at in by_order[order]]
            asked += [node.store.get_many(plain, timeout) for node in nodes]
        held = iter(await self._outcomes(asked))
        return {order: [next(held) for _ in nodes] for order, nodes in owners}

    async def _read_together(
        self,
        order: Sequence[int],
        reads: Sequence[Read],
        deadline: Deadline,
        judges: Sequence[Judge],
        held: Sequence[Sequence[Stored | Ended | None] | BackendUnavailable],
    ) -> list[Stored | Ended | BackendUnavailable | None]:
        if held:
            nodes: Sequence[int] = order[: self._replicas]
            replies = [as_replies(each, len(reads)) for each in held]
        else:
            nodes, timeout = self._first_askable(order), deadline.step
            plain = [read._replace(default=None) for read in reads]
            replies = await self._gather([self._nodes[node].ask_many(plain, timeout) for node in nodes])
        results = [ReadResult(order, self._replicas, judge) for judge in judges]
        for at, result in enumerate(results):
            result.add(nodes, [reply[at] for reply in replies])
        concluded = [self._concluded(*each, order, deadline) for each in zip(results, reads, strict=True)]
        return await self._gather(concluded) if len(concluded) > 1 else [await concluded[0]]

    async def _concluded(
        self, result: ReadResult, read: Read, order: Sequence[int], deadline: Deadline
    ) -> Stored | Ended | BackendUnavailable | None:
        agreed = result.agreed(order[: self._replicas])
        if agreed is not None:
            return Stored(agreed.value, result.tokens(), agreed.ttl)
        try:
            found = await self._settled(result, order, read, deadline)
        except BackendUnavailable as error:
            found = error  # type: ignore[assignment]  # of several reads each has its own answer
        if read.default is None or isinstance(found, Ended) or (isinstance(found, Stored) and found.settled):
            return found
        if not isinstance(found, Stored):
            found = await self._defaulted(read, order, result, deadline) or found
        return await self._once_settled(found, read, result.judge, deadline)

    async def _once_settled(
        self, found: Stored | Ended | BackendUnavailable | None, read: Read, judge: Judge, deadline: Deadline
    ) -> Stored | Ended | BackendUnavailable | None:
        """Reads again until enough nodes hold the record: of two that are added at once the one seen now may lose."""
        while isinstance(found, Stored) and not found.settled:
            timeout = deadline.left()
            if not timeout:
                return BackendUnavailable("a record is added by several web nodes at once")
            try:
                found = await self.get_newest(read.key, read.touch, timeout, judge)
            except BackendUnavailable as error:
                return error
        return found

    async def _defaulted(
        self, read: Read, order: Sequence[int], result: ReadResult, deadline: Deadline
    ) -> Stored | Ended | None:
        """Adds what a read asks for where there is nothing, or where it cannot be told."""
        assert read.default is not None  # noqa: S101
        ttl, timeout = read.touch or _REPAIR_TTL, deadline.left()
        if not timeout:
            return None
        try:
            version = await self.add(read.key, read.default, ttl, timeout)
            if version is not None:
                return Stored(read.default, version, ttl)
            return await self.get_newest(read.key, read.touch, timeout, result.judge)
        except BackendUnavailable:
            return None

    async def _read(
        self,
        result: ReadResult,
        order: Sequence[int],
        read: Read,
        deadline: Deadline,
        found: Sequence[Stored | Ended | BackendUnavailable | None],
    ) -> Stored | Ended | None:
        """Reads in whatever state the nodes are; what the owners hold is not asked for again, if it was found."""
        if found:
            result.add(order[: self._replicas], map(as_reply, found))
        else:
            nodes, timeout = self._first_askable(order), deadline.step
            result.add(nodes, await self._gather(self._asks(nodes, read.key, read.touch, timeout)))
        agreed = result.agreed(order[: self._replicas])
        if agreed is not None:
            return Stored(agreed.value, result.tokens(), agreed.ttl)
        return await self._settled(result, order, read, deadline)

    async def _settled(
        self, result: ReadResult, order: Sequence[int], read: Read, deadline: Deadline
    ) -> Stored | Ended | None:
        """Asks the other nodes, since the owners do not agree, and concludes."""
        await self._widen(result, order, read.key, deadline.left())
        if len(order) > len(result.silent()) >= self._replicas:  # all nodes with a newer copy could be silent
            back = await self._ping(order, deadline.left())
            result.add(back, await self._gather(self._asks(back, read.key, None, deadline.left())))
        ended = result.tombstone
        if ended is not None:
            await self._spread(result.holding(), read.key, ended, read.touch, deadline.left())
            return Ended(note_on(ended.note, ended.ttl), ended.ttl)
        best = result.best
        if best is None:
            return self._nothing(result, order, read.longest or self._longest_idle)
        if result.judge is NO_JUDGE and result.outdated(best):  # nobody knows which copy is the newest
            return Stored(best.value, result.tokens(), best.ttl)
        could = min(self._replicas, len(order) - len(result.silent()))
        await self._repair(result, best, order, read, deadline.left())
        # An owner that another request changed meanwhile may hold what the next read believes.
        is_settled = result.copies(best) >= could and not result.has_changed(order[: self._replicas])
        return Stored(best.value, result.tokens(), best.ttl, is_settled)

    def _asks(
        self, nodes: Iterable[int], key: str, touch: float | None, timeout: float
    ) -> list[Coroutine[Any, Any, NodeReply]]:
        read = partial(get_copy, key, touch, timeout)
        return [self._nodes[node].ask(read, timeout) for node in nodes]

    async def _widen(self, result: ReadResult, order: Sequence[int], key: str, timeout: float) -> None:
        self._observer.count("reads_widened")
        others = [node for node in order if node not in result.replies]
        askable = list(self._askable(others)) if timeout else []
        result.add(others, [NO_ANSWER] * len(others))
        result.add(askable, await self._gather(self._asks(askable, key, None, timeout)))

    def _nothing(self, result: ReadResult, order: Sequence[int], longest: float) -> Stored | None:
        """Concludes that there is nothing, if that is certain: no copy opened and no tombstone was found."""
        if result.silent() and not self._would_know(result, order, longest):
            raise BackendUnavailable("a node that may hold the session does not answer")
        damaged = result.damaged
        return Stored(damaged.value, result.tokens(), damaged.ttl) if damaged else None

    def _would_know(self, result: ReadResult, order: Sequence[int], longest: float) -> bool:
        """Returns whether an owner that holds nothing has been up for longer than any session lives untouched."""
        if result.damaged or not longest:
            return False
        owners = [node for node in result.missing() if node in order[: self._replicas]]
        return any(self._nodes[node].knows(longest) for node in owners)

    async def _spread(self, nodes: Sequence[int], key: str, ended: Ended, touch: float | None, timeout: float) -> None:
        ttl = _remaining(ended.ttl, touch)
        self._observer.count("tombstones_spread", times=len(nodes))
        await self._gather([self._nodes[node].write_tombstones([key], ended.note, ttl, timeout) for node in nodes])

    async def _repair(self, result: ReadResult, best: Stored, order: Sequence[int], read: Read, timeout: float) -> None:
        """Gives the newest copy to the owners without one, and to nodes with one that it was made from.

        Where an owner does not take it, as one that is full, another node does.
        """
        # A copy must not outlive the one it is made from: else two nodes whose clocks differ keep it alive for ever.
        ttl = read.touch if read.touch is not None else _remaining(best.ttl) - 1
        if ttl < 1 or not timeout:
            return
        owners = self._first_askable(order)
        missing = [node for node in result.missing() if node in owners]
        outdated = result.outdated(best)
        tokens = result.tokens().by_node
        add = partial(add_copy, read.key, best.value, ttl, timeout)
        repairs = [self._nodes[node].ask(add, timeout) for node in missing]
        for node in outdated:
            replace = partial(replace_copy, read.key, best.value, ttl, tokens[node], timeout)
            repairs.append(self._nodes[node].ask(replace, timeout))
        versions = await self._gather(repairs)
        repaired = result.add_repairs([*missing, *outdated], versions, best, ttl)
        refused = 0 if None in versions else sum(isinstance(version, NoAnswer) for version in versions)
        others = [node for node in order if node in result.missing()][:refused]
        versions = await self._gather([self._nodes[node].ask(add, timeout) for node in others])
        self._observer.count("repairs", times=repaired + result.add_repairs(others, versions, best, ttl))

    # -- write

    async def add(self, key: str, value: bytes, ttl: float, timeout: float) -> Version | None:
        """Same as `Backend.add`."""
        order = self._place(key).order
        stored: dict[int, Version | None] = {}
        refused = False
        left = list(self._askable(order))
        deadline = Deadline(self._monotonic, timeout, self._monotonic() + 2 * timeout)
        while left and not refused and len(stored) < self._replicas and (timeout := deadline.left()):
            asked, left = left[: self._replicas - len(stored)], left[self._replicas - len(stored) :]
            operation = partial(add_copy, key, value, ttl, timeout)
            replies = await self._gather([self._nodes[node].ask(operation, timeout) for node in asked])
            refused = None in replies
            stored |= {
                node: version
                for node, version in zip(asked, replies, strict=True)
                if version is not None and not isinstance(version, NoAnswer)
            }
            if not left and not refused and 0 < len(stored) < self._replicas:
                left = [node for node in await self._ping(order, timeout) if node not in stored]
        if len(stored) < self._replicas:
            self._report_missing_copies(len(stored), refused=refused)
        return Tokens(stored) if stored and not refused else None

    async def replace(self, key: str, value: bytes, ttl: float, version: Version, timeout: float) -> Version | None:
        """Same as `Backend.replace`."""
        return await self.replace_older(key, value, ttl, version, timeout, NO_JUDGE)

    async def replace_older(
        self, key: str, value: bytes, ttl: float, version: Version, timeout: float, judge: Judge
    ) -> Version | None:
        """Same as `ReplicatedBackend.replace_older`."""
        assert isinstance(version, Tokens)  # noqa: S101
        order, owners = self._place(key)
        deadline = Deadline(self._monotonic, timeout, self._monotonic() + 2 * timeout)
        stored: dict[int, Version | None] = {}
        silent = None
        if len(owners) == 2 and timeout and version.cover(order[0], order[1]) and self._are_calm(owners):
            (begins, follows), (first, second, *_), held = owners, order, version.by_node
            try:  # one after the other: docs/why.md tells what is lost if both are sent at once
                begun = await begins.store.replace(key, value, ttl, held[first], timeout)
                if begun is None:
                    return None
                stored[first] = begun
                if follows.guard.is_calm and not follows.hints.waiting and (left := deadline.left()):
                    followed = await follows.store.replace(key, value, ttl, held[second], left)
                    if followed is not None:
                        stored[second] = followed
                        return made(Tokens, (stored, NO_NODES))
                    version = version.without(second)
            except BackendUnavailable:
                silent = second if stored else first
        write = ReplicatedWrite(self._nodes, key, value, ttl, version, deadline, judge, stored)
        return await self._write(write, order, timeout, silent)

    async def _write(
        self, write: ReplicatedWrite, order: Sequence[int], timeout: float, silent: int | None
    ) -> Version | None:
        """Makes a change in whatever state the nodes are, as far as it is not made yet.

        Args:
            write: the change.
            order: the nodes in the order in which the key prefers them.
            timeout: seconds to wait for one step.
            silent: the node that has just given no answer, if one has.
        """
        others = [node for node in order if node != silent]
        if not write.stored:
            if not await self._begin(write, others):
                return None  # the caller reads again, and finds out whether its change is part of what is stored
            others = list(order)
        if not await self._carry(write, self._askable(others)):
            return None
        if len(write.stored) < self._replicas and not await self._carry(write, await self._ping(order, timeout)):
            return None
        if not write.stored.keys() & set(order[: self._replicas]):
            raise BackendUnavailable("no node that owns the session has confirmed the write")
        if len(write.stored) < self._replicas:
            self._report_missing_copies(len(write.stored))
        return Tokens(write.stored)

    async def _begin(self, write: ReplicatedWrite, order: Sequence[int]) -> bool:
        """Makes a change on the first node that held a copy and answers; ``False`` if the record has changed there."""
        for node in self._askable(order):
            if write.has_changed(node):
                return False  # writers who do not all begin at one node do not meet
            if write.may_begin_at(node):
                begun = await write.begin_at(node)
                if begun is not None:
                    return begun
        raise BackendUnavailable("no node that holds the session answers")

    async def _carry(self, write: ReplicatedWrite, nodes: Iterable[int]) -> bool:
        """Brings a change to as many nodes as it needs; ``False`` if one has another web node's change, or an end."""
        left = (node for node in nodes if node not in write.stored)
        while asked := list(islice(left, self._replicas - len(write.stored))):
            changes = [write.bring_to(node) for node in asked]
            if False in (await self._gather(changes) if len(changes) > 1 else [await changes[0]]):
                return False
        return True

    def _report_missing_copies(self, copies: int, *, refused: bool = False) -> None:
        if not copies and not refused:
            raise BackendUnavailable("no node of the ring answers")
        if not refused:
            self._observer.event("too_few_copies", f"session was stored on {copies} of {self._replicas} nodes only")

    # -- the other verbs

    async def touch(self, key: str, ttl: float, timeout: float) -> bool:
        """Same as `Backend.touch`."""
        return isinstance(await self.get(key, ttl, timeout), Stored)

    def health(self) -> dict[str, Any]:
        """Same as `Facts.health`."""
        return {"kind": "ring", "counters": dict(self._observer.counters), **self._facts()}


def _remaining(*lives: float | None) -> float:
    """Returns the first time to live that is known, in seconds."""
    return next((life for life in lives if life is not None), _REPAIR_TTL)
