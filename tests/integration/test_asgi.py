"""The ASGI middleware against what servers and applications do with ASGI 3."""

import asyncio
from typing import Any

import pytest

from sharedsession import SessionEnded, SessionError, SessionNotLoaded
from sharedsession.asgi import SessionMiddleware
from sharedsession.backends import connect
from sharedsession.manager import engines_of
from tests.support.farm import SECRET

START = {"type": "http.response.start", "status": 200, "headers": []}


def body(data: bytes = b"", *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


def make(app, **settings):
    return SessionMiddleware(app, **({"secret_key": SECRET, "backend": "memory://", "timeout": 5.0} | settings))


async def call(app, cookie: str = "", kind: str = "http", path: str = "/", headers=()):
    sent: list[Any] = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    raw = [(b"cookie", part.encode("latin-1")) for part in cookie.split("|") if part]
    await app({"type": kind, "path": path, "headers": [*raw, *headers]}, receive, send)
    return sent


def cookies(sent) -> list[str]:
    return [value.decode() for name, value in sent[0].get("headers", ()) if name == b"set-cookie"]


def jar(sent) -> str:
    return cookies(sent)[0].partition(";")[0]


def handler(function):
    """An application of one plain function of the session."""

    async def app(scope, receive, send):
        result = function(scope["session"])
        if asyncio.iscoroutine(result):
            result = await result
        await send(START)
        await send(body(repr(result).encode()))

    return app


def put(session):
    session["x"] = session.get("x", 0) + 1
    return session["x"]


def test_lifespan_and_unknown_scopes_pass() -> None:
    """What is neither HTTP nor a websocket is none of our business, and unknown keys of the scope stay."""
    seen = []

    async def app(scope, receive, send):
        seen.append(scope)

    asyncio.run(make(app)({"type": "lifespan", "mine": 1}, None, None))
    assert seen == [{"type": "lifespan", "mine": 1}]


def test_one_loop_after_another() -> None:
    """A middleware outlives event loops, as under test clients that run one a request."""
    backend = connect("memory://")
    app = make(handler(put), backend=backend)
    sent = asyncio.run(call(app))
    assert asyncio.run(call(app, jar(sent)))[1]["body"] == b"2"


@pytest.mark.parametrize("kind", ["memcached", "redis", "sqlite"])
def test_one_loop_after_another_over_a_network(kind: str, request, tmp_path) -> None:
    """Connections of a loop that ended are not used, and not left behind."""
    url = f"sqlite:///{tmp_path}/s.db" if kind == "sqlite" else request.getfixturevalue(kind).url
    app = make(handler(put), backend=url)
    cookie = jar(asyncio.run(call(app)))
    assert [asyncio.run(call(app, cookie))[1]["body"] for _ in range(3)] == [b"2", b"3", b"4"]


def test_a_split_cookie_header() -> None:
    """HTTP/2 clients may send several Cookie headers."""
    app = make(handler(put))

    async def main():
        cookie = jar(await call(app))
        return (await call(app, f"a=1|{cookie}|b=2"))[1]["body"]

    assert asyncio.run(main()) == b"2"


def test_streams_pass_unbuffered_and_save_late_changes() -> None:
    """The head leaves after the commit, chunks one by one; a late change is saved where the browser has the ID."""
    order = []

    async def stream(scope, receive, send):
        scope["session"]["x"] = 1
        await send(START)
        await send(body(b"one", more=True))
        order.append("between")
        scope["session"]["late"] = 2
        await send(body(b"two"))

    async def main():
        app = make(stream)
        sent = await call(app)
        assert [message.get("body") for message in sent] == [None, b"one", b"two"]
        app.app = handler(dict)
        return (await call(app, jar(sent)))[1]["body"]

    assert asyncio.run(main()) == repr({"x": 1, "late": 2}).encode()


def test_nothing_outranks_no_store() -> None:
    """What caches obey before Cache-Control does not leave beside a cookie."""

    async def app(scope, receive, send):
        scope["session"]["x"] = 1
        await send({**START, "headers": [(b"x-accel-expires", b"9"), (b"surrogate-control", b"max-age=9")]})
        await send(body())

    headers = dict(asyncio.run(call(make(app)))[0]["headers"])
    assert sorted(headers) == [b"cache-control", b"set-cookie", b"vary"]


def test_a_late_first_write_is_a_loud_error() -> None:
    """After the first byte a new session cannot be handed out: the line that writes raises."""

    async def late(scope, receive, send):
        await send(START)
        with pytest.raises(SessionError, match="response has started"):
            scope["session"]["x"] = 1
        with pytest.raises(SessionError, match="response has started"):
            scope["session"].regenerate()
        await send(body())

    assert cookies(asyncio.run(call(make(late)))) == []


def test_autoload_false() -> None:
    """The session is loaded when the application says so; a look before is an error with the mend."""

    async def main():
        backend = connect("memory://")
        cookie = jar(await call(make(handler(put), backend=backend)))

        async def explicit(session):
            with pytest.raises(SessionNotLoaded, match=r"await session.load"):
                session.get("x")
            await session.load()
            return session["x"]

        app = make(handler(explicit), backend=backend, autoload=False)
        assert (await call(app, cookie))[1]["body"] == b"1"
        untouched = make(handler(lambda session: None), backend=backend, autoload=False)
        assert (await call(untouched, cookie))[0]["headers"] == []
        logout = make(handler(lambda session: session.destroy()), backend=backend, autoload=False)
        assert "Max-Age=0" in cookies(await call(logout, cookie))[0]
        assert (await call(make(handler(dict), backend=backend), cookie))[1]["body"] == b"{}"

    asyncio.run(main())


def test_saving_in_the_middle() -> None:
    """`asave` commits now; the cookie still leaves with the head; a session that ended meanwhile is reported."""

    async def main():
        backend = connect("memory://")
        inner = make(handler(lambda session: session.destroy()), backend=backend)

        async def save_twice(session):
            session["x"] = 1
            await session.asave()
            session["x"] = 2
            await session.asave()
            with pytest.raises(SessionError, match="asave"):
                session.save()

        sent = await call(make(handler(save_twice), backend=backend))
        assert len(cookies(sent)) == 1
        cookie = jar(sent)
        assert (await call(make(handler(dict), backend=backend), cookie))[1]["body"] == b"{'x': 2}"

        async def ended(session):
            await call(inner, cookie)
            session["x"] = 3
            with pytest.raises(SessionEnded):
                await session.asave()

        await call(make(handler(ended), backend=backend), cookie)
        assert (await call(make(handler(dict), backend=backend), cookie))[1]["body"] == b"{}"

    asyncio.run(main())


def test_websockets() -> None:
    """Loaded at connect, cookie on accept, saved later by `asave`, and a logout elsewhere is seen by `load`."""

    async def main():
        backend = connect("memory://")

        async def chat(scope, receive, send):
            session = scope["session"]
            session["n"] = session.get("n", 0) + 1
            await send({"type": "websocket.accept"})
            session["n"] += 1
            await session.asave()
            await session.load()
            seen.append(dict(session))

        seen: list[Any] = []
        sent = await call(make(chat, backend=backend), kind="websocket")
        assert (sent[0]["type"], len(cookies(sent))) == ("websocket.accept", 1)
        assert seen == [{"n": 2}]

        async def watch(scope, receive, send):
            await send({"type": "websocket.accept"})
            assert scope["session"]["n"] == 2
            await call(make(handler(lambda session: session.destroy()), backend=backend), jar(sent))
            await scope["session"].load()
            seen.append(dict(scope["session"]))

        assert cookies(await call(make(watch, backend=backend), jar(sent), kind="websocket")) == []
        assert seen[-1] == {}

    asyncio.run(main())


def test_a_blocking_backend_of_the_users_own() -> None:
    """Blocking verbs serve ASGI too: a whole step runs in one worker thread, none on the event loop."""
    import threading

    class Mine:
        max_value = 100_000

        def __init__(self):
            self._inner = connect("memory://")
            self.threads = set()

        def __getattr__(self, name):
            if name in {"asynchronous", "never_waits"}:
                raise AttributeError(name)

            def verb(*arguments):
                self.threads.add(threading.current_thread())
                return getattr(self._inner, name)(*arguments)

            return verb

        get = property(lambda self: self.__getattr__("get"))

    mine = Mine()

    async def main():
        app = make(handler(put), backend=mine)
        cookie = jar(await call(app))
        assert (await call(app, cookie))[1]["body"] == b"2"

    asyncio.run(main())
    assert threading.main_thread() not in mine.threads


@pytest.mark.parametrize("kind", ["memcached", "redis", "valkey"])
def test_cancelled_requests_mix_nobody_up(kind: str, request) -> None:
    """Two thousand requests of fifty visitors, half of them cancelled at random points: no answer is another's."""
    import random

    server = request.getfixturevalue(kind)
    chance = random.Random(7)

    async def main():
        app = make(handler(dict), backend=server.url)
        writers = [make(handler(lambda session, n=n: session.update(who=n)), backend=server.url) for n in range(50)]
        jars = [jar(await call(writer)) for writer in writers]

        async def visit(n):
            return n, (await call(app, jars[n]))[1]["body"]

        tasks = [asyncio.create_task(visit(k % 50)) for k in range(2000)]
        for task in tasks[::2]:
            for _ in range(chance.randrange(3)):
                await asyncio.sleep(0)
            task.cancel()
        answers = [
            answer for answer in await asyncio.gather(*tasks, return_exceptions=True) if isinstance(answer, tuple)
        ]
        assert len(answers) >= 1000
        assert all(text == repr({"who": n}).encode() for n, text in answers)
        assert app.manager.health()["backend"]["nodes"][0]["connections_opened"] == 1
        for writer in [app, *writers]:
            await engines_of(writer.manager).settings.backend.asynchronous.close()

    asyncio.run(main())
