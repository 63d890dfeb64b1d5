"""Streams in both colours: what is saved when, what is an error, and whether they keep their session alive."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sharedsession.asgi import SessionMiddleware as AsgiMiddleware
from sharedsession.manager import engines_of
from sharedsession.wsgi import SessionMiddleware as WsgiMiddleware
from tests.support.farm import SECRET

SHARED = ("sqlite", "redis", "memcached", "ring")
pytestmark = pytest.mark.parametrize("url", SHARED, indirect=True)
IDLE = 2.0
Stream = Callable[[Any], Iterator[Any]]  # yields chunks, seconds to pause, or what to do with the session: "load"


class WsgiSite:
    """Pages that are streams, under WSGI."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.app = WsgiMiddleware(self._page, secret_key=SECRET, backend=url, timeout=5.0, **settings)

    def visit(self, stream: Stream, cookie: str = "") -> tuple[bytes, str]:
        """One page. Returns its body and the cookie that was set."""
        heads: list[Any] = []
        body: Any = self.app({"stream": stream, "HTTP_COOKIE": cookie}, lambda *head: heads.append(head))
        try:
            text = b"".join(body)
        finally:
            body.close()
        values = [value for name, value in heads[0][1] if name == "Set-Cookie"]
        return text, values[0].partition(";")[0] if values else ""

    def close(self) -> None:
        engines_of(self.app.manager).settings.backend.close()

    @staticmethod
    def _page(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        session = environ["sharedsession.session"]
        for said in environ["stream"](session):
            if isinstance(said, bytes):
                yield said
            elif said == "load":
                session.load()
            else:
                time.sleep(said)


class AsgiSite:
    """The same under ASGI; each visit has an event loop of its own."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.app = AsgiMiddleware(self._page, secret_key=SECRET, backend=url, timeout=5.0, **settings)

    def visit(self, stream: Stream, cookie: str = "") -> tuple[bytes, str]:
        """Same as `WsgiSite.visit`."""
        return asyncio.run(self._visit(stream, cookie))

    def close(self) -> None:
        """Each loop has closed its own connections."""

    async def _visit(self, stream: Stream, cookie: str) -> tuple[bytes, str]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"cookie", cookie.encode())] if cookie else []
        await self.app({"type": "http", "path": "/", "headers": headers, "stream": stream}, None, send)
        await engines_of(self.app.manager).settings.backend.asynchronous.close()
        values = [value.decode() for name, value in sent[0]["headers"] if name == b"set-cookie"]
        text = b"".join(message.get("body", b"") for message in sent[1:])
        return text, values[0].partition(";")[0] if values else ""

    @staticmethod
    async def _page(scope: Any, _receive: Any, send: Any) -> None:
        session, started = scope["session"], False
        async for chunk in AsgiSite._chunks(scope["stream"](session), session):
            if not started:
                await send({"type": "http.response.start", "status": 200, "headers": []})
            started = True
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    @staticmethod
    async def _chunks(stream: Iterator[Any], session: Any) -> AsyncIterator[bytes]:
        for said in stream:
            if isinstance(said, bytes):
                yield said
            elif said == "load":
                await session.load()
            else:
                await asyncio.sleep(said)


@pytest.fixture
def sites(url: str, colour: str) -> Iterator[Callable[..., Any]]:
    made: list[Any] = []

    def make(**settings: Any) -> Any:
        made.append((WsgiSite if colour == "wsgi" else AsgiSite)(url, **settings))
        return made[-1]

    yield make
    for each in made:
        each.close()


def begin(session: Any) -> Iterator[bytes]:
    session["n"] = 0
    yield b"0"


def show(session: Any) -> Iterator[bytes]:
    yield str(session.get("n")).encode()


def test_what_a_stream_changes_is_saved_at_its_end(sites: Callable[..., Any]) -> None:
    """The browser has the ID already, so nothing needs to be told to it any more."""
    site = sites()

    def count(session: Any) -> Iterator[bytes]:
        for _ in range(3):
            session["n"] += 1
            yield b"."

    _, cookie = site.visit(begin)
    assert site.visit(count, cookie) == (b"...", "")
    assert site.visit(show, cookie) == (b"3", "")


def test_a_session_that_begins_too_late_is_a_loud_error(sites: Callable[..., Any]) -> None:
    """At the line that wrote to it, since no cookie can be set any more."""

    def late(session: Any) -> Iterator[bytes]:
        yield b"first"
        with pytest.raises(Exception, match="before the first byte"):
            session["n"] = 1
        with pytest.raises(Exception, match="response has started"):
            session.regenerate()

    assert sites().visit(late) == (b"first", "")


def test_a_logout_in_a_stream(sites: Callable[..., Any]) -> None:
    """It ends the session; the browser keeps a cookie that is worth nothing."""
    site = sites()

    def log_out(session: Any) -> Iterator[bytes]:
        yield b"bye"
        session.destroy()

    _, cookie = site.visit(begin)
    assert site.visit(log_out, cookie) == (b"bye", "")
    assert site.visit(show, cookie)[0] == b"None"


@pytest.mark.waits
def test_a_stream_keeps_its_session_alive_only_if_asked_to(sites: Callable[..., Any]) -> None:
    """Server-sent events that run for longer than the idle timeout: `load()` now and then is the asking."""
    site = sites(idle_timeout=IDLE)

    def events(session: Any, *, ask: bool) -> Iterator[Any]:
        assert session["n"] == 0
        for _ in range(8):
            yield b"."
            yield 0.25 * IDLE
            if ask:
                yield "load"

    asked, silent = (site.visit(begin)[1] for _ in range(2))
    with ThreadPoolExecutor(2) as pool:
        streaming = [
            pool.submit(site.visit, lambda session, ask=ask: events(session, ask=ask), cookie)
            for ask, cookie in ((True, asked), (False, silent))
        ]
        assert {future.result(30) for future in streaming} == {(b"........", "")}
    assert (site.visit(show, asked)[0], site.visit(show, silent)[0]) == (b"0", b"None")
