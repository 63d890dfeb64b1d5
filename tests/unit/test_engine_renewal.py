"""A session stays alive while a request works with it, and no longer. No server; time passes by hand."""

import gc

import pytest

from sharedsession.errors import BackendUnavailable
from tests.support.node import Node
from tests.support.watched_store import Farm, opened

IDLE = 80.0


@pytest.fixture
def farm() -> Farm:
    """An empty store and a clock."""
    return Farm()


@pytest.fixture
def node(farm: Farm) -> Node:
    """A web node."""
    return farm.node(idle_timeout=IDLE)


def is_alive(farm: Farm, node: Node, token: bytes) -> bool:
    """Whether the store still has a session; it is not renewed by that."""
    identity = node.settings.machine_key().verify(token)
    assert identity
    return farm.store.get(identity.store_key, None, 1.0) is not None


def test_a_request_longer_than_the_idle_timeout_keeps_its_session(farm: Farm, node: Node) -> None:
    """However long it works, it finds its session, and can save it."""
    token = node.stored(a=1)
    session = opened(node, token)
    for _ in range(40):
        farm.pass_time(IDLE / 8)
    session["a"] = 2
    node.commit(session)
    assert node.read(token) == {"a": 2}


def test_a_request_that_is_over_soon_costs_nothing(farm: Farm, node: Node) -> None:
    """Before a quarter of the idle timeout nothing is renewed."""
    session = opened(node, node.stored(a=1))
    assert farm.asked_for(lambda: farm.pass_time(IDLE * 0.24)) == []
    assert farm.asked_for(lambda: farm.pass_time(IDLE * 0.02)) == ["get"]
    assert farm.asked_for(lambda: farm.pass_time(IDLE * 0.24)) == []
    assert session == {"a": 1}


@pytest.mark.parametrize("way", ["commit", "fail"])
def test_a_request_that_is_over_renews_nothing_any_more(farm: Farm, node: Node, way: str) -> None:
    """Whether its response is on its way, or it failed and nobody has its session any more."""
    token = node.stored(a=1)
    session = opened(node, token)
    if way == "commit":
        node.commit(session)
    else:
        del session
        gc.collect()
    for _ in range(7):
        farm.pass_time(IDLE / 8)
    assert is_alive(farm, node, token)
    farm.pass_time(IDLE / 8)
    assert not is_alive(farm, node, token)


def test_an_outage_during_a_renewal_harms_nothing(farm: Farm, node: Node) -> None:
    """The next one renews again."""
    token = node.stored(a=1)
    session = opened(node, token)
    farm.store.down = True
    farm.pass_time(IDLE / 2)
    farm.store.down = False
    farm.pass_time(IDLE / 4)
    farm.pass_time(IDLE / 2)
    assert is_alive(farm, node, token)
    assert session == {"a": 1}


def test_a_session_that_was_destroyed_is_not_renewed(farm: Farm, node: Node) -> None:
    """It has no identity any more."""
    session = opened(node, node.stored(a=1))
    session.destroy()
    assert farm.asked_for(lambda: farm.pass_time(IDLE / 2)) == []


# -- loading


def test_an_outage_at_the_load_is_an_error_or_an_anonymous_request(farm: Farm) -> None:
    """Also on an event loop, and where the application goes on to look."""
    node = farm.node()
    token = node.stored(a=1)
    farm.store.down = True
    with pytest.raises(BackendUnavailable, match="not answering"):
        opened(node, token)
    assert opened(farm.node(on_outage="anonymous"), token) == {}


def test_a_session_without_a_token_is_new_at_once(farm: Farm, node: Node) -> None:
    """Whether it carries none or one that is not genuine, the store is not asked."""
    for tokens in ((), (b"junk",)):
        session = node.open(tokens)
        session.load()
        assert session == {}
        with session.lock():  # looks again
            assert session.is_new
    assert farm.store.asked == []
