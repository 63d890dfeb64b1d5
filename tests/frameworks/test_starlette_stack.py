"""Starlette's middleware stack: before, behind and twice; mounts, errors, streams, background tasks, websockets."""

import contextlib
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from sharedsession import SessionError
from sharedsession.backends import connect
from tests.frameworks.test_starlette import SITE, TestClient, count, sessions, show, site
from tests.support.blocking import never_blocks  # noqa: F401  (autouse)

# -- after the response has begun


def test_background_tasks_and_streams() -> None:
    """Where the browser holds the ID, what they change is saved; `asave` saves at once."""

    async def late(request: Request) -> StreamingResponse:
        async def chunks() -> Any:
            yield b"one"
            request.session["streamed"] = True
            await request.session.asave()  # type: ignore[attr-defined]
            yield b"two"

        async def after() -> None:
            request.session["after"] = True

        return StreamingResponse(chunks(), background=BackgroundTask(after))

    browser = site(Route("/n", count), Route("/late", late))
    with pytest.raises(SessionError, match="response has started"):
        browser.get("/late")
    browser.get("/n")
    assert browser.get("/late").text == "onetwo"
    assert browser.get("/show").json() == {"n": 1, "streamed": True, "after": True}


# -- among other middlewares


class Stamp(BaseHTTPMiddleware):
    """Writes before and after the rest of the stack."""

    async def dispatch(self, request: Request, call_next: Callable[..., Any]) -> Any:
        if "session" in request.scope:
            request.session["before"] = True
        response = await call_next(request)
        if "session" in request.scope:
            request.session["after"] = True
        return response


@pytest.mark.parametrize("stack", ["behind", "behind twice", "in front", "both"])
def test_base_http_middleware(stack: str) -> None:
    """Behind ours, once and twice: what it writes is kept. In front of ours it sees no session of ours."""
    front = [Middleware(Stamp)] * (stack in {"in front", "both"})
    behind = [Middleware(Stamp)] * {"behind": 1, "behind twice": 2, "both": 1}.get(stack, 0)
    browser = site(Route("/n", count), stack=[*front, sessions(), *behind])
    browser.get("/n")
    browser.get("/n")
    seen = browser.get("/show").json()
    assert (seen["n"], "after" in seen, "before" in seen) == (2, bool(behind), bool(behind))


@pytest.mark.parametrize("ours_first", [True, False])
def test_cors_and_gzip(ours_first: bool) -> None:
    """In either order: one cookie, and a `Vary` that names whatever the response depends on."""

    def long(request: Request) -> PlainTextResponse:
        request.session["n"] = 1
        return PlainTextResponse("x" * 2000)

    others = [
        Middleware(GZipMiddleware),
        Middleware(CORSMiddleware, allow_origins=["https://a.example"], allow_credentials=True),
    ]
    browser = site(Route("/", long), stack=[sessions(), *others] if ours_first else [*others, sessions()])
    reply = browser.get("/", headers={"origin": "https://a.example"})
    assert len(reply.headers.get_list("set-cookie")) == 1
    assert {name.strip().lower() for name in reply.headers["vary"].split(",")} == {
        "cookie",
        "origin",
        "accept-encoding",
    }
    assert (reply.headers["content-encoding"], len(reply.text)) == ("gzip", 2000)
    assert "set-cookie" not in browser.options("/", headers={"origin": "https://a.example"}).headers


def test_errors_on_the_way() -> None:
    """An `HTTPException`, a handler's page and a 404 are responses, so they save; an exception saves nothing."""

    def forbid(request: Request) -> None:
        request.session["forbid"] = True
        raise HTTPException(403)

    def crash(request: Request) -> None:
        request.session["crash"] = True
        raise ValueError("on purpose")

    def handled(request: Request) -> None:
        raise KeyError("on purpose")

    def page(request: Request, _error: Exception) -> PlainTextResponse:
        request.session["page"] = request.url.path
        return PlainTextResponse("sorry", 500)

    app = Starlette(
        routes=[Route("/forbid", forbid), Route("/crash", crash), Route("/handled", handled), Route("/show", show)],
        middleware=[sessions()],
        exception_handlers={KeyError: page, 404: page},
    )
    browser = TestClient(app, base_url=SITE, raise_server_exceptions=False)
    assert [browser.get(path).status_code for path in ("/forbid", "/crash", "/handled", "/missing")] == [
        403,
        500,
        500,
        500,
    ]
    assert browser.get("/show").json() == {"forbid": True, "page": "/missing"}


def test_mounted_applications() -> None:
    """Patterns see the whole path, behind a mount and a proxy's prefix too; two middlewares keep to one cookie."""
    backend = connect("memory://")
    inner = Starlette(
        routes=[Route("/n", count), Route("/free/n", lambda r: PlainTextResponse(str("session" in r.scope)))]
    )
    wrapped = Starlette(routes=[Route("/n", count)], middleware=[sessions(backend=backend)])
    browser = site(
        Mount("/shop", inner),
        Mount("/own", wrapped),
        Route("/n", count),
        stack=[sessions(backend=backend, exclude=["/shop/free/*"])],
    )
    assert [browser.get(path).text for path in ("/n", "/shop/n", "/own/n", "/n")] == ["1", "2", "3", "4"]
    assert browser.get("/shop/free/n").text == "False"
    proxied = TestClient(
        Starlette(
            routes=[Route("/free", lambda r: PlainTextResponse(str("session" in r.scope)))],
            middleware=[sessions(exclude=["/api/free"])],
        ),
        base_url=SITE,
        root_path="/api",
    )
    assert proxied.get("/api/free").text == "False"


@pytest.mark.parametrize("lifespan", [True, False])
def test_lifespan(lifespan: bool) -> None:
    """With and without its events, which other middlewares and the application still get."""
    seen: list[str] = []

    async def life(app: Any) -> Any:
        seen.append("up")
        yield
        seen.append("down")

    app = Starlette(routes=[Route("/n", count)], middleware=[sessions()], lifespan=contextlib.asynccontextmanager(life))
    client = TestClient(app, base_url=SITE)
    with client if lifespan else contextlib.nullcontext():
        assert [client.get("/n").text for _ in range(2)] == ["1", "2"]
    assert seen == (["up", "down"] if lifespan else [])


# -- websockets


def test_websockets() -> None:
    """Its cookie is set at accept; `asave` saves; after a logout elsewhere `load` finds an empty, ended session."""

    async def chat(websocket: WebSocket) -> None:
        session: Any = websocket.session
        session.increment("n")
        await websocket.accept()
        session["said"] = await websocket.receive_text()
        await session.asave()
        await websocket.send_text("saved")
        await websocket.receive_text()
        await session.load()
        await websocket.send_json({"left": dict(session), "new": session.is_new})
        with pytest.raises(SessionError, match="response has started"):
            session["more"] = 1
        await websocket.close()

    def logout(request: Request) -> PlainTextResponse:
        request.session.destroy()  # type: ignore[attr-defined]
        return PlainTextResponse("bye")

    browser = site(WebSocketRoute("/chat", chat), Route("/logout", logout), Route("/n", count))
    with browser.websocket_connect("/chat", headers={"host": "shop.example"}) as first:
        lines = [value.decode() for name, value in first.extra_headers if name == b"set-cookie"]
        assert len(lines) == 1
        cookie = {"cookie": lines[0].partition(";")[0]}
        first.send_text("hello")
        assert first.receive_text() == "saved"
        assert httpx.Headers(browser.get("/show", headers=cookie).headers)["vary"] == "Cookie"
        assert browser.get("/show", headers=cookie).json() == {"n": 1, "said": "hello"}
        browser.get("/logout", headers=cookie)
        first.send_text("")
        assert first.receive_json() == {"left": {}, "new": True}
    assert browser.get("/show", headers=cookie).json() == {}
