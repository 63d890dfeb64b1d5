"""Litestar, through plain `sharedsession.asgi`: its ``request.session`` is ours, around it and in its own stack."""

import warnings
from typing import Any

import pytest

from sharedsession.asgi import SessionMiddleware
from sharedsession.backends import connect
from tests.support.blocking import never_blocks  # noqa: F401  (autouse)
from tests.support.farm import SECRET
from tests.support.webserver import require

require("Litestar", "litestar")

with warnings.catch_warnings():  # Litestar's own affair
    warnings.simplefilter("ignore")
    from litestar import Litestar, Request, WebSocket, get, post, websocket
    from litestar.middleware import DefineMiddleware
    from litestar.testing import TestClient

SITE = "https://shop.example"


@get("/n")
async def count(request: Request) -> str:
    return str(request.session.increment("n"))


@get("/thread", sync_to_thread=True)
def in_thread(request: Request) -> str:
    return str(request.session.increment("n"))


@get("/show")
async def show(request: Request) -> dict[str, Any]:
    return dict(request.session)


@post("/login")
async def login(request: Request) -> str:
    request.session.regenerate()
    request.session["user"] = "alice"
    return "hello"


@post("/set")
async def set_session(request: Request) -> str:
    request.set_session({"user": "bob"})
    return "set"


@post("/clear")
async def clear_session(request: Request) -> str:
    request.clear_session()
    return "cleared"


@get("/load")
async def load(request: Request) -> dict[str, Any]:
    await request.session.load()
    return dict(request.session)


@websocket("/chat")
async def chat(socket: WebSocket) -> None:
    await socket.accept()
    socket.session["chatted"] = True
    await socket.session.asave()
    await socket.send_json(dict(socket.session))
    await socket.close()


HANDLERS = [count, in_thread, show, login, set_session, clear_session, load, chat]
SETTINGS: dict[str, Any] = {"secret_key": SECRET}


def around() -> Any:
    return SessionMiddleware(Litestar(HANDLERS), **SETTINGS, backend=connect("memory://"))


def inside() -> Any:
    return Litestar(
        HANDLERS, middleware=[DefineMiddleware(SessionMiddleware, **SETTINGS, backend=connect("memory://"))]
    )


@pytest.fixture(params=[around, inside])
def browser(request: pytest.FixtureRequest) -> Any:
    with TestClient(request.param(), base_url=SITE) as client:
        yield client


def test_request_session(browser: Any) -> None:
    """Read, written, given a new ID and shown, in coroutines and in threads."""
    assert [browser.get(path).text for path in ("/n", "/thread", "/n")] == ["1", "2", "3"]
    before = dict(browser.cookies)
    assert browser.post("/login").text == "hello"
    assert dict(browser.cookies) != before
    assert browser.get("/show").json() == {"n": 3, "user": "alice"}


def test_websockets(browser: Any) -> None:
    """A websocket's session is the same one."""
    browser.get("/n")
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    with browser.websocket_connect("/chat", headers={"cookie": cookie}) as socket:
        assert socket.receive_json() == {"n": 1, "chatted": True}
    assert browser.get("/show").json() == {"n": 1, "chatted": True}


def test_set_and_clear_session(browser: Any) -> None:
    """Litestar's `set_session` puts other data in its place, and `clear_session` is a logout."""
    browser.get("/n")
    browser.post("/set")
    assert browser.get("/show").json() == {"user": "bob"}
    kept = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    assert "Max-Age=0" in browser.post("/clear").headers["set-cookie"]
    assert browser.get("/show", headers={"cookie": kept}).json() == {}


def test_on_demand() -> None:
    """With `autoload=False` a handler awaits `load`, as under any ASGI framework."""
    app = SessionMiddleware(Litestar(HANDLERS), **SETTINGS, backend=connect("memory://"), autoload=False)
    with TestClient(app, base_url=SITE) as browser:
        assert browser.get("/n").text == "1"
        assert browser.get("/load").json() == {"n": 1}
        assert browser.get("/n").status_code == 500  # SessionNotLoaded
