"""``sharedsession ring`` on real nodes: what it shows, in words and in JSON, and its exit codes."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sharedsession.backends import connect
from sharedsession.backends.ring.backend import RingBackend
from sharedsession.cli import ring_report
from sharedsession.cli.__main__ import main
from sharedsession.cli.format import span
from sharedsession.cli.ring_report import Layout
from tests.support.ring import Ring

FIVE = [f"{name}=10.0.0.{number}" for number, name in enumerate("abcde", 1)]


def keys(count: int) -> list[str]:
    return [f"ss:{number:043d}" for number in range(count)]


def url(*nodes: str, options: str = "replicas=2") -> str:
    return f"memcached://{','.join(nodes)}?{options}"


@pytest.fixture
def backend(ring: Ring) -> Iterator[RingBackend]:
    """The ring's own verbs, to fill it with."""
    made = connect(ring.url)
    assert isinstance(made, RingBackend)
    yield made
    made.close()


@pytest.fixture
def look(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, Any]]:
    """Runs the command. Returns its exit code, and its JSON or its lines."""

    def run(*arguments: str) -> tuple[int, Any]:
        code = main(["ring", *arguments])
        out = capsys.readouterr().out
        return code, json.loads(out) if "--json" in arguments else out.splitlines()

    return run


# -- the nodes


def test_the_nodes_are_shown_with_their_shares_and_what_they_say(ring, backend, look):
    """A line for each node."""
    for key in keys(20):
        backend.add(key, b"x", 60, 5.0)
    code, said = look("--backend", ring.url, "--key-file", "of_no_use_here", "--json")
    assert code == 0
    assert said["ring"] == {"replicas": 2, "layout": "native", "fingerprint": backend.ring.fingerprint()}
    assert [node["name"] for node in said["nodes"]] == ["a", "b", "c"]
    assert [node["address"] for node in said["nodes"]] == [f"127.0.0.1:{server.port}" for server in ring.servers]
    assert sum(node["share"] for node in said["nodes"]) == pytest.approx(1, abs=0.001)
    assert {(node["state"], node["weight"], node["evictions"]) for node in said["nodes"]} == {("up", 1, 0)}
    assert sum(node["items"] for node in said["nodes"]) >= 40
    assert all(node["uptime"] >= 0 for node in said["nodes"])


def test_the_nodes_are_a_table(ring, look):
    """A heading, and columns that stand under it."""
    code, lines = look("--backend", ring.url)
    head, *rows = lines[2:]
    assert code == 0
    assert head.split() == ["name", "address", "weight", "keys", "state", "items", "up", "for", "evictions"]
    assert [row.split()[0] for row in rows] == ["a", "b", "c"]
    assert {row.index(" up ") for row in rows} == {head.index("state") - 1}
    assert len({len(row) for row in rows}) == 1


def test_a_node_that_is_down_is_said_to_be(ring, look):
    """Killed or silent; the others are shown all the same, and the exit code is 1."""
    ring.servers[1].kill()
    ring.servers[2].freeze()
    code, said = look("--backend", ring.url, "--timeout", "0.1", "--json")
    assert code == 1
    assert [node["state"] for node in said["nodes"]] == ["up", "down", "down"]
    assert [node["items"] is None for node in said["nodes"]] == [False, True, True]
    code, lines = look("--backend", ring.url, "--timeout", "0.1")
    assert code == 1
    assert sum("down" in line for line in lines) == 2


def test_weights_show_in_the_shares(ring, look):
    """The heavy node owns more."""
    first, second = (f"127.0.0.1:{server.port}" for server in ring.servers[:2])
    _, said = look("--backend", url(f"a={first}", f"b*3={second}"), "--json")
    assert [node["weight"] for node in said["nodes"]] == [1, 3]
    assert said["nodes"][1]["share"] > 0.6


def test_one_memcached_is_a_ring_of_one(memcached, look):
    """It owns everything."""
    code, said = look("--backend", memcached.url, "--json")
    assert code == 0
    assert said["ring"]["replicas"] == 1
    assert [node["share"] for node in said["nodes"]] == [1.0]


def test_the_ring_may_come_from_the_environment(ring, look, monkeypatch):
    """As every setting."""
    monkeypatch.setenv("SHAREDSESSION_BACKEND", ring.url)
    assert look()[0] == 0


# -- a key


def test_a_key_is_shown_where_it_is(ring, backend, look):
    """Owners first, with the time that is left; never the value."""
    (key,) = keys(1)
    backend.add(key, b"a secret value", 60, 5.0)
    code, said = look("--backend", ring.url, "--key", key, "--json")
    order = ["abc"[node] for node in backend.ring.order(key)]
    assert code == 0
    assert [node["name"] for node in said["key"]] == order
    assert [node["owner"] for node in said["key"]] == [True, True, False]
    assert [node["holds"] for node in said["key"]] == ["record", "record", "nothing"]
    assert all(0 < node["seconds"] <= 60 for node in said["key"][:2])
    assert "secret" not in repr([said, look("--backend", ring.url, "--key", key)])


def test_looking_renews_nothing(ring, backend, look):
    """The time that is left does not grow."""
    (key,) = keys(1)
    backend.add(key, b"x", 60, 5.0)
    before = look("--backend", ring.url, "--key", key, "--json")[1]["key"][0]["seconds"]
    assert look("--backend", ring.url, "--key", key, "--json")[1]["key"][0]["seconds"] <= before


def test_a_missing_copy_is_something_to_act_on(ring, backend, look):
    """Until the next read repairs it."""
    (key,) = keys(1)
    backend.add(key, b"x", 60, 5.0)
    second = backend.ring.order(key)[1]
    ring.servers[second].command("md", key)
    code, said = look("--backend", ring.url, "--key", key, "--json")
    assert code == 1
    assert [node["holds"] for node in said["key"]] == ["record", "nothing", "nothing"]
    backend.get(key, 60, 5.0)
    assert look("--backend", ring.url, "--key", key)[0] == 0


def test_a_tombstone_is_called_one(ring, backend, look):
    """It stands on every node."""
    (key,) = keys(1)
    backend.end(key, 60, 5.0)
    code, said = look("--backend", ring.url, "--key", key, "--json")
    assert code == 0
    assert [node["holds"] for node in said["key"]] == ["tombstone"] * 3


def test_a_record_beside_a_tombstone_is_something_to_act_on(ring, backend, look):
    """An owner did not hear of the end."""
    (key,) = keys(1)
    backend.end(key, 60, 5.0)
    ring.servers[backend.ring.order(key)[1]].command("set", key, 0, 60, 1, b"\r\nx")
    assert look("--backend", ring.url, "--key", key)[0] == 1


def test_a_key_that_nobody_holds_is_no_fault(ring, look):
    """There is nothing to repair."""
    code, lines = look("--backend", ring.url, "--key", keys(1)[0])
    assert code == 0
    assert sum("nothing" in line for line in lines) == 3


def test_a_node_that_does_not_answer_is_not_taken_for_an_empty_one(ring, backend, look):
    """Nobody knows what it holds."""
    (key,) = keys(1)
    backend.add(key, b"x", 60, 5.0)
    ring.servers[backend.ring.order(key)[0]].kill()
    code, said = look("--backend", ring.url, "--key", key, "--json")
    assert code == 1
    assert said["key"][0] == {"name": said["key"][0]["name"], "owner": True, "state": "down"} | {
        "holds": None,
        "seconds": None,
    }


# -- the survey


def test_copies_are_counted(ring, backend, look):
    """All is well when each record is on all its owners; what is not a session does not count."""
    for key in keys(300):
        backend.add(key, b"x", 60, 5.0)
    ring.servers[0].put("not-a-session", b"x")
    code, said = look("--backend", ring.url, "--survey", "--json")
    assert code == 0
    assert said["survey"] == {
        "records": 300,
        "copies": {"2": 300, "1": 0, "0": 0},
        "under_replicated": 0,
        "checked_again": True,
        "not_walked": [],
    }


def test_records_that_lack_a_copy_are_counted_until_they_are_repaired(ring, backend, look):
    """A node came back empty; each read of a session gives it its copy again."""
    for key in keys(300):
        backend.add(key, b"x", 60, 5.0)
    lost = len(ring.servers[1].dump())
    ring.servers[1].restart()
    code, said = look("--backend", ring.url, "--survey", "--json")
    assert code == 1
    assert said["survey"]["copies"] == {"2": 300 - lost, "1": lost, "0": 0}
    assert said["survey"]["under_replicated"] == lost
    assert any("TOO FEW COPIES" in line for line in look("--backend", ring.url, "--survey")[1])
    for key in keys(300):
        backend.get(key, 60, 5.0)
    assert look("--backend", ring.url, "--survey")[0] == 0


def test_a_record_on_no_owner_is_counted_too(ring, backend, look):
    """As after a change of nodes, before it is read."""
    (key,) = keys(1)
    ring.servers[backend.ring.order(key)[2]].put(key, b"x")
    code, said = look("--backend", ring.url, "--survey", "--json")
    assert code == 1
    assert said["survey"]["copies"] == {"2": 0, "1": 0, "0": 1}


def test_what_has_ended_does_not_lack_a_copy(ring, backend, look):
    """A tombstone that one owner has lost is nobody's task."""
    (key,) = keys(1)
    backend.end(key, 60, 5.0)
    ring.servers[backend.ring.order(key)[0]].flush()
    assert look("--backend", ring.url, "--survey", "--json")[1]["survey"]["under_replicated"] == 0


def test_too_many_suspects_are_not_looked_at_again(ring, backend, look, monkeypatch):
    """Then it says so."""
    monkeypatch.setattr(ring_report, "MOST_CHECKED", 3)
    for key in keys(100):
        backend.add(key, b"x", 60, 5.0)
    ring.servers[0].restart()
    code, lines = look("--backend", ring.url, "--survey")
    assert code == 1
    assert "too many for a second look" in lines[-1]


def test_a_node_that_cannot_be_walked_is_named(ring, backend, look, fresh):
    """Down, or without a crawler."""
    backend.add(keys(1)[0], b"x", 60, 5.0)
    ring.servers[1].kill()
    code, said = look("--backend", ring.url, "--survey", "--json")
    assert (code, said["survey"]["not_walked"]) == (1, ["b"])
    lame = fresh("memcached", "-o", "no_lru_crawler")
    code, lines = look("--backend", lame.url, "--survey")
    assert code == 1
    assert "could not be read" in lines[-1]


def test_a_walk_over_many_keys_is_read_whole(ring, backend, look):
    """However the network cuts it."""
    for server in ring.servers:
        with server._connection() as connection:
            lines = [b"ms ss:%043d 1 T60 q\r\nx\r\n" % number for number in range(20_000)]
            connection.sendall(b"".join(lines) + b"mn\r\n")
            assert connection.recv(4) == b"MN\r\n"
    code, said = look("--backend", ring.url, "--survey", "--json")
    assert code == 0
    assert said["survey"]["copies"] == {"2": 20_000, "1": 0, "0": 0}


# -- a change


def change(old: str, new: str) -> dict[str, Any]:
    return ring_report.change(Layout.of(old), Layout.of(new))


def test_the_same_nodes_move_nothing():
    """In whatever order."""
    moves = change(url(*FIVE), url(*reversed(FIVE)))
    assert not any(moves.values())
    assert ring_report.warnings(moves) == []


def test_a_node_that_is_added_takes_its_share_and_loses_nothing():
    """The figures that matter before it is done."""
    moves = change(url(*FIVE[:4]), url(*FIVE))
    assert moves["added"] == ["e"]
    assert 0.15 < moves["first_owner"] <= 0.23
    assert 0.3 < moves["new_owner"] < 0.46
    assert (moves["no_common_owner"], moves["lost"]) == (0, 0)
    assert ring_report.warnings(moves) == []


def test_a_node_that_is_removed_loses_nothing():
    """The second copy of each of its sessions is on a node that stays."""
    moves = change(url(*FIVE), url(*FIVE[1:]))
    assert (moves["removed"], moves["no_common_owner"], moves["lost"]) == (["a"], 0, 0)
    assert ring_report.warnings(moves) == []


def test_a_node_that_is_replaced_counts_as_one_change():
    """One goes, one comes."""
    moves = change(url(*FIVE[:4]), url(*FIVE[1:]))
    assert (moves["added"], moves["removed"], moves["lost"]) == (["e"], ["a"], 0)
    assert ring_report.warnings(moves) == []


def test_two_nodes_at_a_time_are_warned_of():
    """Two that go lose the sessions that were on both."""
    moves = change(url(*FIVE), url(*FIVE[2:]))
    assert 0.05 < moves["lost"] < 0.2
    warnings = ring_report.warnings(moves)
    assert any("more than one node" in warning for warning in warnings)
    assert any("lost" in warning for warning in warnings)
    assert any("more than one" in text for text in ring_report.warnings(change(url(*FIVE[:3]), url(*FIVE))))


def test_a_new_address_moves_no_key_but_its_copies_stay_behind():
    """A name keeps its keys; the memcached at the new address is empty."""
    moves = change(url(*FIVE), url("a=10.9.9.9", *FIVE[1:]))
    assert moves["moved"] == ["a"]
    assert moves["first_owner"] == 0
    assert 0.3 < moves["new_owner"] < 0.5
    assert moves["lost"] == 0


def test_with_one_copy_a_node_that_goes_takes_its_sessions_along():
    """And the command says so before it is done."""
    old, new = url(*FIVE, options="replicas=1"), url(*FIVE[1:], options="replicas=1")
    moves = change(old, new)
    assert moves["lost"] == moves["first_owner"] > 0.1
    assert ring_report.warnings(moves) == ["sessions are lost if all their copies are on nodes that are removed"]


def test_a_weight_and_a_layout_are_changes():
    """Of one node, and of all keys."""
    assert change(url(*FIVE), url("a*2=10.0.0.1", *FIVE[1:]))["reweighted"] == ["a"]
    moves = change(url(*FIVE), url(*FIVE, options="layout=ketama"))
    assert moves["first_owner"] > 0.5
    assert any("layout" in warning for warning in ring_report.warnings(moves))


def test_a_change_is_told_in_words_and_asks_no_node(look):
    """The exit code is 0: nothing has happened yet."""
    code, lines = look("--backend", url(*FIVE[:3]), "--change", url(*FIVE))
    assert code == 0
    assert "added: d, e" in lines
    assert any(line.startswith("WARNING: more than one node changes") for line in lines)
    assert sum("%" in line for line in lines) == 4
    code, said = look("--backend", url(*FIVE), "--change", url(*FIVE), "--json")
    assert (code, said["change"]["warnings"], list(said)) == (0, [], ["ring", "change"])
    assert "no node changes" in look("--backend", url(*FIVE), "--change", url(*FIVE))[1]


# -- wrong usage


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "SHAREDSESSION_BACKEND"),
        (("--backend", "redis://127.0.0.1/0"), "only memcached://"),
        (("--backend", "memcached://a=h1,a=h2"), "names a node twice"),
        (("--backend", url(*FIVE), "--change", "memcached://a=h1?replicas=2"), "wants 2 replicas"),
        (("--backend", url(*FIVE), "--key", "two words"), "printable ASCII"),
        (("--backend", url(*FIVE), "--key", "x\r\nflush_all"), "printable ASCII"),
        (("--backend", url(*FIVE), "--key", ""), "printable ASCII"),
        (("--backend", url(*FIVE), "--key", "x" * 251), "printable ASCII"),
        (("--backend", url(*FIVE), "--timeout", "0"), "'0'"),
        (("--backend", url(*FIVE), "--timeout", "soon"), "'soon'"),
        (("--backend", url(*FIVE), "--timeout", "nan"), "'nan'"),
    ],
)
def test_wrong_usage_is_one_line_on_stderr(capsys, monkeypatch, arguments, said):
    """The exit code is 2."""
    monkeypatch.delenv("SHAREDSESSION_BACKEND", raising=False)
    try:
        code = main(["ring", *arguments])
    except SystemExit as end:
        code = int(end.code or 0)
    out, err = capsys.readouterr()
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert said in err


def test_the_help_tells_every_option(capsys):
    """It goes to standard output."""
    with pytest.raises(SystemExit) as end:
        main(["ring", "--help"])
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert all(option in out for option in ("--backend", "--key", "--change", "--survey", "--timeout", "--json"))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0, "0 s"), (59.9, "59 s"), (60, "1 min 0 s"), (3661, "1 h 1 min"), (90000, "1 d 1 h")],
)
def test_times_are_short(seconds, text):
    """Their two largest units."""
    assert span(seconds) == text
