"""Locks: one at a time across the farm, nobody waits longer than needed, and a lock that is lost loses no data."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sharedsession.concurrency.keyed_queue import ThreadQueue
from sharedsession.engine.lock import MOST_WAITING
from sharedsession.manager import engines_of
from tests.support.farm import SECRET, Browser, Handler, WebNode, destroy, everything, read, write
from tests.support.stopwatch import Stopwatch

SHARED = ("sqlite", "redis", "memcached", "ring")
pytestmark = pytest.mark.parametrize("url", SHARED, indirect=True)
ROOT = Path(__file__).parents[2]
LEASE = 2.0
BUSY_MACHINE = 0.1  # seconds that two loaded cores may add
WAKE_UP = 0.025 + BUSY_MACHINE / 2
HOLDER = f"""
import sys
from tests.support.node import Node
url, token = sys.argv[1:]
session = Node.of(secret_key={SECRET!r}, backend=url, timeout=5.0).open([token.encode()])
try:
    with session.lock(lease={LEASE}):
        print("held", session["n"], flush=True)
        sys.stdin.readline()
        session["n"] = "late"
except Exception as error:
    print(type(error).__name__, flush=True)
else:
    print("saved", flush=True)
"""


class Holder:
    """Another process, which takes the lock of a session and holds it until it is told to go on."""

    def __init__(self, url: str, cookie: str) -> None:
        command = [sys.executable, "-c", HOLDER, url, cookie.partition("=")[2]]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=ROOT, text=True)
        self.said()

    def said(self) -> str:
        return self.process.stdout.readline().strip()

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def go_on(self) -> str:
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.said()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture
def holder(url: str, browser: Browser) -> Iterator[Callable[[], Holder]]:
    """Starts a process that holds the lock of the browser's session."""
    holders: list[Holder] = []

    def start() -> Holder:
        holders.append(Holder(url, browser.cookie))
        return holders[-1]

    yield start
    for each in holders:
        each.close()


@pytest.fixture
def locked(colour: str) -> Callable[..., Handler]:
    """Makes a handler that does something under the session's lock."""

    def maker(deed: Handler, **options: Any) -> Handler:
        def blocking(session: Any) -> Any:
            with session.lock(**options):
                return deed(session)

        async def on_loop(session: Any) -> Any:
            async with session.lock(**options):
                return await asyncio.to_thread(deed, session)

        return blocking if colour == "wsgi" else on_loop

    return maker


def add_slowly(session: Any) -> None:
    """What merging cannot know: the new value depends on the old one."""
    seen = session["n"]
    time.sleep(0.002)  # others have time to do the same
    session["n"] = seen + 1


def test_one_at_a_time(browser: Browser, locked: Callable[..., Handler]) -> None:
    """Forty requests on two nodes each read, think and write: none overwrites another."""
    browser.go(write("n", 0))
    with ThreadPoolExecutor(8) as crowd:
        deeds = [(browser.nodes[n % 2], locked(add_slowly)) for n in range(40)]
        answers = list(crowd.map(lambda deed: deed[0].request(deed[1], browser.cookie), deeds))
    assert {(answer.status, len(answer.set_cookies)) for answer in answers} == {(200, 0)}
    assert browser.go(read("n")).body == "40"


def test_inside_the_session_is_fresh_and_afterwards_it_is_saved(
    browser: Browser, locked: Callable[..., Handler]
) -> None:
    """What others wrote before the lock was taken is seen, and others see at once what was written under it."""
    browser.go(write("n", 1))
    other = browser.nodes[1]

    def outside(session: Any) -> None:
        session["mine"] = "before"
        other.request(write("n", 2), browser.cookie)

    def inside(session: Any) -> Any:
        session["n"] += 1
        return dict(session)

    seen: list[Any] = []

    def blocking(session: Any) -> None:
        outside(session)
        seen.append(locked(inside)(session))
        seen.append(other.request(everything, browser.cookie).body)

    async def on_loop(session: Any) -> None:
        await asyncio.to_thread(outside, session)
        seen.append(await locked(inside)(session))
        seen.append((await asyncio.to_thread(other.request, everything, browser.cookie)).body)

    node = browser.nodes[0]
    assert node.request(blocking if node.colour == "wsgi" else on_loop, browser.cookie).status == 200
    assert seen == [{"n": 3, "mine": "before"}, repr({"n": 3, "mine": "before"})]


def test_readers_and_other_writers_are_not_held_up(browser: Browser, holder: Callable[[], Holder]) -> None:
    """Who does not ask for the lock does not wait for it, and a change of another key is merged."""
    browser.go(write("n", 1))
    process = holder()
    assert browser.go(read("n")).body == "1"
    browser.go(write("other", 2))
    assert process.go_on() == "saved"  # it held the lock until now
    assert browser.go(everything).body == repr({"n": "late", "other": 2})


def test_a_waiting_request_gives_up_in_time(browser: Browser, holder: Callable[[], Holder], locked: Any) -> None:
    """It is answered with 503 and Retry-After, and the session is as it was."""
    browser.go(write("n", 1))
    process = holder()
    with Stopwatch() as stopwatch:
        answer = browser.go(locked(write("n", 2), timeout=0.2))
    assert (answer.status, len(answer.all("retry-after")), answer.set_cookies) == (503, 1, [])
    assert stopwatch.passed >= 0.2
    assert stopwatch.took < 0.2 + 5 * BUSY_MACHINE
    assert process.go_on() == "saved"


@pytest.mark.waits
def test_the_next_one_wakes_up_at_once(browser: Browser, holder: Callable[[], Holder], locked: Any) -> None:
    """From the release in another process to the entry in this one: 25 ms at rest, in one of a few tries."""
    browser.go(write("n", 1))
    took = [1.0]
    while min(took) >= WAKE_UP and len(took) < 8:
        process = holder()
        with ThreadPoolExecutor(1) as pool:
            entered = pool.submit(browser.nodes[0].request, locked(lambda _: None), browser.cookie)
            wait_until(lambda: line_in(browser.nodes[0]) is not None)
            process.go_on()  # says "saved" when the lock is released
            with Stopwatch() as stopwatch:
                entered.result(30)
            took.append(stopwatch.took)
    assert min(took) < WAKE_UP


@pytest.mark.waits
def test_a_killed_holder_delays_the_next_by_its_lease(
    browser: Browser, holder: Callable[[], Holder], locked: Any
) -> None:
    """SIGKILL: nobody releases the lock, and the store breaks it."""
    browser.go(write("n", 1))
    process = holder()
    process.signal(signal.SIGKILL)
    with Stopwatch() as stopwatch:
        assert browser.go(locked(write("n", 2), timeout=10)).status == 200
    assert stopwatch.took < LEASE + 5 * BUSY_MACHINE
    assert browser.go(read("n")).body == "2"


@pytest.mark.waits
def test_a_broken_holder_saves_nothing(browser: Browser, holder: Callable[[], Holder], locked: Any) -> None:
    """SIGSTOP for longer than the lease: another one enters; the late save is refused, and said so."""
    browser.go(write("n", 1))
    process = holder()
    process.signal(signal.SIGSTOP)
    assert browser.go(locked(write("n", 2), timeout=10)).status == 200
    process.signal(signal.SIGCONT)
    assert process.go_on() == "Conflict"
    assert browser.go(read("n")).body == "2"


@pytest.mark.waits
def test_a_holder_that_lives_keeps_its_lock(browser: Browser, holder: Callable[[], Holder], locked: Any) -> None:
    """It renews it: another one waits for longer than the lease, and in vain."""
    browser.go(write("n", 1))
    process = holder()
    assert browser.go(locked(write("n", 2), timeout=1.5 * LEASE)).status == 503
    assert process.go_on() == "saved"
    assert browser.go(read("n")).body == repr("late")


def test_an_exception_saves_nothing_and_releases(browser: Browser, locked: Callable[..., Handler]) -> None:
    """What was changed under the lock is dropped, the lock is free at once, and the request goes on."""
    browser.go(write("n", 1))

    def fail(session: Any) -> None:
        session["n"] = 2
        raise KeyError("nothing to do with it")

    def blocking(session: Any) -> Any:
        with pytest.raises(KeyError):
            locked(fail)(session)
        return session["n"]

    async def on_loop(session: Any) -> Any:
        with pytest.raises(KeyError):
            await locked(fail)(session)
        return session["n"]

    node = browser.nodes[0]
    assert node.request(blocking if node.colour == "wsgi" else on_loop, browser.cookie).body == "1"
    assert browser.nodes[1].request(locked(write("n", 3), timeout=1), browser.cookie).status == 200


def test_a_logout_under_the_lock_and_beside_it(browser: Browser, locked: Callable[..., Handler]) -> None:
    """A session that is ended under its lock is ended; one that was ended meanwhile is empty inside."""
    browser.go(write("n", 1))
    cookie = browser.cookie
    assert len(browser.go(locked(destroy)).set_cookies) == 1
    assert {node.request(everything, cookie).body for node in browser.nodes} == {"{}"}
    answer = browser.nodes[0].request(locked(everything), cookie)
    assert (answer.status, answer.body) == (200, "{}")


def test_a_new_session_needs_no_lock(browser: Browser, locked: Callable[..., Handler]) -> None:
    """Nobody else can have it; it is saved all the same."""
    answer = browser.go(locked(write("n", 1)))
    assert (answer.status, len(answer.set_cookies)) == (200, 1)
    assert browser.go(read("n")).body == "1"


def test_too_many_wait(browser: Browser, holder: Callable[[], Holder], locked: Any) -> None:
    """The queue of a process has an end: who comes then is told at once, and the others get in one by one."""
    browser.go(write("n", 1))
    process, node, handler = holder(), browser.nodes[0], locked(lambda _: None, timeout=30)
    with ThreadPoolExecutor(MOST_WAITING + 1) as crowd:
        waiting = [crowd.submit(node.request, handler, browser.cookie) for _ in range(MOST_WAITING + 1)]
        wait_until(lambda: line_in(node) == MOST_WAITING)
        with Stopwatch() as stopwatch:
            assert node.request(handler, browser.cookie).status == 503
        assert stopwatch.took < LEASE
        assert process.go_on() == "saved"
        assert {future.result(60).status for future in waiting} == {200}


def line_in(node: WebNode) -> int | None:
    """How many requests of a node wait behind the one that asks the store; ``None`` if nobody does."""
    engines = engines_of(node.manager)
    if node.colour == "wsgi":
        waiters = engines.blocking._locks.queue._waiters
    else:
        queue = engines.on_loop._locks.queue
        waiters = queue._waiters if isinstance(queue, ThreadQueue) else queue._loops.get(node._loop) or {}
    return next((len(line or ()) for line in waiters.values()), None)


def wait_until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_the_wrong_with_is_refused(browser: Browser, colour: str) -> None:
    """An application on an event loop is told to use `async with`; twice in one request makes no sense either."""
    browser.go(write("n", 1))

    def blocking(session: Any) -> str:
        with session.lock(), pytest.raises(Exception, match="already"), session.lock():
            pass
        return "refused"

    async def on_loop(session: Any) -> str:
        with pytest.raises(Exception, match="async with"), session.lock():
            pass
        return "refused"

    assert browser.go(blocking if colour == "wsgi" else on_loop).body == repr("refused")


@pytest.mark.parametrize("options", [{"lease": 1}, {"timeout": -1}], ids=str)
def test_bad_options_are_refused(browser: Browser, options: dict[str, float]) -> None:
    """A lease below what every store can count, and a negative time, are errors where they are given."""

    def ask(session: Any) -> str:
        with pytest.raises(ValueError, match="seconds"):
            session.lock(**options)
        return "refused"

    assert browser.go(ask).body == repr("refused")
