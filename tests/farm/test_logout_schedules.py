"""Logouts in the worst moments: late renewals, owners that are skipped, and a new ID at the same time. Then 0 alive.

Real memcached nodes, and lines between each web node and each node that can be late or cut by themselves. What is told
as done is judged by a web node that was started afterwards, and by those that were there.
"""

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests.farm.laboratory import LONG, until
from tests.farm.lines import Line, Lines, identity_of, order_of, seen
from tests.support.binaries import MissingServerError, binary
from tests.support.farm import COLOURS, Answer, WebNode, destroy, read

RUNS = 20 if LONG else 5
IDLE = 600
OWNERS = 2
ORDERS = ["".join(order) for order in itertools.product("RL", repeat=3)]


@pytest.fixture(scope="module")
def nodes() -> Iterator[Lines]:
    try:
        binary("memcached")
    except MissingServerError as missing:
        pytest.skip(str(missing))
    with Lines() as nodes:
        yield nodes


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def log_in(web: WebNode) -> str:
    """A session of a principal. Returns its cookie."""

    def login(session: Any) -> None:
        session.principal = session["user"] = "alice"

    return cookie_of(web.request(login))


def cookie_of(answer: Answer) -> str:
    assert answer.status == 200
    (line,) = answer.set_cookies
    return line.partition(";")[0]


def is_clear(answer: Answer) -> bool:
    """Whether the browser was told to forget its cookie."""
    return [line.partition(";")[0].endswith("=") for line in answer.set_cookies] == [True]


# -- a late renewal


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("delivered", ["before the tombstone", "after it"])
def test_a_late_renewal_at_a_node_that_missed_the_logout(
    nodes: Lines, pool: ThreadPoolExecutor, colour: str, delivered: str
) -> None:
    """A read that renews is under way to an owner; the logout is done without that node; then the renewal arrives."""
    reads, leaves = nodes.line_up(), nodes.line_up()
    leaver = nodes.web(COLOURS[colour == "wsgi"], leaves, idle_timeout=IDLE)
    straight = nodes.web("wsgi", idle_timeout=IDLE)
    for run in range(RUNS):
        reader = nodes.web(colour, reads, idle_timeout=IDLE, timeout=0.1)
        cookie = log_in(straight)
        identity = identity_of(straight, cookie)
        cut = order_of(straight, identity)[run % OWNERS]
        reads[cut].hold_requests(identity.store_key.encode())
        looked = pool.submit(reader.request, read("user"), cookie)
        until(lambda cut=cut: reads[cut].held_requests)
        leaves[cut].cut_off()
        assert is_clear(leaver.request(destroy, cookie))
        assert nodes.on_node(cut, identity) is not None
        assert len(nodes.on_node(cut, identity) or b"") > 20  # it has missed the logout
        if delivered == "before the tombstone":
            deliver(nodes, reads[cut], cut)
            assert nodes.life(cut, identity) >= IDLE - 2  # and was renewed
        assert looked.result().status in {200, 503}
        leaves[cut].heal()
        fresh = nodes.web(COLOURS[run % 2], idle_timeout=IDLE)
        assert seen([fresh], [cookie]) == []
        if delivered == "after it":
            deliver(nodes, reads[cut], cut)
        assert seen([fresh, leaver, straight, reader], [cookie]) == []
        assert [len(nodes.on_node(node, identity) or b"live" * 9) for node in range(3)] == [9, 9, 9]


def deliver(nodes: Lines, line: Line, node: int) -> None:
    """Lets the late request arrive, and waits until the node has served it."""
    before = int(nodes.servers[node].stat("cmd_get"))
    line.release_requests()
    until(lambda: int(nodes.servers[node].stat("cmd_get")) > before)


# -- owners that are skipped


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("owners", ["still away", "back again"])
def test_a_logout_that_skips_both_owners(nodes: Lines, colour: str, owners: str) -> None:
    """The third node answers. Not confirmed, and the cookie is kept; or both owners have the tombstone."""
    confirmed = 0
    straight, lines = nodes.web("wsgi"), nodes.line_up()
    for run in range(RUNS):
        leaver = nodes.web(colour, lines, timeout=0.5, breaker_window=30.0)
        cookie = log_in(straight)
        identity = identity_of(straight, cookie)
        both = order_of(straight, identity)[:OWNERS]
        for node in both:
            lines[node].cut_off()
        assert leaver.request(read("user"), cookie).status == 503
        states = [node["state"] for node in leaver.manager.health()["backend"]["nodes"]]
        assert {states[node] for node in both} == {"down"}
        if owners == "back again":
            for node in both:
                lines[node].heal()
        answer = leaver.request(destroy, cookie)
        if answer.status == 200:
            confirmed += 1
            assert is_clear(answer)
            assert [len(nodes.on_node(node, identity) or b"") for node in both] == [9, 9]
        else:
            assert (answer.status, answer.set_cookies) == (503, [])
        for node in both if owners == "still away" else ():
            lines[node].heal()
        fresh = nodes.web(COLOURS[run % 2])
        if answer.status == 503:  # the third node may have the tombstone, and then it is spread: dead, but never told
            assert is_clear(fresh.request(destroy, cookie))
        assert seen([fresh, straight, leaver], [cookie]) == []
    assert confirmed == (RUNS if owners == "back again" and colour == "wsgi" else confirmed)
    assert not confirmed or owners == "back again"


# -- a new ID at the same time


class Duel:
    """One session that gets a new ID by one web node, while another one logs it out.

    Args:
        nodes: of the ring.
        pool: where requests run.
        colours: of the two web nodes.
    """

    def __init__(self, nodes: Lines, pool: ThreadPoolExecutor, colours: Sequence[str]) -> None:
        self.nodes = nodes
        self.pool = pool
        self.wires = nodes.line_up(), nodes.line_up()
        self.webs = [nodes.web(colour, wires) for colour, wires in zip(colours, self.wires, strict=True)]

    def begin(self) -> None:
        """Logs in."""
        self.cookie = log_in(self.webs[0])
        self.identity = identity_of(self.webs[0], self.cookie)
        assert seen(self.webs, [self.cookie]) == ["'alice'"] * 2

    def start(self, at: int, deed: Callable[[Any], None]) -> "tuple[Future[Answer], threading.Event]":
        """Sends a request that is held back at what it asks for after it has read the session."""
        loaded, go_on = threading.Event(), threading.Event()

        def handler(session: Any) -> None:
            deed(session)
            loaded.set()
            assert go_on.wait(30)

        answer = self.pool.submit(self.webs[at].request, handler, self.cookie)
        assert loaded.wait(30)
        return answer, go_on

    def hold(self, at: int) -> None:
        """From now on, what a web node asks of the old ID is late."""
        for wire in self.wires[at]:
            wire.hold_requests(self.identity.store_key.encode())

    def await_held(self, at: int) -> None:
        for wire in self.wires[at]:
            until(lambda wire=wire: wire.held_requests)

    def release(self, at: int, node: int) -> None:
        """Lets it arrive at one node, and waits until the node has taken it."""
        before = int(self.nodes.servers[node].stat("cmd_set"))
        self.wires[at][node].release_requests()
        until(lambda: int(self.nodes.servers[node].stat("cmd_set")) > before)

    def log_out(self) -> Answer:
        """All of it, at once."""
        return self.webs[1].request(destroy, self.cookie)

    def judge(self, renewed: Answer, left: Answer) -> None:
        """The logout is done: no ID shows anything, whoever is asked."""
        assert renewed.status == 200
        assert is_clear(left)
        cookies = [self.cookie, *(line.partition(";")[0] for line in renewed.set_cookies)]
        fresh = self.nodes.web(COLOURS[len(cookies) % 2])
        assert seen([fresh, *self.webs], cookies) == []


R, L = 0, 1


def logs_out_first(duel: Duel, grace: float) -> None:
    """Before the other request has read, and before it commits."""
    answer, go_on = duel.start(R, lambda session: session.regenerate(grace))
    left = duel.log_out()
    go_on.set()
    duel.judge(answer.result(), left)


def logs_out_between_the_new_record_and_the_end_of_the_old(duel: Duel, grace: float) -> None:
    answer, go_on = duel.start(R, lambda session: session.regenerate(grace))
    duel.hold(R)
    go_on.set()
    duel.await_held(R)
    left = duel.log_out()
    for node in range(3):
        duel.release(R, node)
    duel.judge(answer.result(), left)


def logs_out_before_the_answer(duel: Duel, grace: float) -> None:
    """The old ID was superseded on each node, and nobody was told."""
    answer, go_on = duel.start(R, lambda session: session.regenerate(grace))
    duel.hold(R)
    go_on.set()
    duel.await_held(R)
    for wire in duel.wires[R]:
        wire.hold()
    for node in range(3):
        duel.release(R, node)
    left = duel.log_out()
    for wire in duel.wires[R]:
        wire.release()
    duel.judge(answer.result(), left)


def logs_out_afterwards(duel: Duel, grace: float) -> None:
    """By the ID that was left."""
    answer, go_on = duel.start(R, lambda session: session.regenerate(grace))
    go_on.set()
    duel.judge(answer.result(), duel.log_out())


def logs_out_slowly(duel: Duel, grace: float) -> None:
    """The new ID is in use while the end of it is still under way."""
    answer, go_on = duel.start(R, lambda session: session.regenerate(grace))
    go_on.set()
    (new,) = answer.result().set_cookies
    new = new.partition(";")[0]
    for wire in duel.wires[L]:
        wire.hold_requests(identity_of(duel.webs[0], new).store_key.encode())
    left = duel.pool.submit(duel.log_out)
    duel.await_held(L)
    assert duel.webs[0].request(lambda session: session.update(n=1), new).status == 200
    for wire in duel.wires[L]:
        wire.release_requests()
    duel.judge(answer.result(), left.result())


def step_by_step(order: str) -> Callable[[Duel, float], None]:
    """On each node one of the two is first: R or L."""

    def play(duel: Duel, grace: float) -> None:
        renewed, renew = duel.start(R, lambda session: session.regenerate(grace))
        left, leave = duel.start(L, lambda session: session.destroy())
        for at, go_on in ((R, renew), (L, leave)):
            duel.hold(at)
            go_on.set()
            duel.await_held(at)
        for node, first in enumerate(order):
            for at in (R, L) if first == "R" else (L, R):
                duel.release(at, node)
        duel.judge(renewed.result(), left.result())

    return play


SCHEDULES = {
    "first": logs_out_first,
    "in between": logs_out_between_the_new_record_and_the_end_of_the_old,
    "before the answer": logs_out_before_the_answer,
    "afterwards": logs_out_afterwards,
    "slowly": logs_out_slowly,
    **{f"step by step {order}": step_by_step(order) for order in ORDERS},
}


@pytest.mark.parametrize("colours", list(itertools.product(COLOURS, repeat=2)), ids="-".join)
def test_a_new_id_beside_a_logout(nodes: Lines, pool: ThreadPoolExecutor, colours: Sequence[str]) -> None:
    """In each order of their steps, with grace and without it."""
    duel = Duel(nodes, pool, colours)
    for grace, name in itertools.product((0.0, 20.0), SCHEDULES):
        duel.begin()
        try:
            SCHEDULES[name](duel, grace)
        except AssertionError as error:
            raise AssertionError(f"{name}, grace {grace}") from error
