"""`sharedsession.testing.logged_in`: a visitor with a session, in the test client of each framework."""

import asyncio
import warnings
from typing import Any

import flask
import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from sharedsession import ConfigurationError, SessionManager
from sharedsession.frameworks.flask import SharedSession
from sharedsession.frameworks.starlette import SessionMiddleware
from sharedsession.testing import ManualEnvironment, alogged_in, logged_in, memory_backend
from sharedsession.wsgi import SessionMiddleware as WsgiMiddleware
from tests.support.farm import SECRET

with warnings.catch_warnings():  # Starlette asks for another client than ours; either will do
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

SITE = "https://shop.example"
DATA = {"user": "alice", "cart": [1]}


@pytest.fixture
def manager() -> SessionManager:
    """A farm in memory."""
    return SessionManager.from_settings(secret_key=SECRET, backend="memory://")


def show(session: Any) -> dict[str, Any]:
    return {"data": dict(session), "principal": session.principal, "handle": session.id}


def test_wsgi(manager: SessionManager) -> None:
    """With httpx over a WSGI application."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [repr(show(environ["sharedsession.session"])).encode()]

    visitor = logged_in(manager, DATA, principal="user:1")
    transport = httpx.WSGITransport(app=WsgiMiddleware(app, manager=manager))
    with httpx.Client(transport=transport, base_url=SITE, cookies=visitor.cookies) as client:
        expected = {"data": DATA, "principal": "user:1", "handle": visitor.handle}
        assert client.get("/").text == repr(expected)
    assert [info.id for info in manager.list("user:1")] == [visitor.handle]


@pytest.mark.parametrize("way", ["cookies", "headers"])
def test_starlette(manager: SessionManager, way: str) -> None:
    """With Starlette's own client, by its cookies or by a header."""

    async def page(request: Any) -> JSONResponse:
        return JSONResponse(show(request.session))

    app = Starlette(routes=[Route("/", page)])
    app.add_middleware(SessionMiddleware, manager=manager)
    visitor = asyncio.run(alogged_in(manager, DATA))
    client = TestClient(app, base_url=SITE, **{way: getattr(visitor, way)})
    assert client.get("/").json() == {"data": DATA, "principal": None, "handle": visitor.handle}


def test_flask(manager: SessionManager) -> None:
    """With Flask's own client."""
    app = flask.Flask(__name__)
    app.secret_key = SECRET
    SharedSession(app, manager=manager)
    app.add_url_rule("/", view_func=lambda: show(flask.session))
    visitor, client = logged_in(manager, DATA), app.test_client()
    client.set_cookie(visitor.cookie_name, visitor.token)
    assert client.get("/", base_url="https://localhost").json["data"] == DATA


def test_the_clock_is_the_test_s() -> None:
    """A session ends when the test says that its time has passed."""
    environment = ManualEnvironment()
    manager = SessionManager.from_settings(
        environment=environment, secret_key=SECRET, backend=memory_backend(environment), idle_timeout=60
    )
    logged_in(manager, principal="user:1")
    environment.advance(59)
    assert len(manager.list("user:1")) == 1
    environment.advance(2)
    assert manager.list("user:1") == []


def test_what_cannot_be_logged_in(manager: SessionManager) -> None:
    """An empty session is not stored, and a farm without cookies has none to give."""
    with pytest.raises(ConfigurationError, match="needs data or a principal"):
        logged_in(manager)
    with pytest.raises(ConfigurationError, match="takes none"):
        logged_in(SessionManager.from_settings(secret_key=SECRET, backend="memory://", transport="header"), DATA)


def test_no_token_is_printed(manager: SessionManager) -> None:
    """A failing test prints its variables."""
    visitor = logged_in(manager, DATA)
    assert visitor.token not in repr(visitor)
