"""SessionMiddleware for ASGI 3: ``scope["session"]``, loaded before the application runs, or by it.

The session is committed before the first byte of the response leaves; bodies pass through unbuffered. The head of a
response that has not looked at its session yet waits a moment for the first chunk, which may look (`Vary`). A
websocket's session is loaded at connect, and its cookie can be set at accept; when it has ended elsewhere, the
websocket is closed.
"""

import inspect
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any, Unpack

from sharedsession.engine import Engine, WebsocketWatch
from sharedsession.errors import NOT_NOW, BackendUnavailable, ConfigurationError
from sharedsession.http import (
    KEEP,
    Leaving,
    Outcome,
    RawHeaders,
    TokenTransport,
    from_asgi,
    leave_later,
    log_plain_http,
    scope_is_plain,
    scope_path,
    send_answer,
    to_asgi,
)
from sharedsession.manager import MANAGER_KEY, SessionManager, engines_of, log_if_nested, manager_for
from sharedsession.session import UNLOADED, Session
from sharedsession.settings import Keywords, Settings

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_HEADS = {"http.response.start", "websocket.accept", "websocket.http.response.start", "websocket.close"}
_KINDS = {"http", "websocket"}
_NOTHING: Message = {}
_POLICY_VIOLATION = 1008  # RFC 6455, section 7.4.1
_LITESTARS_SESSIONS = ("litestar.middleware.session", "litestar.security.session_auth")
_TRY_AGAIN_LATER = 1013  # IANA's registry of close codes


class SessionMiddleware:
    """Gives an ASGI application its sessions.

    Args:
        app: the application.
        manager: a `SessionManager` that several middlewares share; then no setting may stand beside it.
        **settings: see the table of settings; ``secret_key`` is required.

    Attributes:
        manager: the `SessionManager`.

    Raises:
        ConfigurationError: a setting is wrong; the message names it and the fix.
    """

    manager: SessionManager
    _kind: type[Session] = Session

    def __init__(self, app: App, *, manager: SessionManager | None = None, **settings: Unpack[Keywords]) -> None:
        self._serve_with(app, manager_for(manager, settings, Settings.load))

    def _serve_with(self, app: App, manager: SessionManager) -> None:
        _check_application(app)
        self.app = app
        self.manager = manager
        self._engine = engines_of(manager).on_loop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection."""
        engine, kind = self._engine, scope["type"]
        settings = engine.settings
        if kind not in _KINDS or (settings.is_excluded is not None and settings.is_excluded(scope_path(scope))):
            await self.app(scope, receive, send)
            return
        session = engine.open(self._kind, partial(_tokens, settings.transport, scope["headers"]))
        if settings.remember_client:
            session._state.client = _client(scope)
        if MANAGER_KEY in scope:
            log_if_nested(self.manager, scope[MANAGER_KEY])
        # A copy: what is ours must not reach those outside (ASGI specification, "Middleware").
        scope = {**scope, "session": session, MANAGER_KEY: self.manager}
        response = _Response(engine, session, scope, send)
        try:
            if kind == "websocket":
                receive = response.watched(receive)
            if settings.autoload and response.state.status is UNLOADED:
                await self._load(session, scope)
            await self.app(scope, receive, response.send)
            await response.finish()
        except NOT_NOW:
            engine.leave(session)
            await response.refuse()
        except BaseException as error:
            engine.leave(session)
            engine.check_event_loop(error)  # if that is the reason, it is told in plain words
            raise
        finally:
            if response.leaving is not None or response.watch is not None:
                await response.stop()

    def _load(self, session: Session, scope: Scope) -> Awaitable[None]:
        """Loads the session before the application runs."""
        return self._engine.load(session)


# Python refuses a call with the two arguments of a WSGI server before a line of ours runs: its message says this name.
SessionMiddleware.__call__.__qualname__ = "SessionMiddleware of sharedsession.asgi (for WSGI use sharedsession.wsgi)"


def _check_application(app: object) -> None:
    try:
        if callable(app):  # what is nothing yet is not judged
            inspect.signature(app).bind("scope", "receive", "send")
    except TypeError:
        raise ConfigurationError(
            "sharedsession.asgi serves ASGI 3 applications, and this one takes no (scope, receive, send): for a WSGI "
            "application use SessionMiddleware of sharedsession.wsgi, for Flask SharedSession(app)"
        ) from None
    except ValueError:  # it does not tell its parameters
        return


def _tokens(transport: TokenTransport, headers: RawHeaders) -> list[bytes]:
    wanted = transport.raw_header_name
    cookies, token = [], b""
    for name, value in headers:
        if name == b"cookie":
            cookies.append(value)
        elif name == wanted:
            token = value
    cookie = cookies[0] if len(cookies) == 1 else b"; ".join(cookies)  # HTTP/2 may split it (RFC 9113, 8.2.3)
    return transport.tokens(cookie, token)


class _Response:
    """One response on its way out: its head waits until the session is committed.

    Attributes:
        leaving: of the head, while it waits for the first chunk.
        watch: over the session of a websocket.
    """

    leaving: Leaving | None = None
    watch: WebsocketWatch | None = None
    _started = _refused = False
    _is_closed = False  # of a websocket: by the application
    _passes = False  # whether what the application sends passes straight through
    _held: Message | None = None  # the head, while it waits
    _bare: Message | None = None  # the head that has left before the application looked at the session

    def __init__(self, engine: Engine, session: Session, scope: Scope, send: Send) -> None:
        self._engine = engine
        self._settings = engine.settings
        self.session = session
        self.state = session._state
        self._scope = scope
        self._send = send

    def watched(self, receive: Receive) -> Receive:
        """Has the session of a websocket watched. Returns a function that receives, and notes that it is in use."""
        watch = self.watch = self._engine.watch(self.session, self.close_websocket)

        async def received() -> Message:
            message = await receive()
            watch.is_in_use = watch.is_in_use or message["type"] == "websocket.receive"
            return message

        return received

    def send(self, message: Message) -> Awaitable[None]:
        """What the application calls."""
        if self._passes:
            return self._send(message)
        if not self._started and message["type"] in _HEADS:
            return self._begin(message)
        return self._go_on(message)

    async def _go_on(self, message: Message) -> None:
        """Sends what comes behind a head that waits, or that has left before the session was looked at."""
        if self.leaving is not None and not await self._has_left(self.leaving, message):
            return
        if self._bare is not None and self.state.accessed:
            headers = from_asgi(self._bare.get("headers", ()))
            self._settings.transport.report_late_look(headers, self._engine.observer)
            self._bare = None
        self._is_closed = self._is_closed or message["type"] == "websocket.close"
        if not self._refused:
            await self._send(message)

    def finish(self) -> Awaitable[None]:
        """Saves what changed after the first byte. No cookie can be set any more, and none is needed."""
        if not self._started or self._refused or self.leaving is not None:
            return self._finish_late()
        self._take_over_replaced_session()
        return self._engine.finish(self.session)

    async def _finish_late(self) -> None:
        if self.leaving is not None:
            await self._has_left(self.leaving)
            await self.finish()

    async def stop(self) -> None:
        """Ends what goes on beside a response: the head that waits, the watch over a websocket."""
        if self.leaving is not None:
            await self.leaving.stop()
        if self.watch is not None:
            await self.watch.stop()

    async def refuse(self, replaced: Message | None = None) -> None:
        """Answers in the place of an application that an outage of the store left without a session.

        Args:
            replaced: the head that the application sent, if it did.
        """
        if self._refused:
            return  # a framework that made a page of our error raises it once more
        if self._started and self._held is None:
            raise BackendUnavailable("the session store stopped answering in the middle of a response")
        replaced, self._held = replaced or self._held, None
        self._started = self._refused = True
        if self._scope["type"] == "http":
            headers = from_asgi((replaced or {}).get("headers", ()))
            retry_after, method = self._settings.breaker_window, self._scope.get("method", "GET")
            await send_answer(self._settings.transport.unavailable(retry_after, method, replaced=headers), self._send)
        else:
            await self._send({"type": "websocket.close", "code": _TRY_AGAIN_LATER})

    async def close_websocket(self) -> None:
        """Closes the websocket of a session that has ended elsewhere."""
        if self._started and not self._refused and not self._is_closed:
            self._refused = True
            await self._send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": "the session has ended"})

    async def _begin(self, head: Message) -> None:
        """Commits, then sends the head: the application's, or that of an outage."""
        session, state, kind = self.session, self.state, head["type"]
        if head.get("status") == 500 and self._engine.must_refuse(session):
            await self.refuse(head)
            return
        self._take_over_replaced_session()
        if kind == "websocket.close":  # it has no headers
            self._close()
        try:
            await self._engine.finish(session)
        except NOT_NOW:
            await self.refuse(head)
            return
        self._started = state.response_started = True
        if kind != "websocket.close":
            head = self._with_headers(head)
        if kind == "http.response.start":
            if not state.accessed and self._holds(head):
                return
            self._passes = self._bare is None
        await self._send(head)

    def _close(self) -> None:
        """Notes that the application refuses or ends a websocket: no cookie can be set any more."""
        self._is_closed = True
        if self.state.wants_token(self.session):
            self._engine.drop(self.session, "its websocket was closed before it could set a cookie")
        self.state.response_started = True

    def _with_headers(self, head: Message) -> Message:
        """Returns a head with what the commit asks for."""
        outcome = self.state.outcome
        if outcome is KEEP:
            return self._varied(head) if self.state.accessed else head
        if outcome.token and scope_is_plain(self._scope):
            settings = self._settings
            log_plain_http(settings.transport.cookie, settings.names("development"), self._engine.observer)
        return {**head, "headers": self._with_outcome(head, outcome)}

    def _holds(self, head: Message) -> bool:
        """Has a head wait that may yet depend on the session. Returns whether it does."""
        self.leaving = leave_later(self._leave)
        if self.leaving is None:
            self._bare = head
            return False
        self._held = head
        return True

    async def _has_left(self, leaving: Leaving, message: Message = _NOTHING) -> bool:
        """Has the head leave before a message; not before an empty chunk, which only says that another one comes."""
        if message.get("more_body") and not message.get("body") and self._held is not None:
            return False
        self.leaving = None
        await (self._leave() if leaving.call_off() else leaving.end())
        return True

    async def _leave(self) -> None:
        head, self._held = self._held, None
        if head is None:
            return  # it was withdrawn
        if self.state.accessed:
            head = self._varied(head)
        else:
            self._bare = head
        await self._send(head)

    def _with_outcome(self, message: Message, outcome: Outcome) -> RawHeaders:
        headers, accessed = from_asgi(message.get("headers", ())), self.state.accessed
        return to_asgi(
            self._settings.transport.apply(headers, outcome, accessed=accessed, observer=self._engine.observer)
        )

    def _varied(self, head: Message) -> Message:
        """Returns a head that says that it depends on the session."""
        headers = head.get("headers", ())
        for name, _ in headers:
            if name == b"vary":
                return {**head, "headers": self._with_outcome(head, KEEP)}
        return {**head, "headers": [*headers, self._settings.transport.vary_line]}

    def _take_over_replaced_session(self) -> None:
        """Takes over data that Litestar put in the session's place: its `set_session` and `clear_session` do that.

        What anything else puts there is the session of another middleware further in, and no affair of ours.
        """
        session, theirs = self.session, self._scope.get("session")
        if theirs is session or theirs is None or not _is_set_by_litestar(self._scope):
            return
        if self.state.is_loaded:
            session.clear()
        else:
            session.destroy()
        session.update(theirs if isinstance(theirs, dict) else {})
        self._scope["session"] = session


def _is_set_by_litestar(scope: Scope) -> bool:
    """Returns whether a route of Litestar, without a session middleware of its own, has set what is in our place."""
    route = scope.get("route_handler") if "litestar_app" in scope else None
    if route is None or getattr(route, "is_mount", False):
        return False
    return not any(map(_is_litestars_own, route.resolve_middleware()))


def _is_litestars_own(middleware: Any) -> bool:
    kind = getattr(middleware, "middleware", middleware)  # what a `DefineMiddleware` defines
    return isinstance(kind, type) and any(each.__module__.startswith(_LITESTARS_SESSIONS) for each in kind.__mro__)


def _client(scope: Scope) -> tuple[str | None, str | None]:
    """Returns what a list of sessions may tell about a login: the browser and the address."""
    agent = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"user-agent"), None)
    address = scope.get("client")
    return agent, address[0] if address else None
