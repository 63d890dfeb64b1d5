"""What a request costs, counted on the wire by a relay in front of the real server."""

import re
import sys
from typing import Any

import pytest

from sharedsession.backends import connect
from sharedsession.farm import registry as register
from tests.support.farm import Browser, WebNode, destroy, read, untouched, write
from tests.support.relay import Relay
from tests.support.stopwatch import Stopwatch

DELAY = 0.15  # seconds that each reply is late by: what waits for replies one after the other takes twice that
NETWORK = ("memcached", "redis", "valkey")


@pytest.fixture(params=NETWORK)
def relay(request: pytest.FixtureRequest):
    server = request.getfixturevalue(request.param)
    with Relay(server.port) as between:
        between.url = str(server.url).replace(str(server.port), str(between.port))
        between.server = server
        yield between


@pytest.fixture
def node(relay: Relay, web_node) -> WebNode:
    """A node that is already connected."""
    node = web_node(relay.url, timeout=5.0)
    browser = Browser([node])
    browser.go(write("warm", 1))
    browser.go(destroy)
    return node


@pytest.fixture
def browser(node: WebNode) -> Browser:
    """A visitor with a session."""
    browser = Browser([node])
    browser.go(lambda session: session.update(user="alice", cart=[1]))
    return browser


def cost(relay: Relay, browser: Browser, handler) -> int:
    relay.reset_counts()
    assert browser.go(handler).status == 200
    return relay.round_trips


def login(session):
    session.regenerate()
    session["user"] = "alice"


def test_no_session_costs_nothing(relay: Relay, node: WebNode) -> None:
    """Without a cookie nothing is asked, whatever the handler looks at."""
    browser = Browser([node])
    assert cost(relay, browser, untouched) == 0
    assert cost(relay, browser, read("user")) == 0


def test_an_untouched_session(relay: Relay, browser: Browser, colour: str) -> None:
    """Nothing where loading is lazy; ASGI loads before it knows."""
    assert cost(relay, browser, untouched) == (0 if colour == "wsgi" else 1)


def test_a_read_renews_in_the_same_round_trip(relay: Relay, browser: Browser) -> None:
    """One, the renewal included; looking at nested values too."""
    assert cost(relay, browser, lambda session: session["cart"][0]) == 1


def test_a_change_costs_two(relay: Relay, browser: Browser) -> None:
    """One to read and one to write, assigned or in place."""
    assert cost(relay, browser, write("x", 1)) == 2
    assert cost(relay, browser, lambda session: session["cart"].append(2)) == 2


def test_a_first_write_costs_one(relay: Relay, node: WebNode) -> None:
    """A new session is added blindly: its ID cannot be taken."""
    assert cost(relay, Browser([node]), write("x", 1)) == 1


def test_a_login_costs_three(relay: Relay, browser: Browser) -> None:
    """Read the old, add the new, end the old."""
    assert cost(relay, browser, login) <= 3


def test_a_login_without_a_session_costs_one(relay: Relay, node: WebNode) -> None:
    """A visitor without a session gets one."""
    assert cost(relay, Browser([node]), login) == 1


def test_a_logout(relay: Relay, browser: Browser, colour: str) -> None:
    """One, blindly, where loading is lazy; ASGI has read it before."""
    assert cost(relay, browser, destroy) == (1 if colour == "wsgi" else 2)


# -- sessions of a principal


def login_as(principal: str):
    """A handler that logs somebody in."""

    def handler(session):
        session.principal = session["user"] = principal

    return handler


@pytest.fixture
def alice(node: WebNode) -> Browser:
    """A visitor who has logged in: with that the second connection of a blocking client is open."""
    browser = Browser([node])
    browser.go(login_as("user:alice"))
    return browser


def test_a_read_with_the_stamp_of_the_principal(relay: Relay, alice: Browser) -> None:
    """Record and stamp are asked for in one packet, the renewal included."""
    for _ in range(3):
        assert cost(relay, alice, read("user")) == 1
        assert relay.requests == 1


def test_a_change_of_a_session_with_a_principal(relay: Relay, alice: Browser) -> None:
    """Two, as of any other session."""
    assert cost(relay, alice, write("x", 1)) == 2


def test_a_login_of_a_principal_costs_five(relay: Relay, node: WebNode, alice: Browser) -> None:
    """On a session that is there: the first login of the principal, and one more."""
    for _ in range(2):
        browser = Browser([node])
        browser.go(write("cart", [1]))
        assert cost(relay, browser, login_as("user:bob")) <= 5


def test_a_login_of_a_principal_without_a_session(relay: Relay, node: WebNode, alice: Browser) -> None:
    """Stamp and list are read; then record and entry are written side by side."""
    for _ in range(2):
        assert cost(relay, Browser([node]), login_as("user:carol")) <= 3


def test_a_logout_of_a_principal(relay: Relay, alice: Browser, colour: str) -> None:
    """One, blindly, where loading is lazy."""
    assert cost(relay, alice, destroy) == (1 if colour == "wsgi" else 2)


def test_the_end_of_250_sessions_waits_twice(relay: Relay, node: WebNode) -> None:
    """Read stamp and list; change the stamp and end the sessions, side by side. All are out."""
    waits = []
    while not waits or (min(waits) > 2 and len(waits) < 3):  # a busy machine is late by itself
        browsers = [Browser([node]) for _ in range(250)]
        for browser in browsers:
            browser.go(login_as("user:dora"))
        relay.delay(DELAY)
        with Stopwatch() as stopwatch:
            assert verb(node, "revoke_all", "user:dora") == 250
        relay.delay(0)
        waits.append(int(stopwatch.took / DELAY))
        assert {browser.go(read("user")).body for browser in browsers} == {"None"}
    assert min(waits) <= 2


def test_the_verbs_of_the_manager(relay: Relay, node: WebNode, alice: Browser) -> None:
    for name, argument, expected in (("begin_login", "user:alice", 1), ("list", "user:alice", 2)):
        relay.reset_counts()
        verb(node, name, argument)
        assert relay.round_trips == expected
    (listed,) = verb(node, "list", "user:alice")
    relay.reset_counts()
    assert verb(node, "revoke", listed.id)
    assert relay.round_trips == 2


def verb(node: WebNode, name: str, argument: str):
    """What a verb of the manager returns, in the colour of the web node."""
    if node.colour == "wsgi":
        return getattr(node.manager, name)(argument)
    return node.do(getattr(node.manager, f"a{name}")(argument))


# -- crowds, conflicts, forgeries


def test_a_conflict_costs_two_more(relay: Relay, browser: Browser) -> None:
    """A lost race is read again and written again: four in all."""

    def slow(session):
        session["mine"] = 1
        other.request(write("theirs", 1), browser.cookie)
        relay.reset_counts()

    other = browser.nodes[0]
    browser.go(slow)
    assert relay.round_trips == 3  # refused, read again, written


def test_a_forged_cookie_costs_nothing(relay: Relay, browser: Browser) -> None:
    """Whatever is not signed is refused without asking anybody."""
    name, _, token = browser.cookie.partition("=")
    forged = [token[:-1] + ("A" if token[-1] != "A" else "B"), token[:-1], token + "A", "x" * 94, "a.b.c", ""]
    for value in forged:
        browser.cookie = f"{name}={value}"
        assert cost(relay, browser, read("user")) == 0


def records(relay: Relay) -> set[str]:
    """The keys of the store, less that of the register: web nodes of other tests may still announce themselves."""
    return relay.server.dump().keys() - {register.KEY}


def test_anonymous_hits_leave_nothing(relay: Relay, node: WebNode) -> None:
    """10,000 anonymous hits: no record, no cookie, no byte on the wire."""
    browser = Browser([node])
    relay.reset_counts()
    before = records(relay)
    for _ in range(10_000 if node.colour == "wsgi" else 1_000):
        assert browser.go(read("user")).set_cookies == []
    assert relay.bytes_up == 0
    assert records(relay) == before


def test_a_blocking_request_asks_the_kernel_to_send_and_to_receive(relay: Relay) -> None:
    """And for nothing else: the socket keeps its timeouts from one request to the next."""
    backend: Any = connect(relay.url)
    backend.add("ss:a", b"value", 60.0, 5.0)
    backend.get("ss:a", 60.0, 5.0)
    calls: list[str] = []
    sys.setprofile(lambda _frame, event, called: calls.append(called.__name__) if event == "c_call" else None)
    try:
        backend.get("ss:a", 60.0, 5.0)
    finally:
        sys.setprofile(None)
    backend.close()
    asked = [name for name in calls if name in {"sendall", "recv", "setsockopt", "settimeout", "poll", "select"}]
    assert asked == ["sendall", "recv"]


def test_a_busy_session_is_renewed_once_in_a_while(relay: Relay, browser: Browser) -> None:
    """A hundred reads in one window renew once: a renewal is a write to a store's expiry table and its replicas."""
    server = relay.server
    before = renewals(server)
    for _ in range(100):
        browser.go(read("user"))
    assert renewals(server) - before <= 1


def renewals(server) -> int:
    """The server's own count of renewals."""
    if str(server.url).startswith("memcached"):
        return int(server.stat("cmd_touch"))
    found = re.search(rb"cmdstat_getex:calls=(\d+)", server.command("INFO", "commandstats"))
    return int(found[1]) if found else 0
