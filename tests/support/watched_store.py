"""A store in memory that notes what it is asked and fails as a test wants; a farm over it whose time stands still."""

from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from sharedsession import MachineKey, Session
from sharedsession.backends.adapters import for_blocking
from sharedsession.backends.base import Stored
from sharedsession.concurrency import BlockingDriver, Done, Step, run
from sharedsession.engine import Engine
from sharedsession.errors import BackendUnavailable
from sharedsession.manager import SessionManager, engines_of
from sharedsession.testing import ManualEnvironment, memory_backend
from tests.support.node import Node

SECRET = MachineKey.generate()


class WatchedStore:
    """A blocking backend in memory.

    Args:
        environment: where the clock comes from.

    Attributes:
        asked: the verbs, in order.
        ended: the time to live that each `end` was asked with.
        down: whether every verb fails.
        takes: seconds that each verb takes.
        life: what records are said to live for; ``None``: the store does not tell.
    """

    def __init__(self, environment: ManualEnvironment) -> None:
        self.asked: list[str] = []
        self.ended: list[float] = []
        self.down = False
        self.takes = 0.0
        self.life: float | None = None
        self._environment = environment
        self._before: defaultdict[str, list[Callable[[], object]]] = defaultdict(list)
        self._always_before: dict[str, Callable[[], object]] = {}
        self._lost: Counter[str] = Counter()
        self._repeated: Counter[str] = Counter()
        self.forget_everything()

    def forget_everything(self) -> None:
        """Loses every record, as a store that was restarted."""
        self._backend = memory_backend(self._environment)
        self.max_value = self._backend.max_value

    def forget(self, key: str) -> None:
        """Loses one record, as a store that needed its memory."""
        self._backend._entries.pop(key, None)

    @property
    def alive(self) -> int:
        """How many records there are, but for those that have ended."""
        return sum(not entry.ended for entry in self._backend._entries.values())

    # -- what goes wrong

    def before(self, verb: str, action: Callable[[], object]) -> None:
        """Does something else before the next verb of a kind is carried out: another request, say."""
        self._before[verb].append(action)

    def always_before(self, verb: str, action: Callable[[], object]) -> None:
        """Does something else before every verb of a kind."""
        self._always_before[verb] = action

    def lose_answer(self, verb: str) -> None:
        """Carries the next verb of a kind out, and then fails."""
        self._lost[verb] += 1

    def ask_twice(self, verb: str) -> None:
        """Carries the next verb of a kind out twice, as a client whose first answer was lost. The second counts."""
        self._repeated[verb] += 1

    # -- verbs

    def get(self, *arguments: Any) -> Any:
        found = self._carry_out("get", *arguments)
        return found._replace(ttl=self.life) if isinstance(found, Stored) else found

    def add(self, *arguments: Any) -> Any:
        return self._carry_out("add", *arguments)

    def replace(self, *arguments: Any) -> Any:
        return self._carry_out("replace", *arguments)

    def end(self, key: str, ttl: float, timeout: float) -> Any:
        self.ended.append(ttl)
        return self._carry_out("end", key, ttl, timeout)

    def supersede(self, *arguments: Any) -> Any:
        return self._carry_out("supersede", *arguments)

    def touch(self, *arguments: Any) -> Any:
        return self._carry_out("touch", *arguments)

    def close(self) -> None:
        """Nothing is open."""

    def health(self) -> dict[str, Any]:
        return self._backend.health()

    def _carry_out(self, verb: str, *arguments: Any) -> Any:
        self.asked.append(verb)
        self._environment.advance(self.takes)
        if verb in self._always_before:
            self._always_before[verb]()
        if self._before[verb]:
            self._before[verb].pop(0)()
        if self.down:
            raise BackendUnavailable("down")
        answer = getattr(self._backend, verb)(*arguments)
        if self._repeated[verb]:
            self._repeated[verb] -= 1
            answer = getattr(self._backend, verb)(*arguments)
        if self._lost[verb]:
            self._lost[verb] -= 1
            raise BackendUnavailable("the answer was lost")
        return answer


class Farm:
    """A store, a clock, and web nodes over both. What repeats in the background runs when `pass_time` says so.

    Attributes:
        environment: time and chance.
        store: of all nodes.
    """

    def __init__(self) -> None:
        self.environment = ManualEnvironment()
        self.store = WatchedStore(self.environment)
        self._drivers: list[HandDriver] = []

    def node(self, **settings: Any) -> Node:
        """Makes a web node."""
        settings = {"secret_key": SECRET, "backend": self.store} | settings
        manager = SessionManager.from_settings(environment=self.environment, **settings)
        engines = engines_of(manager)
        driver = HandDriver(self.environment)
        self._drivers.append(driver)
        verbs = for_blocking(engines.settings.backend)
        assert verbs
        engines.__dict__["blocking"] = Engine(engines.settings, verbs, driver, engines.observer, engines.this_node)
        return Node(manager)

    def pass_time(self, seconds: float) -> None:
        """Moves the clocks, then runs whatever repeats."""
        self.environment.advance(seconds)
        for driver in self._drivers:
            driver.run_repeated()

    def asked_for(self, work: Callable[[], object]) -> list[str]:
        """Does something. Returns the verbs that it asked the store for."""
        before = len(self.store.asked)
        work()
        return self.store.asked[before:]

    def changed_by_another(self, node: Node, token: bytes, **data: Any) -> Callable[[], object]:
        """Returns what changes a session as a request of its own would."""

        def other_request() -> None:
            session = node.open([token])
            session.update(data)
            node.commit(session)

        return other_request


class HandDriver(BlockingDriver):
    """The driver of applications that block, without threads: what repeats, a test runs."""

    def __init__(self, environment: ManualEnvironment) -> None:
        super().__init__(environment)
        self._repeated: list[Step[None]] = []

    def run_repeated(self) -> None:
        """Runs each step that repeats once."""
        for step in list(self._repeated):
            run(step())

    def timer(self, step: Step[None], *, at_once: bool = False) -> Any:
        return HandTimer(step, self._repeated, at_once=at_once)

    def repeat(self, seconds: float, step: Step[None]) -> Any:
        self._repeated.append(step)

        def stop() -> Done[None]:
            self._repeated.remove(step)
            return Done(None)

        return stop


class HandTimer:
    """A timer that a test runs."""

    def __init__(self, step: Step[None], repeated: list[Step[None]], *, at_once: bool) -> None:
        self._step = step
        self._repeated = repeated
        self._at_once = at_once

    def ensure(self, seconds: float) -> None:
        if self._step not in self._repeated:
            self._repeated.append(self._step)
            if self._at_once:
                run(self._step())


class Names:
    """A tracer that notes the name of each piece of work, and how it ended."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    async def trace(self, operation: str, work: Coroutine[Any, Any, None], outcome: Callable[[], str]) -> None:
        try:
            await work
        finally:
            self.seen.append((operation, outcome()))


def counted(node: Node, *events: str) -> Sequence[int]:
    """Returns how often each of these events happened."""
    return [node.observer.counters[event] for event in events]


def opened(node: Node, token: bytes) -> Session:
    """Returns the session of a request that has read it."""
    session = node.open([token])
    len(session)
    return session
