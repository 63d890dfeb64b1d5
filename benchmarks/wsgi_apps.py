"""WSGI contenders: one function each, ``(url, payload, slide) -> application``, set up as its own manual says.

Where a manual's settings are plainly bad for speed, the better ones that it also knows are taken: a peer is measured
at its best. A library is imported by the function that needs it, so that those that are not installed are left out.
"""

# ruff: noqa: D103, PLC0415  (one contender a function; see above)

import itertools
import os
import secrets
import threading
from typing import Any
from urllib.parse import urlsplit

from benchmarks.deeds import PATHS, deed

SECRET = os.environ.setdefault("BENCHMARK_SECRET", secrets.token_urlsafe(48))  # the same in all its processes
Payload = dict[str, Any]


def _page(find: Any, payload: Payload, saved: Any = None) -> Any:
    """The application around which everybody wraps a session: ``find(environ)`` gives it."""

    def page(environ: Any, start_response: Any) -> list[bytes]:
        path = environ["PATH_INFO"]
        text = deed(path, lambda: find(environ), payload)
        if saved and path in {"/new", "/write"}:
            saved(find(environ))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [text.encode()]

    return page


def bare(_url: str, payload: Payload, _slide: bool) -> Any:
    """The same work on a dictionary that nobody stores."""
    return _page(lambda environ: dict(payload, count=0), payload)


def floor(url: str, payload: Payload, _slide: bool) -> Any:
    from benchmarks.floor import wsgi

    return wsgi(url, payload)


def straight(url: str, payload: Payload, _slide: bool) -> Any:
    from benchmarks.straight import wsgi

    return wsgi(url, payload, SECRET)


def ours(url: str, payload: Payload, _slide: bool) -> Any:
    from sharedsession.wsgi import ENVIRON_KEY, SessionMiddleware

    page = _page(lambda environ: environ[ENVIRON_KEY], payload)
    return SessionMiddleware(page, secret_key=SECRET, backend=url, timeout=5.0)


def ours_with_principal(url: str, payload: Payload, _slide: bool) -> Any:
    """Each session is another principal's: what its security stamp costs."""
    from sharedsession.wsgi import ENVIRON_KEY, SessionMiddleware

    numbers = itertools.count()

    def session_of(environ: Any) -> Any:
        session = environ[ENVIRON_KEY]
        if environ["PATH_INFO"] == "/new":
            session.principal = f"user:{next(numbers)}"
        return session

    return SessionMiddleware(_page(session_of, payload), secret_key=SECRET, backend=url, timeout=5.0)


def beaker(url: str, payload: Payload, slide: bool) -> Any:
    from beaker.middleware import SessionMiddleware

    page = _page(lambda environ: environ["beaker.session"], payload, lambda session: session.save())
    memcached = url.startswith("memcached")
    address = f"{urlsplit(url).hostname}:{urlsplit(url).port}" if memcached else url.replace("valkey", "redis", 1)
    options = {
        "session.type": "ext:memcached" if memcached else "ext:redis",
        "session.url": address,
        "session.timeout": 1200 if slide else None,
        "session.secret": SECRET,
        "session.data_serializer": "json",
        "session.save_accessed_time": slide,
    }
    return SessionMiddleware(page, options)


# -- Flask


def _flask(payload: Payload, session: Any = None, **config: Any) -> Any:
    import flask

    app = flask.Flask("bench")
    app.config.update(SECRET_KEY=SECRET, SESSION_COOKIE_SECURE=False, **config)
    find = session or (lambda: flask.session)

    def view() -> str:
        return deed(flask.request.path, find, payload)

    for path in PATHS:
        app.add_url_rule(path, path, view)
    return app


def flask_bare(_url: str, payload: Payload, _slide: bool) -> Any:
    from flask.sessions import SessionInterface

    class Nothing(SessionInterface):
        def open_session(self, _app: Any, _request: Any) -> Any:
            return self.session_class()

        def save_session(self, *_: Any) -> None:
            pass

        session_class: Any = type("NoSession", (dict,), {"accessed": False, "modified": False, "new": False})

    app = _flask(payload, lambda: dict(payload, count=0))
    app.session_interface = Nothing()
    return app


def flask_ours(url: str, payload: Payload, _slide: bool) -> Any:
    from sharedsession.frameworks.flask import SharedSession

    app = _flask(payload)
    SharedSession(app, backend=url, timeout=5.0)
    return app


def flask_session(url: str, payload: Payload, slide: bool, *, in_c: bool = False) -> Any:
    """Flask-Session with the client for threads that its manual names, or with the one in C that it tries first."""
    from flask_session import Session

    app = _flask(payload, SESSION_REFRESH_EACH_REQUEST=slide, PERMANENT_SESSION_LIFETIME=1200)
    if in_c:
        app.config.update(SESSION_TYPE="memcached", SESSION_MEMCACHED=_PerThread(url))
    elif url.startswith("memcached"):
        from pymemcache import PooledClient

        # Without no_delay a read behind an unanswered write waits 40 ms for a delayed acknowledgement.
        client: Any = PooledClient((urlsplit(url).hostname, urlsplit(url).port), no_delay=True)
        app.config.update(SESSION_TYPE="memcached", SESSION_MEMCACHED=client)
    else:
        from redis import Redis

        app.config.update(SESSION_TYPE="redis", SESSION_REDIS=Redis.from_url(url.replace("valkey", "redis", 1)))
    Session(app)
    return app


class _PerThread:
    """A pylibmc client for each thread: its manual forbids to share one."""

    def __init__(self, url: str) -> None:
        import pylibmc

        address = f"{urlsplit(url).hostname}:{urlsplit(url).port}"
        self._new = lambda: pylibmc.Client([address], binary=True, behaviors={"tcp_nodelay": True})
        self._local = threading.local()

    def _client(self) -> Any:
        found = getattr(self._local, "client", None)
        if found is None:
            found = self._local.client = self._new()
        return found

    def get(self, key: str) -> Any:
        return self._client().get(key)

    def set(self, key: str, value: Any, seconds: int) -> Any:
        return self._client().set(key, value, seconds)

    def delete(self, key: str) -> Any:
        return self._client().delete(key)


# -- Pyramid


def _pyramid(payload: Payload, find: Any, factory: Any = None) -> Any:
    from pyramid.config import Configurator
    from pyramid.response import Response

    def view(request: Any) -> Any:
        return Response(deed(request.path, lambda: find(request), payload), content_type="text/plain")

    with Configurator(session_factory=factory) as config:
        for path in PATHS:
            config.add_route(path, path)
            config.add_view(view, route_name=path)
        return config.make_wsgi_app()


def pyramid_bare(_url: str, payload: Payload, _slide: bool) -> Any:
    return _pyramid(payload, lambda _request: dict(payload, count=0))


def pyramid_redis(url: str, payload: Payload, slide: bool) -> Any:
    import json

    from pyramid_session_redis import RedisSessionFactory

    factory = RedisSessionFactory(
        secret=SECRET,
        redis_url=url.replace("valkey", "redis", 1),
        timeout=1200,
        timeout_trigger=None if slide else 600,
        serialize=lambda data: json.dumps(data).encode(),
        deserialize=json.loads,
    )
    return _pyramid(payload, lambda request: request.session, factory)
