"""What `on_event` is told, on real stores: the life of a session, and what went wrong with it."""

import time
from typing import Any

import pytest

from sharedsession import Conflict
from sharedsession.backends import connect
from sharedsession.environment import Environment
from tests.support.farm import Browser, WebNode, destroy, read, write

SHARED = ("sqlite", "redis", "memcached", "ring")
NETWORK = ("redis", "memcached")


class Told(list[tuple[str, str | None, str | None]]):
    """The events of one node."""

    def __call__(self, event: Any) -> None:
        self.append(tuple(event))

    @property
    def names(self) -> list[str]:
        return [name for name, _, _ in self]


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.mark.parametrize("url", SHARED, indirect=True)
def test_the_life_of_a_session(url: str, web_node: Any, told: Told) -> None:
    """Each with the handle of the session that it is about, and whose it is."""
    node = web_node(url, timeout=5.0, on_event=told)
    browser = Browser([node])
    before = browser.go(lambda session: (session.update(a=1), session.id)[1]).body.strip("'")
    after = browser.go(lambda session: (setattr(session, "principal", "user:1"), session.id)[1]).body.strip("'")
    browser.go(lambda session: (session.principal, session.destroy()))
    assert told == [("created", before, None), ("regenerated", after, "user:1"), ("destroyed", after, "user:1")]


@pytest.mark.parametrize("url", SHARED, indirect=True)
def test_conflicts(url: str, web_node: Any, told: Told) -> None:
    """A merge, and a refusal where the application asked for it."""
    for policy, name in (("merge", "merged"), ("overwrite", "overwritten"), ("raise", "conflict")):
        told.clear()
        node, other = web_node(url, timeout=5.0, conflict=policy, on_event=told), web_node(url, timeout=5.0)
        browser = Browser([node])
        handle = browser.go(lambda session: (session.update(a=1), session.id)[1]).body.strip("'")

        def slow(session: Any, other: WebNode = other, cookie: str = browser.cookie) -> None:
            session["mine"] = 1
            other.request(write("theirs", 1), cookie)

        if policy == "raise":
            with pytest.raises(Conflict):
                node.request(slow, browser.cookie)
        else:
            assert node.request(slow, browser.cookie).status == 200
        assert (name, handle, None) in told


@pytest.mark.parametrize("url", SHARED, indirect=True)
def test_forged_and_ended(url: str, web_node: Any, told: Told) -> None:
    """A token of nobody's, a change that came too late, and a session that others have ended."""
    node = web_node(url, timeout=5.0, on_event=told)
    browser = Browser([node])
    browser.go(write("a", 1))
    node.request(read("a"), browser.cookie[:-2] + "AA")

    def slow(session: Any) -> None:
        session["late"] = 1
        node.request(destroy, browser.cookie)

    node.request(slow, browser.cookie)
    assert told.names == ["created", "forged", "destroyed", "write_dropped"]


@pytest.mark.parametrize("url", SHARED, indirect=True)
def test_expired(url: str, web_node: Any, told: Told) -> None:
    """A record that the store still has, past its end."""
    ahead = [0.0]
    environment = Environment(clock=lambda: time.time() + ahead[0])
    node = web_node(connect(url), environment=environment, timeout=5.0, absolute_timeout=3600, on_event=told)
    browser = Browser([node])
    browser.go(lambda session: setattr(session, "principal", "user:1"))
    ahead[0] = 3601.0
    assert browser.go(read("a")).body == "None"
    assert told[-1][0] == "expired"
    assert told[-1][2] == "user:1"


@pytest.mark.parametrize("kind", NETWORK)
def test_unavailable(kind: str, fresh: Any, web_node: Any, told: Told) -> None:
    """The store does not answer."""
    server = fresh(kind)
    node = web_node(server.url, timeout=1.0, on_event=told)
    browser = Browser([node])
    browser.go(write("a", 1))
    server.freeze()
    assert browser.go(read("a")).status == 503
    assert "unavailable" in told.names


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_callback_that_fails_changes_nothing(url: str, web_node: Any, caplog: Any) -> None:
    """It is logged by its type alone: what it says may hold anything."""

    def fail(_event: Any) -> None:
        raise RuntimeError("a secret")

    browser = Browser([web_node(url, timeout=5.0, on_event=fail)])
    assert browser.go(write("a", 1)).status == 200
    assert browser.go(read("a")).body == "1"
    assert {getattr(record, "event", "") for record in caplog.records} == {"on_event_failed"}
    assert "a secret" not in caplog.text
