"""Visitors that are logged in from the start, for the test client of any framework."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sharedsession.concurrency import run
from sharedsession.engine import Engine
from sharedsession.errors import ConfigurationError
from sharedsession.manager import SessionManager, engines_of
from sharedsession.session import Session, state_of


class LoggedIn(NamedTuple):
    """A session that is stored, and the cookie that leads to it.

    Attributes:
        cookie_name: of the session cookie.
        token: its value.
        handle: the session's public name, as `Session.id`.
    """

    cookie_name: str
    token: str
    handle: str

    def __repr__(self) -> str:
        return f"<LoggedIn, session {self.handle}>"

    @property
    def cookies(self) -> dict[str, str]:
        """The cookie as ``cookies=`` of httpx, requests and Starlette's `TestClient` take it."""
        return {self.cookie_name: self.token}

    @property
    def headers(self) -> dict[str, str]:
        """The cookie as a request header, for any other client."""
        return {"cookie": f"{self.cookie_name}={self.token}"}


def logged_in(
    manager: SessionManager, data: Mapping[str, Any] | None = None, *, principal: str | None = None
) -> LoggedIn:
    """Stores a session, as a login would, and returns its cookie.

    Args:
        manager: of the application under test.
        data: of the session.
        principal: whose session it is, as `Session.principal`.

    Returns:
        What a test client needs: ``TestClient(app, cookies=logged_in(...).cookies)``.

    Raises:
        ConfigurationError: the application takes no cookie, or there are neither data nor a principal.
    """
    engine = engines_of(manager).blocking
    session = _prepared(engine, data, principal)
    run(engine.commit_now(session))
    return _result(engine, session)


async def alogged_in(
    manager: SessionManager, data: Mapping[str, Any] | None = None, *, principal: str | None = None
) -> LoggedIn:
    """Same as `logged_in`, on an event loop."""
    engine = engines_of(manager).on_loop
    session = _prepared(engine, data, principal)
    await engine.save(session)
    return _result(engine, session)


def _prepared(engine: Engine, data: Mapping[str, Any] | None, principal: str | None) -> Session:
    session = engine.open(Session, ())
    session.update(data or {})
    session.principal = principal
    if not session.modified:
        raise ConfigurationError("logged_in needs data or a principal: an empty session is not stored")
    return session


def _result(engine: Engine, session: Session) -> LoggedIn:
    cookie = engine.settings.transport.cookie
    if cookie is None:
        raise ConfigurationError('logged_in makes cookies, and transport="header" takes none')
    identity = state_of(session).identity_for_storing()
    return LoggedIn(cookie.name, identity.token, identity.handle)
