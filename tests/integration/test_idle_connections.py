"""Connections that were idle: deaf, closed, or left behind by a burst. A night passes on a clock of ours."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from sharedsession.environment import Environment
from tests.support.farm import Browser, WebNode, read, write
from tests.support.relay import Relay
from tests.support.stopwatch import timed

STORES = ["memcached", "memcached+text", "redis", "valkey", "ring", "ring+text"]
every_store = pytest.mark.parametrize("kind", STORES)
TIMEOUT = 2.0  # seconds
SILENCE = TIMEOUT / 4
NIGHT = 31.0  # seconds


class Clock:
    """The system's, and what a test adds to it."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.environment = Environment(monotonic=lambda: time.monotonic() + self.passed)

    def sleep(self, seconds: float) -> None:
        self.passed += seconds


class Site:
    """A web node in front of a store, each of whose nodes is behind a relay."""

    def __init__(self, stack: ExitStack, colour: str, servers: list[Any], url: str, **settings: Any) -> None:
        self.clock = Clock()
        self.servers = servers
        self.relays = [stack.enter_context(Relay(server.port)) for server in servers]
        for server, relay in zip(servers, self.relays, strict=True):
            url = url.replace(str(server.port), str(relay.port))
        settings = {"timeout": TIMEOUT} | settings
        self.node = stack.enter_context(WebNode(colour, url, self.clock.environment, **settings))
        self.several = 2 if len(servers) > 1 else 1  # nodes that one request asks

    def browsers(self, count: int) -> list[Browser]:
        """Visitors, each with a number, and as many connections as they need at a time."""
        browsers = [Browser([self.node]) for _ in range(count)]
        for number, browser in enumerate(browsers):
            assert browser.go(write("n", number)).status == 200
        for relay in self.relays:
            relay.delay(0.05)
        at_once(browsers, read("n"))
        for relay in self.relays:
            relay.delay(0)
        return browsers

    def deafen(self, **how: Any) -> None:
        for relay in self.relays:
            relay.deafen(**how)

    def failures(self) -> int:
        return sum(int(node["failures"]) for node in self.node.manager.health()["backend"]["nodes"])


def at_once(browsers: list[Browser], handler: Callable[..., Any]) -> list[tuple[Any, float]]:
    """All of them visit at the same time: the answers, and how long each took."""
    with ThreadPoolExecutor(len(browsers)) as pool:
        return list(pool.map(lambda browser: timed(lambda: browser.go(handler)), browsers))


@pytest.fixture
def site(kind: str, colour: str, request: pytest.FixtureRequest) -> Iterator[Callable[..., Site]]:
    name, _, protocol = kind.partition("+")
    server = request.getfixturevalue(name)
    url = str(server.url) + (("&" if "?" in server.url else "?") + f"protocol={protocol}" if protocol else "")
    with ExitStack() as stack:
        yield lambda **settings: Site(stack, colour, getattr(server, "servers", [server]), url, **settings)


@every_store
@pytest.mark.parametrize("hears", [False, True], ids=["deaf", "mute"])
@pytest.mark.parametrize("visitors", [1, 8])
def test_connections_that_went_deaf_overnight(site: Callable[..., Site], visitors: int, hears: bool) -> None:
    """No request fails, one of a process is slow for each node that it asks, and the breaker hears nothing of it."""
    here = site()
    browsers = here.browsers(16)[:visitors]
    here.clock.sleep(NIGHT)
    here.deafen(hears=hears)
    answers = at_once(browsers, read("n")) if visitors > 1 else [timed(lambda: browsers[0].go(read("n")))]
    assert [answer.body for answer, _ in answers] == [str(number) for number in range(visitors)]
    slow = [took for _, took in answers if took > SILENCE / 2]
    assert len(slow) <= len(here.relays)
    assert all(took < SILENCE * len(here.relays) + 0.5 for took in slow)
    for browser in browsers:
        answer, took = timed(lambda browser=browser: browser.go(read("n")))
        assert answer.status == 200
        assert took < SILENCE / 2 or len(here.relays) > 1
    assert here.failures() == 0


@every_store
@pytest.mark.parametrize("hears", [False, True], ids=["deaf", "mute"])
def test_a_write_after_a_long_request(site: Callable[..., Site], hears: bool) -> None:
    """It is done once, whether or not the server heard the first try; so is a logout."""
    here = site()
    (browser,) = here.browsers(1)

    def change(session: Any) -> None:
        session["n"] += 1
        here.clock.sleep(NIGHT)
        here.deafen(hears=hears)

    assert browser.go(change).status == 200
    assert browser.go(read("n")).body == "1"

    def leave(session: Any) -> None:
        assert session["n"] == 1
        here.clock.sleep(NIGHT)
        here.deafen(hears=hears)
        session.destroy()

    cookie = browser.cookie
    assert browser.go(leave).status == 200
    browser.cookie = cookie
    assert browser.go(read("n")).body == "None"
    assert here.failures() == 0


@every_store
def test_connections_that_were_used_lately(site: Callable[..., Site]) -> None:
    """One that times out counts at once and is not asked twice; then the others are not believed either."""
    here = site(timeout=0.3, breaker_window=0.05)
    browsers = here.browsers(4)
    here.clock.sleep(NIGHT / 2)
    here.deafen()
    statuses = [browsers[0].go(read("n")).status]
    time.sleep(0.06)
    statuses.append(browsers[0].go(read("n")).status)
    if len(here.relays) == 1:
        assert statuses == [503, 200]
        assert here.failures() == 1
    assert statuses[-1] == 200


@every_store
def test_a_store_that_stands_still(site: Callable[..., Site]) -> None:
    """After a night, no request takes longer than its time, and the breaker opens as ever."""
    here = site(timeout=0.4)
    browsers = here.browsers(4)
    here.clock.sleep(NIGHT)
    stopped = here.servers if len(here.servers) == 1 else here.servers[:1]
    for server in stopped:
        server.freeze()
    try:
        answers = [timed(lambda browser=browser: browser.go(read("n"))) for browser in browsers]
    finally:
        for server in stopped:
            server.resume()
    steps = 1 if len(here.servers) == 1 else 2  # a ring asks the owners, then all others
    assert max(took for _, took in answers) < 0.4 * steps + 0.1
    expected = 503 if len(here.servers) == 1 else 200
    assert [answer.status for answer, _ in answers] == [expected] * 4
    assert here.failures() >= 1


@every_store
def test_a_slow_store_is_not_deaf(site: Callable[..., Site]) -> None:
    """What an idle connection answers late is the answer, also where a new one would be later still."""
    here = site(timeout=1.0)
    (browser,) = here.browsers(1)
    here.clock.sleep(NIGHT)
    for relay in here.relays:
        relay.delay(0.4)
    assert browser.go(read("n")).body == "0"
    assert here.failures() == 0


@every_store
def test_connections_that_the_server_closed_overnight(site: Callable[..., Site]) -> None:
    """They are not even tried."""
    here = site()
    browsers = here.browsers(4)
    here.clock.sleep(NIGHT)
    for relay in here.relays:
        relay.cut()
    for browser in browsers:
        answer, took = timed(lambda browser=browser: browser.go(read("n")))
        assert answer.status == 200
        assert took < SILENCE / 2
    assert here.failures() == 0


@every_store
def test_a_connection_that_proves_itself_stays(site: Callable[..., Site]) -> None:
    """A visit every half minute opens nothing."""
    here = site()
    (browser,) = here.browsers(1)
    opened = [relay.connections for relay in here.relays]
    for _ in range(5):
        here.clock.sleep(NIGHT)
        assert browser.go(lambda session: session.update(n=session["n"] + 1)).status == 200
    assert browser.go(read("n")).body == "5"
    assert [relay.connections for relay in here.relays] == opened


@every_store
@pytest.mark.parametrize("colour", ["wsgi"])
def test_a_burst_leaves_nothing_open(site: Callable[..., Site]) -> None:
    """With one visitor at a time one connection is left, some seconds later."""
    here = site()
    browsers = here.browsers(24)
    assert max(connections(relay) for relay in here.relays) > 12
    for _ in range(4):
        here.clock.sleep(6)
        for browser in browsers[:8]:
            browser.go(read("n"))
    assert all(connections(relay) <= 1 for relay in here.relays)


def connections(relay: Relay) -> int:
    """How many are open at the relay, once it has noticed all ends."""
    relay.reset_counts()
    relay.delay(0)
    return sum(type(end).__name__ == "_Client" for end in relay._ends)
