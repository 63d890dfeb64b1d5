"""A login that a library makes, on each store, in each colour: an ID that an attacker had planted is worth nothing."""

from typing import Any

import pytest

from sharedsession.backends import connect
from tests.integration.conftest import SHARED
from tests.support.farm import Browser, WebNode, everything, read, write

pytestmark = pytest.mark.parametrize("url", SHARED, indirect=True)


@pytest.fixture
def nodes(url: str, web_node: Any) -> list[WebNode]:
    """Two web nodes that know the key of a library's login."""
    return [web_node(connect(url), timeout=5.0, regenerate_on=["_user_id"]) for _ in range(2)]


def by_a_library(session: Any) -> None:
    """What a login library does: it knows nothing of session IDs."""
    session["_user_id"] = "alice"


def test_a_planted_id_dies_at_a_library_s_login(browser: Browser) -> None:
    """On both nodes at once; the visitor's data go on."""
    attacker = Browser(browser.nodes)
    attacker.go(write("cart", ["bait"]))
    browser.cookie = attacker.cookie
    answer = browser.go(by_a_library)
    assert len(answer.set_cookies) == 1
    assert ("cache-control", "no-store") in [(name.lower(), value) for name, value in answer.headers]
    assert {node.request(everything, attacker.cookie).body for node in browser.nodes} == {"{}"}
    assert browser.go(everything).body == repr({"cart": ["bait"], "_user_id": "alice"})


def test_another_tab_s_change_during_the_login(browser: Browser) -> None:
    """What another request stored meanwhile does not keep the old ID alive."""
    browser.go(write("cart", []))
    old, first = browser.cookie, browser.nodes[0]

    def slow_login(session: Any) -> None:
        assert session["cart"] == []
        assert first.request(write("note", 1), old).status == 200
        session["_user_id"] = "alice"

    browser.visits = 1
    browser.go(slow_login)
    assert browser.cookie != old
    assert {node.request(read("_user_id"), old).body for node in browser.nodes} == {"None"}
    assert browser.go(read("_user_id")).body == repr("alice")


def test_a_logout_by_the_library_and_the_next_login(browser: Browser) -> None:
    """The key is removed, and comes back: a new ID again, and the one between is dead."""
    browser.go(write("cart", []))
    browser.go(by_a_library)
    live = browser.cookie
    browser.go(lambda session: session.pop("_user_id"))
    assert browser.cookie == live
    browser.go(by_a_library)
    assert {node.request(everything, live).body for node in browser.nodes} == {"{}"}
    assert browser.go(read("_user_id")).body == repr("alice")
