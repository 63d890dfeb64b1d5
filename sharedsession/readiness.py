"""What a load balancer asks: whether this web node can reach the store. 200 or 503, and a little JSON.

Two small applications, one of each colour, to be mounted beside the user's. Each answer is made anew: the store is
asked for one sign of life, within ``timeout``, and not at all while its breaker is open. No secret and no password is
in an answer, and no address of a server unless that was asked for.
"""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from sharedsession.asgi import Receive, Scope, Send
from sharedsession.errors import ConfigurationError
from sharedsession.manager import SessionManager

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_METHODS = ("GET", "HEAD")
_PHRASES = {200: "200 OK", 405: "405 Method Not Allowed", 503: "503 Service Unavailable"}


class WsgiReadiness:
    """A WSGI application that answers whether the store can be reached; made by `wsgi`."""

    def __init__(self, manager: SessionManager, *, details: bool) -> None:
        self._manager = manager
        self._details = details

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Serves one request."""
        method = environ["REQUEST_METHOD"]
        is_ready = method in _METHODS and self._manager.ready()
        answer = _answer(method, self._manager.health(), is_ready=is_ready, details=self._details)
        start_response(_PHRASES[answer.status], answer.headers)
        return [answer.body]


class AsgiReadiness:
    """An ASGI application that answers whether the store can be reached; made by `asgi`."""

    def __init__(self, manager: SessionManager, *, details: bool) -> None:
        self._manager = manager
        self._details = details

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request; what is not HTTP is none of its business."""
        if scope["type"] != "http":
            return
        method = scope["method"]
        is_ready = method in _METHODS and await self._manager.aready()
        answer = _answer(method, self._manager.health(), is_ready=is_ready, details=self._details)
        headers = [(name.lower().encode(), value.encode()) for name, value in answer.headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})


def wsgi(manager: SessionManager, *, details: bool = False) -> WsgiReadiness:
    """Makes the application that a load balancer asks, for a WSGI server.

    Args:
        manager: of the application; or one of its own, from the same settings.
        details: whether to tell all of `SessionManager.health`: addresses, counters and the fingerprint.

    Raises:
        ConfigurationError: the manager is of the other colour.
    """
    if not manager.loads_on_demand:
        raise ConfigurationError("readiness.wsgi needs the manager of a WSGI application: use readiness.asgi")
    return WsgiReadiness(manager, details=details)


def asgi(manager: SessionManager, *, details: bool = False) -> AsgiReadiness:
    """Same as `wsgi`, for an ASGI server."""
    if manager.loads_on_demand:
        raise ConfigurationError("readiness.asgi needs the manager of an ASGI application: use readiness.wsgi")
    return AsgiReadiness(manager, details=details)


class _Answer(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    body: bytes


def _answer(method: str, health: dict[str, Any], *, is_ready: bool, details: bool) -> _Answer:
    if method not in _METHODS:
        return _Answer(405, [("Allow", ", ".join(_METHODS)), *_head(b"")], b"")
    facts = health if details else _summary(health["backend"])
    body = json.dumps({"status": "ok" if is_ready else "unavailable", **facts}).encode()
    return _Answer(200 if is_ready else 503, _head(body), b"" if method == "HEAD" else body)


def _head(body: bytes) -> list[tuple[str, str]]:
    return [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
    ]


def _summary(backend: dict[str, Any]) -> dict[str, Any]:
    """What may be shown to anybody: the kind of the store, and how many of its servers are up and down."""
    states = [node.get("state") for node in backend.get("nodes", ())]
    return {
        "backend": backend.get("kind", ""),
        "nodes": {"up": states.count("up"), "down": states.count("down")},
    }
