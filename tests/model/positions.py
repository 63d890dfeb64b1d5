"""Where web nodes stand: what each was told. What it asks next, its program says when it is run over that.

Of a program that is over, nothing matters but what it told: so most positions are reached in many ways.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from tests.model.case import Case
from tests.model.nodes import LOST, Message, Path, Reply
from tests.model.world import Web

BROKEN = Reply(None, run=-2)
"""The connection was broken, since the node was restarted."""


class Told(NamedTuple):
    """One answer that a web node got.

    Attributes:
        path: where in its program.
        reply: the number of the answer.
        node: whose answer it is.
        turn: how many answers of that node came before. Those of different nodes may come in any order,
        epoch: but not before, or after, one that turned something: so many did before this one.
        turns: whether it is one: a failure, or the answer of a node that was taken to be down.
    """

    path: Path
    reply: int
    node: int
    turn: int
    epoch: int
    turns: bool


Replies = frozenset[Told]


class Position(NamedTuple):
    """Where a web node stands.

    Attributes:
        actor: which one.
        replies: all that it was told; empty once it is over.
        waiting: what it waits for.
        facts: what it has told.
    """

    actor: int
    replies: Replies
    waiting: tuple[Message, ...]
    facts: frozenset[str]


class Positions:
    """All positions that web nodes were found at, each under a number."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._names = list(case.actors)
        self.known: list[Position] = []
        self._numbers: dict[object, int] = {}
        self._steps: dict[tuple[int, Path, int], int] = {}
        self._webs: dict[int, Web] = {}
        self._replies: list[Reply] = [LOST, BROKEN]
        self._reply_numbers: dict[Reply, int] = {LOST: 0, BROKEN: 1}
        self.replayed = 0

    def first(self, nodes: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Runs each program alone until it is ready, one after the other. Returns nodes and positions."""
        positions = [self._number(actor, frozenset(), self._begun(actor)) for actor in range(len(self._names))]
        left = list(nodes)
        for actor, position in enumerate(positions):
            while not self._is_ready(position):
                path, node, data, _ = self.known[position].waiting[0]
                left[node], reply = self._case.farm.nodes.execute(left[node], data, 0.0)
                position = self.after(position, path, reply)
            positions[actor] = position
        for actor, position in enumerate(positions):
            (message,) = self.known[position].waiting
            positions[actor] = self.after(position, message.path, Reply(b""))
        return tuple(left), tuple(positions)

    def _is_ready(self, position: int) -> bool:
        return all(message.is_ready for message in self.known[position].waiting)

    def after(self, position: int, path: Path, reply: Reply) -> int:
        """Returns the number of the position after an answer."""
        number = self._reply_numbers.setdefault(reply, len(self._replies))
        if number == len(self._replies):
            self._replies.append(reply)
        found = self._steps.get((position, path, number))
        if found is None:
            actor, replies, waiting, _ = self.known[position]
            web = self._webs.pop(position, None) or self._replayed(position)
            node = next(message.node for message in waiting if message.path == path)
            turn, epoch, down = (
                sum(each.node == node for each in replies),
                sum(each.turns for each in replies),
                web.down,
            )
            web.deliver(path, self._replies[number])
            told = Told(path, number, node, turn, epoch, number < 2 or down != web.down)
            found = self._number(actor, replies | {told}, web)
            self._steps[position, path, number] = found
        return found

    def _begun(self, actor: int) -> Web:
        name = self._names[actor]
        cut = frozenset(self._case.cut.get(name, ()))
        return Web(self._case.farm, name, self._case.actors[name], cut=cut)

    def _replayed(self, position: int) -> Web:
        """Runs a program from the beginning, since the one that stood here has gone on."""
        self.replayed += 1
        actor, replies, waiting, _ = self.known[position]
        web, turns = self._begun(actor), Counter[int]()
        left = sorted(replies, key=lambda told: (told.epoch, told.turns, self._replies[told.reply].now))
        while left:
            told = next(told for told in left if told.path in web.waiting and told.turn == turns[told.node])
            left.remove(told)
            turns[told.node] += 1
            web.deliver(told.path, self._replies[told.reply])
        assert set(web.waiting.values()) == set(waiting), "a web node is no function of its answers"
        return web

    def close(self) -> None:
        """Ends all programs."""
        for web in self._webs.values():
            web.close()
        self._webs.clear()

    def _number(self, actor: int, replies: Replies, web: Web) -> int:
        facts = frozenset(web.facts)
        is_over = web.is_done and not web.waiting
        key = (
            (actor, "over", facts) if is_over else (actor, replies)
        )  # where it is over, nothing matters but what it told
        number = self._numbers.setdefault(key, len(self.known))
        if number < len(self.known):
            web.close()
        else:
            kept = Replies() if is_over else replies
            self.known.append(Position(actor, kept, tuple(web.waiting.values()), facts))
            self._webs[number] = web
        return number
