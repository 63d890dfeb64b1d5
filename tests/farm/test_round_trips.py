"""What a request costs on a ring, counted on the wire of each node; what goes to several nodes goes side by side."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sharedsession.backends.ring.backend import RingBackend
from sharedsession.backends.tombstone import is_tombstone
from sharedsession.manager import engines_of
from tests.farm.laboratory import VICTIMS, Laboratory
from tests.support.farm import COLOURS, Browser, Handler, WebNode, destroy, read, write
from tests.support.stopwatch import Stopwatch

# Of the first login of a principal, and of those that follow. A blocking client asks for one record after the other.
WAITS_OF_LOGIN = {"wsgi": (8, 6), "asgi": (7, 5)}
DELAY = 0.06  # seconds that each reply is late by: what waits for replies one after the other takes twice that


class Wire:
    """A visitor with a session on a ring of three nodes, a relay in front of each."""

    def __init__(self, lab: Laboratory, node: WebNode) -> None:
        self.lab = lab
        self.node = node
        self.browser = Browser([node])
        self.begin_anew()

    def begin_anew(self, principal: str = "") -> None:
        """Another session, whose key is of other nodes, perhaps."""
        self.browser.cookie = ""
        self.browser.go(logs_in(principal) if principal else write("n", 0))
        ring: RingBackend = engines_of(self.node.manager).settings.backend
        token = self.browser.cookie.partition("=")[2].encode()
        identity = engines_of(self.node.manager).settings.machine_key().verify(token)
        assert identity is not None
        order = ring.ring.order(identity.store_key)
        self.owners = [self.lab.nodes[index] for index in order[:2]]
        self.third = self.lab.nodes[order[2]]

    def cost(self, handler: Handler) -> tuple[int, int, int]:
        """The requests that each owner and the third node get."""
        for node in self.lab.nodes:
            node.wire.reset_counts()
        assert self.browser.go(handler).status == 200
        first, second = (node.wire.requests for node in self.owners)
        return first, second, self.third.wire.requests

    def waits(self, handler: Handler) -> int:
        """For how many replies one after the other a request waits at most: what the machine took is left out."""
        with Stopwatch() as stopwatch:
            assert self.browser.go(handler).status == 200
        return int(stopwatch.took / DELAY)


@pytest.fixture(params=COLOURS)
def wire(request: pytest.FixtureRequest, laboratory: Callable[..., Laboratory]) -> Iterator[Wire]:
    """All connections are open."""
    lab = laboratory(relayed=VICTIMS)
    with WebNode(request.param, lab.url(), timeout=5.0) as node:
        wire = Wire(lab, node)
        while not all(lab_node.wire.connections for lab_node in lab.nodes):
            wire.begin_anew()
        yield wire


def test_a_read_asks_each_owner_once_and_nobody_else(wire: Wire) -> None:
    """The renewal is in it."""
    for _ in range(5):
        assert wire.cost(read("n")) == (1, 1, 0)
        wire.begin_anew()


def test_a_write_asks_each_owner_once_more(wire: Wire) -> None:
    """Read and compare-and-swap."""
    assert wire.cost(write("n", 1)) == (2, 2, 0)


def test_a_login_is_one_request_to_each_owner(wire: Wire) -> None:
    """A new ID cannot be taken, so nothing is read; whose it is nobody knows before."""
    wire.browser.cookie = ""
    assert sorted(wire.cost(write("n", 1))) == [0, 1, 1]


def test_a_logout_reaches_all_nodes(wire: Wire) -> None:
    """Under ASGI it was read before."""
    assert wire.cost(destroy) == ((1, 1, 1) if wire.node.colour == "wsgi" else (2, 2, 1))
    for node in wire.lab.nodes:
        assert any(map(is_tombstone, node.server.dump().values()))


def test_both_owners_are_read_side_by_side(wire: Wire) -> None:
    """Both are 60 ms away: one wait, not two."""
    for node in wire.lab.nodes:
        node.wire.delay(DELAY)
    assert min(wire.waits(read("n")) for _ in range(3)) <= 1


def test_a_new_session_is_written_side_by_side(wire: Wire) -> None:
    """One wait."""
    for node in wire.lab.nodes:
        node.wire.delay(DELAY)

    def login() -> int:
        wire.browser.cookie = ""
        return wire.waits(write("n", 1))

    assert min(login() for _ in range(3)) <= 1


def test_a_write_is_two_steps_more(wire: Wire) -> None:
    """Writers meet at the first owner, the second follows: three waits with the read."""
    for node in wire.lab.nodes:
        node.wire.delay(DELAY)
    assert min(wire.waits(write("n", number)) for number in (1, 2, 3)) <= 3


def test_all_tombstones_are_left_side_by_side(wire: Wire) -> None:
    """Three nodes, one wait; under ASGI one more for the read."""

    def log_out() -> int:
        for node in wire.lab.nodes:
            node.wire.delay(0)
        wire.begin_anew()
        for node in wire.lab.nodes:
            node.wire.delay(DELAY)
        return wire.waits(destroy)

    assert min(log_out() for _ in range(3)) <= (1 if wire.node.colour == "wsgi" else 2)


# -- sessions of a principal


def logs_in(principal: str) -> Handler:
    """A handler that logs somebody in."""

    def handler(session: Any) -> None:
        session.principal = session["user"] = principal

    return handler


def test_a_read_with_the_stamp_of_the_principal(wire: Wire) -> None:
    """Each owner gets one packet, and nobody else is asked."""
    for number in range(5):
        wire.begin_anew(f"user:{number}")
        assert wire.cost(read("user")) == (1, 1, 0)


def test_a_logout_of_a_principal(wire: Wire) -> None:
    """One packet to each node; under ASGI it was read before."""
    wire.begin_anew("user:1")
    assert wire.cost(destroy) == ((1, 1, 1) if wire.node.colour == "wsgi" else (2, 2, 1))


def test_a_login_of_a_principal(wire: Wire) -> None:
    """On a session that is there, also the first of the principal: how often it waits."""
    waits = []
    for number in (1, 1, 2, 2):
        for node in wire.lab.nodes:
            node.wire.delay(0)
        wire.begin_anew()
        for node in wire.lab.nodes:
            node.wire.delay(DELAY)
        waits.append(wire.waits(logs_in(f"user:{number}")))
    first, again = min(waits[::2]), min(waits[1::2])
    expected = WAITS_OF_LOGIN[wire.node.colour]
    assert first <= expected[0]
    assert again <= expected[1]


def test_the_end_of_250_sessions_waits_three_times(wire: Wire) -> None:
    """Read stamp and list; change the stamp on one owner, then on the other, and end the sessions meanwhile."""
    browsers = [Browser([wire.node]) for _ in range(250)]
    for browser in browsers:
        browser.go(logs_in("user:dora"))
    for number in range(8):  # all connections are open
        wire.begin_anew(f"user:{number}")
        revoke_all(wire.node, f"user:{number}")
    for node in wire.lab.nodes:
        node.wire.delay(0.15)
    with Stopwatch() as stopwatch:
        assert revoke_all(wire.node, "user:dora") == 250
    for node in wire.lab.nodes:
        node.wire.delay(0)
    assert int(stopwatch.took / 0.15) <= 3
    assert {browser.go(read("user")).body for browser in browsers} == {"None"}


def revoke_all(node: WebNode, principal: str) -> int:
    """In the colour of the web node."""
    if node.colour == "wsgi":
        return int(node.manager.revoke_all(principal))
    return int(node.do(node.manager.arevoke_all(principal)))


def test_a_read_that_an_owner_missed(wire: Wire) -> None:
    """The third node is asked too, and the owner gets its copy back: once; after that it costs what it did."""
    wire.owners[0].server.flush()
    assert wire.cost(read("n")) == (2, 1, 1)
    assert wire.cost(read("n")) == (1, 1, 0)
