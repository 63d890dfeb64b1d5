"""sharedsession: web sessions shared by every node of a web farm.

Importing it loads no client and no framework.
"""

from sharedsession.engine.principals import SessionInfo
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
from sharedsession.keys.machine_key import MachineKey
from sharedsession.manager import SessionManager
from sharedsession.observe import Event
from sharedsession.session.mapping import Session
from sharedsession.settings.settings import Settings

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
]
__version__ = "0.1.0"
