"""The two clocks of a session on real stores: idle, absolute, and "remember me" for one session."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.farm import Browser, everything, read, write

SHARED = ("sqlite", "redis", "memcached", "ring")
pytestmark = [pytest.mark.parametrize("url", SHARED, indirect=True), pytest.mark.waits]
GRANULARITY = 1.2  # seconds: memcached counts whole ones


def ends_after(seconds: float, is_alive: Callable[[], bool], since: float) -> None:
    """Asks until it has ended, and whether that was in time, however slow the machine is.

    Args:
        seconds: after which it has ended.
        is_alive: asks; it was alive when it was asked, or is not when it answers.
        since: when it was used last, or began: before that was asked.
    """
    latest = time.monotonic() + seconds + GRANULARITY  # that was answered by now
    while True:
        asked = time.monotonic()
        if not is_alive():
            break
        assert asked < latest
        time.sleep(0.05)
    assert time.monotonic() > since + seconds - GRANULARITY


def test_idle(url: str, web_node: Any) -> None:
    """A session that nobody asks for is over after its idle timeout, and no sooner while somebody does."""
    node = web_node(url, timeout=5.0, idle_timeout=2)
    browser = Browser([node])
    handle = browser.go(lambda session: (setattr(session, "principal", "user:1"), session.id)[1]).body.strip("'")
    for _ in range(12):
        time.sleep(0.25)
        used = time.monotonic()
        assert browser.go(lambda session: session.principal).body == repr("user:1")
    listed = node.manager.list  # to look at that renews nothing
    ends_after(2, lambda: any(info.id == handle for info in listed("user:1")), used - 0.2)  # or renewed just before
    assert browser.go(everything).body == "{}"


def test_absolute(url: str, web_node: Any) -> None:
    """Nothing extends it: neither use nor a new ID."""
    browser = Browser([web_node(url, timeout=5.0, absolute_timeout=2)])
    began = time.monotonic()
    browser.go(write("user", "alice"))

    def is_alive() -> bool:
        browser.go(lambda session: session.regenerate() if session else None)
        return browser.go(read("user")).body == repr("alice")

    ends_after(2, is_alive, began)
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
