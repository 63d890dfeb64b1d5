"""SessionMiddleware for ASGI 3: ``scope["session"]``, loaded before the application runs, or by it.

The session is committed before the first byte of the response leaves; bodies pass through unbuffered. A websocket's
session is loaded at connect, and its cookie can be set at accept; when it has ended elsewhere, the websocket is closed.
"""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import partial
from typing import Any, Unpack

from sharedsession.errors import NOT_NOW, BackendUnavailable, Conflict
from sharedsession.http.outcome import KEEP, Outcome
from sharedsession.http.token_transport import UNAVAILABLE_BODY, UNAVAILABLE_STATUS, Headers, Transport
from sharedsession.manager import SessionManager
from sharedsession.session.mapping import Session
from sharedsession.settings.settings import Keywords, Settings

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
RawHeaders = list[tuple[bytes, bytes]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_HEADS = {"http.response.start", "websocket.accept", "websocket.http.response.start", "websocket.close"}
_POLICY_VIOLATION = 1008  # RFC 6455, section 7.4.1


class SessionMiddleware:
    """Gives an ASGI application its sessions.

    Args:
        app: the application.
        **settings: see the table of settings; ``secret_key`` is required.

    Attributes:
        manager: the `SessionManager`.

    Raises:
        ConfigurationError: a setting is wrong; the message names it and the mend.
    """

    def __init__(self, app: App, **settings: Unpack[Keywords]) -> None:
        self.app = app
        self.manager = SessionManager(Settings.load(settings), blocking=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection."""
        settings = self.manager.settings
        if scope["type"] not in {"http", "websocket"} or settings.is_excluded(scope["path"]):
            await self.app(scope, receive, send)
            return
        session = scope["session"] = self.manager.open(partial(_found, settings.transport, scope["headers"]))
        if settings.remember_client:
            session.client = _client(scope)
        if scope["type"] == "websocket":
            await self._serve_websocket(session, scope, receive, send)
        else:
            await self._serve(_Response(self.manager, session, scope, send), scope, receive)

    async def _serve(self, response: "_Response", scope: Scope, receive: Receive) -> None:
        session = response.session
        try:
            if self.manager.settings.autoload and not session.is_loaded:
                await self.manager.load(session)
            await self.app(scope, receive, response.send)
            await response.finish()
        except NOT_NOW:
            await response.refuse()

    async def _serve_websocket(self, session: Session, scope: Scope, receive: Receive, send: Send) -> None:
        response = _Response(self.manager, session, scope, send)
        watch = self.manager.watch(session, response.close_websocket)

        async def heard() -> Message:
            message = await receive()
            watch.is_in_use = watch.is_in_use or message["type"] == "websocket.receive"
            return message

        try:
            await self._serve(response, scope, heard)
        finally:
            await watch.stop()


def _found(transport: Transport, headers: RawHeaders) -> list[bytes]:
    wanted = (transport.header_name or "").lower().encode()
    cookies, token = [], b""
    for name, value in headers:
        if name == b"cookie":
            cookies.append(value)
        elif name == wanted:
            token = value
    return transport.tokens(b"; ".join(cookies), token)  # HTTP/2 may split Cookie (RFC 9113, 8.2.3)


class _Response:
    """One response on its way out: its head waits until the session is committed."""

    def __init__(self, manager: SessionManager, session: Session, scope: Scope, send: Send) -> None:
        self._manager = manager
        self.session = session
        self._scope = scope
        self._send = send
        self._is_http = scope["type"] == "http"
        self._started = False
        self._refused = False
        self._is_closed = False  # of a websocket: by the application

    async def send(self, message: Message) -> None:
        """What the application calls."""
        if message["type"] in _HEADS and not self._started:
            message = await self._head(message)
        self._is_closed = self._is_closed or message["type"] == "websocket.close"
        if not self._refused:
            await self._send(message)

    async def finish(self) -> None:
        """Saves what changed after the first byte; a cookie can no longer be set, so none is needed."""
        if self._started and not self._refused:
            self._heed_the_scope()
            await self._manager.acommit(self.session)

    async def refuse(self) -> None:
        """Answers for an application that the store's outage left without a session."""
        if self._refused:
            return  # a framework that made a page of our error raises it once more
        if self._started:
            raise BackendUnavailable("the session store stopped answering in the middle of a response")
        self._started = self._refused = True
        if self._is_http:
            headers = self._manager.settings.transport.unavailable(self._manager.settings.breaker_window)
            start = {"type": "http.response.start", "status": UNAVAILABLE_STATUS, "headers": _encode(headers)}
            await self._send(start)
            await self._send({"type": "http.response.body", "body": UNAVAILABLE_BODY})
        else:
            await self._send({"type": "websocket.close", "code": 1013})  # try again later

    async def close_websocket(self) -> None:
        """The session has ended elsewhere: so has the conversation that it stood for."""
        if self._started and not self._refused and not self._is_closed:
            self._refused = True
            await self._send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": "the session has ended"})

    async def _head(self, message: Message) -> Message:
        session, settings = self.session, self._manager.settings
        if session.unavailable and message.get("status") == 500 and settings.on_outage == "error":
            await self.refuse()  # the application framework turned our error into its own
            return message
        self._heed_the_scope()
        if message["type"] == "websocket.close" and session.wants_token:
            self._manager.drop(session, "its websocket was closed before it could set a cookie")
        try:
            outcome = await self._manager.acommit(session)
        except (*NOT_NOW, Conflict) as error:
            if isinstance(error, Conflict) and settings.conflict == "raise":
                raise
            await self.refuse()
            return message
        self._started = True
        session.response_started()
        if message["type"] == "websocket.close":
            return message  # it has no headers
        if outcome.token or outcome.clear:
            return {**message, "headers": self._with_outcome(message, outcome)}
        return {**message, "headers": self._varied(message)} if session.accessed else message

    def _with_outcome(self, message: Message, outcome: Outcome) -> RawHeaders:
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message.get("headers", ())]
        return _encode(
            self._manager.settings.transport.apply(
                headers, outcome, accessed=self.session.accessed, observer=self._manager.observer
            )
        )

    def _varied(self, message: Message) -> RawHeaders:
        headers = message.get("headers", ())
        if any(name == b"vary" for name, _ in headers):
            return self._with_outcome(message, KEEP)
        return [*headers, self._manager.settings.transport.vary_line]

    def _heed_the_scope(self) -> None:
        """Some put their own data in our place, or take us out: Litestar's `set_session`, `clear_session`."""
        session, theirs = self.session, self._scope.get("session", self.session)
        if isinstance(theirs, Mapping) and type(theirs) is not dict:
            return  # ours, or that of another middleware inside
        if session.is_loaded:
            session.clear()
        else:
            session.destroy()
        session.update(theirs if isinstance(theirs, dict) else {})
        self._scope["session"] = session


def _client(scope: Scope) -> tuple[str | None, str | None]:
    """What a list of sessions may tell of a login: the browser and the address."""
    agent = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"user-agent"), None)
    address = scope.get("client")
    return agent, address[0] if address else None


def _encode(headers: Headers) -> RawHeaders:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
