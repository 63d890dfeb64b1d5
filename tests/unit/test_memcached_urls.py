"""``memcached://`` URLs: one node, a ring of them, and what a wrong one is told."""

from typing import Any

import pytest

from sharedsession.backends import connect
from sharedsession.backends.memcached.server import MemcachedBackend
from sharedsession.backends.memcached.urls import label, nodes_of
from sharedsession.backends.ring.backend import RingBackend
from sharedsession.backends.ring.hashring import LAYOUTS, HashRing
from sharedsession.backends.wire.protocol import Address
from sharedsession.errors import ConfigurationError

KEYS = [f"ss:{number:043d}" for number in range(1000)]


def read(url: str) -> list[tuple[str, int, str]]:
    """Name, weight and address of each node."""
    return [(spec.place.name, spec.place.weight, str(spec.address)) for spec in nodes_of(url)]


def ring(url: str) -> RingBackend:
    backend = connect(url)
    assert isinstance(backend, RingBackend)
    return backend


# -- nodes


@pytest.mark.parametrize(
    ("listed", "node"),
    [
        ("10.0.0.1", ("10.0.0.1", 1, "10.0.0.1:11211")),
        ("10.0.0.1:11212", ("10.0.0.1:11212", 1, "10.0.0.1:11212")),
        ("10.0.0.1:11211", ("10.0.0.1", 1, "10.0.0.1:11211")),
        ("cache-1.shop_a.example", ("cache-1.shop_a.example", 1, "cache-1.shop_a.example:11211")),
        ("a=10.0.0.1", ("a", 1, "10.0.0.1:11211")),
        ("a=10.0.0.1:11212", ("a", 1, "10.0.0.1:11212")),
        ("rack-1.a_b=10.0.0.1", ("rack-1.a_b", 1, "10.0.0.1:11211")),
        ("a*3=10.0.0.1", ("a", 3, "10.0.0.1:11211")),
        ("10.0.0.1*3=10.0.0.1", ("10.0.0.1", 3, "10.0.0.1:11211")),
        ("[::1]", ("::1", 1, "[::1]:11211")),
        ("[2001:db8::1]:11212", ("2001:db8::1:11212", 1, "[2001:db8::1]:11212")),
        ("a*2=[2001:db8::1]:11212", ("a", 2, "[2001:db8::1]:11212")),
        ("/run/memcached.sock", ("/run/memcached.sock:0", 1, "/run/memcached.sock")),
        ("a=/run/memcached.sock", ("a", 1, "/run/memcached.sock")),
        ("a*2=/run/memcached-1.sock", ("a", 2, "/run/memcached-1.sock")),
    ],
)
def test_a_node_is_a_name_a_weight_and_an_address(listed, node):
    """The name and the weight are optional; without a name the node is called as libmemcached would."""
    assert read(f"memcached://{listed}") == [node]
    assert read(f"memcached://{listed},z=10.9.9.9") == [node, ("z", 1, "10.9.9.9:11211")]
    assert read(f"memcached://z=10.9.9.9,{listed}?replicas=2")[1] == node


@pytest.mark.parametrize(
    "url", ["memcached://a=h1,b=h2/", "memcached://a=h1, b=h2", "MEMCACHED://a=h1,b=h2?replicas=2"]
)
def test_a_trailing_slash_and_spaces_do_no_harm(url):
    """As people write URLs."""
    assert read(url) == [("a", 1, "h1:11211"), ("b", 1, "h2:11211")]
    assert ring(url)


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (Address(host="h", port=11211), "h"),
        (Address(host="h", port=11212), "h:11212"),
        (Address(host="::1", port=11212), "::1:11212"),
        (Address(path="/run/m.sock"), "/run/m.sock:0"),
    ],
)
def test_a_node_without_a_name_is_called_as_libmemcached_calls_it(address, text):
    """That is what goes on the ring."""
    assert label(address) == text


def test_keys_follow_the_name():
    """A node that moves to another address under its name takes no key away, and none moves."""
    old = ring("memcached://a=10.0.0.1,b=10.0.0.2,c=10.0.0.3").ring
    new = ring("memcached://a=10.0.0.1,b=192.0.2.7:4711,c=/run/m.sock").ring
    assert [old.order(key) for key in KEYS] == [new.order(key) for key in KEYS]
    assert old.fingerprint() == new.fingerprint()


# -- one node or a ring


@pytest.mark.parametrize("url", ["memcached://10.0.0.1", "memcached://a=10.0.0.1:11212", "memcached:///run/m.sock"])
def test_one_node_without_options_is_no_ring(url):
    """There is nothing to spread."""
    assert isinstance(connect(url), MemcachedBackend)


def test_one_node_can_be_a_ring():
    """To begin with, before the second one is there: its keys keep their names."""
    health = ring("memcached://a=10.0.0.1?replicas=1").health()
    assert (health["kind"], health["replicas"], [node["name"] for node in health["nodes"]]) == ("ring", 1, ["a"])


def test_two_nodes_are_a_ring_with_two_replicas():
    """The default is the native layout."""
    health = ring("memcached://a=10.0.0.1,b=10.0.0.2").health()
    assert (health["replicas"], health["layout"]) == (2, "native")
    assert [(node["name"], node["address"]) for node in health["nodes"]] == [
        ("a", "10.0.0.1:11211"),
        ("b", "10.0.0.2:11211"),
    ]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("replicas", [1, 2, 3])
def test_replicas_and_layout_are_options(layout, replicas):
    """And arrive at the ring."""
    health = ring(f"memcached://a=h1,b*2=h2,c=h3?replicas={replicas}&layout={layout}").health()
    assert (health["replicas"], health["layout"]) == (replicas, layout)


def test_the_weight_counts():
    """It arrives at the ring too."""
    weighted = ring("memcached://a=h1,b*3=h2").ring
    assert [place.weight for place in weighted.places] == [1, 3]
    assert weighted.shares()[1] > 0.6
    assert isinstance(weighted, HashRing)


def test_nothing_is_connected():
    """A web process starts even while every node is away, whatever their names are."""
    backend: Any = connect("memcached://a=no-such-host.invalid,b=192.0.2.1?replicas=2", breaker_window=0.1)
    assert [node["state"] for node in backend.health()["nodes"]] == ["up", "up"]
    assert [node["connections_opened"] for node in backend.health()["nodes"]] == [0, 0]


# -- mistakes


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("memcached://", "'' is no node"),
        ("memcached://a=10.0.0.1,", "'' is no node"),
        ("memcached://a=", "'a=' is no node"),
        ("memcached://=10.0.0.1", "'=10.0.0.1' is no node"),
        ("memcached://a==10.0.0.1", "is no node"),
        ("memcached://a b=10.0.0.1", "'a b=10.0.0.1' is no node"),
        ("memcached://10.0.0.1:", "is no node"),
        ("memcached://10.0.0.1:0", "'10.0.0.1:0' is no node"),
        ("memcached://10.0.0.1:65536", "is no node"),
        ("memcached://10.0.0.1:http", "is no node"),
        ("memcached://10.0.0.1:" + "9" * 5000, "is no node"),
        ("memcached://10.0.0.1:\u0661", "is no node"),
        ("memcached://h1..h2", "is no node"),
        ("memcached://" + "h" * 64, "is no node"),
        ("memcached://u:hunter2secret\udcff@h1", "no UTF-8"),
        ("memcached://a*0=10.0.0.1", "'a*0=10.0.0.1' is no node"),
        ("memcached://a*-1=10.0.0.1", "is no node"),
        ("memcached://a*1.5=10.0.0.1", "is no node"),
        ("memcached://a*=10.0.0.1", "is no node"),
        ("memcached://::1", "is no node"),
        ("memcached://[::1", "is no node"),
        ("memcached://a=h1,a=h2", "names a node twice"),
        ("memcached://h1,h1:11211", "names a node twice"),
        ("memcached://h1?protocol=binary", "protocol=text"),
        ("memcached://h1,h2?protocol=binary", "protocol"),
        ("memcached://h1,h2?replicas=0", "replicas from 1 to 8"),
        ("memcached://h1,h2?replicas=9", "replicas from 1 to 8"),
        ("memcached://h1,h2?replicas=two", "replicas from 1 to 8"),
        ("memcached://h1,h2?replicas=" + "9" * 5000, "replicas from 1 to 8"),
        ("memcached://h1,h2?replicas=\u0662", "replicas from 1 to 8"),
        ("memcached://h1,h2?replicas=", "replicas from 1 to 8"),
        ("memcached://h1,h2?replicas=3", "wants 3 replicas and has 2 node(s)"),
        ("memcached://h1,h2?layout=ketma", "layout=native or ketama or ketama_weighted"),
        ("memcached://h1,h2?layout=", "layout="),
        ("memcached://h1,h2?replica=2", "no option 'replica'"),
        ("memcached://h1,h2?timeout=3", "no option 'timeout'"),
    ],
)
def test_a_wrong_url_is_told_what_is_wrong(url, message):
    """When it is read, not at the first request; a password is never repeated."""
    with pytest.raises(ConfigurationError) as caught:
        connect(url)
    assert message in str(caught.value)
    assert "hunter2secret" not in str(caught.value)
