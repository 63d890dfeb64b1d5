"""The ring as a backend, in both colours. It is made of servers, whatever protocol they speak."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Protocol

from sharedsession.backends.adapters import BlockingAdapter
from sharedsession.backends.ring.hashring import HashRing, Place
from sharedsession.backends.ring.hints import Hints
from sharedsession.backends.ring.node import BreakerState, NodeStore, RingNode
from sharedsession.backends.ring.store import RingStore
from sharedsession.concurrency import BlockingDriver, Driver, LoopDriver
from sharedsession.environment import REAL, Environment
from sharedsession.observe import Observer


class RingServer(Protocol):
    """What a ring needs of a server."""

    @property
    def guard(self) -> BreakerState:
        """Tells whether the server is calm."""
        ...

    @property
    def is_askable(self) -> Callable[[], bool]:
        """Returns whether a request would be sent to the server now."""
        ...

    def knows(self, seconds: float) -> bool:
        """Returns whether the server has been up for longer than so many seconds, and so remembers all since then."""
        ...

    def blocking_store(self) -> NodeStore:
        """Makes the operations for applications that block."""
        ...

    def asynchronous_store(self) -> NodeStore:
        """Makes the operations for event loops."""
        ...


class RingBackend(BlockingAdapter):
    """A ring of servers, in both colours.

    Args:
        servers: the servers, each with its place on the ring.
        replicas: on how many of them a record is kept.
        layout: of the ring, see `HashRing`.
        environment: where time comes from.

    Attributes:
        ring: where keys live.
        servers: in the order of the ring's places.
    """

    def __init__(
        self,
        servers: Sequence[tuple[Place, RingServer]],
        *,
        replicas: int = 2,
        layout: str = "native",
        environment: Environment = REAL,
    ) -> None:
        self.ring = HashRing([place for place, _ in servers], layout)
        self.servers = [server for _, server in servers]
        self._replicas = replicas
        self._environment = environment
        self._observer = Observer(environment=environment)
        self._hints = [Hints() for _ in servers]  # shared by both colours
        stores = [server.blocking_store() for server in self.servers]
        super().__init__(self._store_over(stores, BlockingDriver(environment)))

    @cached_property
    def asynchronous(self) -> RingStore:
        """The same ring for event loops."""
        return self._store_over([server.asynchronous_store() for server in self.servers], LoopDriver())

    def _store_over(self, stores: Sequence[NodeStore], driver: Driver) -> RingStore:
        monotonic = self._environment.monotonic
        nodes = [
            RingNode(store, server.guard, server.is_askable, server.knows, hints, monotonic)
            for store, server, hints in zip(stores, self.servers, self._hints, strict=True)
        ]
        return RingStore(self.ring, nodes, self._replicas, driver, self._observer, self._environment)
