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

from collections.abc import Coroutine, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

from sharedsession.backends.base import Ended, Judge, Read, Stored, Version
from sharedsession.backends.ring.hashring import HashRing
from sharedsession.backends.ring.node import NodeStore, RingNode
from sharedsession.backends.ring.read_result import NO_ANSWER, NO_JUDGE, NoAnswer, NodeReply, ReadResult, Tokens
from sharedsession.backends.ring.replicated_end import ReplicatedEnd, note_among, were_alive
from sharedsession.backends.ring.replicated_write import ReplicatedWrite, add_copy, get_copy, replace_copy
from sharedsession.backends.tombstone import note_on
from sharedsession.backends.wire.deadline import Deadline
from sharedsession.concurrency import Gather
from sharedsession.environment import Environment
from sharedsession.errors import BackendUnavailable
from sharedsession.observe import Observer

_REPAIR_TTL = 60.0  # seconds, for a copy of unknown remaining life; the next renewal corrects it


class RingStore:
    """The asynchronous operations over a ring of nodes; they suspend if the nodes' clients do.

    Args:
        ring: where keys live.
        nodes: in the order of the ring's places.
        replicas: on how many nodes a record is kept.
        gather: of the nodes' colour.
        observer: counts repairs; logs copies that could not be written.
        environment: where clocks come from.
    """

    def __init__(
        self,
        ring: HashRing,
        nodes: Sequence[RingNode],
        replicas: int,
        gather: Gather,
        observer: Observer,
        environment: Environment,
    ) -> None:
        self._ring = ring
        self._nodes = nodes
        self._replicas = min(replicas, len(nodes))
        self._gather = gather
        self._observer = observer
        self._environment = environment
        self._monotonic = environment.monotonic
        self._longest_idle = 0.0

    @property
    def max_value(self) -> int:
        """Same as `Facts.max_value`: that of the smallest node."""
        return min([node.store.max_value for node in self._nodes])

    # -- read

    async def get(self, key: str, touch: float | None, timeout: float) -> Stored | Ended | None:
        """Same as `Backend.get`. Without a `Judge` it cannot tell the newest copy, so copies that differ stay so."""
        return await self.get_newest(key, touch, timeout, NO_JUDGE)

    async def get_newest(self, key: str, touch: float | None, timeout: float, judge: Judge) -> Stored | Ended | None:
        """Same as `ReplicatedBackend.get_newest`."""
        order = self._ring.order(key)
        if touch is not None and touch > self._longest_idle:
            self._longest_idle = touch
        end = self._monotonic() + 2 * timeout
        result = ReadResult(order, self._replicas, judge)
        nodes = self._first_askable(order)
        result.add(nodes, await self._gather(self._asks(nodes, key, touch, timeout)))
        agreed = result.agreed(order[: self._replicas])
        if agreed is not None:
            return Stored(agreed.value, result.tokens(), agreed.ttl)
        return await self._settled(result, order, Read(key, touch), Deadline(self._monotonic, timeout, end))

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
        by_order: dict[tuple[int, ...], list[int]] = {}
        for at, read in enumerate(reads):
            by_order.setdefault(self._ring.order(read.key), []).append(at)
            self._longest_idle = max(self._longest_idle, read.touch or 0.0)
        steps = [
            self._read_together(order, [reads[at] for at in group], timeout, [judges[at] for at in group])
            for order, group in by_order.items()
        ]
        answers = await self._gather(steps) if len(steps) > 1 else [await steps[0]]
        found: dict[int, Stored | Ended | BackendUnavailable | None] = {}
        for group, answer in zip(by_order.values(), answers, strict=True):
            found.update(zip(group, answer, strict=True))
        return [found[at] for at in range(len(reads))]

    async def _read_together(
        self, order: Sequence[int], reads: Sequence[Read], timeout: float, judges: Sequence[Judge]
    ) -> list[Stored | Ended | BackendUnavailable | None]:
        deadline = Deadline(self._monotonic, timeout, self._monotonic() + 2 * timeout)
        nodes = self._first_askable(order)
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
        return Stored(best.value, result.tokens(), best.ttl, result.copies(best) >= could)

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

    async def _ping(self, order: Sequence[int], timeout: float) -> list[int]:
        """Returns the nodes that were skipped and turn out to be back."""
        skipped = [node for node in order if not self._is_askable(node)]
        answers = await self._gather([self._nodes[node].ping(timeout) for node in skipped])
        return [node for node, is_back in zip(skipped, answers, strict=True) if is_back]

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
        order = self._ring.order(key)
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
        order = self._ring.order(key)
        deadline = Deadline(self._monotonic, timeout, self._monotonic() + 2 * timeout)
        write = ReplicatedWrite(self._nodes, key, value, ttl, version, deadline, judge)
        if not await self._begin(write, order) or not await self._carry(write, self._askable(order)):
            return None  # the caller reads again, and finds out whether its change is part of what is stored
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

    # -- end

    async def end(self, key: str, ttl: float, timeout: float) -> bytes:
        """Same as `Backend.end`: a tombstone on every node that the key could be looked for on."""
        held = await self._replicated_end(self._ring.order(key), [key], ttl, timeout).end()
        return note_among([before[0] for before in held])

    async def end_many(self, keys: Sequence[str], ttl: float, timeout: float) -> list[bool]:
        """Same as `BatchingBackend.end_many`. Keys that live on the same nodes are ended together.

        Raises:
            BackendUnavailable: some end was not confirmed; the others were carried out all the same.
        """
        by_order: dict[tuple[int, ...], list[str]] = {}
        for key in keys:
            by_order.setdefault(self._ring.order(key), []).append(key)
        ends = [self._end_together(order, group, ttl, timeout) for order, group in by_order.items()]
        alive: dict[str, bool] = {}
        failure: BackendUnavailable | None = None
        for group, ended in zip(by_order.values(), await self._gather(ends), strict=True):
            if isinstance(ended, BackendUnavailable):
                failure = ended
            else:
                alive.update(zip(group, ended, strict=True))
        if failure is not None:
            raise failure
        return [alive[key] for key in keys]

    async def _end_together(
        self, order: Sequence[int], keys: Sequence[str], ttl: float, timeout: float
    ) -> list[bool] | BackendUnavailable:
        try:
            return were_alive(await self._replicated_end(order, keys, ttl, timeout).end(), len(keys))
        except BackendUnavailable as error:
            return error

    async def supersede(
        self, key: str, ttl: float, timeout: float, version: Version, note: bytes = b"", note_ttl: float = 0.0
    ) -> bool:
        """Same as `Backend.supersede`."""
        assert isinstance(version, Tokens)  # noqa: S101
        end = self._replicated_end(self._ring.order(key), [key], ttl, timeout)
        return await end.supersede(note, note_ttl, version.by_node)

    def _replicated_end(self, order: Sequence[int], keys: Sequence[str], ttl: float, timeout: float) -> ReplicatedEnd:
        nodes = {node: self._nodes[node] for node in order}
        deadline = Deadline(self._monotonic, timeout, self._monotonic() + 2 * timeout)
        return ReplicatedEnd(
            nodes, self._replicas, keys, ttl, self._environment.clock(), deadline, self._gather, self._observer
        )

    async def touch(self, key: str, ttl: float, timeout: float) -> bool:
        """Same as `Backend.touch`."""
        return isinstance(await self.get(key, ttl, timeout), Stored)

    @property
    def node_stores(self) -> list[NodeStore]:
        """Same as `ManyNodesBackend.node_stores`: for what is kept on all nodes, whatever the ring looks like."""
        return [node.store for node in self._nodes]

    async def close(self) -> None:
        """Same as `Backend.close`."""
        for node in self._nodes:
            await node.store.close()

    def health(self) -> dict[str, Any]:
        """Same as `Facts.health`."""
        return {
            "kind": "ring",
            "replicas": self._replicas,
            "layout": self._ring.layout,
            "fingerprint": self._ring.fingerprint(),
            "counters": dict(self._observer.counters),
            "nodes": [node.health() for node in self._nodes],
        }

    # -- one node

    def _askable(self, order: Iterable[int]) -> Iterator[int]:
        """Yields the nodes that can be asked. It looks at no more than are taken: mostly the owners alone."""
        return filter(self._is_askable, order)

    def _is_askable(self, node: int) -> bool:
        return self._nodes[node].is_askable()

    def _first_askable(self, order: Iterable[int]) -> list[int]:
        """Returns the first nodes that can be asked, as many as hold a record."""
        found: list[int] = []
        for node in order:  # a plain loop: each read does this, and a call for each node would double its cost
            if self._nodes[node].is_askable():
                found.append(node)
                if len(found) == self._replicas:
                    break
        return found


def _remaining(*lives: float | None) -> float:
    """Returns the first time to live that is known, in seconds."""
    return next((life for life in lives if life is not None), _REPAIR_TTL)
