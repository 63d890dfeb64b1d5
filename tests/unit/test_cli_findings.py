"""What a server reports becomes findings: each fault and each note, without a server."""

import pytest

from sharedsession.cli.backend_nodes import BackendNode
from sharedsession.cli.findings import Limits, of_node

LIMITS = Limits(timeout=0.25, idle=1200.0, max_size=65536)
MEMCACHED = {
    "version": "1.6.18",
    "evictions": "0",
    "set.evictions": "on",
    "set.inter": "127.0.0.1",
    "set.auth_enabled_ascii": "no",
    "set.auth_enabled_sasl": "no",
    "set.domain_socket": "NULL",
}
REDIS = {
    "redis_version": "7.0.15",
    "compare_and_swap": "script",
    "role": "master",
    "maxmemory": "1000",
    "used_memory": "100",
    "maxmemory_policy": "noeviction",
    "aof_enabled": "1",
    "rdb_last_bgsave_status": "ok",
    "aof_last_write_status": "ok",
    "set.bind": "127.0.0.1",
    "set.protected-mode": "yes",
    "set.requirepass": "",
    "set.save": "3600 1",
}


def findings(kind, reported=(), limits=LIMITS, **others):
    """Level and topic of all that is not ok, and the texts behind them."""
    known = {"memcached": MEMCACHED, "redis": REDIS}.get(kind, {})
    given = {
        "seconds": 0.001,
        "clock_ahead": 0.0,
        "max_value": 1_000_000,
        "facts": {**known, **dict(reported)},
        **others,
    }
    found = list(of_node(BackendNode("a", kind, **given), limits))
    assert all(finding.fix for finding in found if finding.level != "ok")
    assert all("a" in finding.text for finding in found)
    return [(finding.level, finding.topic) for finding in found if finding.level != "ok"]


@pytest.mark.parametrize("kind", ["memcached", "redis", "another"])
def test_a_server_as_it_should_be_has_no_finding(kind):
    """All is ok."""
    assert findings(kind) == []


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"reason": "refused"}, [("fault", "reachable")]),
        ({"seconds": 0.06}, [("note", "reachable")]),
        ({"max_value": 65536}, [("fault", "item size")]),
        ({"clock_ahead": None}, []),
        ({"clock_ahead": 4.0}, []),
        ({"clock_ahead": -30.0}, [("note", "clock")]),
        ({"clock_ahead": 601.0}, [("fault", "clock")]),
        ({"clock_ahead": -900.0}, [("fault", "clock")]),
    ],
)
def test_what_is_asked_of_every_server(facts, expected):
    """That it answers, soon, with room for a session, and by the same clock."""
    assert findings("redis", **facts) == expected
    assert findings("memcached", **facts) == expected


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        ({"version": "1.5.22"}, [("fault", "protocol")]),
        ({"version": ""}, []),
        ({"set.evictions": "off"}, [("fault", "memory")]),
        ({"evictions": "7"}, [("note", "memory")]),
        ({"set.inter": "NULL"}, [("fault", "access")]),
        ({"set.inter": "0.0.0.0"}, [("fault", "access")]),
        ({"set.inter": "8.8.8.8"}, [("fault", "access")]),
        ({"set.inter": "10.0.0.5"}, [("note", "access")]),
        ({"set.inter": "127.0.0.1,db1.internal"}, [("note", "access")]),
        ({"set.inter": "localhost"}, []),
        ({"set.inter": "::1"}, []),
        ({"set.inter": "NULL", "set.auth_enabled_ascii": "yes"}, []),
        ({"set.inter": "NULL", "set.domain_socket": "/run/m.sock"}, []),
    ],
)
def test_memcached(reported, expected):
    """Evictions, and who may connect."""
    assert findings("memcached", reported) == expected


def test_a_long_idle_timeout_is_a_date_to_memcached():
    """Then the clocks of the web nodes matter."""
    assert findings("memcached", limits=LIMITS._replace(idle=2_592_001.0)) == [("note", "lifetime")]


def test_a_proxy_tells_nothing():
    """And that is all there is to say."""
    (finding,) = [
        each for each in of_node(BackendNode("a", "memcached", max_value=10**6), LIMITS) if each.level != "ok"
    ]
    assert (finding.level, finding.topic) == ("note", "protocol")


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        ({"redis_version": "6.0.16"}, [("fault", "protocol")]),
        ({"valkey_version": "9.1.2", "redis_version": "7.2.4"}, []),
        ({"role": "slave"}, [("fault", "role")]),
        ({"maxmemory": "0"}, [("note", "memory")]),
        ({"used_memory": "960"}, [("fault", "memory")]),
        ({"used_memory": "850"}, [("note", "memory")]),
        ({"maxmemory_policy": "allkeys-lru"}, [("fault", "memory")]),
        ({"maxmemory_policy": "volatile-lru"}, [("fault", "memory")]),
        ({"maxmemory_policy": "volatile-ttl", "used_memory": "999"}, [("note", "memory")]),
        ({"rdb_last_bgsave_status": "err"}, [("fault", "persistence")]),
        ({"aof_enabled": "0"}, [("note", "persistence")]),
        ({"aof_enabled": "0", "set.save": ""}, [("note", "persistence")]),
        ({"set.protected-mode": "no"}, []),
        ({"set.protected-mode": "no", "set.bind": "* -::*"}, [("fault", "access")]),
        ({"set.protected-mode": "no", "set.bind": ""}, [("fault", "access")]),
        ({"set.protected-mode": "no", "set.bind": "10.0.0.5"}, [("note", "access")]),
        ({"set.protected-mode": "no", "set.bind": "*", "set.requirepass": "given"}, []),
    ],
)
def test_redis(reported, expected):
    """Memory, persistence, and who may connect."""
    assert findings("redis", reported) == expected


def test_a_redis_that_tells_less_is_no_fault():
    """Its administrator may want it so."""
    without = {name: value for name, value in REDIS.items() if name != "set.bind"}
    notes = [
        each.topic for each in of_node(BackendNode("a", "redis", facts=without, max_value=10**8), LIMITS) if each.fix
    ]
    assert notes == ["access"]
    notes = [each.topic for each in of_node(BackendNode("a", "redis", max_value=10**8), LIMITS) if each.fix]
    assert notes == ["protocol"]


@pytest.mark.parametrize(("kind", "expected"), [("memory", "fault"), ("sqlite", "note")])
def test_what_other_hosts_cannot_share(kind, expected):
    """One process, one host."""
    assert findings(kind) == [(expected, "shared")]
