"""What a case is: who does what, how much may go wrong, and what must be true all the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.model.world import Farm, Program


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How much may go wrong in one case.

    Attributes:
        losses: requests that somebody waits for in vain.
        duplicates: requests that are carried out twice.
        restarts: of nodes, which are empty then.
        evictions: of items.
        frail: the nodes that the last two befall; ``None``: any.
        losing: the nodes whose requests and replies get lost; ``None``: any.
    """

    losses: int = 0
    duplicates: int = 0
    restarts: int = 0
    evictions: int = 0
    frail: Sequence[int] | None = None
    losing: Sequence[int] | None = None

    def __str__(self) -> str:
        lost, emptied = _at(self.losing), _at(self.frail)
        told = [
            _counted(self.losses, "loss", "losses", lost),
            _counted(self.duplicates, "duplicate", "duplicates", ""),
            _counted(self.restarts, "restart", "restarts", emptied),
            _counted(self.evictions, "eviction", "evictions", emptied),
        ]
        return ", ".join(filter(None, told)) or "no fault"


def _at(nodes: Sequence[int] | None) -> str:
    return "" if nodes is None else f" at node {', '.join([str(node + 1) for node in nodes])}"


def _counted(count: int, one: str, more: str, where: str) -> str:
    return f"{count} {one if count == 1 else more}{where}" if count else ""


class View(NamedTuple):
    """What a property sees of a state.

    Attributes:
        farm: of the case.
        nodes: what they hold, by number.
        facts: what the web nodes have told.
        now: seconds since it began.
        is_over: whether every program is.
        is_sound: whether no fault has happened yet.
    """

    farm: Farm
    nodes: tuple[int, ...]
    facts: frozenset[str]
    now: float
    is_over: bool
    is_sound: bool

    def look(self, program: Program, silent: Sequence[int] = ()) -> Any:
        """Returns what a web node that was just started returns from a program, while nothing else happens."""
        return self.farm.looked(program, self.nodes, self.now, tuple(silent))


Property = Callable[[View], str | None]
"""Returns what is wrong in a state; ``None`` if nothing is."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is explored.

    Attributes:
        name: in one line.
        farm: makes its farm.
        actors: the programs that run side by side, by name.
        nodes: what they hold at the beginning.
        properties: what must be true in every state.
        bounds: how much may go wrong.
        times: the seconds after the beginning to which time may jump.
        cut: the nodes that a web node never reaches, by its name.
        lives: whether the lives of items matter, so that a read that only renews counts as a change.
    """

    name: str
    farm: Farm
    actors: Mapping[str, Program]
    nodes: tuple[int, ...]
    properties: Mapping[str, Property]
    bounds: Bounds = field(default_factory=Bounds)
    times: Sequence[float] = ()
    cut: Mapping[str, Sequence[int]] = field(default_factory=dict)
    lives: bool = False
