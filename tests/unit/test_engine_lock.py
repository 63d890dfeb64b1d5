"""The lock of a session: held, refused, renewed, lost, released. No server; time passes by hand."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from sharedsession import Conflict, LockTimeout, Session
from sharedsession.engine import lock as lock_module
from sharedsession.errors import BackendUnavailable, SessionError
from sharedsession.manager import engines_of
from sharedsession.session import state_of
from tests.support.node import Node
from tests.support.watched_store import Farm, counted, opened

LEASE = 10.0


@pytest.fixture
def farm() -> Farm:
    """An empty store and a clock."""
    return Farm()


@pytest.fixture
def node(farm: Farm) -> Node:
    """A web node."""
    return farm.node()


@pytest.fixture
def other(farm: Farm) -> Node:
    """Another web node: a process of its own."""
    return farm.node()


def held(node: Node, token: bytes, lease: float = LEASE) -> tuple[Session, Any]:
    """A session of a request that is inside of its lock, and the lock."""
    session = opened(node, token)
    lock = session.lock(lease=lease)
    lock.__enter__()
    return session, lock


def leave(lock: Any) -> None:
    """Leaves a lock without an error."""
    lock.__exit__(None, None, None)


# -- one at a time


def test_inside_the_session_is_as_the_store_has_it_and_afterwards_it_is_saved(node: Node, other: Node) -> None:
    """What another request wrote before is seen, and others see at once what was written inside."""
    token = node.stored(n=1)
    session = opened(node, token)
    with opened(other, token).lock() as writing:
        writing["n"] = 2
    with session.lock() as same:
        assert same is session
        session["n"] += 1
    assert other.read(token) == {"n": 3}


def test_a_lock_that_another_request_holds_is_refused(farm: Farm, node: Node, other: Node) -> None:
    """Within its time the next one waits; then the message tells how long it was."""
    token = node.stored(a=1)
    _, lock = held(node, token)
    began = farm.environment.monotonic()
    with pytest.raises(LockTimeout, match="for 3 s"), opened(other, token).lock(timeout=3):
        pass
    assert farm.environment.monotonic() - began == pytest.approx(3, abs=0.011)
    with pytest.raises(LockTimeout), opened(other, token).lock(timeout=0):
        pass
    leave(lock)
    with opened(other, token).lock(timeout=0):
        pass


def test_readers_and_writers_without_the_lock_do_not_wait(node: Node, other: Node) -> None:
    """Writers are merged as ever."""
    token = node.stored(a=1)
    session, lock = held(node, token)
    session["mine"] = 1
    writing = opened(other, token)
    writing["theirs"] = 1
    other.commit(writing)
    leave(lock)
    assert other.read(token) == {"a": 1, "mine": 1, "theirs": 1}


def test_what_was_changed_before_the_lock_is_saved_first(node: Node, other: Node) -> None:
    """An error inside drops what was changed inside, and nothing else."""
    token = node.stored(a=1)
    session = opened(node, token)
    session["before"] = 1

    def break_off() -> None:
        with session.lock():
            assert other.read(token) == {"a": 1, "before": 1}
            session["inside"] = 1
            session["inside"] /= 0

    with pytest.raises(ZeroDivisionError):
        break_off()
    assert session == {"a": 1, "before": 1}
    node.commit(session)
    assert other.read(token) == {"a": 1, "before": 1}


def test_a_new_session_needs_no_lock(farm: Farm, node: Node) -> None:
    """No other request can have it, so the store is asked for nothing but the write."""
    session = node.open(())
    with session.lock():
        session["a"] = 1
    assert farm.store.asked == ["add"]


def test_a_token_that_is_not_genuine_needs_none_either(farm: Farm, node: Node) -> None:
    """Also if something fails inside: the store is not asked at all."""

    def break_off() -> None:
        with node.open([b"junk"]).lock():
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        break_off()
    assert farm.store.asked == []


def test_a_session_that_ended_meanwhile_is_empty_inside(node: Node, other: Node) -> None:
    """It is not written again, and the lock is released."""
    token = node.stored(a=1)
    session = opened(node, token)
    leaving = other.open([token])
    leaving.destroy()
    other.commit(leaving)
    with session.lock():
        assert session == {}
        assert session.is_new
    assert other.read(token) == {}
    assert state_of(session).held_lock is None


def test_a_request_locks_a_session_once(node: Node) -> None:
    """Twice would be to wait for itself."""
    session, lock = held(node, node.stored(a=1))
    with pytest.raises(SessionError, match="already"), session.lock():
        pass
    leave(lock)
    with session.lock():
        pass


@pytest.mark.parametrize(
    ("options", "message"), [({"timeout": -1}, "timeout"), ({"lease": 1.9}, "2 seconds"), ({"lease": 0}, "2 seconds")]
)
def test_a_lock_that_cannot_work_is_refused_at_once(node: Node, options: dict[str, float], message: str) -> None:
    """Before anything is asked."""
    with pytest.raises(ValueError, match=message):
        node.open([node.stored(a=1)]).lock(**options)


# -- the lease


def test_a_holder_that_died_delays_the_next_by_its_lease(farm: Farm, node: Node, other: Node) -> None:
    """The store forgets the lock; nothing must be cleaned up."""
    token = node.stored(a=1)
    held(node, token)
    farm.environment.advance(LEASE - 0.1)
    with pytest.raises(LockTimeout), opened(other, token).lock(timeout=0):
        pass
    farm.environment.advance(0.1)
    with opened(other, token).lock(timeout=0):
        pass


def test_a_holder_that_lives_keeps_its_lock(farm: Farm, node: Node, other: Node) -> None:
    """It is renewed in the background for as long as the request works, also after an outage of the store."""
    token = node.stored(a=1)
    session, lock = held(node, token)
    for number in range(9):
        farm.store.down = number == 4
        farm.pass_time(LEASE / 3)
    with pytest.raises(LockTimeout), opened(other, token).lock(timeout=0):
        pass
    session["a"] = 2
    leave(lock)
    assert other.read(token) == {"a": 2}
    with opened(other, token).lock(timeout=0):
        pass


def test_a_lock_that_was_lost_loses_no_data(farm: Farm, node: Node, other: Node) -> None:
    """The holder stood still, and another one went ahead: what was changed under the old lock is refused and logged."""
    token = node.stored(a=1)
    session, lock = held(node, token)
    session["a"] = 2
    farm.environment.advance(LEASE)
    with opened(other, token).lock(timeout=0) as writing:
        writing["a"] = 3
    with pytest.raises(Conflict, match="lock was lost"):
        leave(lock)
    assert other.read(token) == {"a": 3}
    assert counted(node, "lock_lost") == [1]


def test_a_lock_that_was_lost_is_not_taken_back_by_a_renewal(farm: Farm, node: Node, other: Node) -> None:
    """A holder that wakes up late leaves the new one's lock alone, also when it releases its own."""
    token = node.stored(a=1)
    _, lost = held(node, token)
    farm.environment.advance(LEASE)
    session, lock = held(other, token)
    farm.pass_time(1)
    leave(lost)
    with pytest.raises(LockTimeout), opened(node, token).lock(timeout=0):
        pass
    session["a"] = 2
    leave(lock)
    assert node.read(token) == {"a": 2}


def test_of_two_that_find_it_free_one_gets_it(farm: Farm, node: Node, other: Node) -> None:
    """Whether nobody ever held it or it was released: the other one waits."""
    token = node.stored(a=1)
    for verb in ("add", "replace"):
        quicker: list[Any] = []
        farm.store.before(verb, lambda quicker=quicker: quicker.append(held(other, token)[1]))
        with pytest.raises(LockTimeout), opened(node, token).lock(timeout=0):
            pass
        leave(quicker[0])


@pytest.mark.parametrize("verb", ["add", "replace"])
def test_a_lock_whose_answer_was_lost_is_held(farm: Farm, node: Node, other: Node, verb: str) -> None:
    """The second try finds the first one's write, and knows it by its token."""
    token = node.stored(a=1)
    if verb == "replace":
        with opened(node, token).lock():
            pass
    farm.store.ask_twice(verb)
    _, lock = held(node, token)
    with pytest.raises(LockTimeout), opened(other, token).lock(timeout=0):
        pass
    leave(lock)


def test_a_lock_that_cannot_be_read_can_be_taken(farm: Farm, node: Node) -> None:
    """One node of a ring that is down forbids to say that it is free; adding needs no such answer."""
    token = node.stored(a=1)
    session = opened(node, token)
    farm.store.before("get", lambda: setattr(farm.store, "down", True))
    farm.store.before("add", lambda: setattr(farm.store, "down", False))
    with session.lock():
        session["a"] = 2
    assert node.read(token) == {"a": 2}


def test_a_lock_that_cannot_be_released_is_free_when_its_lease_is_over(farm: Farm, node: Node, other: Node) -> None:
    """It is counted; what was changed is saved already."""
    token = node.stored(a=1)
    session, lock = held(node, token)
    session["a"] = 2

    def down_after_the_save() -> None:
        farm.store.before("replace", lambda: setattr(farm.store, "down", True))

    farm.store.before("replace", down_after_the_save)
    leave(lock)
    farm.store.down = False
    assert counted(node, "lock_not_released") == [1]
    with pytest.raises(LockTimeout), opened(other, token).lock(timeout=0):
        pass
    farm.environment.advance(LEASE)
    with opened(other, token).lock(timeout=0):
        pass
    assert other.read(token) == {"a": 2}


@pytest.mark.parametrize("at", ["the lock", "the session"])
def test_a_store_that_is_down_gives_no_lock(farm: Farm, node: Node, other: Node, at: str) -> None:
    """What was taken before it went down is given back."""
    token = node.stored(a=1)
    session = opened(node, token)

    def down_for_the_session() -> None:
        farm.store.before("get", lambda: setattr(farm.store, "down", True))

    if at == "the lock":
        farm.store.down = True
    else:
        farm.store.before("get", down_for_the_session)
    with pytest.raises(BackendUnavailable), session.lock():
        pass
    farm.store.down = False
    assert state_of(session).held_lock is None
    farm.environment.advance(LEASE)
    with opened(other, token).lock(timeout=0):
        pass


# -- the queue of one process


class Waiting:
    """Requests of one process that wait for a session whose lock is asked for just now.

    Args:
        farm: of the node.
        node: whose requests.
        token: of the session.
    """

    def __init__(self, farm: Farm, node: Node, token: bytes) -> None:
        self._node, self._token = node, token
        self._may_go_on = threading.Event()
        stands = threading.Event()
        self.served: list[int] = []
        self._threads: list[threading.Thread] = []
        farm.store.before("add", lambda: (stands.set(), self._may_go_on.wait(60)))
        self.join(0)
        assert stands.wait(60)

    def join(self, number: int) -> None:
        """Has one more request wait. It is patient: while it asks, the clock of the tests runs ahead."""
        session = opened(self._node, self._token)

        def request() -> None:
            with session.lock(timeout=1e6, lease=1e6):
                self.served.append(number)

        self._threads.append(threading.Thread(target=request))
        self._threads[-1].start()

    def wait_for(self, number: int) -> None:
        """Waits until so many wait."""
        identity = state_of(opened(self._node, self._token)).identity
        assert identity
        queue = self._node.engine._locks.queue
        polls = threading.Event()
        while queue.waiting(identity.store_key) < number:
            polls.wait(0.001)

    def go_on(self) -> None:
        """Lets the first one go on, and waits for all."""
        self._may_go_on.set()
        for thread in self._threads:
            thread.join(60)


def test_requests_of_one_process_get_it_in_the_order_they_came(farm: Farm, node: Node) -> None:
    """Only the first of them asks the store."""
    token = node.stored(a=1)
    waiting = Waiting(farm, node, token)
    for number in range(1, 6):
        waiting.join(number)
        waiting.wait_for(number)
    waiting.go_on()
    assert waiting.served == [0, 1, 2, 3, 4, 5]


def test_so_many_may_wait_and_no_more(farm: Farm, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one is refused at once, whatever its timeout; those who wait are served."""
    monkeypatch.setattr(lock_module, "MOST_WAITING", 2)
    token = node.stored(a=1)
    waiting = Waiting(farm, node, token)
    for number in (1, 2):
        waiting.join(number)
        waiting.wait_for(number)
    with pytest.raises(LockTimeout, match="2 requests wait"), opened(node, token).lock(timeout=60):
        pass
    waiting.go_on()
    assert waiting.served == [0, 1, 2]


def test_who_waits_too_long_in_the_queue_is_refused(farm: Farm, node: Node) -> None:
    """The store is not asked for it."""
    token = node.stored(a=1)
    waiting = Waiting(farm, node, token)
    with pytest.raises(LockTimeout, match="other requests"), opened(node, token).lock(timeout=0.01):
        pass
    waiting.go_on()


def test_fifty_may_wait() -> None:
    """As ASP.NET's limit for one session."""
    assert lock_module.MOST_WAITING == 50


# -- on an event loop


@pytest.fixture
def on_a_loop() -> Callable[[Callable[[Any], Any]], Any]:
    """Runs something with a session on an event loop, over a store of its own."""

    def run(work: Callable[[Any], Any]) -> Any:
        node = Farm().node()
        token = node.stored(n=1)

        async def request() -> Any:
            session = engines_of(node.manager).on_loop.open(Session, [token])
            await session.load()
            return await work(session)

        return asyncio.run(request()), node.read(token)

    return run


def test_async_with_does_the_same(on_a_loop: Any) -> None:
    """The session is saved before the lock is released, or what was changed is dropped."""

    async def break_off(session: Session) -> None:
        async with session.lock():
            session["n"] = 3
            session["n"] /= 0

    async def work(session: Session) -> None:
        async with session.lock() as inside:
            inside["n"] = 2
        with pytest.raises(ZeroDivisionError):
            await break_off(session)

    assert on_a_loop(work) == (None, {"n": 2})


def test_with_is_refused_on_an_event_loop(on_a_loop: Any) -> None:
    """The message says what to write."""

    async def work(session: Session) -> None:
        with pytest.raises(SessionError, match="async with"), session.lock():
            pass

    assert on_a_loop(work) == (None, {"n": 1})
