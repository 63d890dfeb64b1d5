"""The cases: scenarios, and how much goes wrong in them. Each is searched completely at its bounds.

`CASES` are for every run of the tests, `LONG_CASES` for `make model`. `LIMITS` are what docs/promises.md does not
promise: there the search must find how it happens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tests.model import scenarios as play
from tests.model.case import Bounds, Case

_NONE = Bounds()
_LOSS = Bounds(losses=1)
_LATE = Bounds(duplicates=1)
_RESTART = Bounds(restarts=1)

Made = Callable[[], Case]


def _made(make: Callable[..., Case], nodes: int, bounds: Bounds, **options: Any) -> tuple[str, Made]:
    told = "".join([f", {name} {value}" for name, value in options.items() if name not in {"name", "cut"}])
    extra = f", {len(options['cut'])} cut off" if "cut" in options else ""
    name = f"{make.__name__.replace('_', ' ')}: N = {nodes}{told}{extra}, {bounds}"
    return name, lambda: make(nodes, bounds, name=name, **options)


def _named(cases: Sequence[tuple[str, Made]]) -> dict[str, Made]:
    names = dict(cases)
    assert len(names) == len(cases), "two cases have one name"
    return names


CASES = _named(
    [
        _made(play.two_writers_and_a_logout, 2, _NONE),
        _made(play.two_writers_and_a_logout, 3, _NONE),
        _made(play.a_writer_and_a_logout, 1, _LOSS, replicas=1),
        _made(play.a_writer_and_a_logout, 2, _LOSS),
        _made(play.a_writer_and_a_logout, 2, _LATE),
        _made(play.a_writer_and_a_logout, 3, _LOSS),
        _made(play.a_writer_and_a_logout, 2, _RESTART),
        _made(play.writers, 2, _LOSS),
        _made(play.writers, 3, _LOSS),
        _made(play.writers, 3, _NONE, count=3),
        _made(play.writers, 2, Bounds(losses=2, losing=[0])),
        _made(play.writers, 2, _NONE, cut={"A": [0]}),
        _made(play.adders, 2, _LOSS),
        _made(play.adders, 3, _LATE),
        _made(play.readers_of_writes, 2, _NONE),
        _made(play.readers_of_writes, 2, _NONE, cut={"reader": [0]}),
        _made(play.readers_of_a_logout, 2, _NONE),
        _made(play.readers_of_a_logout, 3, _NONE),
        _made(play.login_and_logout, 1, _LATE, replicas=1),
        _made(play.login_and_logout, 2, Bounds(losses=1, duplicates=1)),
        _made(play.unread_logout, 3, _LOSS, cut={"logout": [0, 1]}),
        _made(play.a_writer_and_a_logout, 1, _RESTART, replicas=1),
        _made(play.repair, 2, _NONE),
        _made(play.repair_and_logout, 2, _NONE),
        _made(play.missed_logout, 2, _LOSS),
        _made(play.missed_logout, 3, _LOSS, missed=1),
        _made(play.new_id, 2, _LOSS),
        _made(play.new_id, 3, _NONE, grace=30.0),
        _made(play.new_id_and_logout, 2, _LOSS),
        _made(play.new_id_and_logout, 3, _NONE, grace=30.0),
        _made(play.two_new_ids, 2, _NONE),
        _made(play.log_out_everywhere, 2, _NONE),
        _made(play.log_out_everywhere, 2, _LOSS),
        _made(play.log_out_everywhere_unlisted, 2, _LOSS),
        _made(play.log_out_everywhere_and_new_id, 2, _NONE),
        _made(play.log_out_the_others, 2, _NONE),
        _made(play.locked, 2, _NONE),
        _made(play.locked, 2, _LATE),
        _made(play.life_of_a_tombstone, 2, _NONE),
        _made(play.bound_of_a_missed_logout, 2, Bounds(losses=1, restarts=1)),
        _made(play.a_node_is_emptied, 3, _RESTART),
        _made(play.a_node_is_emptied, 2, _RESTART),
    ]
)

LONG_CASES = _named(
    [
        _made(play.two_writers_and_a_logout, 2, _LOSS),
        _made(play.two_writers_and_a_logout, 2, _LATE),
        _made(play.two_writers_and_a_logout, 2, _RESTART),
        _made(play.two_writers_and_a_logout, 3, _LOSS),
        _made(play.two_writers_and_a_logout, 3, _LATE),
        _made(play.two_writers_and_a_logout, 3, _RESTART),
        _made(play.a_writer_and_a_logout, 2, Bounds(losses=1, duplicates=1)),
        _made(play.a_writer_and_a_logout, 3, Bounds(losses=2, losing=[0])),
        _made(play.a_writer_and_a_logout, 3, Bounds(losses=2, losing=[1])),
        _made(play.a_writer_and_a_logout, 3, Bounds(losses=1, restarts=1, losing=[0], frail=[0])),
        _made(play.a_writer_and_a_logout, 3, Bounds(losses=1, restarts=1, losing=[1], frail=[1])),
        _made(play.writers, 3, _LOSS, count=3),
        _made(play.writers, 2, _LOSS, count=3),
        _made(play.writers, 2, Bounds(losses=3, losing=[0])),
        _made(play.writers, 2, Bounds(losses=3, losing=[1])),
        _made(play.writers, 2, Bounds(losses=1, duplicates=1, losing=[0])),
        _made(play.writers, 3, Bounds(losses=1, duplicates=1)),
        _made(play.adders, 2, _NONE, count=3),
        _made(play.adders, 3, Bounds(losses=2, losing=[0]), count=2),
        _made(play.adders, 3, _LOSS, count=3),
        _made(play.readers_of_writes, 2, _LOSS),
        _made(play.readers_of_writes, 2, _LATE),
        _made(play.readers_of_writes, 3, _LOSS),
        _made(play.readers_of_a_logout, 2, _LOSS),
        _made(play.readers_of_a_logout, 3, _LATE),
        _made(play.repair, 2, _LATE),
        _made(play.repair, 3, _NONE, lacking=1),
        _made(play.repair_and_logout, 3, _LATE),
        _made(play.missed_logout, 3, Bounds(losses=2, losing=[0])),
        _made(play.new_id, 3, _LOSS),
        _made(play.new_id, 2, _LATE),
        _made(play.new_id_and_logout, 2, _LATE),
        _made(play.new_id_and_logout, 3, _LOSS),
        _made(play.new_id_and_logout, 2, _LOSS, grace=30.0),
        _made(play.two_new_ids, 3, _LOSS),
        _made(play.log_out_everywhere, 3, _LOSS),
        _made(play.log_out_everywhere, 2, _RESTART),
        _made(play.log_out_everywhere_and_new_id, 3, _NONE),
        _made(play.log_out_the_others, 2, _LOSS),
        _made(play.log_out_the_others, 3, _NONE),
        _made(play.locked, 3, _NONE),
        _made(play.locked, 2, _LOSS),
        _made(play.locked_by_one_that_stands_still, 2, _NONE),
        _made(play.locked, 2, _RESTART),
        _made(play.life_of_a_tombstone, 3, _NONE),
        _made(play.bound_of_a_missed_logout, 3, Bounds(losses=2, restarts=2)),
        _made(play.a_node_is_emptied, 3, Bounds(restarts=1, losses=1, losing=[0], frail=[0])),
    ]
)


class Limit(NamedTuple):
    """What is not promised.

    Attributes:
        case: in which it happens.
        named: how docs/promises.md names it.
    """

    case: Made
    named: str


def _limit(named: str, make: Callable[..., Case], nodes: int, bounds: Bounds, **options: Any) -> tuple[str, Limit]:
    name, case = _made(make, nodes, bounds, **options)
    return f"{name} (limit)", Limit(case, named)


LIMITS: dict[str, Limit] = dict(
    [
        _limit(
            "With two nodes: one web node is cut off from the first, another one from the second.",
            play.writers,
            2,
            _NONE,
            cut={"A": [0], "B": [1]},
        ),
        _limit("leaves a tombstone with the life of a session", play.life_of_a_tombstone, 2, _LOSS),
        _limit("a second fault, of that node, undoes it", play.a_writer_and_a_logout, 2, Bounds(losses=1, restarts=1)),
    ]
)
