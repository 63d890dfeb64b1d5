"""Django's settings become one manager.

It is made when first asked for, never at import, and made anew when a test overrides a setting.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from http.cookies import Morsel
from typing import Any

from django.conf import settings as django
from django.core.signals import setting_changed
from django.http import HttpResponse

from sharedsession.backends.base import AsyncBackend, Backend
from sharedsession.engine import Engine
from sharedsession.errors import ConfigurationError
from sharedsession.http import CookiePolicy
from sharedsession.manager import SessionManager, engines_of
from sharedsession.settings import Settings, Spelling, log_if_scripts_may_read

_backends: dict[tuple[str | None, float], Backend | AsyncBackend] = {}


@dataclass(frozen=True)
class Configuration:
    """What Django's settings, ``SHAREDSESSION`` and the environment make together.

    Attributes:
        settings: checked.
        manager: of this process.
        samesite: the cookie's attribute as Django writes it; ``False`` for none.
    """

    settings: Settings
    manager: SessionManager
    samesite: str | bool

    @cached_property
    def blocking(self) -> Engine:
        """The engine for code that blocks. What one engine opened the other may load and commit."""
        return engines_of(self.manager).blocking

    @cached_property
    def on_loop(self) -> Engine:
        """The engine for code on an event loop."""
        return engines_of(self.manager).on_loop

    @cached_property
    def cookie(self) -> "Morsel[str]":
        """The session cookie with all its attributes as Django makes them, but no value and no end: to be copied."""
        policy = self.settings.transport.cookie or CookiePolicy()
        response = HttpResponse()
        response.set_cookie(
            policy.name,
            path=policy.path,
            domain=policy.domain,
            secure=policy.secure or None,
            httponly=django.SESSION_COOKIE_HTTPONLY or None,
            samesite=self.samesite,
        )
        made: Morsel[str] = response.cookies[policy.name]
        if policy.partitioned:  # http.cookies knows the attribute since Python 3.14 only
            made["path"] = f"{policy.path}; Partitioned"
        return made


@cache
def configuration() -> Configuration:
    """Returns the configuration of this process.

    Raises:
        ConfigurationError: a setting is wrong; the message names it and the fix.
    """
    keywords = _keywords(getattr(django, "SHAREDSESSION", {}))
    settings = Settings.load(keywords, native=_native(), spelling=_spelling())
    settings = replace(settings, backend=_same_backend(keywords, settings))
    shared = SessionManager(settings)
    log_if_scripts_may_read(engines_of(shared).observer, http_only=django.SESSION_COOKIE_HTTPONLY)
    return Configuration(settings, shared, _samesite(keywords, settings))


def manager() -> SessionManager:
    """Returns the manager of this process; each method has its twin for event loops."""
    return configuration().manager


def _keywords(given: Any) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise ConfigurationError("SHAREDSESSION must be a dict of settings, like {'BACKEND': 'redis://…'}")
    for name in given:
        if not isinstance(name, str) or name != name.upper():
            fix = f"; write {name.upper()!r}" if isinstance(name, str) else ""
            raise ConfigurationError(f"SHAREDSESSION has upper-case keys: there is no {name!r}{fix}")
    return {name.lower(): value for name, value in given.items()}


def _native() -> dict[str, Any]:
    """Returns Django's own settings under our names."""
    native = {
        "secret_key": lambda: (django.SECRET_KEY, *django.SECRET_KEY_FALLBACKS),
        "idle_timeout": django.SESSION_COOKIE_AGE,
        "absolute_timeout": None,
        "cookie_name": django.SESSION_COOKIE_NAME,
        "cookie_path": django.SESSION_COOKIE_PATH,
        "cookie_domain": django.SESSION_COOKIE_DOMAIN or None,
        "cookie_samesite": django.SESSION_COOKIE_SAMESITE or "lax",
        "cookie_persistent": not django.SESSION_EXPIRE_AT_BROWSER_CLOSE,
    }
    return native | ({"cookie_secure": True} if django.SESSION_COOKIE_SECURE else {})


def _spelling() -> Spelling:
    """Returns how Django's users write settings."""
    cookie = ("name", "path", "domain", "secure", "samesite")
    return Spelling(
        ours=lambda name: f'SHAREDSESSION["{name.upper()}"]',
        native={
            "secret_key": "SECRET_KEY",
            "idle_timeout": "SESSION_COOKIE_AGE",
            "cookie_persistent": "SESSION_EXPIRE_AT_BROWSER_CLOSE",
            **{f"cookie_{name}": f"SESSION_COOKIE_{name.upper()}" for name in cookie},
        },
        defaults=() if django.is_overridden("SESSION_COOKIE_AGE") else ("idle_timeout",),
    )


def _same_backend(keywords: Mapping[str, Any], settings: Settings) -> Backend | AsyncBackend:
    """Returns one object for one URL in this process: overriding a setting in a test keeps connections and memory."""
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
        configuration.cache_clear()


setting_changed.connect(_forget)
