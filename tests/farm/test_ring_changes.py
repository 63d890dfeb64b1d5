"""Nodes are added, removed and replaced while sessions live: web nodes of the old and of the new list side by side."""

from collections.abc import Callable, Sequence

import pytest

from sharedsession.backends.base import Stored
from sharedsession.backends.memcached.urls import from_url
from sharedsession.backends.ring.hashring import HashRing
from tests.farm.laboratory import LOGINS, LONG, Laboratory, StoreNode, Visitors

KEYS = [f"key-{number}" for number in range(20_000)]
STORED = 20_000 if LONG else 1_500
CHANGES = ("add", "remove", "new address", "new name")
COLOURS = ("wsgi", "asgi")


class Move:
    """A change of the list of nodes.

    Attributes:
        old: the nodes before.
        new: the nodes after.
    """

    def __init__(self, lab: Laboratory, change: str) -> None:
        self.old: Sequence[StoreNode] = list(lab.nodes)
        self.new = {
            "add": lambda: [*self.old, lab.add_node()],
            "remove": lambda: [self.old[0], *self.old[2:]],
            "new address": lambda: [self.old[0], lab.add_node(name=self.old[1].name), *self.old[2:]],
            "new name": lambda: [self.old[0], lab.add_node(), *self.old[2:]],
        }[change]()


@pytest.fixture(params=CHANGES)
def change(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def laboratory_for(laboratory: Callable[..., Laboratory], change: str) -> Laboratory:
    return laboratory(3 if change == "add" else 4)


def test_a_ring_change_loses_nobody(laboratory: Callable[..., Laboratory], change: str) -> None:
    """Old list, then both lists at once, then the new one only: 0 lost, 0 revived, 0 rolled back."""
    lab = laboratory_for(laboratory, change)
    move = Move(lab, change)
    before = lab.web("old", "wsgi", lab.url(move.old))
    visitors = Visitors([before, lab.web("old too", "asgi", lab.url(move.old))])
    visitors.run(LOGINS // 3 + 1)
    after = [lab.web(name, colour, lab.url(move.new)) for name, colour in zip(("new", "new too"), COLOURS, strict=True)]
    visitors.webs = [before, *after]
    visitors.run(LOGINS // 3 + 1)
    visitors.webs = after
    visitors.run(LOGINS // 3 + 1)
    visitors.verify([*after, lab.web("fresh", "wsgi", lab.url(move.new))])
    visitors.expect_no_violation()
    assert visitors.history.count("login") >= LOGINS


def test_what_moves_is_what_the_ring_foretells(laboratory: Callable[..., Laboratory], change: str) -> None:
    """Sessions are found on the nodes where `HashRing` says, before and after one read each; nothing else moves."""
    lab = laboratory_for(laboratory, change)
    move = Move(lab, change)
    old, new = from_url(lab.url(move.old)), from_url(lab.url(move.new))
    for key in KEYS[:STORED]:
        assert old.add(key, b"value", 600, 5.0)
    assert holders(move.old) == {key: owners(old.ring, key, move.old) for key in KEYS[:STORED]}
    if change == "remove":
        move.old[1].server.kill()
    for key in KEYS[:STORED]:
        found = new.get(key, None, 5.0)
        assert isinstance(found, Stored)
        assert found.value == b"value"
    held = holders(move.new)
    expected = {key: owners(new.ring, key, move.new) for key in KEYS}
    for key in KEYS[:STORED]:
        stayed = owners(old.ring, key, move.old) & {node.port for node in move.new}
        assert held[key] == expected[key] | stayed
    foretold = sum(expected[key] != owners(old.ring, key, move.old) for key in KEYS) / len(KEYS)
    moved = sum(bool(held[key] - owners(old.ring, key, move.old)) for key in KEYS[:STORED]) / STORED
    assert abs(moved - foretold) < 0.02
    assert 0.2 < moved < 0.8  # of all sessions one copy, not of all copies
    old.close()
    new.close()


def owners(ring: HashRing, key: str, nodes: Sequence[StoreNode]) -> set[int]:
    """The ports of a key's two owners."""
    return {nodes[index].port for index in ring.order(key)[:2]}


def holders(nodes: Sequence[StoreNode]) -> dict[str, set[int]]:
    """The ports of the nodes that hold each key."""
    held: dict[str, set[int]] = {}
    for node in nodes:
        for key in node.server._keys():
            held.setdefault(key, set()).add(node.port)
    return held
