"""One node suffers, any one, in any way: nothing is lost, revived, rolled back or mixed up."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.farm.laboratory import LOGINS, LONG, VICTIMS, Laboratory, Visitors, until
from tests.farm.nemeses import NEMESES
from tests.support.webprocess import WebProcess

COLOURS = ("wsgi", "asgi")
ROUNDS = 5 if LONG else 1


@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("nemesis", NEMESES)
def test_one_fault_does_no_harm(laboratory: Callable[..., Laboratory], nemesis: str, victim: int) -> None:
    """Before, during and after the fault, by the same web node, another, and one started after it: 0 violations."""
    fault = NEMESES[nemesis]
    lab = laboratory(relayed=[victim] if fault.relayed else [], arguments={victim: fault.arguments})
    visitors = Visitors([lab.web("first", "wsgi"), lab.web("second", "asgi")], seed=victim)
    share = LOGINS // (ROUNDS * 2 + 1) + 1
    visitors.run(share)
    for _ in range(ROUNDS):
        with fault.strike(lab.nodes[victim]):
            visitors.run(share)
        visitors.run(share)
    assert fault.bit(lab.nodes[victim], [web.health()["backend"] for web in visitors.webs])
    visitors.verify([*visitors.webs, lab.web("fresh", COLOURS[victim % 2])])
    visitors.expect_no_violation()
    assert visitors.history.count("login") >= LOGINS
    assert visitors.history.count() >= 3 * LOGINS


@pytest.mark.parametrize("name", ["stop", "zombie"])
def test_one_node_after_another_is_away(laboratory: Callable[..., Laboratory], name: str) -> None:
    """Each node in turn, twice, the next one as soon as the last is used again: 0 violations."""
    lab = laboratory(relayed=VICTIMS)
    visitors = Visitors([lab.web("first", "wsgi"), lab.web("second", "asgi")], seed=7)
    for turn in range(2 * ROUNDS):
        for node in lab.nodes:
            with NEMESES[name].strike(node):
                visitors.run(LOGINS // 6 // ROUNDS + 1)
            until(lambda turn=turn: visitors.run(2) or all_up(visitors))
    visitors.verify([*visitors.webs, lab.web("fresh", "wsgi")])
    visitors.expect_no_violation()


def test_one_node_after_another_is_restarted_empty(laboratory: Callable[..., Laboratory]) -> None:
    """Each node in turn, under load; between two each session is looked at once: 0 violations."""
    lab = laboratory()
    visitors = Visitors([lab.web("first", "wsgi"), lab.web("second", "asgi")], seed=8)
    for turn in range(2 * ROUNDS):
        for node in lab.nodes:
            visitors.run(LOGINS // 6 // ROUNDS + 1)
            node.server.restart()
            until(lambda turn=turn: visitors.run(2) or all_up(visitors))
            visitors.verify([visitors.webs[turn % 2]])
    visitors.verify([*visitors.webs, lab.web("fresh", "asgi")])
    visitors.expect_no_violation()


@pytest.mark.parametrize("colour", COLOURS)
def test_web_nodes_are_killed(laboratory: Callable[..., Laboratory], colour: str) -> None:
    """A web node dies in the middle of its requests, again and again, and another takes its place: 0 violations."""
    lab = laboratory()
    visitors = Visitors([lab.web("first", "wsgi"), lab.web("victim", colour)], seed=9)
    for turn in range(4 * ROUNDS):
        with meanwhile_killed(visitors.webs[1]):
            visitors.run(LOGINS // 4 // ROUNDS + 1)
        visitors.webs[1] = lab.web(f"next {turn}", colour)
    visitors.verify([*visitors.webs, lab.web("fresh", "asgi")])
    visitors.expect_no_violation()


def all_up(visitors: Visitors) -> bool:
    return all(fact["state"] == "up" for web in visitors.webs for fact in web.health()["backend"]["nodes"])


@contextmanager
def meanwhile_killed(web: WebProcess) -> Iterator[None]:
    """Kills a web node while the block runs."""
    killer = threading.Timer(0.1, web.kill)
    killer.start()
    try:
        yield
    finally:
        killer.join()
