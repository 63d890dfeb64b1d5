"""The nodes of a ring, in one colour: where a key lives, and which of its nodes can be asked."""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sharedsession.backends.ring.hashring import HashRing
from sharedsession.backends.ring.node import NodeStore, RingNode
from sharedsession.concurrency import Driver
from sharedsession.environment import Environment
from sharedsession.observe import Observer

_REMEMBERED = 1024  # keys whose place is known: a request asks twice, and a visitor comes again


class Placement(NamedTuple):
    """Where a key lives.

    Attributes:
        order: the nodes in the order in which the key prefers them.
        owners: the first of them, as many as a record is kept on.
    """

    order: tuple[int, ...]
    owners: tuple[RingNode, ...]


class RingNodes:
    """The nodes of a ring.

    Args:
        ring: where keys live.
        nodes: in the order of the ring's places.
        replicas: on how many nodes a record is kept.
        driver: of the nodes' colour.
        observer: counts and logs what happens.
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
        self._ring = ring
        self._nodes = nodes
        self._replicas = replicas = min(replicas, len(nodes))
        self._gather = driver.gather
        self._outcomes = driver.outcomes
        self._observer = observer
        self._environment = environment
        self._monotonic = environment.monotonic

        def place(key: str) -> Placement:
            order = ring.order(key)
            return Placement(order, tuple([nodes[node] for node in order[:replicas]]))

        self._place = lru_cache(_REMEMBERED)(place)

    @property
    def max_value(self) -> int:
        """Same as `Facts.max_value`: that of the smallest node."""
        smallest = self._nodes[0].store.max_value
        for node in self._nodes:  # a plain loop: each write asks
            smallest = min(smallest, node.store.max_value)
        return smallest

    @property
    def node_stores(self) -> list[NodeStore]:
        """Same as `ManyNodesBackend.node_stores`: for what is kept on all nodes, whatever the ring looks like."""
        return [node.store for node in self._nodes]

    async def close(self) -> None:
        """Same as `Backend.close`."""
        for node in self._nodes:
            await node.store.close()

    def _facts(self) -> dict[str, Any]:
        """Returns JSON-able facts about the ring and its nodes."""
        return {
            "replicas": self._replicas,
            "layout": self._ring.layout,
            "fingerprint": self._ring.fingerprint(),
            "nodes": [node.health() for node in self._nodes],
        }

    def _are_calm(self, owners: Iterable[RingNode]) -> bool:
        """Returns whether nodes are up, not slow, and have missed nothing: then they take the plain path."""
        for node in owners:  # noqa: SIM110  (each request does this)
            if node.hints.waiting or not node.guard.is_calm:
                return False
        return True

    def _askable(self, order: Iterable[int]) -> Iterator[int]:
        """Yields the nodes that can be asked. It looks at no more than are taken: mostly the owners alone."""
        return filter(self._is_askable, order)

    def _is_askable(self, node: int) -> bool:
        return self._nodes[node].is_askable()

    def _first_askable(self, order: Iterable[int]) -> list[int]:
        """Returns the first nodes that can be asked, as many as hold a record."""
        found: list[int] = []
        for node in order:  # a plain loop: a call for each node would double its cost
            if self._nodes[node].is_askable():
                found.append(node)
                if len(found) == self._replicas:
                    break
        return found

    async def _ping(self, order: Sequence[int], timeout: float) -> list[int]:
        """Returns the nodes that were skipped and turn out to be back."""
        skipped = [node for node in order if not self._is_askable(node)]
        answers = await self._gather([self._nodes[node].ping(timeout) for node in skipped])
        return [node for node, is_back in zip(skipped, answers, strict=True) if is_back]
