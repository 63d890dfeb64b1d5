"""`exclude`: one pattern means the same paths in WSGI, ASGI, Flask, Django and Starlette, and under real servers."""

import asyncio
import functools
import io
from typing import Any
from urllib.parse import unquote

import flask
import httpx
import pytest
from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.wsgi import WSGIRequest
from django.test import override_settings

import tests.frameworks.django.site  # noqa: F401  (settings)
from sharedsession.asgi import SessionMiddleware as AsgiMiddleware
from sharedsession.frameworks.django import SessionMiddleware as DjangoMiddleware
from sharedsession.frameworks.flask import FlaskSession, SharedSession
from sharedsession.wsgi import SessionMiddleware as WsgiMiddleware
from tests.support.farm import SECRET
from tests.support.webserver import SERVERS, serving

SETTINGS: dict[str, Any] = {"secret_key": SECRET, "backend": "memory://"}
PATTERNS = ["/static/*", "/médias/*", "/静的/*", "/a b/*", "/m%C3%A9lange/*", "/shop/ünder/*", "/%2A/*"]
EXCLUDED = ["/static/x", "/médias/x", "/静的/x/y", "/a b/x", "/mélange/x", "/shop/ünder/x", "/*/x"]
SERVED = ["/", "/static", "/x/static/x", "/m%C3%A9lange/x", "/mÃ©dias/x", "/ünder/x", "/b/x"]
MOUNTS = ["", "/shop", "/静的"]


def environ(path: str, mount: str = "") -> dict[str, Any]:
    """A request as a WSGI server passes it on."""
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": mount.encode().decode("latin-1"),
        "PATH_INFO": path.encode().decode("latin-1"),
        "SERVER_NAME": "shop.example",
        "SERVER_PORT": "443",
        "wsgi.url_scheme": "https",
        "wsgi.input": io.BytesIO(),
    }


def scope(path: str, mount: str = "", *, with_mount: bool = True) -> dict[str, Any]:
    """The same as an ASGI server does; some leave the mount out of the path."""
    whole = mount + path if with_mount else path
    return {"type": "http", "method": "GET", "path": whole, "root_path": mount, "headers": [], "scheme": "https"}


def in_wsgi(path: str, mount: str) -> bool:
    seen: list[bool] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        seen.append("sharedsession.session" in environ)
        start_response("200 OK", [])
        return []

    list(WsgiMiddleware(app, **SETTINGS, exclude=PATTERNS)(environ(path, mount), lambda *_: print))
    return seen == [True]


def in_asgi(path: str, mount: str, *, with_mount: bool = True) -> bool:
    seen: list[bool] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append("session" in scope)

    middleware: Any = AsgiMiddleware(app, **SETTINGS, exclude=PATTERNS)
    asyncio.run(middleware(scope(path, mount, with_mount=with_mount), None, None))
    return seen == [True]


def in_asgi_without_the_mount(path: str, mount: str) -> bool:
    return in_asgi(path, mount, with_mount=False)


def in_flask(path: str, mount: str) -> bool:
    app = flask.Flask(__name__)
    SharedSession(app, **SETTINGS, exclude=PATTERNS)
    with app.request_context(environ(path, mount)):
        return isinstance(flask.session, FlaskSession)


def in_django(path: str, mount: str) -> bool:
    return _django(WSGIRequest(environ(path, mount)))


def in_asynchronous_django(path: str, mount: str) -> bool:
    return _django(ASGIRequest(scope(path, mount), None))


def _django(request: Any) -> bool:
    seen: list[bool] = []

    def view(request: Any) -> Any:
        seen.append(request.session.defers)
        return flask.Response()

    with override_settings(SHAREDSESSION={"BACKEND": "memory://", "EXCLUDE": PATTERNS}):
        middleware = DjangoMiddleware(view)
        middleware.process_response = lambda _request, response: response  # not what is asked here
        middleware(request)
    return seen == [True]


@pytest.mark.parametrize("mount", MOUNTS)
@pytest.mark.parametrize(
    "has_session", [in_wsgi, in_asgi, in_asgi_without_the_mount, in_flask, in_django, in_asynchronous_django]
)
def test_a_pattern_means_the_whole_path_decoded(has_session: Any, mount: str) -> None:
    """Also where the application is mounted, and whether the server counts the mount as part of the path or not."""
    excluded = [path.removeprefix(mount) for path in EXCLUDED if path.startswith(mount)]
    served = [path for path in SERVED if mount + path not in EXCLUDED and mount != "/静的"]
    assert [path for path in excluded if has_session(path, mount)] == []
    assert [path for path in served if has_session(path, mount)] == served


def test_a_path_that_is_no_utf_8() -> None:
    """Is one like any other."""
    seen: list[bool] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        seen.append("sharedsession.session" in environ)
        start_response("200 OK", [])
        return []

    middleware = WsgiMiddleware(app, **SETTINGS, exclude="/static/*")
    for path in ("/static/\xff", "/\xff", "/静"):  # the last one comes from a server that breaks PEP 3333
        list(middleware({"PATH_INFO": path}, lambda *_: print))
    assert seen == [False, True, True]


# -- real servers


def wsgi(environ: Any, start_response: Any) -> Any:
    """Shows whether the request has a session."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str("sharedsession.session" in environ).encode()]


async def asgi(scope: Any, _receive: Any, send: Any) -> None:
    """The same."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str("session" in scope).encode()})


@functools.cache
def made(middleware: Any, app: Any) -> Any:
    """One middleware for each process of a server, with the settings in its environment."""
    return middleware(app)


def wrapped_wsgi(environ: Any, start_response: Any) -> Any:
    return made(WsgiMiddleware, wsgi)(environ, start_response)


async def wrapped_asgi(scope: Any, receive: Any, send: Any) -> None:
    await made(AsgiMiddleware, asgi)(scope, receive, send)


@pytest.mark.parametrize("server", ["gunicorn", "hypercorn-wsgi", "granian-wsgi", "uvicorn", "hypercorn", "granian"])
def test_as_servers_decode_a_path(server: str) -> None:
    """What a browser sends encoded is the path that the pattern names."""
    env = {
        "SHAREDSESSION_SECRET_KEY": SECRET,
        "SHAREDSESSION_BACKEND": "memory://",
        "SHAREDSESSION_EXCLUDE": "/médias/* /a%20b/*",
    }
    app = f"tests.frameworks.test_excluded_paths:wrapped_{SERVERS[server].colour}"
    with serving(server, app, env=env, workers=1) as url:
        found = {path: httpx.get(f"{url}{path}").text for path in ("/m%C3%A9dias/x", "/a%20b/x", "/media/x")}
    assert {unquote(path): text for path, text in found.items()} == {
        "/médias/x": "False",
        "/a b/x": "False",
        "/media/x": "True",
    }
