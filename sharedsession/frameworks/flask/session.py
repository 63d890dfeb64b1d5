"""``flask.session``: a `Session` with the names that Flask's users know, and the session of a path that has none."""

from collections.abc import Sequence
from typing import NoReturn

from flask import Flask, Request
from flask.sessions import NullSession, SessionMixin

from sharedsession.engine import Engine
from sharedsession.http import TokenTransport
from sharedsession.keys import has_idle_timeout
from sharedsession.session import READ_ONLY, Session, state_of
from sharedsession.settings import Settings


class RequestFacts:
    """What the session interface knows of one request.

    Args:
        app: the application.
        request: the request.
        transport: how the token travels.
        settings: of the application.

    Attributes:
        app: as given.
        request: as given.
        transport: as given.
        opened: when the request began, on the monotonic clock.
        permanent_by_default: whether the farm's cookies outlive the browser.
        is_adopted: whether the data came in Flask's own cookie.
    """

    __slots__ = ("_tokens", "app", "is_adopted", "opened", "permanent_by_default", "request", "transport")

    def __init__(self, app: Flask, request: Request, transport: TokenTransport, settings: Settings) -> None:
        self.app = app
        self.request = request
        self.transport = transport
        self.opened = settings.environment.monotonic()
        self.permanent_by_default = settings.cookie_persistent
        self.is_adopted = False
        self._tokens: Sequence[bytes] | None = None

    def session(self, engine: Engine) -> "FlaskSession":
        """Opens the session of the request."""
        environ = self.request.environ
        may_have_tokens = environ.get("HTTP_COOKIE") or environ.get(self.transport.environ_name)
        session = engine.open(FlaskSession, self.tokens if may_have_tokens else ())
        session._facts = self
        return session

    def tokens(self) -> Sequence[bytes]:
        """Returns what could be tokens in the request; the headers are searched when this is first asked."""
        if self._tokens is None:
            environ, transport = self.request.environ, self.transport
            self._tokens = transport.text_tokens(
                environ.get("HTTP_COOKIE", ""), environ.get(transport.environ_name, "")
            )
        return self._tokens

    def was_permanent(self) -> bool:
        """Returns whether the token that came is one of a permanent session."""
        return any(map(has_idle_timeout, self.tokens()))


class FlaskSession(Session, SessionMixin):
    """A `Session` with what Flask's users expect of theirs. `RequestFacts` makes it."""

    __slots__ = ("_facts",)

    _login_keys = ("_user_id",)  # of Flask-Login, and of what is built on it

    _facts: RequestFacts

    @property
    def permanent(self) -> bool:
        """Whether it outlives the browser, for ``PERMANENT_SESSION_LIFETIME`` since it was last used."""
        self._look()
        return is_permanent(self)

    @permanent.setter
    def permanent(self, permanent: bool) -> None:
        if permanent and not self._state.is_loaded and self._facts.was_permanent():
            self._state.accessed = True
            return  # many applications set it before each request: no reason to ask the store
        if bool(permanent) != self.permanent:
            self.persistent = bool(permanent)
            lifetime = self._facts.app.permanent_session_lifetime.total_seconds()
            self._state.idle_timeout = lifetime if permanent else None

    @property
    def new(self) -> bool:  # type: ignore[override]  # the mixin has an attribute
        """Whether the store has nothing of this session yet."""
        return self.is_new

    @property
    def accessed(self) -> bool:
        """Whether this request looked at the session in any way."""
        return self._state.accessed

    @accessed.setter
    def accessed(self, accessed: bool) -> None:
        self._state.accessed = accessed

    @property
    def modified(self) -> bool:
        """Whether this request changed it. Changes inside values are found; there is no need to set it."""
        return self._state.was_stored or super().modified

    @modified.setter
    def modified(self, modified: bool) -> None:
        self._state.store_anyway = bool(modified and self)


def facts_of(session: FlaskSession) -> RequestFacts:
    """Returns what is known of a session's request."""
    return session._facts


def was_used(session: FlaskSession) -> bool:
    """Returns whether this request looked at the session, and the store has it."""
    state = state_of(session)
    return state.accessed and state.record is not None


def is_permanent(session: FlaskSession) -> bool:
    """Returns whether a loaded session outlives the browser."""
    persistent = state_of(session).persistent
    return facts_of(session).permanent_by_default if persistent is None else persistent


def end_if_emptied(session: FlaskSession) -> None:
    """Ends a stored session that this request emptied, as Flask clears its cookie then."""
    if dict.__len__(session) or not was_used(session):
        return
    state = state_of(session)
    if state.principal is None and state.status is not READ_ONLY and state.is_modified(session):
        session.destroy()


class ExcludedSession(NullSession):
    """The session of a path that never has one: it can be looked at and stays empty."""

    def _fail(self, *args: object, **kwargs: object) -> NoReturn:
        raise RuntimeError("The session is unavailable because the setting `exclude` covers this path.")

    __setitem__ = __delitem__ = clear = pop = popitem = update = setdefault = _fail
