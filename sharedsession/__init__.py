"""sharedsession: web sessions shared by every node of a web farm.

Importing it loads no client and no framework.
"""

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
from sharedsession.machinekey import MachineKey
from sharedsession.manager import SessionManager
from sharedsession.observe import Event
from sharedsession.principals import SessionInfo
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
]
__version__ = "0.1.0"
