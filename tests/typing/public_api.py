"""The public API as a user types it. Only mypy reads this file; nothing in it is ever run."""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, assert_type

from opentelemetry.trace import get_tracer_provider
from prometheus_client import REGISTRY

import sharedsession
from sharedsession import (
    BackendUnavailable,
    ConfigurationError,
    Conflict,
    Event,
    LockTimeout,
    LogoutNotConfirmed,
    MachineKey,
    Session,
    SessionEnded,
    SessionError,
    SessionInfo,
    SessionManager,
    SessionNotLoaded,
    SessionTooLarge,
    readiness,
)
from sharedsession.asgi import Receive, Scope, Send
from sharedsession.asgi import SessionMiddleware as AsgiMiddleware
from sharedsession.backends import connect
from sharedsession.backends.base import AsyncBackend, Backend, Ended, Stored, Version
from sharedsession.telemetry.opentelemetry import instrument
from sharedsession.telemetry.prometheus import Collector
from sharedsession.wsgi import SessionMiddleware as WsgiMiddleware

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def wsgi_app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """An application that blocks."""
    session: Session = environ["sharedsession.session"]
    session["cart"] = [1, 2]
    session["cart"].append(3)
    session |= {"seen": date(2026, 1, 1)}
    assert_type(session["cart"], Any)
    assert_type(session.get("cart"), Any)
    assert_type("cart" in session, bool)
    assert_type(session.id, str)
    assert_type(session.is_new, bool)
    assert_type(session.accessed, bool)
    assert_type(session.modified, bool)
    assert_type(session.created_at, datetime)
    assert_type(session.expires_at, datetime)
    assert_type(session.principal, str | None)
    assert_type(session.idle_timeout, float)
    assert_type(session.persistent, bool | None)
    assert_type(session.increment("hits"), Any)
    session.append("log", "entry")
    session.regenerate()
    session.regenerate(grace=10)
    session.principal = "user:42"
    with session.lock(timeout=5, lease=10) as locked:
        assert_type(locked, Session)
    session.principal = None
    session.idle_timeout = 60
    session.persistent = True
    session.save()
    session.load()
    session.destroy()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b""]


async def asgi_app(scope: Scope, receive: Receive, send: Send) -> None:
    """An application on an event loop."""
    session: Session = scope["session"]
    await session.load()
    await session.asave()
    async with session.lock() as locked:
        assert_type(locked, Session)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def mistakes(session: Session, environ: "WSGIEnvironment") -> None:
    """What a type checker finds before a user does; an error that is not found any more is an error here."""
    session[1] = "x"  # type: ignore[index]
    session.id = "x"  # type: ignore[misc]
    session.modified = True  # type: ignore[misc]
    session.principal = 42  # type: ignore[assignment]
    session.user = 1  # type: ignore[attr-defined]
    WsgiMiddleware(wsgi_app, idle_timout=60)  # type: ignore[call-arg]
    WsgiMiddleware(wsgi_app, idle_timeout="60")  # type: ignore[arg-type]
    WsgiMiddleware(asgi_app, secret_key="x")  # type: ignore[arg-type]
    AsgiMiddleware(wsgi_app, secret_key="x")  # type: ignore[arg-type]
    MachineKey(5)  # type: ignore[arg-type]


def told(event: Event) -> None:
    """What happened to a session."""
    assert_type((event.name, event.session, event.principal), tuple[str, str | None, str | None])


def middlewares() -> None:
    """Every setting, as a keyword of either middleware."""
    wsgi = WsgiMiddleware(
        wsgi_app,
        secret_key=["new", b"old", MachineKey("older")],
        backend="sqlite:///",
        app_name="shop",
        idle_timeout=timedelta(minutes=20),
        absolute_timeout=None,
        cookie_name="__Secure-session",
        cookie_path="/",
        cookie_domain="example.com",
        cookie_secure=True,
        cookie_samesite="lax",
        cookie_partitioned=False,
        cookie_persistent=True,
        transport="cookie+header",
        header_name="X-Session-Token",
        conflict="merge",
        on_outage="anonymous",
        timeout=0.25,
        breaker_window=2,
        max_size=1 << 16,
        max_sessions=5,
        remember_client=True,
        on_event=told,
        websocket_check=timedelta(seconds=30),
        farm_check="warn",
        compress_above=4096,
        encrypt=True,
        autoload=True,
        exclude=["/static/*"],
        development=False,
    )
    asgi = AsgiMiddleware(asgi_app, key_file="/etc/shop/keys", backend=OwnBackend(), exclude="/static/*")
    assert_type(wsgi.manager, SessionManager)
    assert_type(asgi.manager, SessionManager)
    as_application: WSGIApplication = wsgi
    AsgiMiddleware(asgi, secret_key="a middleware is an application too")
    del as_application


async def managers() -> None:
    """The manager, in both colours."""
    manager = SessionManager.from_settings(secret_key=MachineKey.generate(), backend="memory://")
    assert_type(manager.health(), dict[str, Any])
    assert_type(await manager.ahealth(), dict[str, Any])
    assert_type(manager.fingerprint(), dict[str, str])
    assert_type(manager.list("user:42"), list[SessionInfo])
    assert_type(await manager.alist("user:42"), list[SessionInfo])
    assert_type(manager.revoke("handle"), bool)
    assert_type(await manager.arevoke("handle"), bool)
    assert_type(manager.revoke_all("user:42", except_="handle"), int)
    assert_type(await manager.arevoke_all("user:42"), int)
    assert_type(await manager.afingerprint(), dict[str, str])
    assert_type(readiness.is_ready(manager), bool)
    assert_type(await readiness.ais_ready(manager), bool)
    WsgiMiddleware(wsgi_app, manager=manager)
    AsgiMiddleware(asgi_app, manager=manager)
    for_wsgi: WSGIApplication = readiness.wsgi(manager, details=True)
    AsgiMiddleware(readiness.asgi(manager), secret_key="an application")
    REGISTRY.register(Collector(manager))
    instrument(manager)
    instrument(manager, tracer_provider=get_tracer_provider())
    del for_wsgi
    assert_type(connect("redis://localhost", breaker_window=1.0), Backend | AsyncBackend)
    assert_type(MachineKey.generate(), str)
    assert_type(sharedsession.__version__, str)


def errors(session: Session) -> None:
    """Each error can be caught by its own name, and all of them by one."""
    try:
        session.save()
    except (
        SessionEnded,
        Conflict,
        SessionTooLarge,
        SessionNotLoaded,
        LogoutNotConfirmed,
        ConfigurationError,
        LockTimeout,
    ) as error:
        root: SessionError = error
        raise root from None
    except BackendUnavailable as error:
        backend: sharedsession.BackendError = error
        raise backend from None


class OwnBackend:
    """A backend of the user's own: no base class, only the verbs."""

    max_value = 1 << 20

    def get(self, key: str, touch: float | None, timeout: float) -> Stored | Ended | None:
        return Stored(b"", 1)

    def add(self, key: str, value: bytes, ttl: float, timeout: float) -> Version | None:
        return 1

    def replace(self, key: str, value: bytes, ttl: float, version: Version, timeout: float) -> Version | None:
        return None

    def supersede(
        self, key: str, ttl: float, timeout: float, version: Version, note: bytes = b"", note_ttl: float = 0.0
    ) -> bool:
        return False

    def end(self, key: str, ttl: float, timeout: float) -> None:
        return None

    def touch(self, key: str, ttl: float, timeout: float) -> bool:
        return False

    def close(self) -> None:
        return None

    def health(self) -> dict[str, Any]:
        return {}


assert_type(OwnBackend.max_value, int)
own: Backend = OwnBackend()
