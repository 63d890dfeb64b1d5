"""ASGI contenders: one function each, ``(url, payload, slide) -> application``. The rules are those of `wsgi_apps`."""

# ruff: noqa: PLC0415  (see above)

import itertools
from typing import Any

from benchmarks.deeds import PATHS, deed
from benchmarks.wsgi_apps import SECRET

Payload = dict[str, Any]
_TEXT = [(b"content-type", b"text/plain")]


def _page(find: Any, payload: Payload) -> Any:
    """The application around which everybody wraps a session: ``find(scope)`` gives it."""

    async def page(scope: Any, _receive: Any, send: Any) -> None:
        text = deed(scope["path"], lambda: find(scope), payload)
        await send({"type": "http.response.start", "status": 200, "headers": list(_TEXT)})
        await send({"type": "http.response.body", "body": text.encode()})

    return page


def bare(_url: str, payload: Payload, _slide: bool) -> Any:
    """The same work on a dictionary that nobody stores."""
    return _page(lambda _scope: dict(payload, count=0), payload)


def floor(url: str, payload: Payload, _slide: bool) -> Any:
    """A hand-written connection for each task."""
    from benchmarks.floor import asgi

    return asgi(url, payload)


def straight(url: str, payload: Payload, _slide: bool) -> Any:
    """Cookie, seal, codec and conditional write by hand."""
    from benchmarks.straight import asgi

    return asgi(url, payload, SECRET)


def ours(url: str, payload: Payload, _slide: bool) -> Any:
    """Ours around a plain application."""
    from sharedsession.asgi import SessionMiddleware

    page = _page(lambda scope: scope["session"], payload)
    return SessionMiddleware(page, secret_key=SECRET, backend=url, timeout=5.0)


def ours_lazy(url: str, payload: Payload, _slide: bool) -> Any:
    """Ours, loaded by the application that wants it."""
    from sharedsession.asgi import SessionMiddleware

    page = _page(lambda scope: scope["session"], payload)

    async def loading(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] != "/untouched":
            await scope["session"].load()
        await page(scope, receive, send)

    return SessionMiddleware(loading, secret_key=SECRET, backend=url, timeout=5.0, autoload=False)


def ours_with_principal(url: str, payload: Payload, _slide: bool) -> Any:
    """Each session is another principal's: what its security stamp costs."""
    from sharedsession.asgi import SessionMiddleware

    numbers = itertools.count()

    def session_of(scope: Any) -> Any:
        session = scope["session"]
        if scope["path"] == "/new":
            session.principal = f"user:{next(numbers)}"
        return session

    return SessionMiddleware(_page(session_of, payload), secret_key=SECRET, backend=url, timeout=5.0)


def _redis(url: str) -> Any:
    from redis.asyncio import Redis

    return Redis.from_url(url.replace("valkey", "redis", 1))


# -- Starlette


def _starlette(payload: Payload, *middleware: Any, find: Any = None, prepare: Any = None) -> Any:
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def view(request: Any) -> Any:
        path = request.scope["path"]
        if prepare and path != "/untouched":
            await prepare(request)
        return PlainTextResponse(deed(path, lambda: find(request) if find else request.session, payload))

    return Starlette(routes=[Route(path, view) for path in PATHS], middleware=list(middleware))


def starlette_bare(_url: str, payload: Payload, _slide: bool) -> Any:
    """Starlette without sessions."""
    return _starlette(payload, find=lambda _request: dict(payload, count=0))


def starlette_ours(url: str, payload: Payload, _slide: bool) -> Any:
    """Starlette with ours."""
    from starlette.middleware import Middleware

    from sharedsession.frameworks.starlette import SessionMiddleware

    return _starlette(payload, Middleware(SessionMiddleware, secret_key=SECRET, backend=url, timeout=5.0))


def starlette_lazy(url: str, payload: Payload, _slide: bool) -> Any:
    """Starlette with ours, loaded by the view that wants it."""
    from starlette.middleware import Middleware

    from sharedsession.frameworks.starlette import SessionMiddleware

    wrapped = Middleware(SessionMiddleware, secret_key=SECRET, backend=url, timeout=5.0, autoload=False)
    return _starlette(payload, wrapped, prepare=lambda request: request.session.load())


def starsessions(url: str, payload: Payload, slide: bool, *, autoload: bool = False) -> Any:
    """starsessions, loaded by the view that wants it, or by its own middleware for all of them."""
    from starlette.middleware import Middleware
    from starsessions import SessionAutoloadMiddleware, SessionMiddleware, load_session
    from starsessions.stores.redis import RedisStore

    store = RedisStore(connection=_redis(url))
    wrapped = Middleware(SessionMiddleware, store=store, lifetime=1200, rolling=slide, cookie_https_only=False)
    if autoload:
        return _starlette(payload, wrapped, Middleware(SessionAutoloadMiddleware))
    return _starlette(payload, wrapped, prepare=load_session)


# -- FastAPI


def _fastapi(payload: Payload, find: Any) -> Any:
    from fastapi import FastAPI, Request, Response

    app = FastAPI()

    async def view(request: Request) -> Response:
        text = deed(request.scope["path"], lambda: find(request), payload)
        return Response(text, media_type="text/plain")

    for path in PATHS:
        app.add_api_route(path, view)
    return app


def fastapi_bare(_url: str, payload: Payload, _slide: bool) -> Any:
    """FastAPI without sessions."""
    return _fastapi(payload, lambda _request: dict(payload, count=0))


def fastapi_ours(url: str, payload: Payload, _slide: bool) -> Any:
    """FastAPI with ours."""
    from sharedsession.frameworks.starlette import SessionMiddleware

    app = _fastapi(payload, lambda request: request.session)
    app.add_middleware(SessionMiddleware, secret_key=SECRET, backend=url, timeout=5.0)
    return app


def fastapi_redis_sdk(url: str, payload: Payload, _slide: bool) -> Any:
    """The SDK of Redis; it needs hash fields with a time to live (Valkey 9, Redis 7.4)."""
    from redis_fastapi import RedisSessionStore
    from redis_fastapi.sessions import add_redis_sessions

    app = _fastapi(payload, lambda request: request.session)
    add_redis_sessions(app, store=RedisSessionStore(_redis(url), idle_ttl=1200, absolute_ttl=43200))
    return app


# -- Litestar


def _litestar(payload: Payload, find: Any, **options: Any) -> Any:
    from litestar import Litestar, Request, get

    @get(list(PATHS), media_type="text/plain")
    async def view(request: Request[Any, Any, Any]) -> str:
        return deed(request.scope["path"], lambda: find(request), payload)

    return Litestar([view], openapi_config=None, logging_config=None, **options)


def litestar_bare(_url: str, payload: Payload, _slide: bool) -> Any:
    """Litestar without sessions."""
    return _litestar(payload, lambda _request: dict(payload, count=0))


def litestar(url: str, payload: Payload, slide: bool) -> Any:
    """Litestar's own sessions."""
    from litestar.middleware.session.server_side import ServerSideSessionConfig
    from litestar.stores.redis import RedisStore

    config = ServerSideSessionConfig(max_age=1200, renew_on_access=slide)
    store = RedisStore(_redis(url))
    return _litestar(
        payload, lambda request: request.session, middleware=[config.middleware], stores={"sessions": store}
    )
