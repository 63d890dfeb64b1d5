"""The fault laboratory: real memcached nodes that can be broken, web processes that share them, visitors, verdicts.

A campaign runs visitors over web nodes in processes of their own, breaks something, mends it, and then asks every
session of three web nodes: the one that served it, another that ran all the time, one that was started after the fault.
"""

import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from tests.support.history import ENDED, History, Operation
from tests.support.relay import Relay
from tests.support.servers import Memcached
from tests.support.webprocess import Reply, WebProcess

LOGINS = int(os.environ.get("FARM_LOGINS", "50"))  # answered logins in each case; `make farm` asks for 5,000
LONG = LOGINS >= 1000
TIMEOUT = 0.25
WINDOW = 0.4
NAMES = "abcdefgh"
VICTIMS = (0, 1, 2)
_VISITORS = 4
_PATIENCE = 30.0 if not LONG else 900.0


def until(condition: Callable[[], Any], within: float = 10.0) -> Any:
    """Waits for a condition; returns its first true value."""
    deadline = time.monotonic() + within
    while not (value := condition()):
        assert time.monotonic() < deadline, "it does not come true"
        time.sleep(0.01)
    return value


@dataclass
class StoreNode:
    """One memcached of the ring, with a relay in front if it is to suffer on the wire."""

    name: str
    server: Memcached
    relay: Relay | None = None

    @property
    def port(self) -> int:
        return self.relay.port if self.relay else self.server.port

    @property
    def wire(self) -> Relay:
        assert self.relay is not None
        return self.relay


class Laboratory:
    """Memcached nodes and the web processes over them; a context manager.

    Args:
        nodes: how many.
        relayed: the indices of those that stand behind a relay.
        arguments: more arguments of some nodes' servers, by index.
    """

    def __init__(
        self, nodes: int = 3, *, relayed: Sequence[int] = (), arguments: dict[int, Sequence[str]] | None = None
    ) -> None:
        self._stack = ExitStack()
        self.nodes: list[StoreNode] = []
        try:
            for index in range(nodes):
                self.add_node(relayed=index in relayed, arguments=(arguments or {}).get(index, ()))
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: Any) -> None:
        self._stack.__exit__(*details)

    def add_node(self, *, name: str = "", relayed: bool = False, arguments: Sequence[str] = ()) -> StoreNode:
        """Starts one more memcached; it is in no URL that was made before."""
        server = Memcached.start(arguments)
        self._stack.callback(server.stop)
        relay = self._stack.enter_context(Relay(server.port)) if relayed else None
        self.nodes.append(StoreNode(name or NAMES[len(self.nodes)], server, relay))
        return self.nodes[-1]

    def url(self, nodes: Sequence[StoreNode] | None = None) -> str:
        """The URL of a ring of all nodes, or of these."""
        listed = ",".join(f"{node.name}=127.0.0.1:{node.port}" for node in nodes or self.nodes)
        return f"memcached://{listed}?replicas=2"

    def web(self, name: str, colour: str, url: str = "", **settings: Any) -> WebProcess:
        """Starts a web node in a process of its own."""
        settings = {"timeout": TIMEOUT, "breaker_window": WINDOW} | settings
        return self._stack.enter_context(WebProcess(name, colour, url or self.url(), **settings))


@dataclass(frozen=True)
class Visit:
    """One session, one of its IDs, and the cookie that opens it."""

    session: str
    cookie: str
    id: str


@dataclass
class Visitors:
    """A crowd that logs in, writes, reads, changes its IDs and logs out at random, and writes down what it saw.

    Args:
        webs: the web nodes, each request goes to any of them.
        seed: of all chance.
        rival: what a request in flight beside a regenerate does.
    """

    webs: list[WebProcess]
    seed: int = 1
    rival: str = "insist"
    history: History = field(default_factory=History)

    def __post_init__(self) -> None:
        self.visits: list[Visit] = []  # the cookies that were left behind, too
        self._open: list[list[Visit]] = [[] for _ in range(_VISITORS)]
        self._chances = [random.Random(f"{self.seed}-{number}") for number in range(_VISITORS)]
        self._born = self._logins = 0
        self._lock = threading.Lock()

    def run(self, logins: int, within: float = _PATIENCE) -> None:
        """Lets the crowd work until so many more logins were answered."""
        target = self._logins + logins
        deadline = time.monotonic() + within
        with ThreadPoolExecutor(_VISITORS + 2) as pool:
            for done in [pool.submit(self._work, number, target, deadline, pool) for number in range(_VISITORS)]:
                done.result()
        assert self._logins >= target, "the crowd cannot log in"

    def login(self, web: WebProcess) -> Visit | None:
        """One more session; ``None`` if nobody knows whether there is one."""
        with self._lock:
            self._born += 1
            name = f"s{self._born}"
        operation, reply = self._ask(web, Visit(name, "", name), "login")
        if reply.status == 200 and reply.cookie:
            operation.ok(web.name)
            visit = Visit(name, reply.cookie, name)
            with self._lock:
                self._logins += 1
            self.visits.append(visit)
            return visit
        operation.unknown(web.name)
        return None

    def write(self, web: WebProcess, visit: Visit, deed: str = "write") -> Operation:
        operation, reply = self._ask(web, visit, "write", deed)
        if reply.status != 200:
            operation.unknown(web.name)
        elif reply.seen is ENDED:
            operation.saw(ENDED)
            operation.failed(web.name)
        else:
            operation.saw(reply.seen)
            operation.ok(web.name)
        return operation

    def read(self, web: WebProcess, visit: Visit) -> Operation:
        operation, reply = self._ask(web, visit, "read")
        if reply.status == 200:
            operation.saw(reply.seen)
            operation.ok(web.name)
        else:
            operation.unknown(web.name)
        return operation

    def regenerate(self, web: WebProcess, visit: Visit) -> Visit:
        """Asks for a new ID. Returns what the client has from now on: without an answer it keeps its cookie."""
        operation, reply = self._ask(web, visit, "regenerate")
        if reply.status != 200:
            operation.unknown(web.name)
            return visit
        operation.saw(reply.seen)
        if reply.seen is ENDED:
            operation.failed(web.name)
            return visit
        operation.new_id = f"{visit.id}'"
        operation.ok(web.name)
        self.visits.append(renewed := Visit(visit.session, reply.cookie, operation.new_id))
        return renewed

    def logout(self, web: WebProcess, visit: Visit) -> Operation:
        operation, reply = self._ask(web, visit, "logout")
        (operation.ok if reply.status == 200 else operation.unknown)(web.name)
        return operation

    def verify(self, webs: Sequence[WebProcess], within: float = 10.0) -> None:
        """Asks each session of each web node, in any order; what cannot be answered now is asked again."""
        chance = random.Random(f"{self.seed}-verify")
        with ThreadPoolExecutor(_VISITORS) as pool:
            for done in [pool.submit(self._verify, visit, webs, chance.random(), within) for visit in self.visits]:
                done.result()

    def expect_no_violation(self) -> None:
        """Nothing was lost, revived, rolled back or mixed up."""
        if violations := self.history.violations():
            raise AssertionError(self.history.report(violations))

    def _verify(self, visit: Visit, webs: Sequence[WebProcess], chance: float, within: float) -> None:
        for web in random.Random(chance).sample(webs, len(webs)):
            until(lambda web=web: self.read(web, visit).looked, within)

    def _work(self, number: int, target: int, deadline: float, pool: ThreadPoolExecutor) -> None:
        while self._logins < target and time.monotonic() < deadline:
            self._step(self._chances[number], self._open[number], pool)

    def _step(self, chance: random.Random, mine: list[Visit], pool: ThreadPoolExecutor) -> None:
        web, dice = chance.choice(self.webs), chance.random()
        if dice < 0.28 or not mine:
            visit = self.login(web)
            if visit:
                mine.append(visit)
            return
        visit = chance.choice(mine[-20:])
        if dice < 0.56:
            self.write(web, visit)
        elif dice < 0.76:
            self.read(web, visit)
        elif dice < 0.81:
            self.read(web, chance.choice(self.visits))
        elif dice < 0.85:
            mine[mine.index(visit)] = self.regenerate(web, visit)
        elif dice < 0.89:  # a request in flight that changes the session, and a new ID at the same moment
            rival = pool.submit(self.write, chance.choice(self.webs), visit, self.rival)
            mine[mine.index(visit)] = self.regenerate(web, visit)
            rival.result()
        elif dice < 0.97:
            if self.logout(web, visit).outcome.value == "ok":
                mine.remove(visit)
        else:  # a write and a logout at the same moment
            rival = pool.submit(self.write, chance.choice(self.webs), visit)
            self.logout(web, visit)
            rival.result()
            mine.remove(visit)

    def _ask(self, web: WebProcess, visit: Visit, kind: str, deed: str = "") -> tuple[Operation, Reply]:
        operation = self.history.begin(visit.session, kind, visit.id)
        try:
            reply = web.ask(deed or kind, visit.cookie, operation.value or "")
        except EOFError:
            return operation, Reply(503, None, [], 0.0)
        if reply.status not in {200, 503}:
            operation.faults.append(("error", f"{reply.status} {reply.seen}"))
        if deed == "insist" and self.history.has("logout", visit.session):
            return operation, reply  # it begins a new session, of a visitor who has none
        clears = [line for line in reply.cookies if line.partition(";")[0].endswith("=")]
        expected = {"login": (1, 0), "logout": (1, 1), "regenerate": (reply.seen is not ENDED, 0)}.get(kind, (0, 0))
        if (len(reply.cookies), len(clears)) != (expected if reply.status == 200 else (0, 0)):
            operation.faults.append(("cookie", f"{reply.status} with {len(reply.cookies)} Set-Cookie"))
        return operation, reply


@contextmanager
def meanwhile(work: Callable[[], Any], every: float) -> Iterator[None]:
    """Does something again and again on the side."""
    over = threading.Event()

    def again() -> None:
        while not over.wait(every):
            work()

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(again)
        try:
            yield
        finally:
            over.set()
        running.result()
