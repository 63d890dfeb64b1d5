"""A reply that comes twice, as a faulty proxy may send it: nobody reads the answer to the question of another."""

import select
import time
from typing import Any

import pytest

from sharedsession.manager import engines_of
from tests.support.farm import Browser, read, write
from tests.support.relay import Relay


@pytest.mark.parametrize("kind", ["redis", "valkey", "memcached"])
def test_a_reply_too_many(kind: str, request: pytest.FixtureRequest, web_node: Any) -> None:
    """The connection is given up, and everybody gets what is theirs: at once, or after one breaker window."""
    server = request.getfixturevalue(kind)
    with Relay(server.port) as relay:
        url = str(server.url).replace(str(server.port), str(relay.port))
        node = web_node(url, timeout=5.0, breaker_window=0.01)
        browsers = [Browser([node]) for _ in range(3)]
        for number, browser in enumerate(browsers):
            browser.go(write("n", number))
        relay.on_reply(lambda reply: reply * 2)
        browsers[0].go(read("n"))
        relay.on_reply(None)
        deadline = time.monotonic() + 5
        while browsers[0].go(read("n")).status == 503:
            assert time.monotonic() < deadline
        for _ in range(3):
            assert [browser.go(read("n")).body for browser in browsers] == ["0", "1", "2"]


@pytest.mark.parametrize("colour", ["wsgi"])  # on a loop, a reply that nobody waits for ends the connection
def test_a_connection_that_is_one_reply_behind(redis: Any, web_node: Any) -> None:
    """A reply lies unread when the next request is sent: whoever reads it asks again, and all is well from then on."""
    node = web_node(redis.url, timeout=5.0)
    browsers = [Browser([node]) for _ in range(3)]
    for number, browser in enumerate(browsers):
        browser.go(write("n", number))
    connection = engines_of(node.manager).settings.backend.store._client._idle[-1]._socket
    connection.sendall(b"*2\r\n$4\r\nECHO\r\n$12\r\nnobody asked\r\n")
    assert select.select([connection], [], [], 5)[0]
    for _ in range(3):
        assert [browser.go(read("n")).body for browser in browsers] == ["0", "1", "2"]
    assert facts(node)["failures"] == 0


def test_a_connection_that_redis_closed_is_replaced(redis: Any, web_node: Any) -> None:
    """Nor is the end of the connection: one that the server closed while it lay idle is replaced without an error."""
    node = web_node(redis.url, timeout=5.0)
    browser = Browser([node])
    browser.go(write("n", 1))
    opened = facts(node)["connections_opened"]
    redis.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert browser.go(read("n")).body == "1"
    assert facts(node)["connections_opened"] == opened + 1
    assert facts(node)["failures"] == 0


def facts(node: Any) -> dict[str, Any]:
    return dict(node.manager.health()["backend"]["nodes"][0])
