"""sharedsession: web sessions shared by all web nodes of a farm.

Importing it loads no client and no framework.
"""

from sharedsession._version import __version__
from sharedsession.engine import SessionInfo
from sharedsession.errors import (
    BackendError,
    BackendUnavailable,
    ConfigurationError,
    Conflict,
    FarmDisagrees,
    LockTimeout,
    LogoutNotConfirmed,
    SessionEnded,
    SessionError,
    SessionNotLoaded,
    SessionTooLarge,
)
from sharedsession.keys import MachineKey
from sharedsession.manager import SessionManager
from sharedsession.observe import Event
from sharedsession.session import Session
from sharedsession.settings import Settings

__all__ = [
    "BackendError",
    "BackendUnavailable",
    "ConfigurationError",
    "Conflict",
    "Event",
    "FarmDisagrees",
    "LockTimeout",
    "LogoutNotConfirmed",
    "MachineKey",
    "Session",
    "SessionEnded",
    "SessionError",
    "SessionInfo",
    "SessionManager",
    "SessionNotLoaded",
    "SessionTooLarge",
    "Settings",
    "__version__",
]
