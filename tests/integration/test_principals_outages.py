"""What a store that does not answer means for lists and for "log out everywhere": an error, never a guess."""

import time
from typing import Any

import pytest

from sharedsession.errors import BackendUnavailable, LogoutNotConfirmed
from tests.integration.test_principals import handles, logged_in, of, who
from tests.support.farm import WebNode, read
from tests.support.ring import Ring


@pytest.mark.parametrize("kind", ["redis", "memcached"])
def test_an_outage_is_no_empty_list(kind: str, fresh: Any, web_node: Any) -> None:
    """It is never "no sessions" and never "all are ended"; when the store is back, all is as it was."""
    server = fresh(kind)
    node = web_node(server.url, timeout=1.0, breaker_window=0.1)
    browsers = logged_in([node], "user:1", 2)
    server.freeze()
    for verb, error in (("list", BackendUnavailable), ("revoke_all", LogoutNotConfirmed)):
        with pytest.raises(error):
            of(node, verb, "user:1")
    server.resume()
    wait_until_answered(node, browsers[0].cookie)
    assert {tuple(who(browser)) for browser in browsers} <= {(repr("user:1"),), ("None",)}  # what was sent may arrive


@pytest.mark.parametrize("victim", range(3))
def test_a_ring_without_one_of_its_nodes(victim: int, fresh: Any, web_node: Any) -> None:
    """Logins and "log out everywhere" go on, of principals who were known before and of those who were not."""
    ring = Ring([fresh("memcached") for _ in range(3)])
    node = web_node(ring.url, timeout=0.5)
    old = logged_in([node], "user:old", 4)
    ring.servers[victim].kill()
    new = logged_in([node], "user:new", 4)
    assert [set(who(browser)) for browser in old + new] == [{repr("user:old")}] * 4 + [{repr("user:new")}] * 4
    old += logged_in([node], "user:old", 2)
    assert of(node, "revoke_all", "user:old") == 6
    assert {name for browser in old for name in who(browser)} == {"None"}
    assert {name for browser in new for name in who(browser)} == {repr("user:new")}


@pytest.mark.parametrize("kind", ["redis", "memcached"])
def test_a_login_in_an_outage(kind: str, fresh: Any, web_node: Any) -> None:
    """Nobody is logged in without standing in the index."""
    server = fresh(kind)
    node = web_node(server.url, timeout=1.0, breaker_window=0.1)
    server.freeze()
    answer = node.request(lambda session: setattr(session, "principal", "user:1"))
    assert (answer.status, answer.set_cookies) == (503, [])
    server.resume()
    server.kill()
    server.restart()
    (browser,) = logged_in([web_node(server.url, timeout=5.0)], "user:1", 1)
    wait_until_answered(node, browser.cookie)
    assert len(handles(node, "user:1")) == 1


def wait_until_answered(node: WebNode, cookie: str) -> None:
    """Until the breaker has noticed that the store is back."""
    deadline = time.monotonic() + 10
    while node.request(read("user"), cookie).status != 200:
        assert time.monotonic() < deadline
