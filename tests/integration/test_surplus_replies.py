"""Replies too many, as a faulty proxy may send them: nobody reads the answer to the question of another."""

import select
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sharedsession.backends import connect
from sharedsession.environment import Environment
from sharedsession.manager import engines_of
from tests.support.farm import Browser, WebNode, destroy, everything, read, write
from tests.support.relay import Relay

STRAYS = {
    "redis": [b"+OK\r\n", b"$-1\r\n", b":1\r\n", b"$3\r\nabc\r\n", b"-ERR no\r\n", b"*0\r\n"],
    "memcached+text": [b"END\r\n", b"STORED\r\n", b"DELETED\r\n", b"NOT_FOUND\r\n", b"EXISTS\r\n", b"ERROR\r\n"],
    "memcached": [b"EN\r\n", b"HD\r\n", b"HD c1 O1\r\n", b"END\r\n", b"NF O1\r\n", b"MN\r\n"],
}


def in_front(reply: bytes) -> Callable[[bytes], bytes]:
    """Puts a reply in front of the next one, once."""
    waiting = [reply]
    return lambda data: (waiting.pop() if waiting else b"") + data


@pytest.mark.parametrize(("kind", "stray"), [(kind, stray) for kind, strays in STRAYS.items() for stray in strays])
def test_one_stray_reply_before_a_crowd(kind: str, stray: bytes, request: pytest.FixtureRequest, web_node: Any) -> None:
    """No visitor becomes anonymous, loses a cookie, or hears of a logout that was not done."""
    name, _, protocol = kind.partition("+")
    server = request.getfixturevalue(name)
    with Relay(server.port) as relay:
        url = str(server.url).replace(str(server.port), str(relay.port)) + (f"?protocol={protocol}" if protocol else "")
        node: WebNode = web_node(url, timeout=5.0, breaker_window=0.01)
        browsers = [Browser([node]) for _ in range(12)]
        for number, browser in enumerate(browsers):
            assert browser.go(write("n", number)).status == 200
        cookies = [browser.cookie for browser in browsers]
        relay.on_reply(in_front(stray))
        handlers = [read("n"), write("seen", 1), destroy]
        with ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(lambda n: browsers[n].go(handlers[n % 3]), range(12)))
        relay.on_reply(None)
        for number, (answer, cookie) in enumerate(zip(answers, cookies, strict=True)):
            expect_own(node, number, answer, cookie)


def expect_own(node: WebNode, number: int, answer: Any, cookie: str) -> None:
    """What a visitor of a crowd was told, and what is stored; 503 tells nothing."""
    assert answer.status in {200, 503}
    if answer.status == 503 or number % 3 == 1:
        assert answer.set_cookies == []
    if answer.status == 200 and number % 3 == 0:
        assert answer.body == str(number)
    stored = node.request(everything, cookie).body
    if answer.status == 200:
        expected = [{"n": number}, {"n": number, "seen": 1}, {}][number % 3]
        assert stored == repr(expected)


class Server:
    """Records that do not open: the store with a relay in front, a clock of our own, one web node."""

    def __init__(self, server: Any, relay: Relay, web_node: Any, kind: str) -> None:
        self.server, self.relay, self.passed = server, relay, 0.0
        environment = Environment(monotonic=lambda: time.monotonic() + self.passed)
        url = str(server.url).replace(str(server.port), str(relay.port))
        url += "?protocol=text" if "text" in kind else ""
        self.node: WebNode = web_node(connect(url, environment=environment), environment=environment, timeout=5.0)

    def events(self, name: str) -> int:
        return int(self.node.manager.health()["counters"].get(name, 0))


@pytest.fixture(params=["redis", "valkey", "memcached+text"])
def damaged(request: pytest.FixtureRequest, web_node: Any) -> Any:
    server = request.getfixturevalue(request.param.partition("+")[0])
    with Relay(server.port) as relay:
        yield Server(server, relay, web_node, request.param)


def spoil(server: Any) -> None:
    """Changes a byte of every record."""
    for key, value in server.dump().items():
        value = value.split(b"\r\n")[0] if server.scheme == "memcached" else value
        server.put(key, value[:-1] + bytes([value[-1] ^ 1]))


def test_a_record_that_is_damaged(damaged: Server) -> None:
    """It is asked for twice, then not again for a minute; its visitor is anonymous and keeps the cookie."""
    browser = Browser([damaged.node])
    browser.go(write("n", 1))
    spoil(damaged.server)
    opened = facts(damaged.node)["connections_opened"]
    for visits in range(1, 4):
        answer = browser.go(read("n"))
        assert (answer.status, answer.body, answer.set_cookies) == (200, "None", [])
        assert damaged.events("unsealed") == visits
    assert facts(damaged.node)["connections_opened"] == opened + 1
    damaged.passed += 61
    assert browser.go(read("n")).body == "None"
    assert facts(damaged.node)["connections_opened"] == opened + 2
    assert facts(damaged.node)["failures"] == 0


def test_a_damaged_record_hides_no_other_fault(damaged: Server) -> None:
    """What was damaged on the way only is read the second time, and nobody hears of it."""
    first, second = Browser([damaged.node]), Browser([damaged.node])
    first.go(write("n", 1))
    spoil(damaged.server)
    first.go(read("n"))
    second.go(write("n", 2))
    reported = damaged.events("unsealed")
    damaged.relay.on_reply(damage := DamagedOnTheWay())
    assert second.go(read("n")).body == "2"
    assert damage.done
    damaged.relay.on_reply(None)
    assert damaged.events("unsealed") == reported
    assert second.go(write("n", 3)).status == 200
    assert second.go(read("n")).body == "3"
    assert facts(damaged.node)["failures"] == 0


class DamagedOnTheWay:
    """Damages one record, in the first chunk that is long enough to hold one."""

    done = False

    def __call__(self, data: bytes) -> bytes:
        middle = len(data) // 2
        if self.done or len(data) < 70:
            return data
        self.done = True
        return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def test_no_answer_to_the_second_question(damaged: Server) -> None:
    """It is an outage, not a visitor without a session; the next visit asks again."""
    browser = Browser([damaged.node])
    browser.go(write("n", 1))
    damaged.relay.on_reply(damage := DamagedOnTheWay())
    damaged.relay.refuse()
    answer = browser.go(read("n"))
    assert damage.done
    assert (answer.status, answer.set_cookies) == (503, [])
    damaged.relay.on_reply(None)
    damaged.relay.refuse(False)
    damaged.passed += 3
    assert browser.go(read("n")).body == "1"


def test_a_second_question_disturbs_no_other_request(damaged: Server) -> None:
    """Visitors with sound records, at the same time, all get theirs."""
    lost, sound = [[Browser([damaged.node]) for _ in range(count)] for count in (10, 6)]
    for browser in lost:
        browser.go(write("n", 1))
    spoil(damaged.server)
    for number, browser in enumerate(sound):
        browser.go(write("n", number))
    over = threading.Event()

    def loop(browser: Browser) -> set[str]:
        bodies = {browser.go(read("n")).body}
        while not over.is_set():
            bodies.add(browser.go(read("n")).body)
        return bodies

    with ThreadPoolExecutor(6) as pool:
        running = [pool.submit(loop, browser) for browser in sound]
        bodies = [browser.go(read("n")).body for browser in lost]
        over.set()
    assert bodies == ["None"] * 10
    assert [each.result() for each in running] == [{str(number)} for number in range(6)]
    assert facts(damaged.node)["failures"] == 0


@pytest.mark.parametrize("kind", ["redis", "valkey", "memcached", "memcached+text"])
def test_a_reply_too_many(kind: str, request: pytest.FixtureRequest, web_node: Any) -> None:
    """The connection is given up, and everybody gets what is theirs: at once, or after one breaker window."""
    name, _, protocol = kind.partition("+")
    server = request.getfixturevalue(name)
    with Relay(server.port) as relay:
        url = str(server.url).replace(str(server.port), str(relay.port)) + (f"?protocol={protocol}" if protocol else "")
        node = web_node(url, timeout=5.0, breaker_window=0.01)
        browsers = [Browser([node]) for _ in range(3)]
        for number, browser in enumerate(browsers):
            browser.go(write("n", number))
        relay.on_reply(lambda reply: reply * 2)
        browsers[0].go(read("n"))
        relay.on_reply(None)
        deadline = time.monotonic() + 5
        while browsers[0].go(read("n")).status == 503:
            assert time.monotonic() < deadline
        for _ in range(3):
            assert [browser.go(read("n")).body for browser in browsers] == ["0", "1", "2"]


@pytest.mark.parametrize("colour", ["wsgi"])  # on a loop, a reply that nobody waits for ends the connection
def test_a_connection_that_is_one_reply_behind(redis: Any, web_node: Any) -> None:
    """A reply lies unread when the next request is sent: whoever reads it asks again, and all is well from then on."""
    node = web_node(redis.url, timeout=5.0)
    browsers = [Browser([node]) for _ in range(3)]
    for number, browser in enumerate(browsers):
        browser.go(write("n", number))
    connection = engines_of(node.manager).settings.backend.store._client._idle[-1]._socket
    connection.sendall(b"*2\r\n$4\r\nECHO\r\n$12\r\nnobody asked\r\n")
    assert select.select([connection], [], [], 5)[0]
    for _ in range(3):
        assert [browser.go(read("n")).body for browser in browsers] == ["0", "1", "2"]
    assert facts(node)["failures"] == 0


def test_a_connection_that_redis_closed_is_replaced(redis: Any, web_node: Any) -> None:
    """Nor is the end of the connection: one that the server closed while it lay idle is replaced without an error."""
    node = web_node(redis.url, timeout=5.0)
    browser = Browser([node])
    browser.go(write("n", 1))
    opened = facts(node)["connections_opened"]
    redis.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert browser.go(read("n")).body == "1"
    assert facts(node)["connections_opened"] == opened + 1
    assert facts(node)["failures"] == 0


def facts(node: Any) -> dict[str, Any]:
    return dict(node.manager.health()["backend"]["nodes"][0])
