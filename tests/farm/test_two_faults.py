"""Two nodes suffer: what still holds, what is only bounded, and that "cannot say" is never told as "no session"."""

from collections.abc import Callable
from itertools import permutations

import pytest

from sharedsession.backends.memcached.urls import from_url
from sharedsession.backends.tombstone import is_tombstone
from tests.farm.laboratory import LONG, VICTIMS, Laboratory, StoreNode, Visit, Visitors, until
from tests.support.history import ENDED, Outcome
from tests.support.webprocess import WebProcess

MANY = 200 if LONG else 20
IDLE = 2
PAIRS = list(permutations(VICTIMS, 2))


class Farm:
    """Two web nodes that ran all the time, sessions on three memcached nodes, and one more web node on demand."""

    def __init__(self, lab: Laboratory, **settings: object) -> None:
        self.lab = lab
        self.settings = settings
        self.first = lab.web("first", "wsgi", **settings)
        self.second = lab.web("second", "asgi", **settings)
        self.visitors = Visitors([self.first, self.second])
        self.history = self.visitors.history

    def fresh(self, colour: str = "wsgi") -> WebProcess:
        return self.lab.web("fresh", colour, **self.settings)

    def log_in(self, many: int = MANY) -> list[Visit]:
        visits = [self.visitors.login([self.first, self.second][n % 2]) for n in range(many)]
        return [visit for visit in visits if visit is not None]

    def log_out(self, visits: list[Visit]) -> None:
        for visit in visits:
            assert self.visitors.logout(self.first, visit).outcome is Outcome.OK

    def copies(self, visits: list[Visit]) -> dict[str, set[str]]:
        """The names of the nodes that hold a live copy, by store key."""
        held: dict[str, set[str]] = {}
        for node in self.lab.nodes:
            for key, value in node.server.dump().items() if node.server.alive else ():
                held.setdefault(key, set())
                if len(value) > 1:
                    held[key].add(node.name)
        assert len(held) == len(visits)
        return held

    def until_up(self, *names: str) -> None:
        """Lets both web nodes find out that nodes are back."""
        probes = self.log_in(12)
        for web in (self.first, self.second):

            def up(web: WebProcess = web) -> bool:
                for probe in probes:
                    self.visitors.read(web, probe)
                states = {node["name"]: node["state"] for node in web.health()["backend"]["nodes"]}
                return all(states[name] == "up" for name in names)

            until(up)


@pytest.fixture
def farm(laboratory: Callable[..., Laboratory]) -> Farm:
    """Sessions live 20 minutes."""
    return Farm(laboratory())


@pytest.mark.parametrize(("one", "two"), PAIRS)
def test_stop_log_out_kill_continue(farm: Farm, one: int, two: int) -> None:
    """The third node holds the tombstone: ended for all three kinds of web node."""
    visits = farm.log_in()
    farm.lab.nodes[one].server.freeze()
    farm.log_out(visits)
    farm.lab.nodes[two].server.kill()
    farm.lab.nodes[one].server.resume()
    farm.visitors.verify([farm.first, farm.second, farm.fresh()])
    farm.visitors.expect_no_violation()
    assert {op.seen for op in farm.history.operations if op.looked and op.begin > op.end - 60} == {ENDED}


@pytest.mark.parametrize("victim", VICTIMS)
def test_all_tombstones_forgotten(laboratory: Callable[..., Laboratory], victim: int) -> None:
    """A node misses the logout, the others forget it: the session may come back, and is dead one idle timeout later."""
    farm = Farm(laboratory(), idle_timeout=IDLE)
    node = farm.lab.nodes[victim]
    visits = farm.log_in()
    node.server.freeze()
    farm.log_out(visits)
    for other in farm.lab.nodes:
        if other is not node:
            other.server.restart()
    node.server.resume()
    fresh = farm.fresh("asgi")
    until(lambda: live_items(node) == 0, IDLE + 2)
    for visit in visits:
        for web in (farm.first, farm.second, fresh):
            until(lambda visit=visit, web=web: farm.visitors.read(web, visit).looked)
    farm.visitors.expect_no_violation()


def live_items(node: StoreNode) -> int:
    """How many items memcached would still hand out; looking at them renews nothing."""
    return sum(not is_tombstone(value) for value in node.server.dump().values())


@pytest.mark.parametrize("survivor", VICTIMS)
def test_two_of_three_killed(farm: Farm, survivor: int) -> None:
    """Sessions with a copy on the third node go on; of the others nobody can say anything: 503, never "no session"."""
    visits = farm.log_in(MANY * 2)
    alive = farm.lab.nodes[survivor]
    held = len(alive.server.dump())
    assert 0 < held < len(visits)
    for node in farm.lab.nodes:
        if node is not alive:
            node.server.kill()
    for web in (farm.first, farm.second, farm.fresh()):
        reads = [farm.visitors.read(web, visit) for visit in visits]
        assert [read.outcome for read in reads].count(Outcome.OK) == held
        assert all(read.seen for read in reads if read.looked)
    farm.visitors.expect_no_violation()


@pytest.mark.parametrize("survivor", VICTIMS)
def test_two_of_three_killed_and_new_sessions(farm: Farm, survivor: int) -> None:
    """With one node left logins work on it, and the missing copies are counted; so do the writes of what it owns.

    Of what it does not own, no write and no logout is confirmed until an owner is back: a reader would ask that first.
    """
    for index in VICTIMS:
        if index != survivor:
            farm.lab.nodes[index].server.kill()
    until(lambda: farm.visitors.login(farm.first))
    until(lambda: farm.visitors.login(farm.second))
    visits = farm.log_in()
    assert len(visits) == MANY
    written = [farm.visitors.write(farm.second, visit).outcome for visit in visits]
    assert 0 < written.count(Outcome.OK) < MANY
    owned = [visit for visit, outcome in zip(visits, written, strict=True) if outcome is Outcome.OK]
    farm.log_out(owned[::2])
    farm.visitors.verify([farm.first, farm.second, farm.fresh()])
    farm.visitors.expect_no_violation()
    assert farm.second.health()["backend"]["counters"]["too_few_copies"] >= MANY


@pytest.mark.parametrize("survivor", VICTIMS)
def test_two_of_three_come_back_empty(farm: Farm, survivor: int) -> None:
    """Sessions with both copies there have ended, and only they: the third node's are whole and copied again."""
    visits = farm.log_in(MANY * 2)
    alive = farm.lab.nodes[survivor]
    held = len(alive.server.dump())
    for node in farm.lab.nodes:
        if node is not alive:
            node.server.restart()
    fresh = farm.fresh()
    seen = [farm.visitors.read(fresh, visit) for visit in visits]
    assert sum(read.seen is not ENDED for read in seen) == held
    assert sorted(map(len, farm.copies(visits[:held]).values())) == [2] * held
    assert {found.kind for found in farm.history.violations()} == {"lost"}


def test_all_killed(farm: Farm) -> None:
    """Nobody can say anything: 503 for all, no cookie is touched, and a logout is not confirmed."""
    visits = farm.log_in()
    for node in farm.lab.nodes:
        node.server.kill()
    for web in (farm.first, farm.second, farm.fresh("asgi")):
        for visit in visits:
            assert not farm.visitors.read(web, visit).looked
            assert farm.visitors.logout(web, visit).outcome is Outcome.UNKNOWN
        assert farm.visitors.login(web) is None
    farm.visitors.expect_no_violation()


@pytest.mark.parametrize("stopped", PAIRS)
def test_a_logout_while_nodes_that_are_back_are_still_left_alone(farm: Farm, stopped: tuple[int, int]) -> None:
    """Two nodes stood still and go on; a logout before the breaker's next probe reaches them all the same."""
    visits = farm.log_in()
    servers = [farm.lab.nodes[index].server for index in stopped]
    for server in servers:
        server.freeze()
    for visit in visits:
        farm.visitors.read(farm.first, visit)
    for server in servers:
        server.resume()
    acked = [visit for visit in visits[:5] if farm.visitors.logout(farm.first, visit).outcome is Outcome.OK]
    for visit in acked:
        farm.visitors.read(farm.second, visit)
    farm.visitors.verify([farm.first, farm.second, farm.fresh()])
    farm.visitors.expect_no_violation()


def test_repair_after_a_cold_start_of_two_nodes_with_two_copies(laboratory: Callable[..., Laboratory]) -> None:
    """Two nodes: KILL A, COLD A, touch each session once, KILL B: 0 lost."""
    farm = Farm(laboratory(2))
    visits = farm.log_in(1000 if LONG else 100)
    a, b = farm.lab.nodes
    a.server.kill()
    farm.visitors.verify([farm.first, farm.second])
    a.server.restart()
    farm.until_up("a")
    for visit in visits:
        farm.visitors.read(farm.second, visit)
    b.server.kill()
    farm.visitors.verify([farm.first, farm.second, farm.fresh()])
    farm.visitors.expect_no_violation()


@pytest.mark.parametrize(("one", "two"), PAIRS)
def test_repair_after_a_cold_start_of_three_nodes(farm: Farm, one: int, two: int) -> None:
    """KILL n1, COLD n1, touch every session once, KILL n2: 0 lost; the sessions were made while all were well."""
    visits = farm.log_in(1000 if LONG else 60)
    farm.lab.nodes[one].server.kill()
    farm.lab.nodes[one].server.restart()
    farm.until_up(farm.lab.nodes[one].name)
    for visit in visits:
        farm.visitors.read(farm.first, visit)
    farm.lab.nodes[two].server.kill()
    farm.visitors.verify([farm.first, farm.second, farm.fresh("asgi")])
    farm.visitors.expect_no_violation()


def test_one_cut_off_node_holds_old_values(laboratory: Callable[..., Laboratory]) -> None:
    """PART: a node is away, each session changes, it is back with what it knew: the newest value, in all of them."""
    lab = laboratory(relayed=[0])
    farm = Farm(lab)
    visits = farm.log_in(1000 if LONG else 60)
    lab.nodes[0].wire.refuse()
    lab.nodes[0].wire.cut()
    for visit in visits:
        assert farm.visitors.write(farm.second, visit).outcome is Outcome.OK
    lab.nodes[0].wire.refuse(False)
    farm.visitors.verify([farm.fresh(), farm.second, farm.first])
    farm.visitors.expect_no_violation()


def test_the_ring_of_the_tests_is_the_ring_of_the_library(farm: Farm) -> None:
    """Each session lies on the two first nodes of its key's order, and nowhere else."""
    visits = farm.log_in()
    ring = from_url(farm.lab.url()).ring
    for key, names in farm.copies(visits).items():
        assert names == {ring.places[index].name for index in ring.order(key)[:2]}
