"""What a seed stands for: a store, web nodes, visitors with their steps, and what breaks when. Data, and nothing else.

Everything that chance decides is decided here, but for the delays of the network. So a plan that fails can be made
smaller, one step or fault at a time, and run again.
"""

from dataclasses import dataclass, replace
from random import Random

STORES = ("ring", "ring", "ring", "wide ring", "memcached", "valkey", "redis")
"""A ring is what can go wrong in most ways, so it is run most often. The wide one has five nodes and three copies."""
NODES = {"ring": 3, "wide ring": 5, "memcached": 1, "valkey": 1, "redis": 1}
REPLICAS = {"ring": 2, "wide ring": 3}

DEEDS = {
    "look": 10,
    "write": 10,
    "write the same": 5,
    "increment": 5,
    "append": 3,
    "save in between": 2,
    "lock": 3,
    "crowd": 5,
    "regenerate": 5,
    "regenerate with grace": 3,
    "write and regenerate": 2,
    "look by an old ID": 4,
    "log out": 6,
    "write and log out at once": 3,
    "log out by an old ID": 1,
    "log out everywhere": 1,
    "log out everywhere else": 2,
    "revoke others": 2,
    "revoke": 1,
    "list": 1,
    "open a websocket": 2,
    "log in again": 1,
    "remember me": 1,
    "sleep": 2,
    "sleep too long": 1,
}
"""What a visitor does in a step, and how often."""

FAULTS_OF_NODES = ("kill", "restart", "stop", "stand still", "slow", "evict", "fill", "reset")
FAULTS_OF_LINKS = ("cut", "cut for requests", "cut for answers", "late", "tear", "forget")
FAULTS_OF_WEB_NODES = ("crash", "cancel", "wrong clock", "rotate")
ONLY_OF_RINGS = ("evict", "stand still")
FORGETFUL = ("kill", "restart", "evict", "fill")
"""After these a node lacks what it had."""


@dataclass(frozen=True)
class Step:
    """One thing that a visitor does.

    Attributes:
        deed: of `DEEDS`, or ``log in``.
        web: the number of the web node.
        pause: seconds before it.
        work: seconds that the application takes in the request.
        beside: whether the visitor goes on before it is answered.
        dice: from 0 to 1, for what the deed leaves open.
    """

    deed: str
    web: int
    pause: float
    work: float
    beside: bool
    dice: float


@dataclass(frozen=True)
class Visitor:
    """One browser.

    Attributes:
        name: of it.
        principal: who logs in; empty: the session has none.
        steps: in order.
    """

    name: str
    principal: str
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Fault:
    """Something breaks, and is mended.

    Attributes:
        kind: of one of the lists above.
        node: the number of the node of the store.
        web: the number of the web node.
        begin: virtual seconds.
        seconds: how long it lasts.
        dice: from 0 to 1, for what the kind leaves open.
    """

    kind: str
    node: int
    web: int
    begin: float
    seconds: float
    dice: float


@dataclass(frozen=True)
class Plan:
    """All that happens in a run.

    Attributes:
        seed: of the network's delays, and of random bytes.
        store: of `STORES`.
        webs: how many web nodes there are.
        idle: the idle timeout in seconds.
        autoload: whether sessions are loaded before the application runs, or by it.
        visitors: who comes.
        faults: what breaks.
    """

    seed: int
    store: str
    webs: int
    idle: float
    autoload: bool
    visitors: tuple[Visitor, ...]
    faults: tuple[Fault, ...]

    @property
    def steps(self) -> int:
        """How many steps all visitors take."""
        return sum(len(visitor.steps) for visitor in self.visitors)

    def without_fault(self, at: int) -> "Plan":
        """Returns the plan without one fault."""
        return replace(self, faults=self.faults[:at] + self.faults[at + 1 :])

    def without_visitor(self, at: int) -> "Plan":
        """Returns the plan without one visitor."""
        return replace(self, visitors=self.visitors[:at] + self.visitors[at + 1 :])

    def without_steps(self, visitor: int, begin: int, end: int) -> "Plan":
        """Returns the plan without some steps of a visitor."""
        steps = self.visitors[visitor].steps
        fewer = replace(self.visitors[visitor], steps=steps[:begin] + steps[end:])
        return replace(self, visitors=(*self.visitors[:visitor], fewer, *self.visitors[visitor + 1 :]))


def plan(seed: int, faults: int = 1, store: str | None = None) -> Plan:
    """Returns what a seed stands for.

    Args:
        seed: of everything.
        faults: how many things break.
        store: of `STORES`; ``None``: the seed decides.
    """
    chance = Random(seed)
    chosen = chance.choice(STORES)
    store = store or chosen
    webs = chance.choice((2, 2, 3))
    principals = [f"user:{number}" for number in range(chance.choice((1, 1, 2)))]
    is_busy = chance.random() < 0.5  # everybody at once, within a second or two
    visitors = [_visitor(chance, f"v{number}", principals, webs, is_busy) for number in range(chance.randint(2, 4))]
    idle = chance.choice((60.0, 300.0, 1200.0))
    broken = _faults(chance, store, webs, faults, span=1.0 if is_busy else 6.0)
    autoload = chance.random() < 0.5
    faults_in_order = tuple(sorted(broken, key=lambda fault: fault.begin))
    return Plan(seed, store, webs, idle, autoload, tuple(visitors), faults_in_order)


def _visitor(chance: Random, name: str, principals: list[str], webs: int, is_busy: bool) -> Visitor:
    principal = "" if chance.random() < 0.2 else chance.choice(principals)
    deeds = list(DEEDS)
    if is_busy:
        deeds = [deed for deed in deeds if not deed.startswith("sleep")]
    ends_little = chance.random() < 0.5  # then a lost session or write shows
    if ends_little:
        ends = ("log out", "revoke", "sleep too long")
        deeds = [deed for deed in deeds if not any(end in deed for end in ends)]
    weights = [DEEDS[deed] for deed in deeds]
    steps = [_step(chance, "log in", webs, is_busy)]
    steps += [_step(chance, deed, webs, is_busy) for deed in chance.choices(deeds, weights, k=chance.randint(6, 16))]
    return Visitor(name, principal, tuple(steps))


def _step(chance: Random, deed: str, webs: int, is_busy: bool) -> Step:
    pause = chance.random() * (0.05 if is_busy else 1.0)
    work = chance.choice((0.0, 0.0, 0.002 * chance.random(), 0.2 * chance.random()))
    return Step(deed, chance.randrange(webs), pause, work, chance.random() < 0.3, chance.random())


def _faults(chance: Random, store: str, webs: int, count: int, span: float) -> list[Fault]:
    """Returns what breaks; of several, mostly one while the other lasts."""
    first = [_fault(chance, store, webs, 0.0, span) for _ in range(min(count, 1))]
    for _ in range(1, count):
        begin, seconds = first[-1].begin, first[-1].seconds
        at_once = chance.random() < 0.7
        following = _fault(chance, store, webs, begin, max(0.1, seconds) if at_once else span)
        if chance.random() < 0.3:  # what breaks one node often breaks another one as well
            following = replace(first[-1], node=following.node, web=following.web)
        first.append(following)
    return first


def _fault(chance: Random, store: str, webs: int, earliest: float, span: float) -> Fault:
    is_ring = store in REPLICAS
    kinds = [*FAULTS_OF_NODES, *FAULTS_OF_LINKS, *FAULTS_OF_WEB_NODES]
    kinds = kinds if is_ring else [kind for kind in kinds if kind not in ONLY_OF_RINGS]
    kind = chance.choice(kinds)
    node, web = chance.randrange(NODES[store]), chance.randrange(webs)
    begin, seconds = earliest + chance.random() * span, chance.choice((0.05, 0.5, 3.0, 8.0)) * chance.random()
    return Fault(kind, node, web, begin, seconds, chance.random())
