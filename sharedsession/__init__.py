"""sharedsession: web sessions shared by every node of a web farm.

Importing it loads no client and no framework.
"""

from sharedsession.errors import (
    BackendError,
    BackendUnavailable,
    ConfigurationError,
    Conflict,
    LogoutNotConfirmed,
    SessionEnded,
    SessionError,
    SessionNotLoaded,
    SessionTooLarge,
)
from sharedsession.machinekey import MachineKey
from sharedsession.manager import SessionManager
from sharedsession.session import Session
from sharedsession.settings import Settings

__all__ = [
    "BackendError",
    "BackendUnavailable",
    "ConfigurationError",
    "Conflict",
    "LogoutNotConfirmed",
    "MachineKey",
    "Session",
    "SessionEnded",
    "SessionError",
    "SessionManager",
    "SessionNotLoaded",
    "SessionTooLarge",
    "Settings",
]
__version__ = "0.1.0"
