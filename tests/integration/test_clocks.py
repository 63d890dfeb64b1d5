"""The two clocks of a session on real stores: idle, absolute, and "remember me" for one session."""

import time
from typing import Any

import pytest

from tests.support.farm import Browser, everything, read, write

SHARED = ("sqlite", "redis", "memcached", "ring")
pytestmark = pytest.mark.parametrize("url", SHARED, indirect=True)
GRANULARITY = 1.2  # seconds: memcached counts whole ones


def until_gone(browser: Browser, handle: str, within: float) -> float:
    """Seconds until the list no longer has it: to look at that renews nothing."""
    began = time.monotonic()
    while time.monotonic() < began + within:
        if all(info.id != handle for info in browser.nodes[0].manager.list("user:1")):
            return time.monotonic() - began
        time.sleep(0.05)
    raise AssertionError("it lives")


def test_idle(url: str, web_node: Any) -> None:
    """A session that nobody asks for is over after its idle timeout, and no sooner while somebody does."""
    node = web_node(url, timeout=5.0, idle_timeout=2)
    browser = Browser([node])
    handle = browser.go(lambda session: (setattr(session, "principal", "user:1"), session.id)[1]).body.strip("'")
    for _ in range(12):
        assert browser.go(lambda session: session.principal).body == repr("user:1")
        time.sleep(0.25)
    took = until_gone(browser, handle, 10)
    assert 2 - 0.25 - 0.2 - GRANULARITY <= took <= 2 + GRANULARITY
    assert browser.go(everything).body == "{}"


def test_absolute(url: str, web_node: Any) -> None:
    """Nothing extends it: neither use nor a new ID."""
    browser = Browser([web_node(url, timeout=5.0, absolute_timeout=2)])
    browser.go(write("user", "alice"))
    began = time.monotonic()
    while browser.go(read("user")).body == repr("alice"):
        browser.go(lambda session: session.regenerate() if session else None)
        assert time.monotonic() - began < 2 + GRANULARITY
        time.sleep(0.1)
    assert time.monotonic() - began > 2 - GRANULARITY - 0.2
    assert browser.go(everything).body == "{}"


def test_remember_me(url: str, web_node: Any) -> None:
    """One session with a long idle timeout and a cookie that outlives the browser, beside short ones."""
    node = web_node(url, timeout=5.0, idle_timeout=1)
    remembered, other = Browser([node]), Browser([node])

    def login(session: Any) -> None:
        session["user"] = "alice"
        session.idle_timeout = 3600
        session.persistent = True

    answer = remembered.go(login)
    assert "Max-Age=" in answer.set_cookies[0]
    assert "Max-Age=" not in other.go(write("user", "bob")).set_cookies[0]
    time.sleep(1 + GRANULARITY)
    assert remembered.go(lambda session: (session["user"], session.idle_timeout)).body == repr(("alice", 3600.0))
    assert other.go(everything).body == "{}"
