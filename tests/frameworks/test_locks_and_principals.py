"""Locks and principals as users of Flask, Starlette and FastAPI write them, in either colour."""

import warnings
from collections.abc import Iterator
from typing import Any

import flask
import pytest
from fastapi import FastAPI, Request

from sharedsession import SessionManager
from sharedsession.frameworks.flask import SharedSession
from sharedsession.frameworks.starlette import CurrentSession, SessionMiddleware
from sharedsession.manager import engines_of
from tests.support.farm import SECRET
from tests.support.node import Node

with warnings.catch_warnings():  # Starlette asks for another client than ours; either will do
    warnings.simplefilter("ignore")
    from fastapi.testclient import TestClient

SITE = "https://shop.example"
pytestmark = pytest.mark.parametrize("url", ["sqlite", "redis"], indirect=True)


@pytest.fixture
def other(url: str) -> Iterator[Node]:
    """Another process of the farm, which holds locks and looks at lists."""
    node = Node.of(secret_key=SECRET, backend=url, timeout=5.0, development=True)
    yield node
    node.close()


def held_by(node: Node, token: str) -> Any:
    """The lock of a browser's session, to be taken by another process."""
    return node.open([token.encode()]).lock()


def test_flask(url: str, other: Node) -> None:
    """`flask.session.lock()`, `flask.session.principal`, and a 503 while another one holds the lock."""
    app = flask.Flask(__name__)
    app.secret_key = SECRET
    shared = SharedSession(app, backend=url, timeout=5.0, development=True, remember_client=True)

    @app.get("/login")
    def login() -> str:
        flask.session.principal = "user:1"
        flask.session["n"] = 0
        return str(flask.session.id)

    @app.get("/count")
    def count() -> str:
        with flask.session.lock(timeout=0.1) as session:
            session["n"] += 1
        return str(flask.session["n"])

    browser = app.test_client()
    handle = browser.get("/login", headers={"User-Agent": "Phone"}).text
    (info,) = shared.manager.list("user:1")
    assert (info.id, info.user_agent, info.address) == (handle, "Phone", "127.0.0.1")
    assert [browser.get("/count").text for _ in range(2)] == ["1", "2"]
    with held_by(other, browser.get_cookie("session").value):
        answer = browser.get("/count")
        assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)
    assert browser.get("/count").text == "3"
    assert other.manager.revoke_all("user:1") == 1
    assert browser.get("/count").status_code == 500  # no "n" any more: the session has ended
    engines_of(shared.manager).settings.backend.close()


def test_fastapi(url: str, other: Node) -> None:
    """`async with` in a coroutine, `with` in a worker thread; the manager's verbs in both."""
    app = FastAPI()
    app.add_middleware(SessionMiddleware, secret_key=SECRET, backend=url, timeout=5.0, development=True, autoload=False)

    @app.get("/login")
    async def login(session: CurrentSession) -> str:
        session.principal = "user:1"
        session["n"] = 0
        return str(session.id)

    @app.get("/count")
    async def count(session: CurrentSession) -> int:
        async with session.lock(timeout=0.1):
            session["n"] += 1
        return int(session["n"])

    @app.get("/count-in-a-thread")
    def count_in_a_thread(session: CurrentSession) -> int:
        with session.lock(timeout=0.1):
            session["n"] += 1
        return int(session["n"])

    @app.get("/others")
    def others(request: Request) -> int:
        return manager_of(app).revoke_all("user:1", except_=request.session.id)

    with TestClient(app, base_url=SITE) as phone, TestClient(app, base_url=SITE) as laptop:
        phone.get("/login")
        laptop.get("/login")
        assert [laptop.get(path).json() for path in ("/count", "/count-in-a-thread", "/count")] == [1, 2, 3]
        with held_by(other, laptop.cookies["session"]):
            assert {laptop.get(path).status_code for path in ("/count", "/count-in-a-thread")} == {503}
        assert laptop.get("/count-in-a-thread").json() == 4
        assert len(other.manager.list("user:1")) == 2
        assert laptop.get("/others").json() == 1
        assert len(other.manager.list("user:1")) == 1
        backend = engines_of(manager_of(app)).settings.backend
        laptop.portal.call(backend.asynchronous.close)
        backend.close()


def manager_of(app: FastAPI) -> SessionManager:
    """The manager of the middleware, wherever it stands."""
    layer = app.middleware_stack
    while not isinstance(layer, SessionMiddleware):
        layer = layer.app
    return layer.manager
