"""One request's tasks and threads share one load and one set of changes."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sharedsession import asgi, wsgi
from sharedsession.errors import BackendUnavailable
from sharedsession.manager import engines_of
from sharedsession.session import Session, state_of
from tests.support.farm import SECRET
from tests.support.relay import Relay

pytestmark = pytest.mark.parametrize("kind", ["redis", "memcached"])


@pytest.fixture
def line(kind: str, request: pytest.FixtureRequest) -> Any:
    """A relay in front of the real server, and its URL."""
    server = request.getfixturevalue(kind)
    with Relay(server.port) as relay:
        relay.url = str(server.url).replace(str(server.port), str(relay.port))
        yield relay


def in_one_request(line: Any, work: Any, **settings: Any) -> tuple[Any, dict[str, Any]]:
    """Logs a visitor in, has his next request do this on an event loop, and returns its result and what is stored."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("not asked")

    middleware = asgi.SessionMiddleware(
        app, secret_key=SECRET, backend=line.url, timeout=5.0, autoload=False, **settings
    )
    engine = engines_of(middleware.manager).on_loop

    async def run() -> tuple[Any, dict[str, Any]]:
        first = engine.open(Session, ())
        first.update(user="alice", n=0)
        await engine.finish(first)
        token = state_of(first).outcome.token.encode()
        session = engine.open(Session, [token])
        line.reset_counts()
        result = await work(session)
        await engine.finish(session)
        last = engine.open(Session, [token])
        await engine.load(last)
        data = dict(last)
        await engine.settings.backend.asynchronous.close()
        return result, data

    return asyncio.run(run())


def test_tasks_share_one_load(line: Any) -> None:
    """Eight tasks look at the same time: one question, and each sees what the others changed."""

    async def work(session: Session) -> int:
        async def one(number: int) -> None:
            await session.load()
            session[f"task {number}"] = number
            session.increment("n")

        await asyncio.gather(*[one(number) for number in range(8)])
        return line.round_trips

    asked, data = in_one_request(line, work)
    assert asked == 1
    assert data == {"user": "alice", "n": 8} | {f"task {number}": number for number in range(8)}


def test_a_look_that_is_cancelled_hands_over(line: Any) -> None:
    """The next one loads; nobody else is cancelled."""

    async def work(session: Session) -> str:
        line.hold()
        first = asyncio.ensure_future(session.load())
        second = asyncio.ensure_future(session.load())
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        line.release()
        await second
        assert first.cancelled() or first.done()
        return str(session["user"])

    result, _ = in_one_request(line, work)
    assert result == "alice"


def test_saves_at_the_same_time_are_one_session(line: Any) -> None:
    """A new session that two tasks save is stored once; a stored one has the changes of both."""

    async def work(session: Session) -> None:
        await session.load()

        async def one(number: int) -> None:
            session[f"task {number}"] = number
            await session.asave()

        await asyncio.gather(*[one(number) for number in range(4)])

    _, data = in_one_request(line, work)
    assert data == {"user": "alice", "n": 0} | {f"task {number}": number for number in range(4)}


def test_a_lock_waits_for_a_look(line: Any) -> None:
    """Then it loads anew; a look meanwhile waits for that."""

    async def work(session: Session) -> None:
        async def locked() -> None:
            async with session.lock():
                session.increment("n")

        await asyncio.gather(session.load(), locked(), session.load())

    _, data = in_one_request(line, work)
    assert data["n"] == 1


def test_a_load_keeps_what_was_changed(line: Any) -> None:
    """Outside of a websocket: a helper that loads to be sure loses nothing."""

    async def work(session: Session) -> None:
        await session.load()
        session["cart"] = ["tea"]
        await session.load()

    _, data = in_one_request(line, work)
    assert data["cart"] == ["tea"]


def test_threads_share_one_load(line: Any) -> None:
    """An application that blocks, and hands its session to a pool of threads."""
    middleware = wsgi.SessionMiddleware(lambda *_: [], secret_key=SECRET, backend=line.url, timeout=5.0)
    engine = engines_of(middleware.manager).blocking
    first = engine.open(Session, ())
    first.update(user="alice", n=0)
    engine.finish(first)
    token = state_of(first).outcome.token
    assert token
    session = engine.open(Session, [token.encode()])
    line.reset_counts()
    line.hold()
    together = threading.Barrier(8)

    def look(number: int) -> Any:
        together.wait(20)
        return session["user"]

    with ThreadPoolExecutor(8) as pool:
        looks = [pool.submit(look, number) for number in range(8)]
        line.release()
        assert [each.result(20) for each in looks] == ["alice"] * 8
    assert line.round_trips == 1
    engine.settings.backend.close()


def test_a_look_that_fails_hands_over(line: Any) -> None:
    """The store comes back between two looks of one request."""

    async def work(session: Session) -> str:
        line.refuse()
        line.cut()
        with pytest.raises(BackendUnavailable):
            await session.load()
        line.refuse(False)
        await asyncio.sleep(0.2)  # the breaker's window
        await session.load()
        return str(session["user"])

    result, _ = in_one_request(line, work, breaker_window=0.1)
    assert result == "alice"
