"""The store is stopped, killed, cut off or full: answers in time, by policy, and no cookie is ever lost to it."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support import stopwatch
from tests.support.farm import Browser, WebNode, destroy, everything, read, untouched, write
from tests.support.relay import Relay
from tests.support.stopwatch import AT_ONCE, SLACK

NETWORK = ("memcached", "redis", "valkey")
TIMEOUT = 0.4
WINDOW = 0.5


@pytest.fixture(params=NETWORK)
def server(request: pytest.FixtureRequest, fresh):
    return fresh(request.param)


@pytest.fixture(params=["error", "anonymous"])
def policy(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def node(server, web_node, policy: str) -> WebNode:
    return web_node(server.url, timeout=TIMEOUT, breaker_window=WINDOW, on_outage=policy)


@pytest.fixture
def browser(node: WebNode) -> Browser:
    browser = Browser([node])
    deadline = time.monotonic() + 30
    while not browser.cookie:  # a busy machine may take longer than the short timeout
        browser.go(write("user", "alice"))
        assert time.monotonic() < deadline
    return browser


def timed(browser: Browser, handler):
    return stopwatch.timed(lambda: browser.go(handler))


def until_it_works(browser: Browser, handler, expected: str) -> None:
    deadline = time.monotonic() + 5
    while (answer := browser.go(handler)).body != expected:
        assert time.monotonic() < deadline, answer
        time.sleep(0.02)


def expect_policy(answer, policy: str) -> None:
    assert answer.set_cookies == []
    if policy == "error":
        assert answer.status == 503
        assert int(answer.all("retry-after")[0]) >= 1
        assert answer.all("cache-control") == ["no-store"]
    else:
        assert answer.status == 200


@pytest.mark.parametrize("fault", ["freeze", "kill"])
def test_an_outage_is_answered_in_time_and_survived(browser: Browser, server, policy: str, fault: str) -> None:
    """Each answer within 2 x timeout + 50 ms, by policy, without Set-Cookie; at once while the breaker is open."""
    getattr(server, fault)()
    for handler in (read("user"), write("x", 1), everything):
        answer, took = timed(browser, handler)
        assert took < 2 * TIMEOUT + SLACK
        expect_policy(answer, policy)
    fastest = min(timed(browser, read("user"))[1] for _ in range(20))
    assert fastest < AT_ONCE
    if fault == "kill":
        server.restart()
        until_it_works(browser, read("user"), "None")
    else:
        server.resume()
        until_it_works(browser, read("user"), repr("alice"))
        assert browser.go(write("x", 2)).set_cookies == []
        assert browser.go(everything).body == repr({"user": "alice", "x": 2})


def test_a_logout_in_an_outage_is_not_confirmed(browser: Browser, server, policy: str) -> None:
    """Whatever the policy: a logout that nobody confirmed is an error, and the cookie stays for the next try."""
    server.freeze()
    answer, took = timed(browser, destroy)
    assert (answer.status, answer.set_cookies) == (503, [])
    assert took < 2 * TIMEOUT + SLACK
    server.resume()
    until_it_works(browser, destroy, "None")
    assert browser.cookie == ""


def test_a_failed_save_is_no_success_page(browser: Browser, server, policy: str) -> None:
    """The store goes between load and save: 503, or a dropped and counted write, as the policy says."""

    def work(session):
        session["x"] = 1
        server.freeze()

    answer, took = timed(browser, work)
    assert took < 2 * TIMEOUT + SLACK
    expect_policy(answer, policy)
    server.resume()
    until_it_works(browser, read("user"), repr("alice"))


def test_untouched_requests_do_not_notice(browser: Browser, server, colour: str) -> None:
    """Where loading is lazy a request that does not look at its session is served through any outage."""
    if colour == "asgi":
        browser.cookie = ""
    server.freeze()
    answer, took = timed(browser, untouched)
    assert (answer.status, answer.body) == (200, "None")
    assert took < TIMEOUT


def test_a_restarted_store_costs_no_error(browser: Browser, server) -> None:
    """A pooled connection that the server closed meanwhile is replaced inside the request's time."""
    server.kill()
    server.restart()
    assert browser.go(read("user")).status == 200
    server.kill()
    server.restart()
    browser.cookie = ""
    assert browser.go(write("user", "bob")).status == 200
    assert browser.go(read("user")).body == repr("bob")


def test_a_crowd_waits_together(node: WebNode, server, policy: str) -> None:
    """Twenty requests at a time during the outage: each within its time, not one after the other."""
    browsers = [Browser([node]) for _ in range(20)]
    for browser in browsers:
        until_it_works(browser, write("user", "x"), "None")
    server.freeze()
    with ThreadPoolExecutor(20) as crowd:
        results = list(crowd.map(lambda browser: timed(browser, read("user")), browsers))
    for answer, took in results:
        expect_policy(answer, policy)
        assert took < 2 * TIMEOUT + SLACK + 0.6  # one after the other would be eight seconds
    server.resume()
    for browser in browsers:
        until_it_works(browser, read("user"), repr("x"))


@pytest.mark.parametrize("kind", NETWORK)
def test_a_connection_cut_in_the_middle_of_a_reply(kind: str, request, web_node) -> None:
    """A cut is survived by one retry, and a write is made once, not twice."""
    server = request.getfixturevalue(kind)
    with Relay(server.port) as relay:
        browser = Browser([web_node(str(server.url).replace(str(server.port), str(relay.port)), timeout=2.0)])
        browser.go(write("n", 0))
        for n in range(20):
            relay.cut()
            answer = browser.go(lambda session: session.update(n=session["n"] + 1) or session["n"])
            assert (answer.status, answer.body) == (200, str(n + 1))


@pytest.mark.parametrize("kind", NETWORK)
def test_a_lost_answer_to_a_write(kind: str, request, web_node) -> None:
    """The store carried the write out, but its answer got lost: it is found to be our own, not a conflict."""
    server = request.getfixturevalue(kind)
    with Relay(server.port) as relay:
        url = str(server.url).replace(str(server.port), str(relay.port))
        node = web_node(url, timeout=2.0, conflict="raise")
        browser = Browser([node])
        browser.go(write("n", 0))

        lost = []

        def swallow(data: bytes) -> bytes:
            if not lost:
                lost.append(data)
                cutter.submit(relay.cut)
                return b""
            return data

        def change(session):
            session["n"] += 1
            relay.on_reply(swallow)

        with ThreadPoolExecutor(1) as cutter:
            answer = browser.go(change)
        relay.on_reply(None)
        assert (answer.status, lost != []) == (200, True)
        assert browser.go(read("n")).body == "1"


def test_a_memcached_without_compare_and_swap_is_refused(fresh, web_node, caplog) -> None:
    """Started with ``-C`` it would refuse every change: the log says so, and it is treated as one that is down."""
    browser = Browser([web_node(fresh("memcached", "-C").url)])
    expect_policy(browser.go(write("user", "alice")), "error")
    assert [record.event for record in caplog.records] == ["node_down"]
    assert "without -C" in caplog.text
