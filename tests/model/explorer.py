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
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.model.world import LOST, Farm, Message, Path, Program, Reply, Web

_BROKEN = Reply(None, run=-2)


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
        self._replies: list[Reply] = [LOST, _BROKEN]
        self._reply_numbers: dict[Reply, int] = {LOST: 0, _BROKEN: 1}
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
            turn, epoch, down = sum(each.node == node for each in replies), sum(each.turns for each in replies), web.down
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
        key = (actor, "over", facts) if is_over else (actor, replies)  # where it is over, nothing matters but what it told
        number = self._numbers.setdefault(key, len(self.known))
        if number < len(self.known):
            web.close()
        else:
            kept = Replies() if is_over else replies
            self.known.append(Position(actor, kept, tuple(web.waiting.values()), facts))
            self._webs[number] = web
        return number


State = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], int, tuple[int, int, int, int]]
"""Nodes; positions; requests that are late; the time; the faults that are left: losses, duplicates, restarts, evictions."""


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
        parents: dict[State, tuple[State, Step] | None] = {first: None}
        level, violation, bad = [first], self._wrong(first), first
        while level and violation is None and (most is None or len(parents) <= most):
            following: list[State] = []
            for state in level:
                for step, after in self._steps(state):
                    if after in parents:
                        continue
                    parents[after] = state, step
                    following.append(after)
                    violation = self._wrong(after)
                    if violation is not None:
                        bad = after
                        break
                if violation is not None:
                    break
            level = following
        self.positions.close()
        seconds = time.process_time() - began
        trace: list[tuple[State, Step, State]] = []
        while violation is not None and (came := parents[bad]) is not None:
            trace.insert(0, (*came, bad))
            bad = came[0]
        return Found(len(parents), seconds, violation is None and not level, violation, trace)

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
            broken = _put(positions, actor, self.positions.after(position, path, _BROKEN))
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
