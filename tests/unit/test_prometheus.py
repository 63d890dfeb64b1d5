"""The numbers of `health` as Prometheus reads them."""

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from sharedsession import BackendUnavailable, MachineKey
from sharedsession.telemetry.prometheus import Collector
from tests.support.node import Node

SECRET = MachineKey.generate()


def manager(backend: str, **settings) -> Node:
    return Node.of(secret_key=SECRET, backend=backend, **settings)


def scraped(watched: Node) -> set[str]:
    """The lines that a scrape of this manager gives."""
    registry = CollectorRegistry(auto_describe=True)
    registry.register(Collector(watched.manager))
    lines = generate_latest(registry).decode().splitlines()
    return {line for line in lines if not line.startswith("#")}


def test_what_happens_to_sessions_is_counted():
    """Each event of the table is a label of one counter, as it stands when it is read."""
    watched = manager("memory://")
    assert scraped(watched) == set()
    for _ in range(2):
        session = watched.open([])
        session["x"] = 1
        watched.commit(session)
    watched.read(b"forged")
    assert scraped(watched) == {
        'sharedsession_events_total{event="created"} 2.0',
        'sharedsession_events_total{event="forged"} 1.0',
    }


def test_servers_are_up_or_down_and_their_failures_are_counted():
    """By name; the password of the URL is nowhere."""
    pytest.importorskip("redis")
    watched = manager("redis://:hunter2@127.0.0.1:1/0")
    up = 'sharedsession_node_up{node="127.0.0.1:1"}'
    assert f"{up} 1.0" in scraped(watched)
    with pytest.raises(BackendUnavailable):
        watched.read(watched.engine.new_identity(None, None).token.encode())
    lines = scraped(watched)
    assert {
        f"{up} 0.0",
        'sharedsession_node_failures_total{node="127.0.0.1:1"} 1.0',
        'sharedsession_node_events_total{event="node_down",node="127.0.0.1:1"} 1.0',
        'sharedsession_events_total{event="unavailable"} 1.0',
    } <= lines
    assert "hunter2" not in str(lines)
    assert SECRET not in str(lines)


def test_a_ring_tells_of_each_of_its_nodes():
    """With the names that the URL gives them, and what only a ring has."""
    lines = scraped(manager("memcached://a=10.0.0.1,b=10.0.0.2?replicas=2"))
    for node in "ab":
        assert f'sharedsession_node_up{{node="{node}"}} 1.0' in lines
        assert f'sharedsession_node_tombstones_waiting{{node="{node}"}} 0.0' in lines
        assert f'sharedsession_node_evictions{{node="{node}"}} 0.0' in lines


def test_a_backend_that_says_nothing_of_itself_will_do():
    """A user's own need have neither nodes nor counters."""
    watched = manager("memory://")
    watched.settings.backend.health = dict
    assert scraped(watched) == set()
    assert repr(Collector(watched.manager)) == "<Collector of 'default'>"
