"""What Django's own logins mean for the farm: a login sets the principal, a new password ends the other sessions.

Both are read from what `django.contrib.auth` keeps in the session, when that is stored. So an application needs no line
of its own for "log out everywhere".
"""

from collections.abc import Iterable
from typing import Any

from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.utils.crypto import constant_time_compare

from sharedsession.records import codec
from sharedsession.session import Session, SessionState, state_of


def follow_login(core: Session) -> bool:
    """Sets the principal to the primary key of the user who logged in, if the request has set none itself.

    Returns:
        Whether the session gets a new ID by that.
    """
    state = state_of(core)
    user = dict.get(core, SESSION_KEY)
    if not state.is_loaded or user == _stored(state, SESSION_KEY) or state.principal != _principal_before(state):
        return False
    principal = None if user is None else str(user)
    if principal == state.principal:
        return False
    core.principal = principal
    return True


def has_new_password(core: Session, request: Any) -> bool:
    """Returns whether a request has changed the password, so that the user's other sessions shall end.

    Args:
        core: the session of the request.
        request: is asked for its user, if it has found out who that is.
    """
    state = state_of(core)
    if state.principal is None or state.principal != _principal_before(state):
        return False
    user = _known_user(request)
    if user is None:
        return False
    before, now = _stored(state, HASH_SESSION_KEY), dict.get(core, HASH_SESSION_KEY)
    return bool(before and now and before != now and not _is_of_older_secret(user, before))


def _known_user(request: Any) -> Any:
    """Returns the user of a request, if it has asked who that is: where Django's middleware keeps the answer."""
    return getattr(request, "_cached_user", None) or getattr(request, "_acached_user", None)


def _principal_before(state: SessionState) -> str | None:
    return state.record.principal if state.record else None


def _stored(state: SessionState, key: str) -> Any:
    packed = state.record.items.get(key) if state.record else None
    return None if packed is None else codec.unpack(packed)


def _is_of_older_secret(user: Any, session_hash: str) -> bool:
    """Returns whether Django made the hash anew only because ``SECRET_KEY`` was rotated."""
    fallbacks: Iterable[str] = getattr(user, "get_session_auth_fallback_hash", tuple)()
    return any(constant_time_compare(session_hash, fallback) for fallback in fallbacks)
