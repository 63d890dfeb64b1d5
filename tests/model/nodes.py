"""The nodes of the model, what is sent to them, and what they hold.

A node is a `SimulatedMemcached`, which a differential test holds to the real one. What it does with a request is worked
out once for each pair of contents and request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tests.simulation.memcached import SimulatedMemcached

START = 1_700_000_000.0  # seconds since the epoch: when it begins
_UP_BEFORE = 1_000_000.0  # seconds for which the nodes have been up then: they would know
FACTS = -1  # stands for a node in a `Message` that asks what is known by now
READY = -2  # the same in one that waits for the others to be ready

Path = tuple[int, ...]


class Message(NamedTuple):
    """What a web node waits for.

    Attributes:
        path: where in its program.
        node: whom it asks.
        data: the bytes.
        run: the run of the node that its connection leads to, where only that one may answer; else ``None``.
    """

    path: Path
    node: int
    data: bytes
    run: int | None

    @property
    def asks_facts(self) -> bool:
        """Whether it is no request, but the beginning of an operation."""
        return self.node == FACTS

    @property
    def is_ready(self) -> bool:
        """Whether it waits for the race to begin."""
        return self.node == READY


class Reply(NamedTuple):
    """What comes back.

    Attributes:
        data: the bytes; ``None``: the connection was broken, since the node was restarted.
        run: how often the node was restarted before.
        uptime: of the node in seconds.
        now: seconds since the world began.
        facts: what web nodes had told by then, to a message that asks for it.
    """

    data: bytes | None
    run: int = 0
    uptime: int = 0
    now: float = 0.0
    facts: frozenset[str] = frozenset()


LOST = Reply(None, run=-1)
"""No reply came in time."""


class ModelMemcached(SimulatedMemcached):
    """A memcached whose CAS numbers count the changes of one key."""

    run = 0

    def restart(self) -> None:
        super().restart()
        self.changes: dict[bytes, int] = {}

    def copy(self) -> ModelMemcached:
        twin = object.__new__(type(self))
        vars(twin).update(vars(self), _items=self._items.copy(), changes=self.changes.copy())
        return twin

    def store(self, mode: int, key: bytes, *arguments: Any) -> tuple[bytes, int]:
        self._newest_cas = self.changes.get(key, 0)
        stored: tuple[bytes, int] = super().store(mode, key, *arguments)
        self.changes[key] = self._newest_cas
        return stored

    def contents(self) -> tuple[object, ...]:
        """Returns what decides on all that it will do."""
        self.keys()  # forgets what has expired
        return self.run, self._started, tuple(sorted(self._items.items())), tuple(sorted(self.changes.items()))


class Nodes:
    """All contents that nodes have been found with, each under a number."""

    def __init__(self) -> None:
        self.now = 0.0
        self._known: list[ModelMemcached] = []
        self._numbers: dict[object, int] = {}
        self._done: dict[tuple[int, bytes, float], tuple[int, Reply]] = {}
        fresh = ModelMemcached(lambda: START + self.now)
        fresh._started -= _UP_BEFORE
        fresh.tick()
        self.empty = self._number(fresh)

    def execute(self, node: int, data: bytes, now: float) -> tuple[int, Reply]:
        """Returns the number of the contents after a request, and the reply."""
        found = self._done.get((node, data, now))
        if found is None:
            self.now = now
            server = self._known[node].copy()
            reply = server.connect().receive(data)
            found = self._number(server), Reply(reply, server.run, server.second - 60, now)
            self._done[node, data, now] = found
        return found

    def restarted(self, node: int, now: float) -> int:
        """Returns the number of the contents after a restart."""
        self.now = now
        server = self._known[node].copy()
        server.run += 1
        server.restart()
        return self._number(server)

    def without(self, node: int, key: bytes, now: float) -> int:
        """Returns the number of the contents after a key was evicted."""
        self.now = now
        server = self._known[node].copy()
        server.evict(key)
        server.evictions = 0
        return self._number(server)

    def run(self, node: int) -> int:
        """Returns how often a node was restarted."""
        return self._known[node].run

    def items(self, node: int, now: float) -> Mapping[bytes, Any]:
        """Returns what a node holds."""
        self.now = now
        server = self._known[node]
        server.keys()
        return server._items

    def left(self, node: int, key: bytes, now: float) -> int:
        """Returns the seconds that an item has left to live."""
        self.now = now
        server = self._known[node]
        server.look_at_clock()
        return int(server._items[key].exptime) - server.second

    def _number(self, server: ModelMemcached) -> int:
        number = self._numbers.setdefault(server.contents(), len(self._known))
        if number == len(self._known):
            self._known.append(server)
        return number
