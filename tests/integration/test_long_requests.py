"""Requests that take long, and many at a time: how long a session lives meanwhile, and that nothing is lost."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.farm import Browser, WebNode, destroy, everything, read, write

SHARED = ("sqlite", "redis", "memcached", "ring")
pytestmark = pytest.mark.parametrize("url", SHARED, indirect=True)
IDLE = 3.0  # memcached may make two of it, and a busy machine takes its part


@pytest.fixture
def hasty(url: str, web_node: Callable[..., WebNode]) -> Browser:
    """A visitor of two nodes where sessions live for a few seconds."""
    return Browser([web_node(url, timeout=5.0, idle_timeout=IDLE) for _ in range(2)])


@pytest.mark.waits
def test_a_request_longer_than_the_idle_timeout_keeps_its_session(hasty: Browser) -> None:
    """The visitor waits for an upload to end: that is no idleness, and what it wrote is saved."""
    hasty.go(write("user", "alice"))

    def slow(session: Any) -> None:
        assert session["user"] == "alice"
        time.sleep(1.5 * IDLE)
        session["done"] = True

    assert hasty.go(slow).set_cookies == []
    assert hasty.go(everything).body == repr({"user": "alice", "done": True})


@pytest.mark.waits
def test_a_session_that_nobody_uses_ends_all_the_same(hasty: Browser) -> None:
    """A request that is over keeps nothing alive."""
    hasty.go(write("user", "alice"))
    hasty.go(read("user"))
    cookie = hasty.cookie
    time.sleep(IDLE + 1.5)  # memcached: whole seconds, rounded up
    assert hasty.nodes[0].request(everything, cookie).body == "{}"


@pytest.mark.waits
def test_a_logout_during_a_long_request_stays(hasty: Browser) -> None:
    """Keeping alive never brings back what was ended."""
    hasty.go(write("user", "alice"))
    cookie = hasty.cookie

    def slow(session: Any) -> None:
        assert session["user"] == "alice"
        hasty.nodes[1].request(destroy, cookie)
        time.sleep(1.25 * IDLE)
        session["done"] = True

    assert hasty.nodes[0].request(slow, cookie).set_cookies == []
    assert {node.request(everything, cookie).body for node in hasty.nodes} == {"{}"}


def test_ten_slow_requests_at_a_time(browser: Browser) -> None:
    """Without a lock nobody waits for anybody: all ten are at work on one session at the same moment."""
    browser.go(write("n", 0))
    together = threading.Barrier(10)

    def slow(number: int) -> Any:
        def handler(session: Any) -> None:
            session[f"k{number}"] = session["n"]
            together.wait(30)

        return handler

    with ThreadPoolExecutor(10) as crowd:
        answers = list(crowd.map(lambda n: browser.nodes[n % 2].request(slow(n), browser.cookie), range(10)))
    assert {answer.status for answer in answers} == {200}
    assert browser.go(lambda session: len(session)).body == "11"


def test_two_hundred_increments(browser: Browser) -> None:
    """Exact, however many at a time."""
    browser.go(write("n", 0))
    with ThreadPoolExecutor(200) as crowd:
        step = lambda n: browser.nodes[n % 2].request(lambda session: session.increment("n"), browser.cookie)  # noqa: E731
        assert {answer.status for answer in crowd.map(step, range(200))} == {200}
    assert browser.go(read("n")).body == "200"
