"""Django's streams in both colours: what their first chunk looks at is in ``Vary``, and event streams do not wait."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from io import BytesIO
from typing import Any

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import StreamingHttpResponse

from sharedsession import BackendUnavailable
from tests.frameworks.django import site

pytestmark = pytest.mark.parametrize("url", ["memory://"], indirect=True)
PUBLIC = {"Cache-Control": "public, max-age=60"}
Script = tuple[Any, ...]  # chunks to send, seconds to pause, "look", or an error to raise


def body(request: Any, script: Script) -> Iterator[bytes]:
    for each in script:
        if isinstance(each, bytes):
            yield each
        elif isinstance(each, Exception):
            raise each
        elif each == "look":
            request.session.get("a")
        elif each == "set":
            request.session["a"] = 1
        else:
            time.sleep(each)


async def abody(request: Any, script: Script) -> AsyncIterator[bytes]:
    for each in script:
        if isinstance(each, bytes):
            yield each
        elif isinstance(each, Exception):
            raise each
        elif each == "look":
            await request.session.aget("a")
        elif each == "set":
            await request.session.aset("a", 1)
        else:
            await asyncio.sleep(each)


def address(colour: str, script: Script, headers: dict[str, str], made: Callable[..., Any] | None = None) -> str:
    """The path of a page that streams."""
    make = made or (body if colour == "sync" else abody)

    def page(request: Any) -> StreamingHttpResponse:
        return StreamingHttpResponse(make(request, script), headers=headers)

    async def apage(request: Any) -> StreamingHttpResponse:
        return page(request)

    return site.address(colour, page if colour == "sync" else apage)


def stream(browser: Any, *script: Any, headers: dict[str, str] = PUBLIC) -> Any:
    """One visit to a stream. What was sent is `answer.sent`."""
    answer = browser.get(address(browser.colour, script, headers))
    if answer.streaming:
        chunks = _joined(answer) if browser.colour == "async" else b"".join(answer.streaming_content)
        answer.sent = browser.wait(chunks)
        answer.close()
    return answer


async def _joined(answer: Any) -> bytes:
    return b"".join([chunk async for chunk in answer.streaming_content])


def events(caplog: Any) -> list[str]:
    return [record.event for record in caplog.records if getattr(record, "event", "") == "late_look"]


@pytest.mark.parametrize("script", [("look", b".", b"."), (0.0, "look", b"."), (b"", "look", b".")])
def test_what_the_first_chunk_looks_at_is_in_vary(browser, script, caplog) -> None:
    """Whatever looks before the first byte of the body leaves."""
    answer = stream(browser, *script)
    assert (answer.sent.strip(b"."), answer.headers["Vary"], events(caplog)) == (b"", "Cookie", [])


def test_a_stream_that_never_looks_stays_as_it_is(browser, caplog) -> None:
    """A cache may keep it for everybody; an empty one, too."""
    for script in ([b".", b"."], []):
        answer = stream(browser, *script)
        assert (answer.sent, answer.has_header("Vary"), events(caplog)) == (b"".join(script), False, [])


def test_a_later_look_is_one_line_in_the_log(browser, caplog) -> None:
    """The head has left; nothing is said where no cache keeps the stream."""
    answer = stream(browser, b".", "look", b".", b".")
    assert (answer.sent, answer.has_header("Vary"), events(caplog)) == (b"...", False, ["late_look"])
    stream(browser, b".", "look", b".", headers={"Cache-Control": "private"})
    assert events(caplog) == ["late_look"]


def test_where_the_application_blocks_the_first_chunk_is_committed_before_it_leaves(browser) -> None:
    """A new session gets its cookie; on an event loop the head does not wait for that, so it is an error there."""
    browser.client.raise_request_exception = False
    answer = stream(browser, "set", b".")
    if browser.colour == "sync":
        assert (answer.sent, answer.headers["Cache-Control"], list(answer.cookies)) == (b".", "no-store", ["sessionid"])
        assert browser.go(("get", "a")).seen == 1
    else:
        assert (answer.status_code, list(answer.cookies)) == (500, [])


def test_an_outage_at_the_first_look_is_a_503(browser) -> None:
    """Nothing has left yet; what other middlewares added stays."""
    answer = stream(browser, BackendUnavailable("away"), headers={**PUBLIC, "X-Request-Id": "7"})
    assert (answer.status_code, answer.headers["Retry-After"], answer.headers["X-Request-Id"]) == (503, "2", "7")
    assert (answer.headers["Cache-Control"], answer.headers["Content-Type"]) == (
        "no-store",
        "text/plain; charset=utf-8",
    )


def test_an_event_stream_that_says_nothing_has_begun(browser) -> None:
    """The answer is there before its first event."""
    told = threading.Event()
    headers = {"Content-Type": "text/event-stream"}

    def silent(_request: Any, _script: Script) -> Iterator[bytes]:
        told.wait()
        yield b"data: 1"

    async def asilent(_request: Any, _script: Script) -> AsyncIterator[bytes]:
        await asyncio.to_thread(told.wait)
        yield b"data: 1"

    made = silent if browser.colour == "sync" else asilent

    async def visited() -> bytes:
        answer = await browser.client.get(address(browser.colour, (), headers, made))
        told.set()
        return await _joined(answer)

    if browser.colour == "async":
        assert browser.wait(visited()) == b"data: 1"
        return
    answer = browser.get(address(browser.colour, (), headers, made))
    assert answer.headers["Vary"] == "Cookie"
    told.set()
    assert b"".join(answer.streaming_content) == b"data: 1"


def test_a_body_of_the_other_colour_has_vary(browser) -> None:
    """It cannot be waited for, and may look."""
    made = abody if browser.colour == "sync" else body
    answer = browser.get(address(browser.colour, (b".",), PUBLIC, made))
    assert answer.headers["Vary"] == "Cookie"
    answer.close()


def test_a_stream_keeps_its_task_and_its_timeouts(browser) -> None:
    """Also when its first chunk takes longer than the head waits."""
    if browser.colour == "sync":
        pytest.skip("of event loops")
    tasks: set[Any] = set()

    async def numbers(_request: Any, _script: Script) -> AsyncIterator[bytes]:
        async with asyncio.timeout(30), asyncio.TaskGroup():
            for number in range(3):
                tasks.add(asyncio.current_task())
                await asyncio.sleep(0.02)
                yield str(number).encode()

    async def served() -> list[Any]:
        return await _served(address("async", (), PUBLIC, numbers))

    sent = browser.wait(served())
    assert b"".join(message.get("body", b"") for message in sent) == b"012"
    assert len(tasks) == 1


@pytest.mark.parametrize("head_waits", [60.0, 0.0], ids=["in the middleware", "in the server"])
def test_a_visitor_who_goes_ends_the_stream(browser, head_waits, monkeypatch) -> None:
    """Wherever its first chunk is awaited it is closed, and no task is left."""
    if browser.colour == "sync":
        pytest.skip("of event loops")
    ended: list[str] = []

    async def silent(_request: Any, _script: Script) -> AsyncIterator[bytes]:
        try:
            await asyncio.sleep(60)
            yield b""
        finally:
            await asyncio.sleep(0)
            ended.append("yes")

    async def left() -> None:
        before = asyncio.all_tasks()
        await asyncio.wait_for(_served(address("async", (), PUBLIC, silent), leaves_after=0.05), 30)
        assert asyncio.all_tasks() == before

    monkeypatch.setattr("sharedsession.frameworks.django.stream.HEAD_WAITS", head_waits)
    browser.wait(left())
    assert ended == ["yes"]


async def _served(path: str, leaves_after: float = 60.0) -> list[Any]:
    """One request by ASGI, by Django's own handler."""
    sent: list[Any] = []
    asked: list[int] = []

    async def receive() -> Any:
        if asked:
            await asyncio.sleep(leaves_after)
            return {"type": "http.disconnect"}
        asked.append(1)
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": [], "server": ("a", 80)}
    await ASGIHandler()({**scope, "asgi": {"version": "3.0"}, "http_version": "1.1"}, receive, send)
    return sent


def test_the_head_of_wsgi(browser) -> None:
    """Django's own handler tells the server what the first chunk looked at."""
    if browser.colour == "async":
        pytest.skip("of WSGI")
    heads: list[Any] = []
    path = address("sync", ("look", b"."), PUBLIC)
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "SERVER_NAME": "a",
        "SERVER_PORT": "80",
        "wsgi.input": BytesIO(),
    }
    answer = WSGIHandler()(
        {**environ, "wsgi.url_scheme": "http", "wsgi.input": BytesIO()}, lambda *head: heads.append(head)
    )
    assert ("Vary", "Cookie") in heads[0][1]
    assert b"".join(answer) == b"."
    answer.close()
