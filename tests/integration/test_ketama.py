"""The ring places keys where libmemcached does, and where PHP, which uses it, places sessions.

The reference is the C library itself, through ctypes, and PHP itself. Where one of them is missing its tests are
skipped with one line that says how to get it; with ``CI=true`` they fail.
"""

import os
import random
import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from sharedsession.backends import connect
from sharedsession.backends.memcached.urls import label, nodes_of
from sharedsession.backends.ring.backend import RingBackend
from sharedsession.backends.ring.hashring import HashRing, Place
from sharedsession.backends.wire.protocol import Address
from tests.support import peers
from tests.support.binaries import MissingServerError
from tests.support.peers import Host, Libmemcached
from tests.support.processes import HOST
from tests.support.servers import Memcached

KEYS = 20_000
SESSIONS = 200
KETAMA = ("ketama", "ketama_weighted")
LISTS = {
    "the default port": [Host(f"10.0.0.{n}", 11211) for n in range(1, 4)],
    "other ports": [Host(HOST, 21211 + n) for n in range(4)],
    "names": [Host("cache-a.example", 11211), Host("localhost", 11212), Host("cache_b", 11213)],
    "UNIX sockets": [Host(f"/run/memcached-{n}.sock", 0) for n in range(3)],
    "TCP and a UNIX socket": [Host("/run/memcached.sock", 0), Host(HOST, 11211), Host(HOST, 11212)],
    "weights": [Host(f"10.0.0.{n}", 11211, weight) for n, weight in enumerate((1, 2, 3, 7))],
    "weights that do not divide": [Host(HOST, 21211 + n, weight) for n, weight in enumerate((50, 50, 1))],
    "weights of sockets": [Host(f"/run/m{n}.sock", 0, weight) for n, weight in enumerate((3, 1))],
    "one server": [Host("10.0.0.1", 11211)],
    "16 servers": [Host(f"10.0.1.{n}", 11211) for n in range(16)],
}


def need(peer: Callable[[], object]) -> None:
    try:
        peer()
    except MissingServerError as missing:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(str(missing))


@pytest.fixture
def libmemcached() -> None:
    need(peers.libmemcached)


@pytest.fixture
def php() -> None:
    need(peers.php)


@pytest.fixture(scope="module")
def keys() -> list[str]:
    """Any ASCII that memcached takes as a key, but for the braces that tell which part of a key is hashed."""
    chance = random.Random(20_000)
    letters = (string.ascii_letters + string.digits + string.punctuation).replace("{", "")
    return ["".join(chance.choices(letters, k=chance.randrange(1, 65))) for _ in range(KEYS)]


def ring_of(hosts: Sequence[Host], layout: str) -> HashRing:
    """The ring of the same list; a node without a name of its own has its address on the ring."""
    addresses = [Address(host=h.name, port=h.port) if h.port else Address(path=h.name) for h in hosts]
    named = [Place(label(address), h.weight) for address, h in zip(addresses, hosts, strict=True)]
    return HashRing(named, layout)


# -- placement


@pytest.mark.usefixtures("libmemcached")
@pytest.mark.parametrize("layout", KETAMA)
@pytest.mark.parametrize("servers", LISTS)
def test_each_key_is_where_libmemcached_puts_it(servers: str, layout: str, keys: list[str]):
    """Of 20,000 random keys none is anywhere else."""
    hosts = LISTS[servers]
    ring = ring_of(hosts, layout)
    with Libmemcached(hosts, layout) as reference:
        assert [key for key in keys if ring.order(key)[0] != reference.node(key)] == []


@pytest.mark.usefixtures("libmemcached")
@pytest.mark.parametrize("servers", [name for name, hosts in LISTS.items() if all(h.weight == 1 for h in hosts)])
def test_the_native_layout_agrees_where_weights_are_equal(servers: str, keys: list[str]):
    """Then it is libmemcached's weighted ketama."""
    hosts = LISTS[servers]
    ring = ring_of(hosts, "native")
    with Libmemcached(hosts, "ketama_weighted") as reference:
        assert [key for key in keys if ring.order(key)[0] != reference.node(key)] == []


@pytest.mark.usefixtures("libmemcached")
@pytest.mark.parametrize("layout", KETAMA)
def test_a_key_is_where_the_part_in_braces_is(layout: str, keys: list[str]):
    """As Redis Cluster and twemproxy place it: the first part, unless it is empty or its brace is never closed."""
    hosts = LISTS["16 servers"]
    ring = ring_of(hosts, layout)
    with Libmemcached(hosts, layout) as reference:
        parts = [key.replace("}", "") or "x" for key in keys[:1000]]
        nodes = [reference.node(part) for part in parts]
        assert [ring.order(f"ss:{{{part}}}session")[0] for part in parts] == nodes
        assert [ring.order(f"{{{part}}}{{other}}")[0] for part in parts] == nodes
        whole = ["{" + part for part in parts] + ["{}" + part for part in parts]
        assert [ring.order(key)[0] for key in whole] == [reference.node(key) for key in whole]


# -- the records themselves


@pytest.fixture
def four(fresh: Callable[..., Any]) -> list[Memcached]:
    """Four empty memcached nodes."""
    return [fresh("memcached") for _ in range(4)]


def listed(servers: Sequence[Memcached]) -> str:
    return ",".join(f"{HOST}:{server.port}" for server in servers)


@pytest.mark.usefixtures("libmemcached")
@pytest.mark.parametrize(("layout", "behaviour"), [*zip(KETAMA, KETAMA, strict=True), ("native", "ketama_weighted")])
@pytest.mark.parametrize("replicas", [1, 2])
def test_libmemcached_finds_every_record_of_the_ring(four: list[Memcached], layout: str, behaviour: str, replicas: int):
    """With the same list of servers it looks on the first owner, and reads the same bytes."""
    backend = connect(f"memcached://{listed(four)}?layout={layout}&replicas={replicas}")
    assert isinstance(backend, RingBackend)
    records = {f"ss:{number:043x}": b"record %d" % number for number in range(500)}
    try:
        for key, value in records.items():
            assert backend.add(key, value, 60, 5.0)
    finally:
        backend.close()
    with Libmemcached([Host(HOST, server.port) for server in four], behaviour) as reference:
        assert {key: reference.get(key) for key in records} == records
    copies = Counter(key for server in four for key in server.dump())
    assert set(copies.values()) == {replicas}


@pytest.mark.usefixtures("libmemcached")
def test_weights_of_a_url_are_those_of_libmemcached(keys: list[str]):
    """Where the nodes are named by their addresses."""
    specs = nodes_of("memcached://10.0.0.1*1=10.0.0.1,10.0.0.2*2=10.0.0.2:11211,10.0.0.3*7=10.0.0.3")
    ring = HashRing([spec.place for spec in specs], "ketama_weighted")
    hosts = [Host(spec.address.host, spec.address.port, spec.place.weight) for spec in specs]
    with Libmemcached(hosts, "ketama_weighted") as reference:
        assert [key for key in keys if ring.order(key)[0] != reference.node(key)] == []


# -- PHP

SESSIONS_IN_PHP = """
for ($number = 0; $number < %d; $number++) {
    session_id(session_create_id());
    session_start();
    $_SESSION['number'] = $number;
    echo session_id(), "\n";
    session_write_close();
}
"""


@pytest.mark.usefixtures("php")
@pytest.mark.parametrize("layout", KETAMA)
@pytest.mark.parametrize("binary_protocol", ["On", "Off"])
def test_each_session_of_php_is_on_the_node_that_the_ring_names(
    four: list[Memcached], layout: str, binary_protocol: str
):
    """PHP hashes the bare session ID and stores under the prefix, so the ring is asked for the bare ID."""
    settings = {
        "session.save_handler": "memcached",
        "session.save_path": listed(four),
        "session.use_cookies": 0,
        "session.cache_limiter": "",
        "memcached.sess_consistent_hash_type": layout,
        "memcached.sess_binary_protocol": binary_protocol,
    }
    ids = peers.run_php(SESSIONS_IN_PHP % SESSIONS, settings)
    assert len(set(ids)) == SESSIONS
    ring = ring_of([Host(HOST, server.port) for server in four], layout)
    expected = [{f"memc.sess.key.{sid}" for sid in ids if ring.order(sid)[0] == node} for node in range(len(four))]
    assert [set(server.dump()) for server in four] == expected
    assert all(expected)
