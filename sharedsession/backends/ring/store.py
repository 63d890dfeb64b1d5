"""The replicated backend: each record on several nodes of a ring, so that the loss of one node loses no record.

The protocol, once for both colours; the requests of one step are sent side by side.

- A new record is added on the first ``replicas`` nodes that answer, skipping those that do not.
- A change is made on one node first, by compare-and-swap, and the others follow: two writers meet there.
- A read asks the owners side by side. Unless they agree, all other nodes are asked as well before anything is
  believed. Then the newest copy is given to the owners that lack it, by ``add`` and compare-and-swap, never blindly.
- An end leaves a tombstone on every node. For a node that missed it, it is kept as a hint, and sent before the node is
  asked anything else.
- "There is nothing" needs a node that would know; else the answer is "cannot say".

A late write does no harm: ``add`` fails on any item, a compare-and-swap after any change, and a tombstone absorbs all
that comes after it.
"""

from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

from sharedsession.backends.base import Ended, Revision, Stored, Version
from sharedsession.backends.ring.hashring import HashRing
from sharedsession.backends.ring.node import NodeStore, RingNode
from sharedsession.backends.ring.read_result import NO_ANSWER, NoAnswer, NodeReply, ReadResult, Tokens
from sharedsession.backends.ring.replicated_end import ReplicatedEnd
from sharedsession.backends.ring.replicated_write import ReplicatedWrite, add_copy, get_copy, replace_copy
from sharedsession.backends.ring.tombstone import inscribed, note_on
from sharedsession.backends.wire.deadline import Deadline
from sharedsession.concurrency import Gather
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
        monotonic: the clock.
    """

    def __init__(
        self,
        ring: HashRing,
        nodes: Sequence[RingNode],
        replicas: int,
        gather: Gather,
        observer: Observer,
        monotonic: Callable[[], float],
    ) -> None:
        self._ring = ring
        self._nodes = nodes
        self._replicas = min(replicas, len(nodes))
        self._gather = gather
        self._observer = observer
        self._monotonic = monotonic
        self._longest_idle = 0.0

    @property
    def max_value(self) -> int:
        """Same as `Facts.max_value`: that of the smallest node."""
        return min([node.store.max_value for node in self._nodes])

    # -- read

    async def get(self, key: str, touch: float | None, timeout: float) -> Stored | Ended | None:
        """Same as `Backend.get`. Without a `Revision` it cannot tell the newest copy, so copies that differ stay so."""
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
        end = self._monotonic() + 2 * timeout
        result = ReadResult(revision)
        nodes = self._first_askable(order)
        result.add(nodes, await self._gather(self._asks(nodes, key, touch, timeout)))
        agreed = result.agreed(order[: self._replicas])
        if agreed is not None:
            return Stored(agreed.value, result.tokens(), agreed.ttl)
        deadline = Deadline(self._monotonic, timeout, end)
        await self._widen(result, order, key, deadline.left())
        if len(order) > len(result.silent()) >= self._replicas:  # all nodes with a newer copy could be silent
            back = await self._ping(order, timeout)
            result.add(back, await self._gather(self._asks(back, key, None, deadline.left())))
        if not repairs and result.tombstone is None and result.siblings:
            return self._found(result)
        return await self._conclude(result, order, key, touch, deadline.left())

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
        """Concludes that there is nothing, if that is certain: no copy opened and no tombstone was found."""
        if result.silent() and not self._would_know(result, order):
            raise BackendUnavailable("a node that may hold the session does not answer")
        return self._found(result) if result.damaged else None

    def _would_know(self, result: ReadResult, order: Sequence[int]) -> bool:
        """Returns whether an owner that holds nothing has been up for longer than any session lives untouched."""
        if result.damaged or not self._longest_idle:
            return False
        owners = [node for node in result.missing() if node in order[: self._replicas]]
        return any(self._nodes[node].knows(self._longest_idle) for node in owners)

    async def _spread(self, nodes: Sequence[int], key: str, ended: Ended, touch: float | None, timeout: float) -> None:
        ttl = _remaining(ended.ttl, touch)
        self._observer.count("tombstones_spread", times=len(nodes))
        await self._gather([self._nodes[node].write_tombstone(key, ended.note, ttl, timeout) for node in nodes])

    async def _repair(
        self, result: ReadResult, order: Sequence[int], key: str, touch: float | None, timeout: float
    ) -> None:
        """Gives the newest copy to the owners without one, and in the place of older ones."""
        best = result.best
        assert best is not None  # noqa: S101
        # A copy must not outlive the one it is made from: else two nodes whose clocks differ keep it alive for ever.
        ttl = touch if touch is not None else _remaining(best.ttl) - 1
        if ttl < 1 or not timeout:
            return
        owners = self._first_askable(order)
        missing = [node for node in result.missing() if node in owners]
        tokens = result.tokens().by_node
        add = partial(add_copy, key, best.value, ttl, timeout)
        repairs = [self._nodes[node].ask(add, timeout) for node in missing]
        for node in result.outdated():
            replace = partial(replace_copy, key, best.value, ttl, tokens[node], timeout)
            repairs.append(self._nodes[node].ask(replace, timeout))
        versions = await self._gather(repairs)
        for node, version in zip([*missing, *result.outdated()], versions, strict=True):
            if version is not None and not isinstance(version, NoAnswer):
                result.replies[node] = Stored(best.value, version, ttl)
                self._observer.count("repairs")

    # -- write

    async def add(self, key: str, value: bytes, ttl: float, timeout: float) -> Version | None:
        """Same as `Backend.add`."""
        order = self._ring.order(key)
        stored: dict[int, Version | None] = {}
        refused = False
        left = list(self._askable(order))
        deadline = Deadline(self._monotonic, timeout, self._monotonic() + 2 * timeout)
        while left and len(stored) < self._replicas and (timeout := deadline.left()):
            asked, left = left[: self._replicas - len(stored)], left[self._replicas - len(stored) :]
            operation = partial(add_copy, key, value, ttl, timeout)
            replies = await self._gather([self._nodes[node].ask(operation, timeout) for node in asked])
            refused = refused or None in replies
            stored |= {
                node: version
                for node, version in zip(asked, replies, strict=True)
                if version is not None and not isinstance(version, NoAnswer)
            }
            if not left and 0 < len(stored) < self._replicas:
                left = [node for node in await self._ping(order, timeout) if node not in stored]
        if len(stored) < self._replicas:
            self._report_missing_copies(len(stored), refused=refused)
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
        """Same as `ReplicatedBackend.replace_older`."""
        assert isinstance(version, Tokens)  # noqa: S101
        write = ReplicatedWrite(self._nodes, key, value, ttl, version, timeout, revision, includes, self._monotonic)
        order = self._ring.order(key)
        if not await self._carry(write, self._askable(order)):
            return None  # the caller reads again, and finds out whether its change is part of what is stored
        if 0 < len(write.stored) < self._replicas and not await self._carry(write, await self._ping(order, timeout)):
            return None
        if len(write.stored) < self._replicas:
            self._report_missing_copies(len(write.stored))
        return Tokens(write.stored)

    async def _carry(self, write: ReplicatedWrite, nodes: Iterable[int]) -> bool:
        """Writes a change to as many nodes as it needs; ``False`` if another request changed the record first."""
        left = iter(nodes)
        # Two writers meet on the first node that answers; then the other nodes follow side by side.
        while asked := list(islice(left, self._replicas - len(write.stored) if write.stored else 1)):
            changes = [write.write_to(node) for node in asked]
            if False in (await self._gather(changes) if len(changes) > 1 else [await changes[0]]):
                return False
        return True

    def _report_missing_copies(self, copies: int, *, refused: bool = False) -> None:
        if not copies and not refused:
            raise BackendUnavailable("no node of the ring answers")
        if not refused:
            self._observer.event("too_few_copies", f"a session was stored on {copies} of {self._replicas} nodes")

    # -- end

    async def end(self, key: str, ttl: float, timeout: float) -> None:
        """Same as `Backend.end`: a tombstone on every node that the key could be looked for on."""
        await self._replicated_end(key, inscribed(b"", ttl, 0.0), ttl, timeout).carry_out()

    async def supersede(
        self, key: str, ttl: float, timeout: float, version: Version, note: bytes = b"", note_ttl: float = 0.0
    ) -> bool:
        """Same as `Backend.supersede`: as `end`, but where a node's copy has changed, it is read first."""
        assert isinstance(version, Tokens)  # noqa: S101
        tombstone = inscribed(note, ttl, note_ttl)
        return await self._replicated_end(key, tombstone, ttl, timeout).carry_out(unless_ended=version)

    def _replicated_end(self, key: str, tombstone: bytes, ttl: float, timeout: float) -> ReplicatedEnd:
        nodes = {node: self._nodes[node] for node in self._ring.order(key)}
        deadline = Deadline(self._monotonic, timeout, self._monotonic() + 2 * timeout)
        return ReplicatedEnd(nodes, key, tombstone, ttl, deadline, self._gather, self._observer)

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
