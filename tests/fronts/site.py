"""The site behind the fronts, as WSGI and as ASGI: pages that tempt a cache as much as an application can.

Each says ``Cache-Control: public``, also those that look at the session or hand out a cookie, and what nginx heeds
before that; who enters is named in a header that no cache knows of. One is a stream that looks when its head is made.
What keeps visitors apart then is the library alone.
"""

import os
from collections.abc import Iterable
from typing import Any

from sharedsession import Session, asgi, readiness, wsgi

TEMPTING = [
    ("Cache-Control", "public, max-age=60"),
    ("X-Accel-Expires", "60"),
    ("Surrogate-Control", "max-age=60"),
]


def page(path: str, name: str, session: Session) -> str:
    """What a visitor reads."""
    if path == "/public":
        return "for everybody"
    if path == "/enter":
        session.regenerate()
        session["name"] = name
    elif path == "/renew":
        session.regenerate()
    elif path == "/leave":
        session.destroy()
        return "goodbye"
    elif path == "/count":
        return f"{session['name']} {session.increment('n')}"
    return str(session.get("name", "nobody"))


def headers() -> list[tuple[str, str]]:
    return [("Content-Type", "text/plain"), ("X-Node", os.environ["NODE"]), *TEMPTING]


def _wsgi_pages(environ: Any, start_response: Any) -> Iterable[bytes]:
    name, session = environ.get("HTTP_X_NAME", ""), environ["sharedsession.session"]
    if environ["PATH_INFO"] == "/stream":
        start_response("200 OK", headers())
        return (page(path, name, session).encode() for path in ("/mine",))
    text = page(environ["PATH_INFO"], name, session)
    start_response("200 OK", headers())
    return [text.encode()]


async def _asgi_pages(scope: Any, receive: Any, send: Any) -> None:
    name = dict(scope["headers"]).get(b"x-name", b"").decode()
    head = [(key.lower().encode(), value.encode()) for key, value in headers()]
    start = {"type": "http.response.start", "status": 200, "headers": head}
    if scope["path"] == "/stream":
        await send(start)
        text = page("/mine", name, scope["session"])
    else:
        text = page(scope["path"], name, scope["session"])
        await send(start)
    await send({"type": "http.response.body", "body": text.encode()})


def _careless(name: str, value: str) -> bool:
    """Whether a header is one of those by which the library tells caches apart."""
    return name.lower() == "vary" or (name.lower() == "cache-control" and value == "no-store")


def wsgi_site() -> Any:
    app = wsgi.SessionMiddleware(_wsgi_pages)
    ready = readiness.wsgi(app.manager)

    def site(environ: Any, start_response: Any) -> Any:
        if environ["PATH_INFO"] == "/ready":
            return ready(environ, start_response)
        if environ["PATH_INFO"] != "/careless":
            return app(environ, start_response)
        return app(environ, lambda status, head, *_: start_response(status, [h for h in head if not _careless(*h)]))

    return site


def asgi_site() -> Any:
    app = asgi.SessionMiddleware(_asgi_pages)
    ready = readiness.asgi(app.manager)

    async def site(scope: Any, receive: Any, send: Any) -> None:
        async def carelessly(message: Any) -> None:
            if "headers" in message:
                head = [(k, v) for k, v in message["headers"] if not _careless(k.decode(), v.decode())]
                message = {**message, "headers": head}
            await send(message)

        if scope.get("path") == "/ready":
            await ready(scope, receive, send)
        else:
            await app(scope, receive, carelessly if scope.get("path") == "/careless" else send)

    return site
