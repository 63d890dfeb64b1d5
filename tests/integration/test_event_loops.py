"""Event loops that come and go, one that is closed by hand, and one that is none of asyncio's."""

import asyncio
import contextlib
import gc
import socket
import subprocess
import sys
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from sharedsession import ConfigurationError
from sharedsession.asgi import SessionMiddleware
from sharedsession.frameworks.starlette import SessionMiddleware as ForStarlette
from tests.frameworks.test_starlette import TestClient
from tests.support.farm import SECRET
from tests.support.webserver import ROOT, require

LOOPS, FEW = 40, 5


@pytest.mark.parametrize("url", ["memory", "sqlite", "redis", "memcached", "ring"], indirect=True)
def test_loops_come_and_go(url: str) -> None:
    """As `asyncio.run` and asgiref make them: each serves one visit; when they are over, at most a few are there."""
    app = SessionMiddleware(_count, secret_key=SECRET, backend=url, timeout=5.0, farm_check="warn")
    gc.collect()
    before, cookie = _loops(), b""
    for number in range(1, LOOPS + 1):
        said, cookie = asyncio.run(_visit(app, cookie))
        assert said == str(number).encode()
    gc.collect()
    assert _loops() - before < FEW


def _loops() -> int:
    # By its type: `isinstance` asks an object, and those of a lazy framework do things then.
    return sum(issubclass(type(thing), asyncio.AbstractEventLoop) for thing in gc.get_objects())


async def _visit(app: Any, cookie: bytes) -> tuple[bytes, bytes]:
    sent: asyncio.Queue[Any] = asyncio.Queue()
    await app({"type": "http", "path": "/", "headers": [(b"cookie", cookie)]}, None, sent.put)
    head, body = await sent.get(), await sent.get()
    new = [value.partition(b";")[0] for name, value in head["headers"] if name == b"set-cookie"]
    return body["body"], new[0] if new else cookie


async def _count(scope: Any, _receive: Any, send: Any) -> None:
    count = scope["session"].increment("n")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"%d" % count})


# -- closed by hand

BY_HAND = """
import asyncio, gc, sys
from sharedsession.asgi import SessionMiddleware
from tests.integration.test_event_loops import _count, _open_websocket, _visit

app = SessionMiddleware(_count, secret_key=sys.argv[2], backend=sys.argv[1], timeout=5.0, farm_check="warn")
chat = SessionMiddleware(_open_websocket, manager=app.manager)
cookie = b""
for _ in range(3):
    loop = asyncio.new_event_loop()
    said, cookie = loop.run_until_complete(_visit(app, cookie))
    loop.run_until_complete(_visit(app, cookie))
    scope = {"type": "websocket", "path": "/", "headers": [(b"cookie", cookie)]}
    waiting = loop.create_task(chat(scope, None, asyncio.Queue().put))
    loop.run_until_complete(asyncio.sleep(0.1))
    waiting._log_destroy_pending = False  # that one is not ours
    loop.close()
    del loop, waiting
    gc.collect()
print(said)
"""


@pytest.mark.parametrize("url", ["memory", "sqlite", "redis", "memcached", "ring"], indirect=True)
def test_a_loop_that_is_closed_by_hand(url: str) -> None:
    """Connections and watches that it leaves open say nothing: no traceback, no task destroyed; the next one works."""
    done = subprocess.run(
        [sys.executable, "-c", BY_HAND, url, SECRET], capture_output=True, text=True, cwd=ROOT, timeout=60, check=False
    )
    assert (done.stderr, done.stdout) == ("", "b'5'\n")


IN_FLIGHT = """
import asyncio, gc, sys
from sharedsession.asgi import SessionMiddleware
from tests.integration.test_event_loops import _count, _visit

working = SessionMiddleware(_count, secret_key=sys.argv[2], backend="memory://")
_, cookie = asyncio.run(_visit(working, b""))
app = SessionMiddleware(_count, secret_key=sys.argv[2], backend=sys.argv[1], timeout=5.0)
loop = asyncio.new_event_loop()
waiting = loop.create_task(_visit(app, cookie))
loop.run_until_complete(asyncio.sleep(0.1))
waiting._log_destroy_pending = False  # that one is not ours
loop.close()
del loop, waiting
gc.collect()
"""


@pytest.mark.parametrize("url", ["redis://{0}", "memcached://{0}", "memcached://a={0},b={1},c={2}"])
def test_a_loop_that_is_closed_under_a_request(url: str) -> None:
    """One that waits for a store, which never answers: nothing of ours has anything to say about it."""
    with contextlib.ExitStack() as stack:
        doors = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        silent = url.format(*(f"127.0.0.1:{door.getsockname()[1]}" for door in doors))
        done = subprocess.run(
            [sys.executable, "-c", IN_FLIGHT, silent, SECRET], capture_output=True, text=True, cwd=ROOT, timeout=60
        )
    assert (done.stderr, done.returncode) == ("", 0)


async def _open_websocket(scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "websocket.accept"})
    assert scope["session"].get("n")
    await asyncio.Event().wait()


# -- none of asyncio's


@pytest.mark.parametrize("url", ["memory", "sqlite", "redis", "memcached", "ring"], indirect=True)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_trio_is_told(url: str, kind: str) -> None:
    """Each connection, not only the first, says what the library needs; what looks at no session is served."""
    require("trio", "trio")
    import trio

    app = SessionMiddleware(_count, secret_key=SECRET, backend=url)
    idle = SessionMiddleware(_untouched, manager=app.manager)
    cookie = asyncio.run(_visit(app, b""))[1]
    scope = {"type": kind, "path": "/", "headers": [(b"cookie", cookie)]}
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="trio"):
            trio.run(app, scope, None, _unsent)
    trio.run(idle, {"type": "http", "path": "/", "headers": []}, None, _unsent)


def test_an_error_of_the_application_stays_what_it_is() -> None:
    """A `RuntimeError` on a loop of asyncio's is none of ours."""

    async def fails(_scope: Any, _receive: Any, _send: Any) -> None:
        raise RuntimeError("on purpose")

    app = SessionMiddleware(fails, secret_key=SECRET, backend="memory://")
    with pytest.raises(RuntimeError, match="on purpose"):
        asyncio.run(_visit(app, b""))


@pytest.mark.parametrize("autoload", [True, False])
def test_starlette_on_trio(autoload: bool) -> None:
    """The same through its middlewares, with a worker thread in between."""
    require("trio", "trio")

    def count(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(request.session.increment("n")))  # type: ignore[attr-defined]

    app = Starlette(
        routes=[Route("/", count)],
        middleware=[Middleware(ForStarlette, secret_key=SECRET, backend="memory://", autoload=autoload)],
    )
    cookies = TestClient(app, base_url="https://shop.example").get("/").cookies
    browser = TestClient(app, base_url="https://shop.example", backend="trio", cookies=dict(cookies))
    with pytest.raises(ConfigurationError, match="trio"):
        browser.get("/")


async def _unsent(_message: Any) -> None:
    """A server that nobody reads."""


async def _untouched(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})
