"""Streams and requests that take long: what is saved when, and how long a session lives meanwhile."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sharedsession.wsgi import SessionMiddleware
from tests.support.farm import SECRET, Browser, WebNode, destroy, everything, read, write

SHARED = ("sqlite", "redis", "memcached", "ring")
pytestmark = pytest.mark.parametrize("url", SHARED, indirect=True)
IDLE = 2.0


@pytest.fixture
def hasty(url: str, web_node: Callable[..., WebNode]) -> Browser:
    """A visitor of two nodes where sessions live for two seconds."""
    return Browser([web_node(url, timeout=5.0, idle_timeout=IDLE) for _ in range(2)])


def test_a_request_longer_than_the_idle_timeout_keeps_its_session(hasty: Browser) -> None:
    """The visitor waits for an upload to end: that is no idleness, and what it wrote is saved."""
    hasty.go(write("user", "alice"))

    def slow(session: Any) -> None:
        assert session["user"] == "alice"
        time.sleep(2 * IDLE)
        session["done"] = True

    assert hasty.go(slow).set_cookies == []
    assert hasty.go(everything).body == repr({"user": "alice", "done": True})


def test_a_session_that_nobody_uses_ends_all_the_same(hasty: Browser) -> None:
    """A request that is over keeps nothing alive."""
    hasty.go(write("user", "alice"))
    hasty.go(read("user"))
    deadline = time.monotonic() + 3 * IDLE + 2
    cookie = hasty.cookie
    time.sleep(2 * IDLE + 1)
    assert hasty.nodes[0].request(everything, cookie).body == "{}"
    assert time.monotonic() < deadline + 5


def test_a_logout_during_a_long_request_stays(hasty: Browser) -> None:
    """Keeping alive never brings back what was ended."""
    hasty.go(write("user", "alice"))
    cookie = hasty.cookie

    def slow(session: Any) -> None:
        assert session["user"] == "alice"
        hasty.nodes[1].request(destroy, cookie)
        time.sleep(1.5 * IDLE)
        session["done"] = True

    assert hasty.nodes[0].request(slow, cookie).set_cookies == []
    assert {node.request(everything, cookie).body for node in hasty.nodes} == {"{}"}


def test_ten_slow_requests_at_a_time(browser: Browser) -> None:
    """Without a lock nobody waits for anybody: ten of 200 ms on one session take 200 ms, the best of a few tries."""
    browser.go(write("n", 0))

    def slow(number: int) -> Any:
        def handler(session: Any) -> None:
            session[f"k{number}"] = session["n"]
            time.sleep(0.2)

        return handler

    took = []
    with ThreadPoolExecutor(10) as crowd:
        for _ in range(5):
            began = time.monotonic()
            answers = list(crowd.map(lambda n: browser.nodes[n % 2].request(slow(n), browser.cookie), range(10)))
            took.append(time.monotonic() - began)
            assert {answer.status for answer in answers} == {200}
    assert browser.go(lambda session: len(session)).body == "11"
    assert min(took) < 0.35


def test_two_hundred_increments(browser: Browser) -> None:
    """Exact, however many at a time."""
    browser.go(write("n", 0))
    with ThreadPoolExecutor(200) as crowd:
        step = lambda n: browser.nodes[n % 2].request(lambda session: session.increment("n"), browser.cookie)  # noqa: E731
        assert {answer.status for answer in crowd.map(step, range(200))} == {200}
    assert browser.go(read("n")).body == "200"


# -- streams, as a WSGI server sees them (those of ASGI are in test_asgi.py)


class Streams:
    """A WSGI node whose pages are streams."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.app = SessionMiddleware(self._page, secret_key=SECRET, backend=url, timeout=5.0, **settings)

    def _page(self, environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return environ["stream"](environ["sharedsession.session"])

    def visit(self, stream: Callable[[Any], Iterator[bytes]], cookie: str = "") -> tuple[bytes, str]:
        """One page. Returns its body and the cookie that was set."""
        heads: list[Any] = []
        body = self.app({"stream": stream, "HTTP_COOKIE": cookie}, lambda *head: heads.append(head))
        try:
            text = b"".join(body)
        finally:
            body.close()
        values = [value for name, value in heads[0][1] if name == "Set-Cookie"]
        return text, values[0].partition(";")[0] if values else ""


@pytest.fixture
def streams(url: str) -> Iterator[Callable[..., Streams]]:
    made: list[Streams] = []

    def make(**settings: Any) -> Streams:
        made.append(Streams(url, **settings))
        return made[-1]

    yield make
    for each in made:
        each.app.manager.settings.backend.close()


def test_what_a_stream_changes_is_saved_at_its_end(streams: Callable[..., Streams]) -> None:
    """The browser has the ID already, so nothing needs to be told to it any more."""
    site = streams()

    def begin(session: Any) -> Iterator[bytes]:
        session["n"] = 0
        yield b"0"

    def count(session: Any) -> Iterator[bytes]:
        for _ in range(3):
            session["n"] += 1
            yield b"."

    _, cookie = site.visit(begin)
    assert site.visit(count, cookie) == (b"...", "")
    assert site.visit(lambda session: iter([str(session["n"]).encode()]), cookie) == (b"3", "")


def test_a_session_that_begins_too_late_is_a_loud_error(streams: Callable[..., Streams]) -> None:
    """At the line that wrote to it, since no cookie can be set any more."""

    def late(session: Any) -> Iterator[bytes]:
        yield b"first"
        with pytest.raises(Exception, match="before the first byte"):
            session["n"] = 1
        with pytest.raises(Exception, match="response has started"):
            session.regenerate()

    assert streams().visit(late) == (b"first", "")


def test_a_stream_keeps_its_session_alive_only_if_asked_to(streams: Callable[..., Streams]) -> None:
    """Server-sent events that run for longer than the idle timeout: `load()` now and then is the asking."""
    site = streams(idle_timeout=IDLE)

    def begin(session: Any) -> Iterator[bytes]:
        session["user"] = "alice"
        yield b"0"

    def events(session: Any, *, ask: bool) -> Iterator[bytes]:
        assert session["user"] == "alice"
        for _ in range(8):
            yield b"."
            time.sleep(0.25 * IDLE)
            if ask:
                session.load()

    def user(session: Any) -> Iterator[bytes]:
        yield str(session.get("user")).encode()

    asked, silent = (site.visit(begin)[1] for _ in range(2))
    with ThreadPoolExecutor(2) as pool:
        streaming = [
            pool.submit(site.visit, lambda session, ask=ask: events(session, ask=ask), cookie)
            for ask, cookie in ((True, asked), (False, silent))
        ]
        assert {future.result(30) for future in streaming} == {(b"........", "")}
    assert (site.visit(user, asked)[0], site.visit(user, silent)[0]) == (b"alice", b"None")
