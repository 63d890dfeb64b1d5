"""A visitor who comes with the signed cookie that Flask or Starlette made itself keeps what was in it, once."""

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flask
import pytest
from starlette.applications import Starlette
from starlette.middleware.sessions import SessionMiddleware as Theirs
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from sharedsession import ConfigurationError
from sharedsession.asgi import SessionMiddleware as PlainAsgi
from sharedsession.frameworks.flask import SharedSession
from sharedsession.frameworks.starlette import SessionMiddleware
from sharedsession.wsgi import SessionMiddleware as PlainWsgi
from tests.frameworks.test_starlette import TestClient

SECRET = secrets.token_urlsafe(48)
DATA = {"user": "alice", "cart": [1, 2]}


def flask_client(*, shared: bool, cookies: Any = None, **config: Any) -> Any:
    """An application as it was, or as it is now, and a browser with these cookies."""
    app = flask.Flask(__name__)
    app.config |= {"SECRET_KEY": SECRET, **config}
    if shared:
        SharedSession(app, backend="memory://", adopt=True)
    app.add_url_rule("/put", "put", lambda: str(flask.session.update(DATA, _permanent=False) or "ok"))
    app.add_url_rule("/get", "get", lambda: dict(flask.session))
    app.add_url_rule("/out", "out", lambda: str(flask.session.clear() or "ok"))
    app.add_url_rule("/none", "none", lambda: "untouched")
    client = app.test_client()
    for name, value in (cookies or {}).items():
        client.set_cookie(name, value)
    return client


def flask_cookie() -> str:
    before = flask_client(shared=False)
    before.get("/put")
    return str(before.get_cookie("session").value)


@pytest.mark.parametrize("first", ["/get", "/none"])
@pytest.mark.parametrize("development", [False, True])
def test_a_visitor_of_flask(first: str, development: bool) -> None:
    """The data are there, the cookie is ours from then on, Flask's is gone; a logout ends it."""
    client = flask_client(shared=True, cookies={"session": flask_cookie()}, SHAREDSESSION_DEVELOPMENT=development)
    ours = "session" if development else "__Host-session"
    assert len(client.get(first).headers.getlist("Set-Cookie")) == (1 if development else 2)
    assert client.get_cookie(ours).value[40] == "."
    assert development or client.get_cookie("session") is None
    assert client.get("/get").json == DATA
    assert "Set-Cookie" not in client.get("/get").headers
    client.get("/out")
    assert client.get("/get").json == {}


@pytest.mark.parametrize("cookie", ["", "garbage", "eyJ1c2VyIjoiZXZlIn0.aaaa.bbbb"])
def test_what_flask_did_not_sign_is_not_adopted(cookie: str) -> None:
    """It is no session, and no cookie is set."""
    client = flask_client(shared=True, cookies={"session": cookie})
    answer = client.get("/get")
    assert (answer.json, "Set-Cookie" in answer.headers) == ({}, False)


def test_a_session_of_ours_is_not_adopted_into() -> None:
    """Who has our cookie has a session already, even if it has ended."""
    client = flask_client(shared=True)
    client.get("/put")
    token = client.get_cookie("__Host-session").value
    client.get("/out")
    client.set_cookie("__Host-session", token)
    client.set_cookie("session", flask_cookie())
    assert client.get("/get").json == {}


def test_a_weak_secret_adopts_nothing() -> None:
    """Anybody could have signed what is to be adopted."""
    with pytest.raises(ConfigurationError, match=r"^SECRET_KEY is too short"):
        flask_client(shared=True, SECRET_KEY="dev", SHAREDSESSION_SECRET_KEY=SECRET)


# -- Starlette


async def _page(request: Request) -> JSONResponse:
    if request.url.path == "/put":
        request.session.update(DATA)
    if request.url.path == "/out":
        request.session.clear()
    return JSONResponse(dict(request.session))


_app = Starlette(routes=[Route("/{path}", _page)])


def starlette_client(**settings: Any) -> TestClient:
    return TestClient(SessionMiddleware(_app, SECRET, backend="memory://", **settings), base_url="https://testserver")


@pytest.fixture
def their_cookie() -> Iterator[str]:
    with TestClient(Theirs(_app, SECRET), base_url="https://testserver") as before:
        before.get("/put")
        yield before.cookies["session"]


@pytest.mark.parametrize("settings", [{}, {"session_cookie": "session"}, {"autoload": True}, {"max_age": 3600}])
def test_a_visitor_of_starlette(their_cookie: str, settings: dict[str, Any]) -> None:
    """The data are there, the cookie is ours from then on, Starlette's is gone; a logout ends it."""
    with starlette_client(adopt=True, **settings) as browser:
        browser.cookies.set("session", their_cookie, domain="testserver.local", path="/")
        assert browser.get("/get").json() == DATA
        ours = settings.get("session_cookie", "__Host-session")
        assert {name: value[40] for name, value in browser.cookies.items()} == {ours: "."}
        answer = browser.get("/get")
        assert (answer.json(), "set-cookie" in answer.headers) == (DATA, False)
        browser.get("/out")
        assert browser.get("/get").json() == {}


def test_a_visitor_of_starlette_where_nothing_is_loaded_unasked(their_cookie: str) -> None:
    """With `autoload=False` no token of ours was searched for yet, and still none means that there is one to adopt."""
    with starlette_client(adopt=True, autoload=False) as browser:
        browser.cookies.set("session", their_cookie, domain="testserver.local", path="/")
        assert browser.get("/get").json() == DATA
        assert set(browser.cookies) == {"__Host-session"}


def test_off_by_default(their_cookie: str) -> None:
    """Nobody's cookie is taken over unasked."""
    with starlette_client() as browser:
        assert browser.get("/get", headers={"cookie": f"session={their_cookie}"}).json() == {}


def test_what_starlette_did_not_sign_is_not_adopted(their_cookie: str) -> None:
    """Another secret's, a damaged and a planted one."""
    with starlette_client(adopt=True) as browser:
        for cookie in ("", "garbage", their_cookie[:-2], "bnVsbA==.aaaa.bbbb"):
            answer = browser.get("/get", headers={"cookie": f"session={cookie}"})
            assert (answer.json(), "set-cookie" in answer.headers) == ({}, False)


@pytest.mark.parametrize("middleware", [PlainAsgi, PlainWsgi])
def test_only_frameworks_have_something_to_adopt(middleware: Any) -> None:
    """Elsewhere the setting is a mistake."""
    with pytest.raises(ConfigurationError, match="adopt"):
        middleware(_app, secret_key=SECRET, backend="memory://", adopt=True)


def test_adopting_needs_the_secret_itself(tmp_path: Path) -> None:
    """A key file holds no secret of Starlette's."""
    file = tmp_path / "farm.key"
    file.write_text(SECRET)
    with pytest.raises(ConfigurationError, match="secret_key"):
        SessionMiddleware(_app, key_file=file, backend="memory://", adopt=True)
