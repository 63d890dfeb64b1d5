"""Every error of the library, sorted by who must act on it.

A bad cookie is not here: it is no session, never an error. No message carries a session ID, a token, a key
or a value of the session.

    SessionError
    ├── ConfigurationError     the operator: a setting is wrong; the message says which, and the fix
    ├── SessionTooLarge        the application: it keeps too much in the session
    ├── SessionNotLoaded       the application: it must ``await session.load()`` first
    ├── SessionEnded           no one, as a rule: the session was destroyed meanwhile
    ├── BackendError           the operator of the store
    │   └── BackendUnavailable     the store did not answer in time: "don't know", never "no session"
    │       └── FarmDisagrees          ``farm_check="refuse"``: this web node is configured otherwise than its farm
    ├── Conflict               the application, if it asked for ``conflict="raise"``, or lost a lock
    ├── LockTimeout            the application: another request holds the session's lock; try again later
    └── LogoutNotConfirmed     the application: tell the user to try again
"""

import re
from collections.abc import Callable

_SETTING = re.compile(r"\A([a-z_]+)\b|`([a-z_]+)`")


class SessionError(Exception):
    """The root: ``except SessionError`` catches all that this library raises on purpose."""


class ConfigurationError(SessionError, ValueError):
    """A setting is wrong, contradictory or misspelt; raised at start-up only.

    Args:
        message: the setting, the problem and the fix. Settings have our names in it: as the first word, or between
            backticks, which are not shown.
    """

    def __init__(self, message: str) -> None:
        self._marked = message
        super().__init__(_called(message, str))

    def rename(self, named: Callable[[str], str]) -> None:
        """Calls the settings in the message what their user calls them; once, a second time has no effect.

        Args:
            named: returns that for a name of ours, and every other word as it is.
        """
        self._marked = _called(self._marked, named)
        self.args = (self._marked,)


def _called(message: str, named: Callable[[str], str]) -> str:
    return _SETTING.sub(lambda found: named(found[1] or found[2]), message)


class SessionTooLarge(SessionError):
    """The encoded session exceeds ``max_size`` (or what one item of the store holds).

    Raised before a byte is sent: the stored version is untouched. The message names the largest keys.
    """


class SessionNotLoaded(SessionError):
    """The session was looked at before ``await session.load()`` (ASGI with ``autoload=False``)."""


class SessionEnded(SessionError):
    """The session was destroyed, or its ID replaced, while this request was running."""


class BackendError(SessionError):
    """The store answered, and the answer was an error."""


class BackendUnavailable(BackendError):
    """The store cannot answer now. It says nothing about whether the session exists."""


class FarmDisagrees(BackendUnavailable):
    """This web node disagrees with its farm, and ``farm_check="refuse"``: it asks nothing of the store meanwhile."""


class Conflict(SessionError):
    """Another request changed the session, and the two changes could not be merged."""


class LockTimeout(SessionError, TimeoutError):
    """The session's lock was not free in time, or too many requests wait for it already."""


class LogoutNotConfirmed(SessionError):
    """The store did not confirm the end of the session, or on a ring no node that owns it did: it may be alive."""


NOT_NOW = (BackendUnavailable, LockTimeout, LogoutNotConfirmed)
"""What a middleware answers with 503 and ``Retry-After``: it may work in a moment."""
