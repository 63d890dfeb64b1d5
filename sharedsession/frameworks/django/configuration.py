"""Django's settings -> one `Settings`, one backend, and a manager for each colour.

Made when first asked for, never at import; made anew when a test overrides a setting.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from django.conf import settings as django
from django.core.signals import setting_changed

from sharedsession.backends.base import AsyncBackend, Backend
from sharedsession.errors import ConfigurationError
from sharedsession.manager import SessionManager
from sharedsession.settings.build import say_if_scripts_may_read
from sharedsession.settings.settings import Settings

_backends: dict[tuple[str | None, float], Backend | AsyncBackend] = {}


@dataclass(frozen=True)
class Farm:
    """What this process knows of its farm.

    Attributes:
        settings: what Django's settings, ``SHAREDSESSION`` and the environment say together.
        blocking: the manager for code that blocks.
        on_loop: the manager for code on an event loop; what one opened the other may load and commit.
        samesite: the cookie's attribute as Django writes it; ``False`` for none.
    """

    settings: Settings
    blocking: SessionManager
    on_loop: SessionManager
    samesite: str | bool


@cache
def farm() -> Farm:
    """The farm that this process belongs to.

    Raises:
        ConfigurationError: a setting is wrong; the message names it and the mend.
    """
    keywords = _keywords(getattr(django, "SHAREDSESSION", {}))
    settings = Settings.load(keywords, native=_native())
    settings = replace(settings, backend=_same_backend(keywords, settings))
    blocking = SessionManager(settings, blocking=True)
    on_loop = SessionManager(settings, blocking=False)
    on_loop.observer.counters = blocking.observer.counters  # one count, whoever asks `manager().health()`
    say_if_scripts_may_read(blocking.observer, http_only=django.SESSION_COOKIE_HTTPONLY)
    return Farm(settings, blocking, on_loop, _samesite(keywords, settings))


def manager() -> SessionManager:
    """The manager of this process; each verb has its twin for event loops."""
    return farm().blocking


def _keywords(given: Any) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise ConfigurationError("SHAREDSESSION must be a dict of settings, like {'BACKEND': 'redis://…'}")
    for name in given:
        if not isinstance(name, str) or name != name.upper():
            raise ConfigurationError(f"SHAREDSESSION has upper-case keys: there is no {name!r}")
    return {name.lower(): value for name, value in given.items()}


def _native() -> dict[str, Any]:
    """What Django's own settings say, in our words."""
    native = {
        "secret_key": lambda: (django.SECRET_KEY, *django.SECRET_KEY_FALLBACKS),
        "idle_timeout": django.SESSION_COOKIE_AGE,
        "absolute_timeout": None,
        "cookie_name": django.SESSION_COOKIE_NAME,
        "cookie_path": django.SESSION_COOKIE_PATH,
        "cookie_domain": django.SESSION_COOKIE_DOMAIN,
        "cookie_samesite": django.SESSION_COOKIE_SAMESITE or "lax",
        "cookie_persistent": not django.SESSION_EXPIRE_AT_BROWSER_CLOSE,
    }
    return native | ({"cookie_secure": True} if django.SESSION_COOKIE_SECURE else {})


def _same_backend(keywords: Mapping[str, Any], settings: Settings) -> Backend | AsyncBackend:
    """One URL is one object in this process, so that overriding a setting in a test loses neither links nor memory."""
    url = keywords.get("backend") or os.environ.get("SHAREDSESSION_BACKEND")
    if url is not None and not isinstance(url, str):
        return settings.backend
    return _backends.setdefault((url, settings.breaker_window), settings.backend)


def _samesite(keywords: Mapping[str, Any], settings: Settings) -> str | bool:
    ours = "cookie_samesite" in keywords or "SHAREDSESSION_COOKIE_SAMESITE" in os.environ
    if django.SESSION_COOKIE_SAMESITE or ours:
        return settings.transport.cookie.samesite.capitalize() if settings.transport.cookie else False
    return False


def _forget(*, setting: str, **_: Any) -> None:
    if setting.startswith(("SESSION_", "SHAREDSESSION")):
        farm.cache_clear()


setting_changed.connect(_forget)
