"""Web nodes that compare themselves with their farm. No server; announcements happen when time is moved by hand."""

import json
import logging
import os

import pytest

from sharedsession import FarmDisagrees, MachineKey
from sharedsession.concurrency import run
from sharedsession.farm.registry import FORGET_AFTER, KEY, PERIOD
from tests.support.node import Node
from tests.support.watched_store import Farm, counted, opened


@pytest.fixture
def farm() -> Farm:
    """An empty store and a clock."""
    return Farm()


def visit(node: Node) -> None:
    """A request that finds that the store works."""
    node.stored(a=1)


def names(node: Node) -> list[str]:
    """The other web nodes that a node knows, by their IDs."""
    return [each.id for each in node.engine.monitor._this_node.process.others]


def farm_facts(node: Node) -> dict[str, list[str]]:
    """What a node tells of its farm."""
    facts: dict[str, list[str]] = node.manager.health()["farm"]
    return facts


def test_without_the_setting_nothing_is_announced(farm: Farm) -> None:
    """The store has the session and nothing else, and health has no farm."""
    node = farm.node()
    visit(node)
    assert farm.store.health()["records"] == 1
    assert "farm" not in node.manager.health()
    assert run(node.engine.monitor.may_serve())


def test_a_node_announces_itself_when_a_request_has_found_the_store(farm: Farm) -> None:
    """At once the first time, then once a minute; however many requests come."""
    node = farm.node(farm_check="warn")
    farm.store.down = True
    with pytest.raises(Exception, match="down"):
        visit(node)
    farm.store.down = False
    assert "farm" not in node.manager.health()
    for _ in range(3):
        visit(node)
    (announced,) = run(node.engine.monitor.look())
    assert announced.at == farm.environment.clock()
    assert farm_facts(node)["nodes"] == []
    farm.pass_time(PERIOD)
    (again,) = run(node.engine.monitor.look())
    assert (again.id, again.at) == (announced.id, announced.at + PERIOD)


def test_two_ticks_in_a_moment_announce_once(farm: Farm) -> None:
    """Each event loop of a process has a timer of its own."""
    node = farm.node(farm_check="warn")
    visit(node)
    assert farm.asked_for(lambda: farm.pass_time(PERIOD / 4)) == []
    assert farm.asked_for(lambda: farm.pass_time(PERIOD / 4)) == ["get", "replace"]


def test_nodes_that_agree_say_nothing(farm: Farm, caplog: pytest.LogCaptureFixture) -> None:
    """They know of one another."""
    nodes = [farm.node(farm_check="warn") for _ in range(3)]
    for node in nodes:
        visit(node)
    farm.pass_time(PERIOD)
    assert [len(farm_facts(node)["nodes"]) for node in nodes] == [2, 2, 2]
    assert [farm_facts(node)["disagreements"] for node in nodes] == [[], [], []]
    assert caplog.records == []


def test_what_differs_is_logged_with_its_fix(farm: Farm, caplog: pytest.LogCaptureFixture) -> None:
    """A fault once a minute for as long as it lasts, and it is in the facts."""
    right, wrong = farm.node(farm_check="warn"), farm.node(farm_check="warn", idle_timeout=60)
    visit(right)
    visit(wrong)
    assert counted(wrong, "farm_disagrees") == [1]
    assert "idle_timeout (60 here, 1200 there): give every web node the same" in caplog.text
    assert {record.levelno for record in caplog.records} == {logging.ERROR}
    farm.pass_time(PERIOD)
    assert counted(wrong, "farm_disagrees") == [2]
    assert len(farm_facts(right)["disagreements"]) == 1


def test_what_may_be_intended_is_logged_once(farm: Farm, caplog: pytest.LogCaptureFixture) -> None:
    """Two applications may share a store; it is a note, not a fault."""
    caplog.set_level(logging.INFO)
    one, other = farm.node(farm_check="warn"), farm.node(farm_check="warn", app_name="other")
    for node in (one, other, other):
        visit(node)
    for _ in range(3):
        farm.pass_time(PERIOD)
    assert counted(other, "farm_differs", "farm_disagrees") == [1, 0]
    assert (farm_facts(other)["disagreements"], len(farm_facts(other)["notes"])) == ([], 1)


def test_a_node_that_is_wrong_refuses_if_it_was_told_to(farm: Farm) -> None:
    """Its first request waits for the look; the others serve on. When it agrees, so does it."""
    right = [farm.node(farm_check="refuse") for _ in range(2)]
    for node in right:
        visit(node)
    farm.environment.advance(1)
    wrong = farm.node(farm_check="refuse", secret_key=MachineKey.generate())
    token = right[0].stored(a=1)
    with pytest.raises(FarmDisagrees, match="farm_disagrees"):
        visit(wrong)
    with pytest.raises(FarmDisagrees):
        opened(wrong, wrong.settings.machine_key().new_identity(bytes(16)).token.encode())
    assert not run(wrong.engine.is_ready())
    assert farm_facts(wrong)["refuses"] is True
    for node in right:
        farm.pass_time(PERIOD)
        assert node.read(token) == {"a": 1}
        assert run(node.engine.is_ready())
        assert farm_facts(node)["refuses"] is False


def test_a_node_that_only_warns_serves_all_the_same(farm: Farm) -> None:
    """Though it is the odd one out."""
    for _ in range(2):
        visit(farm.node(farm_check="warn"))
    wrong = farm.node(farm_check="warn", idle_timeout=60)
    visit(wrong)
    visit(wrong)
    assert counted(wrong, "farm_disagrees") == [1]
    assert farm_facts(wrong)["refuses"] is False


def test_a_node_that_is_silent_is_forgotten(farm: Farm) -> None:
    """After three minutes by the clock of those who are left."""
    stays, leaves = farm.node(farm_check="warn"), farm.node(farm_check="warn")
    visit(leaves)
    visit(stays)
    gone = leaves.engine.monitor.described().id
    farm._drivers.pop()  # its process has ended
    waited = 0.0
    while gone in names(stays):
        farm.pass_time(PERIOD)
        waited += PERIOD
    assert FORGET_AFTER < waited <= FORGET_AFTER + 2 * PERIOD
    assert [node.id for node in run(stays.engine.monitor.look())] == [stays.engine.monitor.described().id]


def test_an_outage_forgets_nothing(farm: Farm) -> None:
    """It is no disagreement, and is logged elsewhere."""
    one, other = farm.node(farm_check="warn"), farm.node(farm_check="warn")
    visit(one)
    visit(other)
    farm.store.down = True
    farm.pass_time(PERIOD)
    assert len(farm_facts(other)["nodes"]) == 1
    farm.store.down = False
    farm.pass_time(PERIOD)
    assert len(farm_facts(one)["nodes"]) == 1


def test_announcements_at_the_same_time_are_all_there(farm: Farm) -> None:
    """The one that was later tries again on what is there now."""
    one, other = farm.node(farm_check="warn"), farm.node(farm_check="warn")
    farm.store.before("add", lambda: farm.store.before("add", lambda: run(other.engine.monitor.announce())))
    visit(one)
    assert {each.id for each in run(one.engine.monitor.look())} == {
        node.engine.monitor.described().id for node in (one, other)
    }


def test_an_announcement_that_is_always_too_late_is_given_up(farm: Farm) -> None:
    """Until the next minute; nobody waits for it, and what the others announced is known."""
    one, other = farm.node(farm_check="warn"), farm.node(farm_check="warn")
    visit(other)
    busy: list[int] = []

    def quicker() -> None:
        if not busy:
            busy.append(1)
            run(other.engine.monitor.announce())
            busy.pop()

    farm.store.always_before("replace", quicker)
    run(one.engine.monitor.announce())
    assert names(one) == [other.engine.monitor.described().id]
    assert names(one) == [each.id for each in run(one.engine.monitor.look())]


def test_a_child_after_a_fork_is_a_node_of_its_own(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    """It announces itself under another ID."""
    node = farm.node(farm_check="warn")
    visit(node)
    parent = node.engine.monitor.described()
    number = os.getpid() + 1
    monkeypatch.setattr(os, "getpid", lambda: number)
    child = node.engine.monitor.described()
    assert (child.id != parent.id, child.name.endswith(f":{number}")) == (True, True)
    assert "farm" not in node.manager.health()
    farm.pass_time(PERIOD)
    assert {each.id for each in run(node.engine.monitor.look())} == {parent.id, child.id}


@pytest.mark.parametrize(
    "planted",
    [
        b"\xff",
        b"[]",
        b"[" * 10_000,
        b'{"x": 1}',
        b'{"x": {"id": "x", "name": "x", "version": "1", "app": "x", "secrets": 1}}',
        json.dumps({"x": dict.fromkeys(("id", "name", "version", "app", "at", "since"), "x")}).encode(),
        json.dumps(
            {"x": {**dict.fromkeys(("id", "name", "version", "app"), "x"), "secrets": [], "parts": [], "at": "nan"}}
        ).encode(),
        json.dumps(
            {"x": {**dict.fromkeys(("id", "name", "version", "app"), 5), "secrets": [], "parts": 1, "at": 0}}
        ).encode(),
    ],
)
def test_what_is_planted_in_the_registry_is_left_out(farm: Farm, planted: bytes) -> None:
    """Whoever can write to the store can write there, and nothing that is read is trusted."""
    farm.store.add(KEY, planted, 60.0, 1.0)
    node = farm.node(farm_check="refuse")
    visit(node)
    assert [each.id for each in run(node.engine.monitor.look())] == [node.engine.monitor.described().id]


def test_names_in_the_registry_are_made_fit_for_a_log(farm: Farm) -> None:
    """Cut to size, and without control characters."""
    entry = {"id": "i", "name": "a\n\x1b[31m" + "b" * 200, "version": "1", "app": "x", "secrets": ["s"], "parts": {}}
    planted = json.dumps({"i": {**entry, "at": farm.environment.clock(), "since": 0}})
    farm.store.add(KEY, planted.encode(), 600.0, 1.0)
    node = farm.node(farm_check="warn")
    visit(node)
    (name,) = [each["name"] for each in node.manager.health()["farm"]["nodes"]]
    assert name == "a[31m" + "b" * 73
