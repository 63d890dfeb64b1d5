"""What a load balancer asks: whether this web node can reach the store. 200 or 503, and a little JSON.

Two small applications, one of each colour, to be mounted beside the user's. Each answer is made anew: the store is
asked whether it answers, within ``timeout``, and not at all while its breaker is open. No secret and no password is in
an answer, and no address of a server unless that was asked for.
"""

import json
from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from sharedsession.asgi import Receive, Scope, Send
from sharedsession.concurrency import run
from sharedsession.http import Answer, make_answer, send_answer
from sharedsession.manager import SessionManager, engines_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_METHODS = ("GET", "HEAD")


def is_ready(manager: SessionManager) -> bool:
    """Asks the store whether it answers, within ``timeout``; not at all while it is known to be down.

    With ``farm_check="refuse"``, a web node that disagrees with its farm is not ready either.
    """
    return run(engines_of(manager).blocking.is_ready())


async def ais_ready(manager: SessionManager) -> bool:
    """Same as `is_ready`, on an event loop."""
    engine = engines_of(manager).on_loop
    return await engine.driver.run(engine.is_ready)


class WsgiReadiness:
    """A WSGI application that answers whether the store can be reached; made by `wsgi`."""

    def __init__(self, manager: SessionManager, *, details: bool) -> None:
        self._manager = manager
        self._details = details

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Serves one request."""
        method = environ["REQUEST_METHOD"]
        ready = method in _METHODS and is_ready(self._manager)
        answer = _answer(method, self._manager.health(), ready=ready, details=self._details)
        start_response(answer.status_line, answer.headers)
        return [answer.body]


class AsgiReadiness:
    """An ASGI application that answers whether the store can be reached; made by `asgi`."""

    def __init__(self, manager: SessionManager, *, details: bool) -> None:
        self._manager = manager
        self._details = details

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request; does nothing with what is not HTTP."""
        if scope["type"] != "http":
            return
        method = scope["method"]
        ready = method in _METHODS and await ais_ready(self._manager)
        await send_answer(_answer(method, self._manager.health(), ready=ready, details=self._details), send)


def wsgi(manager: SessionManager, *, details: bool = False) -> WsgiReadiness:
    """Makes the application that a load balancer asks, for a WSGI server.

    Args:
        manager: of the application.
        details: whether to answer all of `SessionManager.health`: addresses, counters and the fingerprint.
    """
    return WsgiReadiness(manager, details=details)


def asgi(manager: SessionManager, *, details: bool = False) -> AsgiReadiness:
    """Same as `wsgi`, for an ASGI server."""
    return AsgiReadiness(manager, details=details)


def _answer(method: str, health: dict[str, Any], *, ready: bool, details: bool) -> Answer:
    headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
    if method not in _METHODS:
        return make_answer(HTTPStatus.METHOD_NOT_ALLOWED, [("Allow", ", ".join(_METHODS)), *headers], b"")
    facts = health if details else _summary(health["backend"])
    body = json.dumps({"status": "ok" if ready else "unavailable", **facts}).encode()
    status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
    return make_answer(status, headers, body, method=method)


def _summary(backend: dict[str, Any]) -> dict[str, Any]:
    """Returns what is no secret: the kind of the store, and how many of its nodes are up and down."""
    states = [node.get("state") for node in backend.get("nodes", ())]
    return {
        "backend": backend.get("kind", ""),
        "nodes": {"up": states.count("up"), "down": states.count("down")},
    }
