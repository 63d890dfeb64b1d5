"""SessionMiddleware for WSGI (PEP 3333): ``environ["sharedsession.session"]``, loaded when it is first looked at.

The session is committed before the first byte of the response leaves, whenever the application comes to that: at
once, late in a generator, through ``write``. Bodies pass through unbuffered.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Unpack

from sharedsession.errors import NOT_NOW, BackendUnavailable, Conflict
from sharedsession.http.outcome import KEEP
from sharedsession.http.token_transport import UNAVAILABLE_BODY, Headers, Transport
from sharedsession.manager import SessionManager
from sharedsession.session.host import Tokens
from sharedsession.session.mapping import Session
from sharedsession.settings.settings import Keywords, Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

ENVIRON_KEY = "sharedsession.session"


class SessionMiddleware:
    """Gives a WSGI application its sessions.

    Args:
        app: the application.
        **settings: see the table of settings; ``secret_key`` is required.

    Attributes:
        manager: the `SessionManager`.

    Raises:
        ConfigurationError: a setting is wrong; the message names it and the mend.
    """

    def __init__(self, app: "WSGIApplication", **settings: Unpack[Keywords]) -> None:
        self.app = app
        self.manager = SessionManager(Settings.load(settings), blocking=True)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Serves one request."""
        settings = self.manager.settings
        if settings.is_excluded(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")):
            return self.app(environ, start_response)
        session = environ[ENVIRON_KEY] = self.manager.open(self._tokens(environ))
        if settings.remember_client:
            session.client = (environ.get("HTTP_USER_AGENT"), environ.get("REMOTE_ADDR"))
        response = _Response(self.manager, session, start_response)
        return response.of(self.app, environ)

    def _tokens(self, environ: "WSGIEnvironment") -> Tokens:
        """Finds them when somebody looks at the session, unless it is plain that there are none."""
        transport = self.manager.settings.transport
        cookies = environ.get("HTTP_COOKIE", "")
        token = environ.get(transport.environ_name, "") if transport.header_name else ""
        return partial(_found, transport, cookies, token) if cookies or token else ()


class _Response:
    """One response on its way out: holds its head back until the session is committed."""

    _head: tuple[str, Headers, Any] | None = None
    _write: Callable[[bytes], object] | None = None  # some servers have none to give
    _started = _refused = False

    def __init__(self, manager: SessionManager, session: Session, start_response: "StartResponse") -> None:
        self._manager = manager
        self._session = session
        self._start_response = start_response

    def of(self, app: "WSGIApplication", environ: "WSGIEnvironment") -> Iterable[bytes]:
        """Calls the application; the head leaves at once if the body is already there."""
        try:
            body = app(environ, self.start_response)
        except NOT_NOW:
            return self._unavailable()
        file_wrapper = environ.get("wsgi.file_wrapper")
        if self._head and (isinstance(body, list | tuple) or (file_wrapper and type(body) is file_wrapper)):
            if self._begin():
                return body  # as it is: servers look at its length, or send a file without reading it
            _close(body)
            return [UNAVAILABLE_BODY]
        late = _Body(self, body)
        late.begin()
        return late

    def start_response(self, status: str, headers: Headers, exc_info: Any = None) -> Callable[[bytes], object]:
        """What the application calls; again, with ``exc_info``, if it changed its mind before the first byte."""
        if self._started:
            return self._start_response(status, headers, exc_info)
        self._head = (status, headers, exc_info)
        return self._send

    def chunks(self, body: Iterable[bytes]) -> Iterator[bytes]:
        """The body, chunk by chunk, behind its head."""
        try:
            for chunk in body:
                if chunk and not self._started and not self._begin():
                    break
                yield chunk
            if not self._started:
                self._begin()
        except NOT_NOW:
            if self._started:
                raise
            self._unavailable()
        if self._refused:
            yield UNAVAILABLE_BODY

    def finish(self) -> None:
        """Saves what changed after the first byte; a cookie can no longer be set, so none is needed."""
        if self._started and not self._refused:
            self._manager.commit(self._session)

    def _send(self, data: bytes) -> None:
        if not self._started and not self._begin():
            raise BackendUnavailable("the session store is not answering")
        if not self._refused:
            self._write(data)  # type: ignore[misc]  # None where the server has none: as without us

    def _begin(self) -> bool:
        """Commits, then sends the head. Returns whether it is the application's, and not that of an outage."""
        if self._head is None:
            raise AssertionError("the application returned a body without calling start_response")
        status, headers, exc_info = self._head
        session = self._session
        if session.unavailable and status.startswith("500") and self._must_refuse():
            self._unavailable()  # the application framework turned our error into its own
            return False
        try:
            outcome = self._manager.commit(session)
        except (*NOT_NOW, Conflict) as error:
            if isinstance(error, Conflict) and self._manager.settings.conflict == "raise":
                raise
            self._unavailable()
            return False
        session.response_started()
        if session.accessed or outcome is not KEEP:
            headers = self._manager.settings.transport.apply(
                headers, outcome, accessed=session.accessed, observer=self._manager.observer
            )
        self._write = self._start_response(status, headers, exc_info)
        self._started = True
        return True

    def _must_refuse(self) -> bool:
        return self._manager.settings.on_outage == "error"

    def _unavailable(self) -> Iterable[bytes]:
        self._started = self._refused = True
        headers = self._manager.settings.transport.unavailable(self._manager.settings.breaker_window)
        self._write = self._start_response("503 Service Unavailable", headers)
        return [UNAVAILABLE_BODY]


class _Body:
    """The iterable that the server gets; closes the application's, as PEP 3333 asks, and saves late changes."""

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


def _found(transport: Transport, *headers: str) -> list[bytes]:
    """The tokens in headers, which WSGI hands over as Latin-1 text; what is not is kept out of any name's way."""
    cookies, token = (str(header).encode("latin-1", "replace") for header in headers)
    return transport.tokens(cookies, token)
