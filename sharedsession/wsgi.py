"""SessionMiddleware for WSGI (PEP 3333): ``environ["sharedsession.session"]``, loaded when it is first looked at.

The session is committed before the first byte of the response leaves, whenever the application comes to that: at once,
late in a generator, through ``write``. Bodies pass through unbuffered.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Unpack

from sharedsession.engine import Engine
from sharedsession.errors import NOT_NOW, BackendUnavailable, ConfigurationError
from sharedsession.http import (
    KEEP,
    Answer,
    Headers,
    TokenTransport,
    environ_is_plain,
    environ_path,
    log_plain_http,
)
from sharedsession.manager import MANAGER_KEY, SessionManager, engines_of, log_if_nested, manager_for
from sharedsession.session import Session, Tokens, state_of
from sharedsession.settings import Keywords, Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

ENVIRON_KEY = "sharedsession.session"


class SessionMiddleware:
    """Gives a WSGI application its sessions.

    Args:
        app: the application.
        manager: a `SessionManager` that several middlewares share; then no setting may stand beside it.
        **settings: see the table of settings; ``secret_key`` is required.

    Attributes:
        manager: the `SessionManager`.

    Raises:
        ConfigurationError: a setting is wrong; the message names it and the fix.
    """

    def __init__(
        self, app: "WSGIApplication", *, manager: SessionManager | None = None, **settings: Unpack[Keywords]
    ) -> None:
        self.manager = manager_for(manager, settings, Settings.load)
        _check_application(app)
        self.app = app
        self._engine = engines_of(self.manager).blocking

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Serves one request."""
        settings = self._engine.settings
        if settings.is_excluded is not None and settings.is_excluded(environ_path(environ)):
            return self.app(environ, start_response)
        session = self._engine.open(Session, _tokens(settings.transport, environ))
        if settings.remember_client:
            state_of(session).client = (environ.get("HTTP_USER_AGENT"), environ.get("REMOTE_ADDR"))
        if MANAGER_KEY in environ:
            log_if_nested(self.manager, environ[MANAGER_KEY])
            environ = {**environ}  # the middleware outside keeps its own
        environ[ENVIRON_KEY] = session
        environ[MANAGER_KEY] = self.manager
        return _Response(self._engine, session, environ, start_response).of(self.app)


# Python refuses a call with the arguments of an ASGI server before a line of ours runs: its message says this name.
SessionMiddleware.__call__.__qualname__ = "SessionMiddleware of sharedsession.wsgi (for ASGI use sharedsession.asgi)"


def _check_application(app: object) -> None:
    if callable(app) and any(map(inspect.iscoroutinefunction, (app, type(app).__call__))):
        raise ConfigurationError(
            "sharedsession.wsgi serves WSGI applications, and this one is a coroutine function: for an ASGI "
            "application use SessionMiddleware of sharedsession.asgi"
        )


def _tokens(transport: TokenTransport, environ: "WSGIEnvironment") -> Tokens:
    """Returns what finds the tokens of a request when it is looked at; ``()`` where there can be none."""
    cookies = environ.get("HTTP_COOKIE", "")
    token = environ.get(transport.environ_name, "") if transport.header_name else ""
    return partial(transport.text_tokens, cookies, token) if cookies or token else ()


class _Response:
    """One response on its way out: its head waits until the session is committed."""

    _head: tuple[str, Headers] | None = None
    _write: Callable[[bytes], object] | None = None  # some servers have none
    _started = False
    _bare: Headers | None = None  # the headers that have left before the application looked at the session
    _refusal: Answer | None = None

    def __init__(
        self, engine: Engine, session: Session, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> None:
        self._engine = engine
        self._settings = engine.settings
        self._session = session
        self._state = session._state
        self._environ = environ
        self._start_response = start_response

    def of(self, app: "WSGIApplication") -> Iterable[bytes]:
        """Calls the application. The head leaves at once if the body is already there."""
        try:
            body = app(self._environ, self.start_response)
        except NOT_NOW:
            return [self._refuse().body]
        except BaseException:
            self._engine.leave(self._session)
            raise
        file_wrapper = self._environ.get("wsgi.file_wrapper")
        if self._head and (isinstance(body, list | tuple) or (file_wrapper and type(body) is file_wrapper)):
            self._begin()
            if self._refusal is None:
                return body  # as it is: servers look at its length, or send a file without reading it
            _close(body)
            return [self._refusal.body]
        late = _Body(self, body)
        late.begin()
        return late

    def start_response(self, status: str, headers: Headers, exc_info: Any = None) -> Callable[[bytes], object]:
        """What the application calls; again, with ``exc_info``, if it changed its mind before the first byte."""
        if self._started:
            return self._start_response(status, headers, *([exc_info] if exc_info else []))
        self._head = (status, headers)  # the server hears of it once, so it gets no exc_info, which uWSGI fails on
        return self._send

    def chunks(self, body: Iterable[bytes]) -> Iterator[bytes]:
        """Yields the body, chunk by chunk, behind its head."""
        try:
            for chunk in body:
                if chunk and not self._started:
                    self._begin()
                    if self._refusal is not None:
                        break
                elif self._bare is not None and self._state.accessed:
                    self._settings.transport.report_late_look(self._bare, self._engine.observer)
                    self._bare = None
                yield chunk
            if not self._started:
                self._begin()
        except NOT_NOW:
            if self._started:
                raise
            self._refuse()
        if self._refusal is not None:
            yield self._refusal.body

    def finish(self) -> None:
        """Saves what changed after the first byte. No cookie can be set any more, and none is needed."""
        if self._started and self._refusal is None:
            self._engine.finish(self._session)

    def _send(self, data: bytes) -> None:
        if not self._started:
            self._begin()
            if self._refusal is not None:
                raise BackendUnavailable("the session store is not answering")
        if self._refusal is None:
            self._write(data)  # type: ignore[misc]  # None where the server has none: as without us

    def _begin(self) -> None:
        """Commits, then sends the head: the application's, or that of an outage."""
        if self._head is None:
            raise AssertionError("the application returned a body without calling start_response")
        status, headers = self._head
        if status.startswith("500") and self._engine.must_refuse(self._session):
            self._refuse()
            return
        try:
            self._engine.finish(self._session)
        except NOT_NOW:
            self._refuse()
            return
        state = self._state
        state.response_started = True
        if state.outcome.token and environ_is_plain(self._environ):
            settings = self._settings
            log_plain_http(settings.transport.cookie, settings.names("development"), self._engine.observer)
        if not state.accessed:
            self._bare = headers
        if state.accessed or state.outcome is not KEEP:
            headers = self._settings.transport.apply(
                headers, state.outcome, accessed=state.accessed, observer=self._engine.observer
            )
        self._write = self._start_response(status, headers)
        self._started = True

    def _refuse(self) -> Answer:
        """Answers in the place of an application that an outage of the store left without a session."""
        self._engine.leave(self._session)
        self._started = True
        answer = self._refusal = self._settings.transport.unavailable(
            self._settings.breaker_window,
            self._environ.get("REQUEST_METHOD", "GET"),
            replaced=self._head[1] if self._head else (),
        )
        self._write = self._start_response(answer.status_line, answer.headers)
        return answer


class _Body:
    """The iterable that the server gets. It closes the application's, as PEP 3333 asks, and saves late changes."""

    def __init__(self, response: _Response, body: Iterable[bytes]) -> None:
        self._response = response
        self._body = body
        self._chunks = response.chunks(body)
        self._first: list[bytes] = []

    def begin(self) -> None:
        """Asks for one chunk, and with it the head: some servers read that when the application has returned."""
        try:
            self._first = list(islice(self._chunks, 1))
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[bytes]:
        return chain(self._first, self._chunks)

    def close(self) -> None:
        try:
            _close(self._body)
        finally:
            self._response.finish()


def _close(body: Iterable[bytes]) -> None:
    close = getattr(body, "close", None)
    if close is not None:
        close()
