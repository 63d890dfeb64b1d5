"""Streams that look at the session while they make their first chunk: caches are told, and event streams do not wait.

Django's are in `django/test_streams.py`.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import fastapi
import flask
import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from sharedsession import BackendUnavailable, asgi, wsgi
from sharedsession.frameworks import starlette
from sharedsession.frameworks.flask import SharedSession
from tests.support.farm import SECRET
from tests.support.on_loop import on_loop

SETTINGS: dict[str, Any] = {"secret_key": SECRET, "backend": "memory://"}
PUBLIC = ("Cache-Control", "public, max-age=60")
PATIENCE = 30.0
Look = Callable[[], Any]
Chunks = Callable[[Look], Iterator[Any]]  # yields text to be sent, or seconds to pause


def first(look: Look) -> Iterator[Any]:
    look()
    yield "."
    yield "."


def first_after_a_pause(look: Look) -> Iterator[Any]:
    yield 0.0
    look()
    yield "."


def first_after_nothing(look: Look) -> Iterator[Any]:
    yield ""
    look()
    yield "."


def late(look: Look) -> Iterator[Any]:
    yield "."
    look()
    yield "."
    yield "."


def never(_look: Look) -> Iterator[Any]:
    yield "."
    yield "."


class Answer:
    """What a server was told, with the times of head and first chunk."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self.body = b""
        self.order: list[str] = []

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


# -- one application a framework; each streams what it is given


def plain_wsgi(chunks: Chunks, headers: list[tuple[str, str]]) -> Any:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", headers)
        return _bytes(chunks(lambda: environ["sharedsession.session"].get("n")))

    return wsgi.SessionMiddleware(app, **SETTINGS)


def with_flask(chunks: Chunks, headers: list[tuple[str, str]]) -> Any:
    app = flask.Flask(__name__)
    SharedSession(app, **SETTINGS)

    @app.get("/")
    def page() -> flask.Response:
        body = _bytes(chunks(lambda: flask.session.get("n")))
        return flask.Response(flask.stream_with_context(body), headers=headers)

    return app


def plain_asgi(chunks: Chunks, headers: list[tuple[str, str]]) -> Any:
    async def app(scope: Any, _receive: Any, send: Any) -> None:
        head = [(name.lower().encode(), value.encode()) for name, value in headers]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        async for chunk in _abytes(chunks(lambda: scope["session"].get("n"))):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return asgi.SessionMiddleware(app, **SETTINGS)


def with_starlette(chunks: Chunks, headers: list[tuple[str, str]]) -> Any:
    return _starlette(chunks, headers, [])


def behind_other_middlewares(chunks: Chunks, headers: list[tuple[str, str]]) -> Any:
    async def passed(request: Request, call_next: Any) -> Any:
        return await call_next(request)

    return _starlette(chunks, headers, [Middleware(GZipMiddleware), Middleware(BaseHTTPMiddleware, dispatch=passed)])


def in_a_thread(chunks: Chunks, headers: list[tuple[str, str]]) -> Any:
    def page(request: Request) -> StreamingResponse:
        return StreamingResponse(_bytes(chunks(lambda: request.session.get("n"))), headers=dict(headers))

    return Starlette(routes=[Route("/", page)], middleware=[Middleware(starlette.SessionMiddleware, **SETTINGS)])


def with_fastapi(chunks: Chunks, headers: list[tuple[str, str]]) -> Any:
    app = fastapi.FastAPI()
    app.add_middleware(starlette.SessionMiddleware, **SETTINGS)

    @app.get("/")
    async def page(request: Request) -> StreamingResponse:
        return StreamingResponse(_abytes(chunks(lambda: request.session.get("n"))), headers=dict(headers))

    return app


def _starlette(chunks: Chunks, headers: list[tuple[str, str]], inside: list[Middleware]) -> Any:
    async def page(request: Request) -> StreamingResponse:
        return StreamingResponse(_abytes(chunks(lambda: request.session.get("n"))), headers=dict(headers))

    sessions = Middleware(starlette.SessionMiddleware, **SETTINGS)
    return Starlette(routes=[Route("/", page)], middleware=[sessions, *inside])


BLOCKING = [plain_wsgi, with_flask]
ON_LOOP = [plain_asgi, with_starlette, behind_other_middlewares, in_a_thread, with_fastapi]
everywhere = pytest.mark.parametrize("site", [*BLOCKING, *ON_LOOP])


def visit(site: Callable[..., Any], chunks: Chunks, *headers: tuple[str, str]) -> Answer:
    """One request to a stream."""
    app = site(chunks, [("Content-Type", "text/plain"), *headers])
    if site in BLOCKING:
        return visit_wsgi(app)
    answer = Answer()
    asyncio.run(visit_asgi(app, answer))
    return answer


def visit_wsgi(app: Any) -> Answer:
    """One request by WSGI."""
    answer = Answer()

    def start(status: str, headers: Any, _exc_info: Any = None) -> Any:
        answer.status, answer.headers = int(status[:3]), headers

    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "SERVER_NAME": "a", "SERVER_PORT": "80"}
    body = app(environ | {"wsgi.url_scheme": "http"}, start)
    answer.body = b"".join(body)
    if hasattr(body, "close"):
        body.close()
    return answer


async def visit_asgi(app: Any, answer: Answer, *, until: str = "") -> None:
    """One request by ASGI.

    Args:
        app: is asked.
        answer: filled as it comes.
        until: ``"http.response.start"``: the visitor goes when the head is there.
    """
    asked, gone = [], asyncio.Event()

    async def receive() -> Any:
        if asked:
            await gone.wait()
            return {"type": "http.disconnect"}
        asked.append(1)
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        answer.order.append(message["type"])
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = [(name.decode(), value.decode()) for name, value in message["headers"]]
        answer.body += message.get("body", b"")
        if message["type"] == until:
            gone.set()

    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}
    await app(scope, receive, send)


def _bytes(chunks: Iterator[Any]) -> Iterator[bytes]:
    for chunk in chunks:
        if isinstance(chunk, str):
            yield chunk.encode()
        else:
            time.sleep(chunk)


async def _abytes(chunks: Iterator[Any]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        if isinstance(chunk, str):
            yield chunk.encode()
        else:
            await asyncio.sleep(chunk)


# -- what caches are told


@everywhere
@pytest.mark.parametrize("chunks", [first, first_after_a_pause, first_after_nothing])
def test_what_the_first_chunk_looks_at_is_in_vary(site: Any, chunks: Chunks, caplog: Any) -> None:
    """Whatever looks before the first byte of the body leaves (RFC 9110, 12.5.5)."""
    answer = visit(site, chunks, PUBLIC)
    assert answer.body.strip(b".") == b""
    assert cookie_in_vary(answer)
    assert events(caplog) == []


@everywhere
def test_a_stream_that_never_looks_stays_as_it_is(site: Any, caplog: Any) -> None:
    """A cache may keep it for everybody."""
    answer = visit(site, never, PUBLIC)
    assert (answer.body, cookie_in_vary(answer), events(caplog)) == (b"..", False, [])


@everywhere
def test_a_later_look_is_one_line_in_the_log(site: Any, caplog: Any) -> None:
    """The head has left, so somebody must be told that caches were not."""
    answer = visit(site, late, PUBLIC)
    assert (answer.body, cookie_in_vary(answer), events(caplog)) == (b"...", False, ["late_look"])


@everywhere
@pytest.mark.parametrize(
    "header",
    [("Cache-Control", "private"), ("Cache-Control", "max-age=0, no-store"), ("Vary", "*"), ("Vary", "cookie")],
)
def test_a_later_look_that_no_cache_can_hurt_is_not_reported(site: Any, header: tuple[str, str], caplog: Any) -> None:
    """The stream says already what caches must know."""
    assert visit(site, late, header).body == b"..."
    assert events(caplog) == []


def test_a_background_task_is_no_part_of_the_answer(caplog: Any) -> None:
    """It may look when everything has left."""

    async def page(request: Request) -> StreamingResponse:
        answer = StreamingResponse(_abytes(never(list)))
        answer.background = BackgroundTask(lambda: request.session.get("n"))
        return answer

    app = Starlette(routes=[Route("/", page)], middleware=[Middleware(starlette.SessionMiddleware, **SETTINGS)])
    asyncio.run(visit_asgi(app, Answer()))
    assert events(caplog) == []


def test_a_dependency_of_fastapi_looks_before_the_head() -> None:
    """Whether or not the stream looks at what it gave."""
    app = fastapi.FastAPI()
    app.add_middleware(starlette.SessionMiddleware, **SETTINGS, autoload=False)

    @app.get("/")
    async def page(_session: starlette.CurrentSession) -> StreamingResponse:
        return StreamingResponse(_abytes(never(list)))

    answer = Answer()
    asyncio.run(visit_asgi(app, answer))
    assert answer.all("vary") == ["Cookie"]


# -- who waits, and for how long


@on_loop
async def test_an_answer_that_is_no_stream_costs_neither_timer_nor_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether or not it looks at its session."""
    made: list[str] = []

    async def page(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/look":
            assert scope["session"].get("n") is None
        await PlainTextResponse("text")(scope, receive, send)

    app = asgi.SessionMiddleware(page, **SETTINGS)
    loop = asyncio.get_running_loop()
    for path in ("/", "/look"):
        answer = Answer()
        with monkeypatch.context() as patch:
            for name in ("call_later", "call_at", "create_task"):
                patch.setattr(loop, name, lambda *_, name=name, **__: made.append(name))
            await visit_asgi(lambda scope, *rest, path=path: app({**scope, "path": path}, *rest), answer)
        assert (answer.body, answer.all("vary")) == (b"text", ["Cookie"] if path == "/look" else [])
    assert made == []


def silent_events(said: Any) -> Any:
    """A stream that says nothing until it is told to, as an application of Starlette."""

    async def body(request: Request) -> AsyncIterator[str]:
        await said.wait()
        yield f"data: {request.session.get('n')}\n\n"

    async def page(request: Request) -> StreamingResponse:
        return StreamingResponse(body(request), media_type="text/event-stream")

    return Starlette(routes=[Route("/", page)], middleware=[Middleware(starlette.SessionMiddleware, **SETTINGS)])


@on_loop
async def test_an_event_stream_that_says_nothing_has_begun(caplog: pytest.LogCaptureFixture) -> None:
    """Its head leaves after a few milliseconds; what it says when something happens comes after it."""
    said, answer = asyncio.Event(), Answer()
    asking = asyncio.ensure_future(visit_asgi(silent_events(said), answer))
    async with asyncio.timeout(PATIENCE):
        while not answer.order:  # noqa: ASYNC110  (there is nothing that tells)
            await asyncio.sleep(0.001)
    assert (answer.status, answer.all("vary"), answer.body) == (200, [], b"")
    said.set()
    await asking
    assert answer.order == ["http.response.start", *["http.response.body"] * 2]
    assert events(caplog) == ["late_look"]


@on_loop
async def test_a_visitor_who_goes_leaves_nothing_behind() -> None:
    """Before the head has left, or when it has: neither a task nor an error."""
    tasks, answer = asyncio.all_tasks(), Answer()
    async with asyncio.timeout(PATIENCE):
        await visit_asgi(silent_events(asyncio.Event()), answer, until="http.response.start")
    assert answer.order == ["http.response.start"]
    asking = asyncio.ensure_future(visit_asgi(silent_events(asyncio.Event()), Answer()))
    await asyncio.sleep(0.001)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await asyncio.sleep(0.01)
    assert asyncio.all_tasks() - tasks == set()


@on_loop
async def test_the_head_leaves_before_anything_else() -> None:
    """Though the server takes its time with it, and though what comes next is no chunk."""

    async def page(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
        await asyncio.sleep(0.01)
        await send({"type": "http.response.pathsend", "path": "/tmp/file"})
        await send({"type": "http.response.trailers", "headers": []})

    order: list[str] = []

    async def send(message: Any) -> None:
        order.append(f"{message['type']} begins")
        await asyncio.sleep(0.02)
        order.append(f"{message['type']} ends")

    app = asgi.SessionMiddleware(page, **SETTINGS)
    await app({"type": "http", "path": "/", "headers": []}, None, send)  # type: ignore[arg-type]
    types = ["http.response.start", "http.response.pathsend", "http.response.trailers"]
    assert order == [f"{kind} {end}" for kind in types for end in ("begins", "ends")]


@on_loop
async def test_a_client_that_has_gone_is_an_error_where_the_next_chunk_is_sent() -> None:
    """As it would be without us (ASGI 2.4: `send` raises OSError)."""
    seen: list[str] = []

    async def page(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(0.02)
        with pytest.raises(OSError, match="gone"):
            await send({"type": "http.response.body", "body": b"chunk"})
        seen.append("told")

    async def send(_message: Any) -> None:
        raise OSError("gone")

    app = asgi.SessionMiddleware(page, **SETTINGS)
    await app({"type": "http", "path": "/", "headers": []}, None, send)  # type: ignore[arg-type]
    assert seen == ["told"]


@on_loop
async def test_a_head_alone_leaves() -> None:
    """An application that returns without a body; one that fails before its first chunk has not begun."""

    async def page(scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] == "/fails":
            raise ValueError("on purpose")

    app, answer = asgi.SessionMiddleware(page, **SETTINGS), Answer()
    await visit_asgi(app, answer)
    assert answer.order == ["http.response.start"]
    failed = Answer()
    with pytest.raises(ValueError, match="on purpose"):
        await visit_asgi(lambda scope, *rest: app({**scope, "path": "/fails"}, *rest), failed)
    assert failed.order == []


# -- Flask, where the first chunk is made before the head


def test_flask_s_event_stream_is_not_asked() -> None:
    """It may be silent for long, so it has `Vary` from the start, and may look when it likes."""
    told = threading.Event()

    def chunks(look: Look) -> Iterator[Any]:
        told.wait()
        yield f"data: {look()}\n\n"

    app = with_flask(chunks, [("Content-Type", "text/event-stream")])
    head: list[Any] = []
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "SERVER_NAME": "a", "SERVER_PORT": "80"}
    body = app(environ | {"wsgi.url_scheme": "http"}, lambda *said: head.append(said))
    assert ("Vary", "Cookie") in head[0][1]
    told.set()
    assert b"".join(body) == b"data: None\n\n"
    body.close()


def test_what_flask_s_first_chunk_changes_is_committed_before_it_leaves() -> None:
    """A new session gets its cookie; the context is there until the end, and torn down once."""
    torn_down: list[Any] = []
    app = flask.Flask(__name__)
    SharedSession(app, **SETTINGS)
    app.teardown_request(torn_down.append)

    @app.get("/")
    def page() -> flask.Response:
        def body() -> Iterator[str]:
            flask.session["n"] = 1
            yield "one"
            yield str(flask.session["n"])

        return flask.Response(flask.stream_with_context(body()))

    answer = visit_wsgi(app)
    assert (answer.body, len(answer.all("set-cookie")), answer.all("cache-control")) == (b"one1", 1, ["no-store"])
    assert torn_down == [None]
    assert not flask.has_request_context()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_flask_s_stream_is_closed(method: str) -> None:
    """Also where its body is not made: HEAD."""
    done: list[str] = []

    class Body:
        def __iter__(self) -> Iterator[str]:
            done.append("made")
            return iter(["a", "b"])

        def close(self) -> None:
            done.append("closed")

    app = flask.Flask(__name__)
    SharedSession(app, **SETTINGS)
    app.add_url_rule("/", view_func=lambda: flask.Response(Body()))
    with app.test_client().open("/", method=method) as answer:
        assert answer.text == ("ab" if method == "GET" else "")
    assert done == (["made", "closed"] if method == "GET" else ["closed"])


def test_flask_s_stream_that_fails_at_first_is_an_error_page() -> None:
    """Nothing has left yet, so nothing is cut off."""
    app = flask.Flask(__name__)
    SharedSession(app, **SETTINGS)

    def body() -> Iterator[str]:
        raise ValueError("on purpose")
        yield ""

    app.add_url_rule("/", view_func=lambda: flask.Response(body()))
    answer = visit_wsgi(app)
    assert (answer.status, answer.all("set-cookie")) == (500, [])


# -- an outage that the first chunk meets


@pytest.mark.parametrize("site", [site for site in (*BLOCKING, *ON_LOOP) if site is not behind_other_middlewares])
def test_an_outage_at_the_first_look_is_a_503(site: Any) -> None:
    """Nothing has left yet, so it is the answer of an outage, as if the look had come before the head.

    Starlette's BaseHTTPMiddleware ends the body before it raises what was raised inside: that is too late.
    """

    def fails(_look: Look) -> Iterator[Any]:
        raise BackendUnavailable("the session store is not answering")
        yield ""

    answer = visit(site, fails, PUBLIC, ("X-Request-Id", "7"))
    assert (answer.status, answer.all("retry-after"), answer.all("cache-control")) == (503, ["2"], ["no-store"])
    assert answer.all("x-request-id") == ["7"]


def cookie_in_vary(answer: Answer) -> bool:
    """Whether caches are told that the answer depends on the session."""
    return "cookie" in ",".join(answer.all("vary")).lower()


def events(caplog: Any) -> list[str]:
    return [record.event for record in caplog.records if getattr(record, "event", "").startswith("late")]
