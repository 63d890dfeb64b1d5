"""Connections that were idle: deaf, closed, or left behind by a burst. A night passes on a clock of ours."""

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from sharedsession.backends import connect
from sharedsession.environment import Environment
from sharedsession.manager import engines_of
from tests.support.binaries import MissingServerError
from tests.support.certificates import Authority
from tests.support.farm import Browser, WebNode, read, write
from tests.support.processes import HOST
from tests.support.relay import Relay
from tests.support.secured import KINDS, tls_arguments
from tests.support.stopwatch import SLACK, timed

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
    """It is done once, whether or not the server heard the first try; so are a login and a logout."""
    here = site()
    (browser,) = here.browsers(1)

    def change(session: Any) -> None:
        session.increment("n")
        here.clock.sleep(NIGHT)
        here.deafen(hears=hears)

    assert browser.go(change).status == 200
    assert browser.go(read("n")).body == "1"

    newcomer = Browser([here.node])
    here.clock.sleep(NIGHT)
    here.deafen(hears=hears)
    assert newcomer.go(write("n", 5)).status == 200
    assert newcomer.go(read("n")).body == "5"

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
    """They may go deaf between two requests: the first that hears nothing is sent again, and no visitor notices."""
    here = site(timeout=0.3, breaker_window=0.05)
    browsers = here.browsers(4)
    here.clock.sleep(NIGHT / 2)
    here.deafen()
    assert [browser.go(read("n")).status for browser in browsers] == [200] * 4
    assert here.failures() == 0
    if len(here.relays) == 1:  # twice within half a minute is a slow server: it is not asked everything twice
        here.deafen()
        assert browsers[0].go(read("n")).status == 503


@every_store
def test_a_store_that_stands_still(site: Callable[..., Site]) -> None:
    """After a night, no request takes longer than its time, and the breaker opens as ever."""
    here = site(timeout=0.4)
    browsers = here.browsers(16)  # of a ring, some are on the node that stops
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
    assert max(took for _, took in answers) < 0.4 * steps + SLACK
    expected = 503 if len(here.servers) == 1 else 200
    assert [answer.status for answer, _ in answers] == [expected] * 16
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


@pytest.mark.parametrize("kind", ["memcached", "memcached+text", "redis", "valkey"])
def test_a_new_connection_is_not_taken_for_deaf(site: Callable[..., Site]) -> None:
    """It has nothing to prove: a store that is slow at first has the whole time of the request."""
    here = site()
    here.relays[0].delay(SILENCE * 1.2)
    assert Browser([here.node]).go(write("n", 1)).status == 200
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


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def secure(kind: str, colour: str, authority: Authority) -> Iterator[Site]:
    try:
        server = KINDS[kind].start(tls_arguments(kind, authority))
    except MissingServerError as missing:
        pytest.skip(str(missing))
    scheme = {"memcached": "memcacheds", "redis": "rediss"}[kind]
    with server, ExitStack() as stack:
        yield Site(stack, colour, [server], f"{scheme}://{HOST}:{server.port}?ssl_ca_certs={authority.file}")


with_tls = pytest.mark.parametrize("kind", ["memcached", "redis"])


@with_tls
@pytest.mark.parametrize("hears", [False, True], ids=["deaf", "mute"])
def test_deaf_connections_with_tls(secure: Site, hears: bool) -> None:
    """As without: one request of many is slow, none fails."""
    browsers = secure.browsers(8)
    secure.clock.sleep(NIGHT)
    secure.deafen(hears=hears)
    answers = at_once(browsers, read("n"))
    assert [answer.body for answer, _ in answers] == [str(number) for number in range(8)]
    assert sum(took > SILENCE for _, took in answers) <= 1
    assert secure.failures() == 0


@with_tls
def test_nights_with_tls(secure: Site) -> None:
    """A connection that is well stays; one that was closed is not tried; a slow one is not deaf."""
    (browser,) = secure.browsers(1)
    opened = secure.relays[0].connections
    for _ in range(3):
        secure.clock.sleep(NIGHT)
        assert browser.go(read("n")).body == "0"
    assert secure.relays[0].connections == opened
    secure.clock.sleep(NIGHT)
    secure.relays[0].cut()
    assert timed(lambda: browser.go(read("n")).body)[0] == "0"
    secure.clock.sleep(NIGHT)
    secure.relays[0].delay(TIMEOUT / 3)
    assert browser.go(read("n")).body == "0"
    assert secure.failures() == 0


@pytest.mark.parametrize("kind", ["memcached", "redis"])
def test_nights_over_a_unix_socket(kind: str, colour: str, tmp_path: Path) -> None:
    """The same connection serves, and one that was closed is replaced."""
    path, clock = f"{tmp_path}/{kind}.sock", Clock()
    try:
        server = KINDS[kind].start(["-s", path] if kind == "memcached" else ["--unixsocket", path])
    except MissingServerError as missing:
        pytest.skip(str(missing))
    url = f"memcached://{path}" if kind == "memcached" else f"unix://{path}?db=0"
    with server, WebNode(colour, connect(url, environment=clock.environment), clock.environment) as node:
        browser = Browser([node])
        browser.go(write("n", 1))
        opened = facts(node)["connections_opened"]
        for _ in range(3):
            clock.sleep(NIGHT)
            assert browser.go(read("n")).body == "1"
        assert (facts(node)["connections_opened"], facts(node)["failures"]) == (opened, 0)
        server.restart()
        clock.sleep(NIGHT)
        assert browser.go(read("n")).body == "None"
        assert facts(node)["failures"] == 0


def facts(node: WebNode) -> dict[str, Any]:
    return dict(node.manager.health()["backend"]["nodes"][0])


@pytest.mark.parametrize("kind", ["memcached", "redis"])
def test_the_kernel_asks_for_signs_of_life(kind: str, colour: str, request: pytest.FixtureRequest) -> None:
    """After 15 seconds, three times, every five."""
    with WebNode(colour, connect(str(request.getfixturevalue(kind).url))) as node:
        Browser([node]).go(write("n", 1))
        backend: Any = engines_of(node.manager).settings.backend
        if colour == "wsgi":
            connected = backend.store._client._idle[-1]._socket
        else:
            (connection,) = backend.asynchronous._client._connections._values.values()
            connected = connection._transport.get_extra_info("socket")
        assert connected.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        assert [connected.getsockopt(socket.IPPROTO_TCP, option) for option in options] == [15, 5, 3]


@pytest.mark.parametrize("kind", ["memcached", "redis"])
def test_a_name_that_leads_elsewhere(
    kind: str, colour: str, fresh: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked up for each new connection: a store that has moved is found again."""
    servers = [fresh(kind), fresh(kind)]
    here = [servers[0]]
    look_up = socket.getaddrinfo

    def resolve(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        return look_up(HOST, here[0].port if host == "store.test" else port, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with WebNode(colour, connect(f"{kind}://store.test:1"), timeout=5.0) as node:
        browser = Browser([node])
        assert browser.go(write("n", 1)).status == 200
        here[0] = servers[1]
        servers[0].kill()
        assert browser.go(write("n", 2)).status == 200
        assert len(servers[1].dump()) == 1
