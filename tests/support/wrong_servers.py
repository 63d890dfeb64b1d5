"""Middlewares that tests run under a server of the other kind."""

from typing import Any

from sharedsession.asgi import SessionMiddleware as AsgiMiddleware
from sharedsession.wsgi import SessionMiddleware as WsgiMiddleware
from tests.support.farm import SECRET


def _wsgi(_environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [b"served"]


async def _asgi(_scope: Any, _receive: Any, _send: Any) -> None: ...


wrong_wsgi = WsgiMiddleware(_wsgi, secret_key=SECRET, backend="memory://")
wrong_asgi = AsgiMiddleware(_asgi, secret_key=SECRET, backend="memory://")
