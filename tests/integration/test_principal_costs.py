"""What a session of a principal costs, counted on the wire: see the table in docs/log-out-everywhere.md."""

from typing import Any

import pytest

from tests.integration.test_round_trips import NETWORK, cost
from tests.support.farm import Browser, WebNode, read
from tests.support.relay import Relay

PRINCIPAL = "user:42"


@pytest.fixture(params=NETWORK)
def relay(request: pytest.FixtureRequest):
    server = request.getfixturevalue(request.param)
    with Relay(server.port) as between:
        between.url = str(server.url).replace(str(server.port), str(between.port))
        yield between


@pytest.fixture
def node(relay: Relay, web_node) -> WebNode:
    """A node whose connections are open."""
    node = web_node(relay.url, timeout=5.0)
    Browser([node]).go(log_in)
    verb(node, "list", PRINCIPAL)
    return node


def log_in(session: Any) -> None:
    session.principal = PRINCIPAL


def verb(node: WebNode, name: str, *arguments: Any) -> Any:
    """What a verb of the manager returns, in the node's colour."""
    if node.colour == "wsgi":
        return getattr(node.manager, name)(*arguments)
    return node.do(getattr(node.manager, f"a{name}")(*arguments))


def cost_of_verb(relay: Relay, node: WebNode, name: str, *arguments: Any) -> int:
    relay.reset_counts()
    verb(node, name, *arguments)
    return relay.round_trips


def test_a_read_costs_one(relay: Relay, node: WebNode) -> None:
    """Record and stamp are asked for together."""
    browser = Browser([node])
    browser.go(log_in)
    assert cost(relay, browser, read("user")) == 1


def test_a_login(relay: Relay, node: WebNode) -> None:
    browser = Browser([node])
    browser.go(lambda session: session.update(cart=[1]))
    assert cost(relay, browser, log_in) <= 5
    assert cost(relay, Browser([node]), log_in) <= 3


def test_the_verbs_of_the_manager(relay: Relay, node: WebNode) -> None:
    for _ in range(10):
        Browser([node]).go(log_in)
    assert cost_of_verb(relay, node, "begin_login", PRINCIPAL) == 1
    assert cost_of_verb(relay, node, "list", PRINCIPAL) == 2
    handle = verb(node, "list", PRINCIPAL)[0].id
    assert cost_of_verb(relay, node, "revoke", handle) == 2


@pytest.mark.parametrize("sessions", [1, 250])
def test_an_end_of_all_costs_the_same_for_any_number(relay: Relay, node: WebNode, sessions: int) -> None:
    """List and stamp, the new stamp, and beside it the count of those that were alive."""
    for _ in range(sessions):
        Browser([node]).go(log_in)
    assert cost_of_verb(relay, node, "revoke_all", PRINCIPAL) <= 3
    assert verb(node, "list", PRINCIPAL) == []
