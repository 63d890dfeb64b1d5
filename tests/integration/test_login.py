"""Login in a crowd: whoever holds the old ID, in whatever tab, gains nothing, loses nothing and disturbs nobody."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.integration.test_races import Slow
from tests.support.farm import Browser, everything, read, write

SHARED = ("sqlite", "redis", "memcached", "ring")
pytestmark = pytest.mark.parametrize("url", SHARED, indirect=True)


def login(session: Any) -> None:
    session.regenerate()
    session["user"] = "alice"


def test_twenty_requests_during_a_login(browser: Browser) -> None:
    """Readers and writers under way with the old ID: 200, no cookie, nothing of the login in their hands."""
    browser.go(write("cart", ["book"]))
    old, seen = browser.cookie, []
    with ThreadPoolExecutor(20) as pool:

        def request(number: int) -> Any:
            if number % 2:
                return lambda session: session.__setitem__(f"k{number}", number)
            return lambda session: seen.append(session.get("user"))

        crowd = [Slow(pool, browser.nodes[n % 2], old, request(n)) for n in range(20)]
        browser.go(login)
        answers = [each.finish() for each in crowd]
    assert {(answer.status, len(answer.set_cookies)) for answer in answers} == {(200, 0)}
    assert set(seen) == {None}
    assert browser.go(everything).body == repr({"cart": ["book"], "user": "alice"})
    assert {node.request(everything, old).body for node in browser.nodes} == {"{}"}


def test_other_tabs_after_a_login(browser: Browser) -> None:
    """For a while the old ID gets an empty session that cannot be written, and never a cookie."""
    browser.go(write("cart", []))
    old = browser.cookie
    browser.go(login)
    for node in browser.nodes:
        answer = node.request(lambda session: (session.get("user"), session.update(x=1)), old)
        assert (answer.status, answer.set_cookies, answer.body) == (200, [], repr((None, None)))
    assert browser.go(read("user")).body == repr("alice")


def test_the_back_button(browser: Browser) -> None:
    """A form of before the login, sent again with the new cookie, logs in again, and nobody out."""
    browser.go(write("cart", ["book"]))
    for _ in range(3):
        before = browser.cookie
        assert browser.go(login).status == 200
        assert browser.cookie != before
    assert browser.go(everything).body == repr({"cart": ["book"], "user": "alice"})


def test_nothing_is_fixated(browser: Browser) -> None:
    """An ID that an attacker had planted is worth nothing once the visitor has logged in with it."""
    attacker = Browser(browser.nodes)
    attacker.go(write("cart", []))
    browser.cookie = attacker.cookie
    browser.go(login)
    assert {node.request(read("user"), attacker.cookie).body for node in browser.nodes} == {"None"}
    assert browser.go(read("user")).body == repr("alice")


def test_a_rotation_with_grace(browser: Browser) -> None:
    """`regenerate(grace=10)`: who still carries the old ID sees the data as they were, and cannot change them."""
    browser.go(write("user", "alice"))
    old = browser.cookie
    browser.go(lambda session: session.regenerate(grace=10))
    browser.go(write("later", 1))
    for node in browser.nodes:
        answer = node.request(lambda session: (dict(session), session.update(x=1))[0], old)
        assert (answer.status, answer.set_cookies, answer.body) == (200, [], repr({"user": "alice"}))
    assert browser.go(everything).body == repr({"user": "alice", "later": 1})


def test_twenty_rotations_at_a_time_log_nobody_out(browser: Browser) -> None:
    """Each of a burst of requests gives the session a new ID; every cookie that was handed out works."""
    browser.go(write("user", "alice"))
    barrier = threading.Barrier(8)

    def rotate(session: Any) -> None:
        assert session["user"] == "alice"
        barrier.wait(10)
        session.regenerate(grace=10)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: browser.nodes[n % 2].request(rotate, browser.cookie), range(8)))
    cookies = {line.partition(";")[0] for answer in answers for line in answer.set_cookies}
    assert {answer.status for answer in answers} == {200}
    assert len(cookies) == 8
    assert {node.request(read("user"), cookie).body for cookie in cookies for node in browser.nodes} == {repr("alice")}
