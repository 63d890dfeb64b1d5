"""The explorer: every order in which a case can go, breadth first, so that the first violation has the shortest trace.

A state is what the nodes hold, where each web node stands, which requests are still under way though nobody waits for
them any more, the time, and how many faults are left. From each state every step is taken that a network allows:

- a node carries a request out, and its reply arrives. Nothing is gained by letting the reply wait: what a web node does
  next is to send, and that request may wait as long.
- a node carries it out, and the reply is lost (`losses`): the web node waits in vain.
- a web node waits in vain, and the request is *late*: from then on a node may carry it out at any time, or never. So a
  lost request is one that is late for ever.
- a request is carried out, and once more at any later time (`duplicates`), as where a client sends it twice.
- a node is restarted empty (`restarts`), with which its connections break, or drops one item (`evictions`).
- time passes (`times`).

A case is searched completely at its bounds, or the result says that it was not. Every property is asked in every state.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.model.case import Case, View
from tests.model.nodes import LOST, Message, Reply
from tests.model.positions import BROKEN, Positions

State = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], int, tuple[int, int, int, int]]
"""Nodes; positions; late requests; the time; the losses, duplicates, restarts and evictions that are left."""


class Step(NamedTuple):
    """One step of a trace.

    Attributes:
        kind: what happens.
        actor: whose request it is about; -1: nobody's any more.
        what: the path of the request, the number of a late one, or the node that something happens to.
    """

    kind: str
    actor: int
    what: Any


Parents = dict[State, tuple[State, Step] | None]
"""From where each state was reached first."""


class Found(NamedTuple):
    """What a search found.

    Attributes:
        states: how many there are.
        seconds: of this processor that it took.
        is_complete: whether there are no more.
        violation: the first one, with the name of the property; ``None``: there is none.
        trace: the shortest way to it.
    """

    states: int
    seconds: float
    is_complete: bool
    violation: str | None
    trace: list[tuple[State, Step, State]]


class Explorer:
    """Explores one case."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.nodes = case.farm.nodes
        self.positions = Positions(case)
        self.late: list[Message] = []
        self._late_numbers: dict[tuple[int, bytes, int | None], int] = {}
        self.times = (0.0, *case.times)
        self._facts: dict[tuple[int, ...], frozenset[str]] = {}
        self._judged: dict[tuple[object, ...], str | None] = {}
        bounds = case.bounds
        self._faults = (bounds.losses, bounds.duplicates, bounds.restarts, bounds.evictions)
        every = range(len(case.nodes))
        self._losing = frozenset(every if bounds.losing is None else bounds.losing)
        self._frail = frozenset(every if bounds.frail is None else bounds.frail)

    def run(self, most: int | None = None) -> Found:
        """Searches until there is a violation, no state is left, or there are more than so many."""
        began = time.process_time()
        first: State = (*self.positions.first(self.case.nodes), (), 0, self._faults)
        parents: Parents = {first: None}
        level, bad = [first], first if self._wrong(first) else None
        while level and bad is None and (most is None or len(parents) <= most):
            level, bad = self._next_level(level, parents)
        self.positions.close()
        trace, at = list[tuple[State, Step, State]](), bad
        while at is not None and (came := parents[at]) is not None:
            trace.insert(0, (*came, at))
            at = came[0]
        violation = None if bad is None else self._wrong(bad)
        return Found(len(parents), time.process_time() - began, bad is None and not level, violation, trace)

    def _next_level(self, level: list[State], parents: Parents) -> tuple[list[State], State | None]:
        """Returns the states that are one step further and new; and one in which a property does not hold, if any."""
        following: list[State] = []
        for state in level:
            for step, after in self._steps(state):
                if after not in parents:
                    parents[after] = state, step
                    following.append(after)
                    if self._wrong(after) is not None:
                        return following, after
        return following, None

    # -- what may happen

    def _steps(self, state: State) -> Iterator[tuple[Step, State]]:
        nodes, positions, late, now, faults = state
        for actor, position in enumerate(positions):
            for message in self.positions.known[position].waiting:
                yield from self._steps_of(state, actor, position, message)
        for number in dict.fromkeys(late):
            message = self.late[number]
            contents, _ = self.nodes.execute(nodes[message.node], message.data, self.times[now])
            left = list(late)
            left.remove(number)
            yield Step("late", -1, number), (_put(nodes, message.node, contents), positions, tuple(left), now, faults)
        losses, duplicates, restarts, evictions = faults
        for node in self._frail if restarts or evictions else ():
            if restarts:
                contents = self.nodes.restarted(nodes[node], self.times[now])
                left = [number for number in late if self.late[number].node != node]
                after = losses, duplicates, restarts - 1, evictions
                yield Step("restart", -1, node), (_put(nodes, node, contents), positions, tuple(left), now, after)
            if evictions:
                after = losses, duplicates, restarts, evictions - 1
                for key in list(self.nodes.items(nodes[node], self.times[now])):
                    contents = self.nodes.without(nodes[node], key, self.times[now])
                    yield Step("evict", -1, (node, key)), (_put(nodes, node, contents), positions, late, now, after)
        if now + 1 < len(self.times):
            yield Step("time", -1, self.times[now + 1]), (nodes, positions, late, now + 1, faults)

    def _steps_of(self, state: State, actor: int, position: int, message: Message) -> Iterator[tuple[Step, State]]:
        """What can happen to a request that somebody waits for."""
        nodes, positions, late, now, faults = state
        path, node, data, run = message
        if message.asks_facts:
            reply = Reply(b"", now=self.times[now], facts=self.facts(positions))
            yield (
                Step("begin", actor, path),
                (nodes, _put(positions, actor, self.positions.after(position, path, reply)), late, now, faults),
            )
            return
        losses, duplicates, restarts, evictions = faults
        if run is not None and run != self.nodes.run(nodes[node]):
            broken = _put(positions, actor, self.positions.after(position, path, BROKEN))
            yield Step("broken", actor, path), (nodes, broken, late, now, faults)
            return
        contents, reply = self.nodes.execute(nodes[node], data, self.times[now])
        answered = _put(positions, actor, self.positions.after(position, path, reply))
        executed = nodes if contents == nodes[node] else _put(nodes, node, contents)
        yield Step("answer", actor, path), (executed, answered, late, now, faults)
        matters = self._matters(data)
        if duplicates and matters:
            once_more = self._with(late, message)
            after = losses, duplicates - 1, restarts, evictions
            yield Step("twice", actor, path), (executed, answered, once_more, now, after)
        if losses and node in self._losing:
            after = losses - 1, duplicates, restarts, evictions
            in_vain = _put(positions, actor, self.positions.after(position, path, LOST))
            if matters:
                yield Step("reply lost", actor, path), (executed, in_vain, late, now, after)
                yield Step("too late", actor, path), (nodes, in_vain, self._with(late, message), now, after)
            else:
                yield Step("lost", actor, path), (nodes, in_vain, late, now, after)

    def _matters(self, data: bytes) -> bool:
        """Returns whether a request can change anything."""
        if data.startswith(b"mn"):
            return False
        return not data.startswith(b"mg") or b"\nms " in data or (self.case.lives and b" T" in data)

    def _with(self, late: tuple[int, ...], message: Message) -> tuple[int, ...]:
        key = message.node, message.data, message.run
        number = self._late_numbers.setdefault(key, len(self.late))
        if number == len(self.late):
            self.late.append(message)
        return tuple(sorted((*late, number)))

    # -- what must be true

    def facts(self, positions: tuple[int, ...]) -> frozenset[str]:
        """Returns what all web nodes have told."""
        found = self._facts.get(positions)
        if found is None:
            told = [self.positions.known[position].facts for position in positions]
            found = self._facts[positions] = frozenset().union(*told)
        return found

    def _wrong(self, state: State) -> str | None:
        nodes, positions, _, now, faults = state
        is_over = not any(self.positions.known[position].waiting for position in positions)
        facts = self.facts(positions)
        key = nodes, facts, now, is_over, faults == self._faults
        if key not in self._judged:
            view = View(self.case.farm, nodes, facts, self.times[now], is_over, faults == self._faults)
            self._judged[key] = self._judgement(view)
        return self._judged[key]

    def _judgement(self, view: View) -> str | None:
        failed = [fact for fact in view.facts if fact.startswith("WRONG")]
        if failed:
            return failed[0]
        for name, holds in self.case.properties.items():
            wrong = holds(view)
            if wrong is not None:
                return f"{name}: {wrong}"
        return None


def _put(numbers: tuple[int, ...], at: int, number: int) -> tuple[int, ...]:
    return (*numbers[:at], number, *numbers[at + 1 :])
