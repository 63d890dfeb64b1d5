"""Our 503 in the application's place keeps what every answer of the application carries: CORS, HSTS, a number.

The store is away, for visitors that it knows and for new ones, for a page that reads and one that writes.
"""

import socket
from collections.abc import Callable, Iterator
from typing import Any

import fastapi
import flask
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocketDisconnect

from sharedsession import asgi, wsgi
from sharedsession.frameworks import starlette
from sharedsession.frameworks.flask import SharedSession
from tests.frameworks.test_starlette import TestClient
from tests.support.farm import SECRET

SITE = "https://shop.example"
ORIGIN = {"Origin": "https://spa.example"}
ALWAYS = {
    "Access-Control-Allow-Origin": "https://spa.example",
    "Strict-Transport-Security": "max-age=1",
    "X-Request-Id": "7",
    "Content-Security-Policy": "default-src 'none'",
}
OF_THE_PAGE = {
    "Content-Type": "application/json",
    "Content-Disposition": "attachment",
    "Content-Encoding": "identity",
    "ETag": '"1"',
    "Cache-Control": "public, max-age=60",
    "CDN-Cache-Control": "max-age=60",
    "Expires": "Tue, 01 Dec 2099 00:00:00 GMT",
    "Location": "/done",
    "X-Accel-Redirect": "/secret",
    "HX-Redirect": "/done",
    "Clear-Site-Data": '"cookies"',
}
GONE = [name for name in OF_THE_PAGE if name not in {"Content-Type", "Cache-Control"}]


@pytest.fixture
def away() -> Iterator[str]:
    """The URL of a Redis that is not there; nobody else can take its port."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        yield f"redis://127.0.0.1:{nobody.getsockname()[1]}"


@pytest.fixture
def token() -> str:
    """The token of a session that the store would know."""
    app = flask.Flask(__name__)
    SharedSession(app, secret_key=SECRET, backend="memory://")
    app.add_url_rule("/", view_func=lambda: str(flask.session.update(a=1)))
    client = app.test_client()
    client.get("/")
    return str(client.get_cookie("__Host-session").value)  # type: ignore[union-attr]


def plain_wsgi(backend: str) -> Any:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        session = environ["sharedsession.session"]
        start_response("200 OK", [*ALWAYS.items(), *OF_THE_PAGE.items(), ("Vary", "Origin"), ("Set-Cookie", "lang=de")])
        return [_did(session, environ["PATH_INFO"])]

    return _flask_client_of(wsgi.SessionMiddleware(app, secret_key=SECRET, backend=backend))


def with_flask(backend: str) -> Any:
    app = flask.Flask(__name__)
    SharedSession(app, secret_key=SECRET, backend=backend)

    @app.after_request
    def each(response: flask.Response) -> flask.Response:
        response.headers.update(ALWAYS)
        response.vary.add("Origin")
        response.set_cookie("lang", "de")
        return response

    @app.get("/<path:path>")
    def page(path: str) -> flask.Response:
        return flask.Response(_did(flask.session, f"/{path}"), headers=OF_THE_PAGE)

    return app.test_client(use_cookies=False)


def plain_asgi(backend: str) -> Any:
    async def app(scope: Any, _receive: Any, send: Any) -> None:
        body = _did(scope["session"], scope["path"])
        headers = [*ALWAYS.items(), *OF_THE_PAGE.items(), ("Vary", "Origin"), ("Set-Cookie", "lang=de")]
        head = [(name.lower().encode(), value.encode()) for name, value in headers]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body})

    return _asgi_client_of(asgi.SessionMiddleware(app, secret_key=SECRET, backend=backend))


def _starlette(backend: str, *, inside: bool, made: Callable[..., Any]) -> Any:
    cors = Middleware(CORSMiddleware, allow_origins=["https://spa.example"], allow_credentials=True)
    sessions = Middleware(starlette.SessionMiddleware, secret_key=SECRET, backend=backend)
    return _asgi_client_of(made([sessions, cors] if inside else [cors, sessions]))


def _pages(stack: list[Middleware]) -> Starlette:
    async def page(request: Request) -> PlainTextResponse:
        answer = PlainTextResponse(_did(request.session, request.url.path), headers=ALWAYS | OF_THE_PAGE)
        answer.set_cookie("lang", "de")
        return answer

    return Starlette(routes=[Route("/{path}", page)], middleware=stack)


def _api(stack: list[Middleware]) -> fastapi.FastAPI:
    app = fastapi.FastAPI(middleware=stack)

    @app.get("/{path}")
    def page(path: str, session: starlette.CurrentSession) -> fastapi.Response:
        return fastapi.Response(_did(session, f"/{path}"), headers=ALWAYS | OF_THE_PAGE)

    return app


def cors_inside(backend: str) -> Any:
    return _starlette(backend, inside=True, made=_pages)


def cors_outside(backend: str) -> Any:
    return _starlette(backend, inside=False, made=_pages)


def cors_inside_of_fastapi(backend: str) -> Any:
    return _starlette(backend, inside=True, made=_api)


def _did(session: Any, path: str) -> bytes:
    if path == "/write":
        session["a"] = 2
    if path in {"/read", "/write"}:
        return str(session.get("a")).encode()
    return b"-"


def _asgi_client_of(app: Any) -> TestClient:
    return TestClient(app, base_url=SITE, raise_server_exceptions=False)


def _flask_client_of(app: Any) -> Any:
    shell = flask.Flask(__name__)
    shell.wsgi_app = app  # type: ignore[method-assign]
    return shell.test_client(use_cookies=False)


def visit(browser: Any, path: str, token: str) -> Any:
    cookie = {"Cookie": f"__Host-session={token}"} if token else {}
    return browser.get(path, headers={**ORIGIN, **cookie})


SITES = [plain_wsgi, with_flask, plain_asgi, cors_inside, cors_outside, cors_inside_of_fastapi]


@pytest.mark.parametrize("site", SITES)
def test_a_failed_commit_keeps_what_every_answer_carries(site: Any, away: str) -> None:
    """And nothing of the page in whose place it stands: it is a new visitor's first write that is not saved."""
    answer = visit(site(away), "/write", "")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (503, "no-store")
    assert {name: answer.headers.get(name) for name in ALWAYS} == ALWAYS
    assert [name for name in GONE if name in answer.headers] == []
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert {"cookie", "origin"} <= {name.strip().lower() for name in ",".join(all_of(answer, "Vary")).split(",")}
    cookies = [line.partition(";")[0] for line in all_of(answer, "Set-Cookie")]
    assert cookies == ([] if site is cors_inside_of_fastapi else ["lang=de"])


@pytest.mark.parametrize("site", [plain_wsgi, with_flask, cors_inside, cors_outside, cors_inside_of_fastapi])
@pytest.mark.parametrize("path", ["/read", "/write"])
def test_a_failed_read_keeps_it_as_well(site: Any, path: str, away: str, token: str) -> None:
    """Where the application has begun to answer, or its framework makes the answer; the cookie stays."""
    answer = visit(site(away), path, token)
    assert (answer.status_code, int(answer.headers["Retry-After"]) >= 1) == (503, True)
    assert answer.headers["Access-Control-Allow-Origin"] == "https://spa.example"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "cookie" in answer.headers["Vary"].lower()
    assert not [line for line in all_of(answer, "Set-Cookie") if line.startswith("__Host-session")]


@pytest.mark.parametrize("site", [with_flask, plain_wsgi, cors_inside, cors_outside])
def test_a_page_that_does_not_look_is_served(site: Any, away: str, token: str) -> None:
    """Where our middleware can tell: an application of plain ASGI is not asked while its session cannot be loaded."""
    assert visit(site(away), "/other", token).status_code == 200


def test_an_application_may_answer_an_outage_by_itself(away: str, token: str) -> None:
    """By the handlers that its framework has for an `HTTPException`."""

    async def sorry(_request: Any, error: Exception) -> PlainTextResponse:
        return PlainTextResponse(f"sorry: {error.status_code}", 503)  # type: ignore[attr-defined]

    async def page(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(request.session.get("a")))

    sessions = Middleware(starlette.SessionMiddleware, secret_key=SECRET, backend=away)
    app = Starlette(routes=[Route("/", page)], middleware=[sessions], exception_handlers={503: sorry})
    assert visit(_asgi_client_of(app), "/", token).text == "sorry: 503"


def test_a_dependency_that_loads_passes_through_them_as_well(away: str, token: str) -> None:
    """`CurrentSession` with ``autoload=False``."""
    cors = Middleware(CORSMiddleware, allow_origins=["https://spa.example"])
    sessions = Middleware(starlette.SessionMiddleware, secret_key=SECRET, backend=away, autoload=False)
    answer = visit(_asgi_client_of(_api([sessions, cors])), "/read", token)
    assert (answer.status_code, answer.json()["detail"][:17]) == (503, "The session store")
    assert answer.headers["Access-Control-Allow-Origin"] == "https://spa.example"


def test_a_websocket_is_closed(away: str, token: str) -> None:
    """It has no middleware that could make an answer of an error."""

    async def talk(websocket: Any) -> None:
        await websocket.accept()

    sessions = Middleware(starlette.SessionMiddleware, secret_key=SECRET, backend=away)
    browser = _asgi_client_of(Starlette(routes=[WebSocketRoute("/", talk)], middleware=[sessions]))
    with (
        pytest.raises(WebSocketDisconnect) as left,
        browser.websocket_connect("/", headers={"Cookie": f"__Host-session={token}"}),
    ):
        pass
    assert left.value.code == 1013


def all_of(answer: Any, name: str) -> list[str]:
    headers = answer.headers
    return list(headers.get_list(name) if hasattr(headers, "get_list") else headers.getlist(name))
