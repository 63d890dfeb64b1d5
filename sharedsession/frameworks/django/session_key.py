"""What Django's ``session_key`` is here: the session's ID where our middleware signs the cookie, else the signed token.

Django's own middleware puts the key into the cookie, and takes a cookie for a key, so there the key must be signed.
With ours the signature is in the cookie only. The ID has the 40 characters that other applications have room for, and
who reads it in their tables still has no cookie.
"""

from functools import cache
from typing import Any

from django.conf import settings as django
from django.contrib.sessions import middleware as theirs
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from sharedsession.frameworks.django.configuration import configuration
from sharedsession.keys import ID_CHARACTERS


class SigningMiddleware:
    """What a middleware is that takes and sets the signed token, whatever ``session_key`` is: ours."""


@cache
def keys_are_ids() -> bool:
    """Returns whether all middleware that gives requests their sessions is ours, so that no cookie becomes a key."""
    found = session_middlewares()
    return bool(found) and all(issubclass(middleware, SigningMiddleware) for _, middleware in found)


def is_id(key: Any) -> bool:
    """Returns whether a key is to be read as a session's ID; whether there is such a session is another question."""
    return isinstance(key, str) and len(key) == ID_CHARACTERS and keys_are_ids()


def tokens_of(key: str | None) -> list[bytes]:
    """Returns the signed token of a key, which is an ID or the token itself; none for what is neither."""
    if not key:
        return []
    if not is_id(key):
        return [key.encode("utf-8", "replace")]
    identity = configuration().settings.machine_key().identity_of(key)
    return [identity.token.encode()] if identity else []


def session_middlewares() -> list[tuple[str, type]]:
    """Returns what in ``MIDDLEWARE`` gives requests their sessions, with the path it is named by, outermost first."""
    found = [(path, _imported(path)) for path in django.MIDDLEWARE]
    return [(path, middleware) for path, middleware in found if _gives_sessions(middleware)]


def _imported(path: str) -> Any:
    try:
        return import_string(path)
    except ImportError:  # Django says so itself
        return None


def _gives_sessions(middleware: Any) -> bool:
    return isinstance(middleware, type) and (
        issubclass(middleware, theirs.SessionMiddleware) or middleware.__name__ == theirs.SessionMiddleware.__name__
    )


def _forget(*, setting: str, **_: Any) -> None:
    if setting == "MIDDLEWARE":
        keys_are_ids.cache_clear()


setting_changed.connect(_forget)
