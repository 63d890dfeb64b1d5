"""FastAPI's dependencies: ``CurrentSession`` and ``CurrentManager``. Importing this file imports FastAPI."""

from typing import Annotated, TypeAlias

from fastapi import Depends
from starlette.requests import HTTPConnection

from sharedsession.errors import NOT_NOW, SessionError
from sharedsession.frameworks.starlette.outage import store_unavailable
from sharedsession.manager import MANAGER_KEY, SessionManager, engines_of
from sharedsession.session import Session, state_of

_FIX = "app.add_middleware(sharedsession.frameworks.starlette.SessionMiddleware, secret_key=...)"


async def current_session(connection: HTTPConnection) -> Session:
    """Returns the request's session, loaded: once, however many dependencies ask.

    Raises:
        SessionError: no middleware of ours serves this route.
        StoreUnavailable: the store cannot answer and ``on_outage`` is ``"error"``.
    """
    session = connection.scope.get("session")
    if not isinstance(session, Session):
        raise SessionError(f"a route asks for a session where there is none: {_FIX}, and let no `exclude` match it")
    if not state_of(session).is_loaded:
        try:
            await session.load()
        except NOT_NOW:
            if connection.scope["type"] != "http":
                raise
            raise store_unavailable(engines_of(connection.scope[MANAGER_KEY]).settings) from None
    return session


def current_manager(connection: HTTPConnection) -> SessionManager:
    """Returns the manager that serves the request.

    Raises:
        SessionError: no middleware of ours serves this route.
    """
    manager = connection.scope.get(MANAGER_KEY)
    if not isinstance(manager, SessionManager):
        raise SessionError(f"a route asks for the manager where there is none: {_FIX}, and let no `exclude` match it")
    return manager


CurrentSession: TypeAlias = Annotated[Session, Depends(current_session)]
CurrentManager: TypeAlias = Annotated[SessionManager, Depends(current_manager)]
