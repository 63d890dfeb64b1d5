"""The world of the model: nodes that remember, and web nodes that run the library's own code against them.

A web node is a `Web`: the real `Engine` over the real `RingStore` over the real `MemcachedStore` of each node, in an
environment without chance. Its program is a coroutine, and a coroutine is a deterministic function of the answers that
it gets. So a web node *is* its answers: the explorer keeps those, and whenever it must know what comes next, it runs
the program over them from the beginning. No second protocol is written down here that could drift from the first.

- What a web node has asked, and not been answered yet, are its `Message`s. There are several while it gathers.
- Bytes are random in nothing but name: they follow from who asks, at which point of the program, how often before. So
  two orders of the same answers lead to the same bytes.
- A CAS number counts the changes of one key. Real ones count those of all keys, but are only ever compared with one of
  the same key; so states that differ by no more than that are one state.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

from sharedsession import MachineKey, Session
from sharedsession.backends.memcached.server import MemcachedServer
from sharedsession.backends.ring.backend import RingBackend
from sharedsession.backends.ring.hashring import HashRing, Place
from sharedsession.backends.ring.hints import Hints
from sharedsession.backends.ring.node import RingNode
from sharedsession.backends.ring.store import RingStore
from sharedsession.backends.tombstone import has_note, is_tombstone
from sharedsession.backends.wire.protocol import Address
from sharedsession.engine import Engine
from sharedsession.environment import Environment
from sharedsession.farm import ThisNode
from sharedsession.keys import Identity
from sharedsession.observe import Observer
from sharedsession.records import Record, codec
from sharedsession.settings import Settings
from tests.model.nodes import FACTS, LOST, READY, START, Message, Nodes, Path, Reply
from tests.model.stand_ins import TIMEOUT, Ask, ModelClient, ModelDriver

IDLE = 1000.0  # seconds
SECRET = "model-4f1c9be0a7d2835e6f90b1c2d3e4f5a6"

Program = Callable[["Web"], Coroutine[Any, Any, object]]


class Chance:
    """The environment of whichever web node is running: all of them share one `Settings`."""

    def __init__(self) -> None:
        self.web: Web | None = None

    @property
    def now(self) -> float:
        return self.web.now if self.web else 0.0

    def monotonic(self) -> float:
        return self.now + (self.web.waited if self.web else 0.0)

    def random_bytes(self, count: int) -> bytes:
        return self.web.random_bytes(count) if self.web else bytes(count)


class Farm:
    """What all web nodes of one case have in common.

    Args:
        nodes: how many there are.
        replicas: on how many of them a record is kept.
        salt: makes other random bytes.
        settings: of the library.
    """

    def __init__(self, nodes: int = 2, replicas: int = 2, salt: str = "", **settings: Any) -> None:
        self.size = nodes
        self.salt = salt
        self.replicas = min(replicas, nodes)
        self.chance = Chance()
        self.environment = Environment(
            clock=lambda: START + self.chance.now,
            monotonic=self.chance.monotonic,
            random_bytes=self.chance.random_bytes,
        )
        self.ring = HashRing([Place(str(node + 1)) for node in range(nodes)])
        chosen = {"idle_timeout": IDLE, "absolute_timeout": 10 * IDLE, "timeout": TIMEOUT, "encrypt": False}
        keywords = {"secret_key": SECRET, "farm_check": None, "backend": _NoBackend(), **chosen, **settings}
        self.settings = Settings.load(keywords, environ={}, environment=self.environment)
        self.nodes = Nodes()
        self.names: dict[str, str] = {}
        self._identities: dict[str, Identity] = {}
        self._looks: dict[object, Any] = {}

    @property
    def machine_key(self) -> MachineKey:
        return self.settings.machine_key()

    def know(self, identity: Identity, name: str) -> None:
        """Notes what a record is called in traces."""
        self.names[identity.store_key] = name
        self._identities[identity.store_key] = identity

    def described(self, key: str, value: bytes) -> str:
        """Returns what is in sealed bytes, for traces."""
        if is_tombstone(value):
            return "tombstone with a note" if has_note(value) else "tombstone"
        identity = self._identities.get(key)
        plain = identity.open(value) if identity else None
        if plain is None:
            return f"<{hashlib.sha256(value).hexdigest()[:4]}>"
        record = Record.decode(plain)
        items = ", ".join([f"{name}={_shown(packed)}" for name, packed in sorted(record.items.items())])
        return f"v{record.version}{{{items}}}"

    def alone(
        self, program: Program, nodes: Sequence[int], now: float = 0.0, silent: Iterable[int] = (), name: str = "alone"
    ) -> tuple[tuple[int, ...], Any]:
        """Runs a program while nothing else happens. Returns the nodes after it, and what it returned."""
        left = list(nodes)
        web = Web(self, name, program, cut=frozenset(silent), now=now)
        while web.waiting:
            message = next(iter(web.waiting.values()))
            left[message.node], reply = self.nodes.execute(left[message.node], message.data, now)
            web.deliver(message.path, reply)
        return tuple(left), web.result

    def looked(self, program: Program, nodes: tuple[int, ...], now: float, silent: tuple[int, ...]) -> Any:
        """Returns what a program returns if nothing else happens. What it changes is forgotten again."""
        key = program, nodes, now, silent
        if key not in self._looks:
            self._looks[key] = self.alone(program, nodes, now, silent)[1]
        return self._looks[key]


def _shown(packed: bytes) -> str:
    try:
        value = codec.unpack(packed)
    except Exception:
        return packed[:3].hex()
    return str(value)


class Web:
    """One web node, with one program, as far as its answers have brought it.

    Args:
        farm: it belongs to.
        name: of it.
        program: what it does.
        cut: the nodes that never answer it.
        now: seconds since the world began.

    Attributes:
        waiting: what it has asked, by path.
        facts: what it has told.
        is_done: whether its program is over.
        result: what the program returned.
        engine: the library.
        waited: seconds spent on answers that did not come.
    """

    def __init__(
        self, farm: Farm, name: str, program: Program, *, cut: frozenset[int] = frozenset(), now: float = 0.0
    ) -> None:
        self.farm = farm
        self.name = name
        self.now = now
        self.waited = 0.0
        self.waiting: dict[Path, Message] = {}
        self.facts: set[str] = set()
        self.is_done = self.is_closed = self._was_ready = False
        self.result: object = None
        self._cut = cut
        self._blocked: dict[Path, tuple[_Task, float]] = {}
        self._asked: dict[Path, int] = {}
        farm.chance.web = self
        self._task = _Task((), program(self))
        self._at = self._task
        self.ring = self._ring()
        observer = Observer(environment=farm.environment)
        self.engine = Engine(farm.settings, self.ring, ModelDriver(self), observer, ThisNode(farm.environment))
        self._resume(self._task, None)

    # -- what programs use

    def open(self, token: bytes) -> Session:
        """Returns the session of a request with a token."""
        return self.engine.open(Session, [token] if token else [])

    def tell(self, fact: str) -> None:
        """Notes what is certain from now on."""
        self.facts.add(fact)

    async def begin(self) -> frozenset[str]:
        """Begins an operation at some moment. Returns all that was told before it."""
        return (await Ask(FACTS, b"", None)).facts

    async def ready(self) -> None:
        """Ends what a program does while nothing else happens. From here on all of them race."""
        is_first, self._was_ready = not self._was_ready, True
        if is_first:
            await Ask(READY, b"", None)

    # -- what the explorer uses

    def deliver(self, path: Path, reply: Reply) -> None:
        """Takes an answer, and goes on as far as possible."""
        self.farm.chance.web = self
        del self.waiting[path]
        task, asked_at = self._blocked.pop(path)
        self.now = max(self.now, reply.now)
        if reply is LOST:
            self.waited = max(self.waited, asked_at + TIMEOUT)
        self._resume(task, reply)

    def close(self) -> None:
        """Ends it wherever it is; it asks nothing more."""
        self.is_closed = True
        self.farm.chance.web = self
        for task, _ in list(self._blocked.values()):
            task.close()

    @property
    def down(self) -> list[bool]:
        """Which nodes it takes to be down."""
        return [not server.guard._health.is_up for server in self._servers]

    def random_bytes(self, count: int) -> bytes:
        """Returns bytes that follow from the place in the program."""
        task = self._at
        task.chances += 1
        place = f"{self.farm.salt}{self.name}{task.path}{task.chances}".encode()
        return hashlib.shake_128(place).digest(count)

    # -- inside

    def _ring(self) -> RingStore:
        nodes, self._servers = [], list[MemcachedServer]()
        for node in range(self.farm.size):
            server = MemcachedServer(
                Address(port=node + 1), 5.0, name=str(node + 1), in_ring=True, environment=self.farm.environment
            )
            self._servers.append(server)
            store = server.store(ModelClient(self, node, server))
            store._opaques = _Opaques(self)  # type: ignore[assignment]
            nodes.append(
                RingNode(store, server.guard, server.is_askable, server.knows, Hints(), self.farm.chance.monotonic)
            )
        observer = Observer(environment=self.farm.environment)
        return RingStore(self.farm.ring, nodes, self.farm.replicas, ModelDriver(self), observer, self.farm.environment)

    def _resume(self, task: _Task, value: object) -> None:
        """Runs a task until it waits for an answer; then those that its end sets free."""
        while True:
            self._at = task
            try:
                wanted = task.coroutine.send(value)
            except Exception as error:
                end = error if isinstance(error, StopIteration) else StopIteration(self._failed(error))
                parent = task.parent
                if parent is None:
                    if task is self._task:
                        self.is_done, self.result = True, end.value
                    return
                parent.left -= 1
                parent.results[task.path[-1]] = end.value
                if parent.left:
                    return
                task, value = parent, [parent.results[at] for at in range(len(parent.results))]
                continue
            if isinstance(wanted, Ask):
                if wanted.node in self._cut:
                    self.waited += TIMEOUT
                    value = LOST
                    continue
                task.asked += 1
                path = (*task.path, task.asked)
                self.waiting[path] = Message(path, wanted.node, wanted.data, wanted.run)
                self._blocked[path] = task, self.waited
                return
            children = task.split(wanted.coroutines)
            if not children:
                value = []
                continue
            for child in children[1:]:
                self._resume(child, None)
            task, value = children[0], None

    def _failed(self, error: Exception) -> Exception:
        """Takes what no program and nothing that is gathered may raise."""
        self.facts.add(f"WRONG: {self.name} failed: {error!r}")
        return error

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Runs something beside the program."""
        self._at.asked += 1
        before = self._at
        self._resume(_Task((*before.path, before.asked, -1), coroutine), None)
        self._at = before


class _Opaques:
    """The opaque numbers of requests. They follow from the place in the program, too."""

    def __init__(self, web: Web) -> None:
        self._web = web

    def __next__(self) -> int:
        return int.from_bytes(self._web.random_bytes(3), "big")


class _Task:
    """A coroutine, and where in the program it stands."""

    def __init__(self, path: Path, coroutine: Coroutine[Any, Any, Any], parent: _Task | None = None) -> None:
        self.path = path
        self.coroutine = coroutine
        self.parent = parent
        self.asked = self.chances = self.left = 0
        self.results: dict[int, Any] = {}

    def split(self, coroutines: Sequence[Coroutine[Any, Any, Any]]) -> list[_Task]:
        """Returns the tasks that this one waits for."""
        self.asked += 1
        self.left = len(coroutines)
        self.results = {}
        return [_Task((*self.path, self.asked, at), each, self) for at, each in enumerate(coroutines)]

    def close(self) -> None:
        self.coroutine.close()
        if self.parent is not None:
            self.parent.close()


class _NoBackend(RingBackend):
    """Stands in the settings, where a backend must be: each `Web` has its own ring."""

    def __init__(self) -> None:
        super().__init__([])
