"""``protocol=text``: the same sessions over the classic commands, on one memcached and on a ring of them."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from sharedsession import ConfigurationError
from sharedsession.backends import connect
from tests.support.farm import Browser, WebNode, destroy, everything, read, write
from tests.support.relay import Relay

on_one = pytest.mark.parametrize("url", ["memcached+text"], indirect=True)
on_both = pytest.mark.parametrize("url", ["memcached+text", "ring+text"], indirect=True)


@on_both
def test_one_session_over_two_nodes(browser: Browser) -> None:
    """Counted, changed in place, given a new ID and ended."""
    assert [browser.go(lambda session: session.increment("n")).body for _ in range(4)] == list("1234")
    browser.go(lambda session: session.update(cart=["pen"]))
    browser.go(lambda session: session["cart"].append("book"))
    browser.go(lambda session: session.regenerate())
    assert browser.go(everything).body == repr({"n": 4, "cart": ["pen", "book"]})
    cookie = browser.cookie
    browser.go(destroy)
    browser.cookie = cookie
    assert browser.go(everything).body == "{}"


@on_both
def test_a_crowd_of_writers_is_merged(browser: Browser, nodes: list[WebNode]) -> None:
    """Each key and each step of them all is there."""
    browser.go(write("n", 0))

    def visit(number: int) -> None:
        def deed(session):
            session.increment("n")
            session[f"k{number}"] = "x" * 5000

        assert Browser(nodes, browser.cookie, number).go(deed).status == 200

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(visit, range(10)))
    assert browser.go(read("n")).body == "10"
    assert browser.go(lambda session: sum(len(session[f"k{n}"]) for n in range(10))).body == "50000"


@on_both
@pytest.mark.parametrize("colour", ["wsgi"])
def test_two_saves_in_one_request(browser: Browser) -> None:
    """The text protocol tells no token after a change; the second save finds its own first one."""

    def deed(session):
        session["a"] = 1
        session.save()
        session["b"] = 2

    browser.go(deed)
    assert browser.go(everything).body == repr({"a": 1, "b": 2})


@on_one
def test_what_it_costs(url: str, web_node, memcached) -> None:
    """The renewal comes with the read here, too: one round trip, and one more for a change."""
    with Relay(memcached.port) as relay:
        browser = Browser([web_node(url.replace(str(memcached.port), str(relay.port)), timeout=5.0)])
        browser.go(write("n", 1))
        costs = []
        for handler in (read("n"), write("n", 2), destroy):
            relay.reset_counts()
            browser.go(handler)
            costs.append(relay.round_trips)
        assert costs[:2] == [1, 2]
        assert costs[2] <= 2


@on_both
def test_another_protocol_is_refused(url: str) -> None:
    """Named with the two there are."""
    with pytest.raises(ConfigurationError, match=r"protocol=meta.*protocol=text"):
        connect(url.replace("protocol=text", "protocol=binary"))
