"""A web node without HTTP: tokens in, a session out; a session in, an outcome out. For applications that block."""

from typing import Any

from sharedsession import Session, SessionManager
from sharedsession.environment import REAL, Environment
from sharedsession.http import Outcome
from sharedsession.manager import engines_of
from sharedsession.session import Tokens, state_of


class Node:
    """The blocking engine of a manager, as the WSGI middleware uses it.

    Attributes:
        manager: as given.
        engine: its engine.
        settings: of the farm.
        observer: what was counted.
    """

    def __init__(self, manager: SessionManager) -> None:
        self.manager = manager
        self.engine = engines_of(manager).blocking
        self.settings = self.engine.settings
        self.observer = self.engine.observer

    @classmethod
    def of(cls, environment: Environment = REAL, **settings: Any) -> "Node":
        """Makes a node from settings."""
        return cls(SessionManager.from_settings(environment=environment, **settings))

    def open(self, tokens: Tokens) -> Session:
        """Opens a session as a request does."""
        return self.engine.open(Session, tokens)

    def commit(self, session: Session) -> Outcome:
        """Commits a session at the end of a request."""
        self.engine.finish(session)
        return state_of(session).outcome

    def stored(self, **data: Any) -> bytes:
        """Stores a session with some data. Returns its token."""
        session = self.open(())
        session.update(data)
        token = self.commit(session).token
        assert token is not None
        return token.encode()

    def read(self, *tokens: bytes) -> dict[str, Any]:
        """Returns what a request with these tokens sees."""
        return dict(self.open(list(tokens)))

    def close(self) -> None:
        """Closes the backend."""
        self.settings.backend.close()
