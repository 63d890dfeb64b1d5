"""What the application sees, and what it did: the session, its state, and how changes are merged."""

from sharedsession.session.changes import Unsaved
from sharedsession.session.host import Client, Exclusive, HeldLock, SessionHost, Ticket, Tokens
from sharedsession.session.mapping import GRACE, Session, state_of
from sharedsession.session.merge import merge
from sharedsession.session.state import SessionState
from sharedsession.session.status import DESTROYED, OPEN, READ_ONLY, UNLOADED, Status

__all__ = [
    "DESTROYED",
    "GRACE",
    "OPEN",
    "READ_ONLY",
    "UNLOADED",
    "Client",
    "Exclusive",
    "HeldLock",
    "Session",
    "SessionHost",
    "SessionState",
    "Status",
    "Ticket",
    "Tokens",
    "Unsaved",
    "merge",
    "state_of",
]
