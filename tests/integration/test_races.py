"""Requests that overlap on two web nodes: nothing is overwritten, nobody comes back after a logout."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from sharedsession.manager import engines_of
from tests.integration.conftest import SHARED
from tests.support.farm import Answer, Browser, Handler, WebNode, destroy, everything, read, write

pytestmark = pytest.mark.parametrize("url", SHARED, indirect=True)
ROUNDS = 200


class Slow:
    """A request that has loaded its session and waits in the middle of its handler until it is let go."""

    def __init__(self, pool: ThreadPoolExecutor, node: WebNode, cookie: str, handler: Handler) -> None:
        self._inside, self._go = threading.Event(), threading.Event()
        self._handler = handler
        self._answer: Future[Answer] = pool.submit(node.request, self._wait, cookie)
        assert self._inside.wait(10)

    def _wait(self, session):
        len(session)  # it is loaded now
        self._inside.set()
        assert self._go.wait(10)
        return self._handler(session)

    def finish(self) -> Answer:
        self._go.set()
        return self._answer.result(10)


@pytest.fixture
def pool():
    with ThreadPoolExecutor(8) as executor:
        yield executor


def test_two_writers_of_different_keys_both_survive(browser: Browser, pool: ThreadPoolExecutor) -> None:
    """200 of 200 pairs of overlapping requests keep both changes."""
    browser.go(write("base", 0))
    one, two = browser.nodes
    for n in range(ROUNDS):
        slow = Slow(pool, one, browser.cookie, write("slow", n))
        assert two.request(write("fast", n), browser.cookie).set_cookies == []
        assert slow.finish().set_cookies == []
        assert browser.go(lambda session: (session["slow"], session["fast"])).body == repr((n, n))


def test_a_slow_reader_changes_nothing(browser: Browser, pool: ThreadPoolExecutor) -> None:
    """A request that only read, nested values included, does not undo a faster writer."""
    browser.go(lambda session: session.update(a={"b": 1}))
    slow = Slow(pool, browser.nodes[0], browser.cookie, lambda session: repr(session["a"]))
    browser.nodes[1].request(lambda session: session["a"].update(b=2), browser.cookie)
    slow.finish()
    assert browser.go(everything).body == repr({"a": {"b": 2}})


def test_a_logout_during_a_slow_write_stays(browser: Browser, pool: ThreadPoolExecutor) -> None:
    """200 of 200: the slow request gets its answer and no cookie; nobody is logged in afterwards."""
    one, two = browser.nodes
    for n in range(ROUNDS):
        browser.cookie = ""
        browser.go(write("user", "alice"))
        cookie = browser.cookie
        slow = Slow(pool, one, cookie, write("seen", n))
        two.request(destroy, cookie)
        answer = slow.finish()
        assert (answer.status, answer.set_cookies) == (200, [])
        assert {node.request(everything, cookie).body for node in browser.nodes} == {"{}"}
    dropped = sum(engines_of(node.manager).observer.counters["write_dropped"] for node in browser.nodes)
    assert dropped == ROUNDS


def test_a_logout_during_a_login_stays(browser: Browser, pool: ThreadPoolExecutor) -> None:
    """A request that had read the session before the logout cannot carry it on under a new ID."""
    one, two = browser.nodes
    for _ in range(20):
        browser.cookie = ""
        browser.go(write("user", "alice"))
        slow = Slow(pool, one, browser.cookie, lambda session: session.regenerate())
        assert two.request(destroy, browser.cookie).status == 200
        answer = slow.finish()
        assert (answer.status, answer.set_cookies) == (200, [])


def test_many_logins_at_a_time(browser: Browser, pool: ThreadPoolExecutor) -> None:
    """A double click: each answer has a good new cookie, for the browser may have given up waiting for any of them."""
    browser.go(write("cart", [1]))

    def login(session):
        session.regenerate()
        session["user"] = "alice"

    slow = [Slow(pool, browser.nodes[n % 2], browser.cookie, login) for n in range(4)]
    answers = [each.finish() for each in slow]
    assert {answer.status for answer in answers} == {200}
    cookies = [line.partition(";")[0] for answer in answers for line in answer.set_cookies]
    assert len(set(cookies)) == len(answers)
    for browser.cookie in cookies:
        assert browser.go(everything).body == repr({"cart": [1], "user": "alice"})


def test_a_logout_by_clear_stays(browser: Browser, pool: ThreadPoolExecutor) -> None:
    """`clear()` ends the session, so a slow request cannot merge anything back into it."""
    browser.go(write("user", {"name": "alice"}))
    slow = Slow(pool, browser.nodes[0], browser.cookie, lambda session: session["user"].update(seen=1))
    browser.nodes[1].request(lambda session: session.clear(), browser.cookie)
    slow.finish()
    assert browser.go(everything).body == "{}"


def test_a_key_taken_out_is_not_brought_back_in_place(browser: Browser, pool: ThreadPoolExecutor) -> None:
    """A slow change inside a value that another request took out is dropped; an assignment is not."""
    browser.go(lambda session: session.update(user={"name": "alice"}, other=1))
    slow = Slow(pool, browser.nodes[0], browser.cookie, lambda session: session["user"].update(seen=1))
    browser.nodes[1].request(lambda session: session.pop("user") and None, browser.cookie)
    slow.finish()
    assert browser.go(everything).body == repr({"other": 1})


def test_a_login_during_a_slow_write(browser: Browser, pool: ThreadPoolExecutor) -> None:
    """The slow request of before the login neither sets a cookie nor reaches the new session."""
    browser.go(write("cart", []))
    slow = Slow(pool, browser.nodes[0], browser.cookie, write("attack", 1))

    def login(session):
        session.regenerate()
        session["user"] = "alice"

    old = browser.cookie
    browser.visits = 1
    browser.go(login)
    answer = slow.finish()
    assert (answer.status, answer.set_cookies) == (200, [])
    assert browser.go(everything).body == repr({"cart": [], "user": "alice"})
    assert browser.nodes[1].request(everything, old).body == "{}"


def test_twenty_writers_at_a_time_all_survive(browser: Browser, pool: ThreadPoolExecutor) -> None:
    """Many requests that write one session at a time all get through, each with its own key."""
    browser.go(write("base", 0))
    with ThreadPoolExecutor(20) as crowd:
        answers = list(crowd.map(lambda n: browser.nodes[n % 2].request(write(f"k{n}", n), browser.cookie), range(20)))
    assert {answer.status for answer in answers} == {200}
    assert browser.go(lambda session: sum(key.startswith("k") for key in session)).body == "20"


@pytest.mark.parametrize("conflict", ["merge", "overwrite"])
def test_increment_and_append_are_exact(url, web_node, pool: ThreadPoolExecutor, conflict: str) -> None:
    """Sixty parallel steps on one number and one list: none is lost, whatever the policy."""
    nodes = [web_node(url, conflict=conflict, timeout=5.0) for _ in range(2)]
    browser = Browser(nodes)
    browser.go(lambda session: session.update(n=100, log=["begin"]))

    def step(k: int) -> Answer:
        return nodes[k % 2].request(lambda session: (session.increment("n"), session.append("log", k)), browser.cookie)

    with ThreadPoolExecutor(12) as crowd:
        assert {answer.status for answer in crowd.map(step, range(60))} == {200}
    assert browser.go(lambda session: (session["n"], len(session["log"]))).body == repr((160, 61))


@pytest.mark.parametrize(("conflict", "expected"), [("overwrite", {"base": 0, "slow": 1}), ("merge", None)])
def test_overwrite(url, web_node, pool: ThreadPoolExecutor, conflict: str, expected: dict | None) -> None:
    """`overwrite` keeps the last writer's session as a whole, `merge` both writers' keys."""
    browser = Browser([web_node(url, conflict=conflict, timeout=5.0) for _ in range(2)])
    browser.go(write("base", 0))
    slow = Slow(pool, browser.nodes[0], browser.cookie, write("slow", 1))
    browser.nodes[1].request(write("fast", 1), browser.cookie)
    slow.finish()
    assert browser.go(everything).body == repr(expected or {"base": 0, "fast": 1, "slow": 1})


def test_raise(url, web_node, pool: ThreadPoolExecutor) -> None:
    """`raise` tells the application, which may ask for it in the middle of its work; nothing is overwritten."""
    from sharedsession import Conflict

    browser = Browser([web_node(url, conflict="raise", timeout=5.0) for _ in range(2)])
    browser.go(write("base", 0))
    slow = Slow(pool, browser.nodes[0], browser.cookie, write("slow", 1))
    browser.nodes[1].request(write("fast", 1), browser.cookie)
    with pytest.raises(Conflict):
        slow.finish()
    assert browser.go(read("fast")).body == "1"
    assert browser.go(read("slow")).body == "None"
