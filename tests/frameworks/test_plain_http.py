"""A Secure cookie over plain HTTP is told once in the log, in every framework, and not where TLS ends further out."""

import asyncio
from collections.abc import Callable
from typing import Any

import flask
import pytest
from django.test import AsyncClient, Client, override_settings
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from werkzeug.test import Client as WsgiClient

from sharedsession.frameworks.flask import SharedSession
from sharedsession.frameworks.starlette import SessionMiddleware as ForStarlette
from sharedsession.wsgi import SessionMiddleware
from tests.frameworks.django import site
from tests.frameworks.test_starlette import TestClient
from tests.support.farm import SECRET

Get = Callable[[str, dict[str, str]], object]  # a new visitor looks: at a scheme, with headers
OURS: dict[str, Any] = {"secret_key": SECRET, "backend": "memory://"}


def in_wsgi(**settings: Any) -> Get:
    def app(environ: Any, start_response: Any) -> Any:
        if environ["PATH_INFO"] != "/untouched":
            environ["sharedsession.session"]["x"] = 1
        start_response("200 OK", [])
        return [b""]

    middleware = SessionMiddleware(app, **OURS, **settings)
    return lambda url, headers: WsgiClient(middleware).get("/", base_url=url, headers=headers)


def in_flask(**settings: Any) -> Get:
    app = flask.Flask(__name__)
    SharedSession(app, **OURS, **settings)
    app.add_url_rule("/", view_func=lambda: flask.session.__setitem__("x", 1) or "")
    return lambda url, headers: app.test_client().get("/", base_url=url, headers=headers)


async def page(request: Request) -> PlainTextResponse:
    request.session["x"] = 1
    return PlainTextResponse("")


async def chat(websocket: WebSocket) -> None:
    websocket.session["x"] = 1
    await websocket.accept()
    await websocket.close()


def starlette(**settings: Any) -> Starlette:
    routes = [Route("/", page), WebSocketRoute("/chat", chat)]
    return Starlette(routes=routes, middleware=[Middleware(ForStarlette, **OURS, **settings)])


def in_starlette(**settings: Any) -> Get:
    app = starlette(**settings)
    return lambda url, headers: TestClient(app, base_url=url).get("/", headers=headers)


def in_a_websocket(**settings: Any) -> Get:
    app = starlette(**settings)

    def connect(url: str, headers: dict[str, str]) -> None:
        with TestClient(app).websocket_connect(f"{url.replace('http', 'ws')}/chat", headers=headers):
            pass

    return connect


def _django_page(kind: str) -> str:
    def look(request: Any) -> None:
        request.session["x"] = 1

    async def alook(request: Any) -> None:
        request.session["x"] = 1

    return site.address(kind, alook if kind == "async" else look)


def _django(kind: str, settings: dict[str, Any], visit: Callable[[str, bool, dict[str, str]], object]) -> Get:
    path = _django_page(kind)
    given = {"BACKEND": "memory://", "COOKIE_SECURE": True} | {name.upper(): value for name, value in settings.items()}

    def get(url: str, headers: dict[str, str]) -> None:
        with override_settings(SHAREDSESSION=given):
            for _ in range(3 if url == PLAIN else 1):  # each override makes a manager of its own
                visit(path, url.startswith("https"), headers)

    return get


def in_django(**settings: Any) -> Get:
    return _django("sync", settings, lambda path, secure, headers: Client().get(path, secure=secure, headers=headers))


def in_asynchronous_django(**settings: Any) -> Get:
    async def visit(path: str, secure: bool, headers: dict[str, str]) -> None:
        await AsyncClient().get(path, secure=secure, headers=headers)

    return _django("async", settings, lambda *how: asyncio.run(visit(*how)))


SETTING = {in_flask: "SHAREDSESSION_DEVELOPMENT=True", in_django: "DEVELOPMENT", in_asynchronous_django: "DEVELOPMENT"}
PLAIN, TLS = "http://shop.example", "https://shop.example"
everywhere = pytest.mark.parametrize(
    "places", [in_wsgi, in_flask, in_starlette, in_a_websocket, in_django, in_asynchronous_django]
)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if getattr(record, "event", "") == "plain_http"]


@everywhere
def test_it_is_told_once(places: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Three visitors, one record, which names both fixes."""
    get = places()
    for _ in range(1 if "django" in places.__name__ else 3):
        get(PLAIN, {})
    (message,) = told(caplog)
    assert "TLS" in message
    assert SETTING.get(places, "development=True") in message


@everywhere
@pytest.mark.parametrize(
    ("url", "headers"),
    [
        (TLS, {}),
        (PLAIN, {"X-Forwarded-Proto": "https"}),
        (PLAIN, {"X-Forwarded-Proto": "HTTPS, http"}),
        (PLAIN, {"X-Forwarded-Scheme": "https"}),
        (PLAIN, {"Forwarded": "for=192.0.2.1;proto=https"}),
    ],
)
def test_where_tls_ends_further_out(
    places: Any, url: str, headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is told."""
    places()(url, headers)
    assert told(caplog) == []


@everywhere
@pytest.mark.parametrize("settings", [{"transport": "header"}, {"development": True, "cookie_secure": False}])
def test_where_browsers_keep_the_token(places: Any, settings: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """Without a cookie, or with one that is meant for plain HTTP, nothing is told either."""
    places(**settings)(PLAIN, {"X-Forwarded-Proto": "http"})
    assert told(caplog) == []


def test_a_server_that_tells_no_scheme(caplog: pytest.LogCaptureFixture) -> None:
    """What is not known is not told."""

    def app(environ: Any, start_response: Any) -> Any:
        environ["sharedsession.session"]["x"] = 1
        start_response("200 OK", [])
        return [b""]

    list(SessionMiddleware(app, **OURS)({"PATH_INFO": "/"}, lambda *_: print))
    assert told(caplog) == []


def test_it_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Each time, though it is written once."""

    def app(environ: Any, start_response: Any) -> Any:
        environ["sharedsession.session"]["x"] = 1
        start_response("200 OK", [])
        return [b""]

    middleware = SessionMiddleware(app, **OURS)
    for _ in range(3):
        WsgiClient(middleware).get("/", base_url=PLAIN)
    assert middleware.manager.health()["counters"] == {"created": 3, "plain_http": 3}
