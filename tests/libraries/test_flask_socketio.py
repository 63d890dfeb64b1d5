"""Flask-SocketIO: events and pages share one session, with ``manage_session=False``."""

from collections.abc import Iterator

import pytest
import socketio

from tests.libraries.conftest import TwoProcesses
from tests.libraries.visitor import COOKIE, PATIENCE, Visitor


@pytest.fixture
def visitor(two_processes: TwoProcesses) -> Iterator[Visitor]:
    """Somebody with a cart."""
    with Visitor(two_processes("tests.libraries.apps.flask_socketio:app", "gunicorn-gthread")) as visitor:
        visitor.post(0, "/cart", data={"item": "book"})
        yield visitor


@pytest.fixture
def connected() -> Iterator[socketio.SimpleClient]:
    """A connection, not open yet."""
    with socketio.SimpleClient() as client:
        yield client


def connect(client: socketio.SimpleClient, visitor: Visitor, node: int) -> None:
    headers = {"Cookie": f"{COOKIE}={visitor.cookie}"}
    client.connect(visitor.nodes[node], headers=headers, transports=["websocket"], wait_timeout=PATIENCE)


def cart(visitor: Visitor, node: int) -> list[str]:
    return list(visitor.get(node, "/me").json()["cart"])


def test_events_and_pages_see_each_other_s_changes(visitor: Visitor, connected: socketio.SimpleClient) -> None:
    """The socket is on one process, the pages on the other; after a logout elsewhere its events see nothing."""
    visitor.post(0, "/login", data={"name": "alice"})
    connect(connected, visitor, 1)
    assert connected.call("cart", "pen") == ["book", "pen"]
    assert cart(visitor, 0) == ["book", "pen"]
    visitor.post(0, "/cart", data={"item": "ink"})
    assert connected.call("cart", "cup") == ["book", "pen", "ink", "cup"]
    assert connected.call("me") == "alice"
    visitor.post(0, "/logout")
    assert connected.call("me") is None


def test_a_login_by_page_leaves_older_sockets_behind(visitor: Visitor, connected: socketio.SimpleClient) -> None:
    """They carry the old ID, which is dead: the page connects again."""
    connect(connected, visitor, 1)
    visitor.post(0, "/login", data={"name": "alice"})
    assert connected.call("me") is None


def test_a_login_in_an_event_is_kept(visitor: Visitor, connected: socketio.SimpleClient) -> None:
    """No cookie can be sent there, so the ID stays, and the log says so."""
    cookie = visitor.cookie
    connect(connected, visitor, 1)
    connected.call("login", "alice")
    assert [visitor.get(node, "/me").json() for node in (0, 1)] == [{"name": "alice", "cart": ["book"]}] * 2
    assert visitor.cookie == cookie
