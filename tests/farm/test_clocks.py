"""Web nodes whose clocks differ by ten minutes and more: sessions live and end by the clock of the store."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import pytest

from tests.farm.laboratory import LOGINS, Laboratory, StoreNode, Visit, Visitors, until
from tests.support.history import ENDED
from tests.support.webprocess import WebProcess

SKEW = 600.0  # what web nodes may differ by from one another, and here each differs by it from the true time
AHEAD = {"early": -SKEW, "right": 0.0, "late": SKEW}
COLOURS = {"early": "asgi", "right": "wsgi", "late": "wsgi"}
STORES = ("ring", "one")
DAY = 86_400.0
CELLS = list(product(AHEAD, AHEAD))


class Farm:
    """Web nodes with clocks of their own, all over one store."""

    def __init__(self, lab: Laboratory, store: str, **settings: object) -> None:
        self.lab = lab
        self._url = lab.url() if store == "ring" else lab.nodes[0].server.url
        self._settings = settings
        self.webs = {name: self.web(name, ahead) for name, ahead in AHEAD.items()}
        self.visitors = Visitors(list(self.webs.values()))
        for web in self.visitors.webs:
            web.health()  # it has started

    def web(self, name: str, ahead: float) -> WebProcess:
        return self.lab.web(name, COLOURS.get(name, "wsgi"), self._url, ahead=ahead, **self._settings)

    def login(self, name: str) -> Visit:
        visit = self.visitors.login(self.webs[name])
        assert visit is not None
        return visit

    def sees(self, web: str | WebProcess, visit: Visit) -> bool:
        """Whether a web node finds the session; asking renews it."""
        web = self.webs[web] if isinstance(web, str) else web
        return until(lambda: (reply := web.ask("read", visit.cookie)).status == 200 and reply).seen is not ENDED


@pytest.fixture(params=STORES)
def farm(request: pytest.FixtureRequest, laboratory: Callable[..., Laboratory]) -> Callable[..., Farm]:
    """Makes a farm over a ring, and over a single memcached; the arguments are settings."""
    lab = laboratory(3 if request.param == "ring" else 1)
    return lambda **settings: Farm(lab, request.param, **settings)


def test_every_node_takes_every_cookie(farm: Callable[..., Farm]) -> None:
    """Logins, writes, new IDs and logouts on any of three clocks: 0 lost, 0 revived, 0 rolled back."""
    farm = farm()
    for name, ahead in AHEAD.items():
        for clock in farm.webs[name].ask("clock").seen:
            assert abs(clock - time.time() - ahead) < 5
    farm.visitors.run(LOGINS)
    farm.visitors.verify([*farm.webs.values(), farm.web("fresh", -SKEW)])
    farm.visitors.expect_no_violation()


def test_the_idle_timeout_is_the_stores(farm: Callable[..., Farm]) -> None:
    """Exact to two seconds, whichever clock made the session and whichever was asked, if they differ by ten minutes."""
    idle = 3.0
    farm = farm(idle_timeout=idle)
    cells = [(maker, asked) for maker, asked in CELLS if abs(AHEAD[maker] - AHEAD[asked]) <= SKEW]

    def left_alone(cell: tuple[str, str]) -> bool:
        visit = farm.login(cell[0])
        time.sleep(idle + 2)
        return not farm.sees(cell[1], visit)

    def visited(cell: tuple[str, str]) -> bool:
        for _ in range(5):  # should the machine be too busy to ask in time
            begin, visit = time.monotonic(), farm.login(cell[0])
            wait_until(begin + idle - 2)
            alive = farm.sees(cell[1], visit)
            if alive or time.monotonic() < begin + idle - 1:
                break
        time.sleep(idle + 2)
        return alive and not farm.sees(cell[1], visit)

    with ThreadPoolExecutor(2 * len(cells)) as pool:
        verdicts = [pool.map(life, cells) for life in (left_alone, visited)]
        assert [list(verdict) for verdict in verdicts] == [[True] * len(cells)] * 2


@pytest.mark.parametrize("idle", [1200.0, 40 * DAY])
def test_times_to_live_in_the_store(farm: Callable[..., Farm], idle: float) -> None:
    """As long as the idle timeout; over 30 days memcached wants a date, and it is off by as much as the clock."""
    farm = farm(idle_timeout=idle, absolute_timeout=None)

    def expected(web: str) -> float:
        return idle + (AHEAD[web] if idle > 30 * DAY else 0)

    for maker, asked in CELLS:
        known = set(keys(farm.lab.nodes))
        visit = farm.login(maker)
        (key,) = set(keys(farm.lab.nodes)) - known
        assert all(abs(life - expected(maker)) <= 2 for life in lives(farm.lab.nodes, key))
        for node in farm.lab.nodes:
            node.server.command("mg", key, "T100")
        if maker != asked:  # else it knows that it renewed, and leaves it at that
            assert farm.sees(asked, visit)
            assert all(abs(life - expected(asked)) <= 2 for life in lives(farm.lab.nodes, key))


def test_the_absolute_end_is_off_by_the_skew_at_most(laboratory: Callable[..., Laboratory]) -> None:
    """Early by it where the clock is ahead of the maker's, late by it where it is behind: not at once, not never."""
    margin = 3.0
    absolute = 2 * SKEW + margin
    farm = Farm(laboratory(), "ring", absolute_timeout=absolute)
    met, by_early, by_late = farm.login("early"), farm.login("early"), farm.login("late")
    assert farm.sees("late", met)
    time.sleep(margin + 1)
    assert not farm.sees("late", met)
    # What a node will say later is what one says now whose clock is ahead by so much more.
    for visit, lived in ((by_early, absolute), (by_late, absolute + 2 * SKEW)):
        assert farm.sees(farm.web("almost", -SKEW + lived - 60), visit)
        assert not farm.sees(farm.web("after", -SKEW + lived), visit)


def test_what_was_ended_stays_ended(farm: Callable[..., Farm]) -> None:
    """By a logout or a new ID, on any clock, for any other."""
    farm = farm()
    for maker, asked in CELLS:
        out, left = farm.login(maker), farm.login(maker)
        farm.visitors.logout(farm.webs[maker], out)
        renewed = farm.visitors.regenerate(farm.webs[maker], left)
        assert [farm.sees(asked, visit) for visit in (out, left, renewed)] == [False, False, True]


def test_a_request_in_flight_never_gets_a_cookie(farm: Callable[..., Farm]) -> None:
    """It writes with the old cookie just after the login, and must not overwrite the new one in the browser."""
    assert cookies_in_flight(farm(), CELLS) == []


def cookies_in_flight(farm: Farm, cells: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The cells in which a late request got a cookie."""
    got = []
    for maker, asked in cells:
        visit = farm.login(maker)
        farm.visitors.regenerate(farm.webs[maker], visit)
        reply = farm.webs[asked].ask("insist", visit.cookie, "late")
        assert reply.status == 200
        got += [(maker, asked)] if reply.cookies else []
    return got


def keys(nodes: list[StoreNode]) -> list[str]:
    return [key for node in nodes for key in node.server.dump()]


def lives(nodes: list[StoreNode], key: str) -> list[float]:
    """The remaining seconds of each copy."""
    replies = [node.server.command("mg", key, "t").split() for node in nodes]
    return [float(reply[1][1:]) for reply in replies if reply[0] == b"HD"]


def wait_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))
