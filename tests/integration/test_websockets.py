"""Websockets on real stores: loaded at connect, a cookie at accept, and no longer alive than their session."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sharedsession.asgi import SessionMiddleware
from sharedsession.errors import SessionEnded, SessionError
from sharedsession.manager import engines_of
from tests.support.farm import SECRET
from tests.support.stopwatch import Stopwatch

SHARED = ("sqlite", "redis", "memcached", "ring")
pytestmark = pytest.mark.parametrize("url", SHARED, indirect=True)
CHECK = 0.1
SOON = 2.0  # a few checks, on a busy machine
Talk = Callable[[Any, "Socket"], Awaitable[None]]


class Socket:
    """The browser's end of a websocket, and the application's functions for it."""

    def __init__(self) -> None:
        self.to_app: asyncio.Queue[Any] = asyncio.Queue()
        self.sent: list[Any] = []
        self.closed = asyncio.Event()

    async def receive(self) -> Any:
        return await self.to_app.get()

    async def send(self, message: Any) -> None:
        self.sent.append(message)
        if message["type"] == "websocket.close":
            self.closed.set()
            self.to_app.put_nowait({"type": "websocket.disconnect", "code": message.get("code")})

    def say(self, text: str) -> None:
        self.to_app.put_nowait({"type": "websocket.receive", "text": text})

    @property
    def close_code(self) -> int | None:
        return next((message["code"] for message in self.sent if message["type"] == "websocket.close"), None)


class Site:
    """A farm of one node: websockets that do as they are told, and pages that do one thing."""

    def __init__(self, url: str, **settings: Any) -> None:
        options: dict[str, Any] = {"secret_key": SECRET, "backend": url, "timeout": 5.0, "websocket_check": CHECK}
        self.app = SessionMiddleware(self._page, **options | settings)

    async def _page(self, scope: Any, receive: Any, send: Any) -> None:
        await scope["talk"](scope["session"], receive, send)

    async def visit(self, deed: Callable[[Any], Any], cookie: str = "") -> str:
        """One page. Returns the Cookie header that the browser sends from now on."""

        async def page(session: Any, _receive: Any, send: Any) -> None:
            deed(session)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(self._scope("http", cookie, page), None, send)
        return self.cookie_of(sent[0]) or cookie

    async def connect(self, talk: Any, cookie: str, socket: Socket) -> None:
        """One websocket, to its end."""
        await self.app(self._scope("websocket", cookie, talk), socket.receive, socket.send)

    async def close(self) -> None:
        await engines_of(self.app.manager).settings.backend.asynchronous.close()

    @staticmethod
    def cookie_of(message: Any) -> str:
        values = [value.decode() for name, value in message.get("headers", ()) if name == b"set-cookie"]
        return values[0].partition(";")[0] if values else ""

    @staticmethod
    def _scope(kind: str, cookie: str, talk: Any) -> dict[str, Any]:
        headers = [(b"cookie", cookie.encode())] if cookie else []
        return {"type": kind, "path": "/", "headers": headers, "talk": talk, "client": ("127.0.0.1", 1)}


def on_a_loop(url: str, test: Callable[[Site], Awaitable[None]], **settings: Any) -> None:
    async def main() -> None:
        site = Site(url, **settings)
        try:
            await test(site)
        finally:
            await site.close()

    asyncio.run(main())


async def listen(session: Any, receive: Any, send: Any) -> None:
    """Looks at the session, accepts, and listens until the browser has gone."""
    assert session["user"] == "alice"
    await send({"type": "websocket.accept"})
    while (await receive())["type"] != "websocket.disconnect":
        pass


DENIED = {"type": "websocket.http.response.start", "status": 403, "headers": []}
CLOSED = {"type": "websocket.close", "code": 1008}


@pytest.mark.parametrize("answer", [DENIED, CLOSED], ids=["denied", "closed"])
def test_what_a_refused_websocket_did_is_saved(url: str, answer: dict[str, Any]) -> None:
    """Before it was accepted: a change, and a logout."""

    async def talk(session: Any, _receive: Any, send: Any) -> None:
        session["tries"] = session.get("tries", 0) + 1
        if session["tries"] == 2:
            session.destroy()
        await send(answer)

    async def test(site: Site) -> None:
        seen: list[Any] = []
        cookie = await site.visit(lambda session: session.update(user="alice"))
        for _ in range(2):
            socket = Socket()
            await site.connect(talk, cookie, socket)
            await site.visit(lambda session: seen.append(dict(session)), cookie)
        assert seen == [{"user": "alice", "tries": 1}, {}]
        assert [message["type"] for message in socket.sent] == [answer["type"]]
        assert (site.cookie_of(socket.sent[0]) == "__Host-session=") is (answer is DENIED)

    on_a_loop(url, test)


def test_a_new_session_needs_an_answer_with_headers(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """A denial hands out the cookie; a bare close cannot, so nothing is stored, and the old ID is good as before."""

    async def begin(session: Any, _receive: Any, send: Any) -> None:
        session["user"] = "bob"
        await send(DENIED)

    async def renew(session: Any, _receive: Any, send: Any) -> None:
        session["user"] = "eve"
        session.regenerate()
        await send(CLOSED)

    async def test(site: Site) -> None:
        denied, closed = Socket(), Socket()
        seen: list[Any] = []
        await site.connect(begin, "", denied)
        cookie = site.cookie_of(denied.sent[0])
        await site.connect(renew, cookie, closed)
        await site.visit(lambda session: seen.append(dict(session)), cookie)
        assert seen == [{"user": "bob"}]
        assert closed.sent == [CLOSED]

    on_a_loop(url, test)
    assert [record.event for record in caplog.records] == ["write_dropped"]  # type: ignore[attr-defined]


def test_a_cookie_at_accept_and_none_later(url: str) -> None:
    """A session that begins in a websocket gets its cookie at accept; after that, asking for one is a loud error."""

    async def talk(session: Any, _receive: Any, send: Any) -> None:
        session["user"] = "alice"
        await send({"type": "websocket.accept"})
        session["seen"] = 1
        await session.asave()
        with pytest.raises(SessionError, match="response has started"):
            session.regenerate()

    async def late(session: Any, _receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        with pytest.raises(SessionError, match="response has started"):
            session["user"] = "alice"

    async def test(site: Site) -> None:
        socket, other = Socket(), Socket()
        await site.connect(talk, "", socket)
        seen: list[Any] = []
        await site.visit(lambda session: seen.append(dict(session)), site.cookie_of(socket.sent[0]))
        assert seen == [{"user": "alice", "seen": 1}]
        await site.connect(late, "", other)
        assert site.cookie_of(other.sent[0]) == ""

    on_a_loop(url, test)


@pytest.mark.parametrize("when", ["before", "after", "closed"])
def test_a_library_s_login_in_a_websocket(url: str, when: str, caplog: pytest.LogCaptureFixture) -> None:
    """Before accept it gets a new ID, with the answer. Later, or with a bare close, the write is kept, and told."""

    async def talk(session: Any, _receive: Any, send: Any) -> None:
        if when == "after":
            await send({"type": "websocket.accept"})
        session["user"] = "bob"
        if when != "after":
            await send(CLOSED if when == "closed" else {"type": "websocket.accept"})

    async def test(site: Site) -> None:
        socket, seen = Socket(), []
        planted = await site.visit(lambda session: session.update(cart=[]))
        await site.connect(talk, planted, socket)
        new = site.cookie_of(socket.sent[0])
        for cookie in (planted, new):
            await site.visit(lambda session: seen.append(dict(session)), cookie)
        assert bool(new) is (when == "before")
        assert seen == ([{}, {"cart": [], "user": "bob"}] if new else [{"cart": [], "user": "bob"}, {}])

    on_a_loop(url, test, regenerate_on="user")
    told = [record.event for record in caplog.records]  # type: ignore[attr-defined]
    assert told == ([] if when == "before" else ["login_kept_id"])


def test_a_logout_elsewhere_is_noticed_when_looked_at(url: str) -> None:
    """`load()` gives an empty, ended session; `asave()` of a change says that it has ended."""

    async def test(site: Site) -> None:
        cookie = await site.visit(lambda session: session.update(user="alice"))

        async def talk(session: Any, _receive: Any, send: Any) -> None:
            assert session["user"] == "alice"
            await send({"type": "websocket.accept"})
            await site.visit(lambda other: other.destroy(), cookie)
            session["seen"] = 1
            with pytest.raises(SessionEnded):
                await session.asave()
            await session.load()
            assert dict(session) == {}

        await site.connect(talk, cookie, Socket())

    on_a_loop(url, test, websocket_check=None)


def test_a_logout_elsewhere_closes_it(url: str) -> None:
    """Within `websocket_check` seconds, though the application does not ask; the browser is told why."""

    async def test(site: Site) -> None:
        cookie = await site.visit(lambda session: session.update(user="alice"))
        socket = Socket()
        talking = asyncio.create_task(site.connect(listen, cookie, socket))
        await asyncio.sleep(3 * CHECK)  # it lives as long as its session
        assert socket.close_code is None
        with Stopwatch() as stopwatch:
            await site.visit(lambda session: session.destroy(), cookie)
            await asyncio.wait_for(socket.closed.wait(), 60)
        assert stopwatch.took < CHECK + SOON
        await talking
        assert socket.close_code == 1008

    on_a_loop(url, test)


def test_who_talks_is_in_use(url: str) -> None:
    """Messages of the visitor keep the session alive; silence ends it, and with it the websocket."""

    async def test(site: Site) -> None:
        cookie = await site.visit(lambda session: session.update(user="alice"))
        socket = Socket()
        talking = asyncio.create_task(site.connect(listen, cookie, socket))
        for _ in range(40):
            socket.say("hello")
            await asyncio.sleep(CHECK)
        assert socket.close_code is None  # twice the idle timeout has gone by
        await asyncio.wait_for(socket.closed.wait(), 10)
        await talking

    on_a_loop(url, test, idle_timeout=2)


def test_one_without_a_session_is_left_alone(url: str) -> None:
    """Nobody looks after what is not there, and an anonymous websocket lives as long as it likes."""

    async def talk(session: Any, receive: Any, send: Any) -> None:
        assert dict(session) == {}
        await send({"type": "websocket.accept"})
        assert (await receive())["text"] == "bye"

    async def test(site: Site) -> None:
        socket = Socket()
        talking = asyncio.create_task(site.connect(talk, "", socket))
        await asyncio.sleep(3 * CHECK)
        socket.say("bye")
        await talking
        assert socket.close_code is None

    on_a_loop(url, test)
