"""System checks: whether the session middleware and the session engine belong together.

A wrong mix raises nothing. The visitor is somebody to one part of the project, and nobody to the other. So it is told
by `manage.py check` and `runserver`, and in the log of a web process, which runs no checks.
"""

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

from django.apps import apps
from django.conf import settings as django
from django.contrib.sessions import middleware as theirs
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as CheckWarning

from sharedsession.frameworks.django.session_key import SigningMiddleware, keys_are_ids, session_middlewares
from sharedsession.frameworks.django.store import SessionStore

OUR_ENGINE = "sharedsession.frameworks.django"
OUR_MIDDLEWARE = f"{OUR_ENGINE}.SessionMiddleware"


@register(Tags.compatibility)
def check_engine(app_configs: Any = None, **_: Any) -> list[CheckMessage]:
    """Returns what is wrong with ``MIDDLEWARE`` and ``SESSION_ENGINE`` together; nothing if neither is ours."""
    found, engine_is_ours = session_middlewares(), _is_engine_ours()
    ours = [path for path, middleware in found if issubclass(middleware, SigningMiddleware)]
    if not (ours or engine_is_ours):
        return []
    return [*_several(found), *_another_engine(ours, engine_is_ours), *_another_middleware(found)]


def _several(found: Sequence[tuple[str, type]]) -> Iterator[CheckMessage]:
    if len(found) > 1:
        yield Error(
            f"MIDDLEWARE has {len(found)} session middlewares: {', '.join(path for path, _ in found)}. The inner one "
            "replaces the session of the outer one, and each overwrites the other's cookie.",
            hint=f"Keep one of them: '{OUR_MIDDLEWARE}'.",
            id="sharedsession.E101",
        )


def _another_engine(ours: Sequence[str], engine_is_ours: bool) -> Iterator[CheckMessage]:
    # Django's default stands for "not set": our middleware does not ask for an engine.
    if ours and not engine_is_ours and django.is_overridden("SESSION_ENGINE"):
        yield Error(
            f"SESSION_ENGINE is '{django.SESSION_ENGINE}', but the sessions of requests are those of '{ours[0]}'. "
            "Whatever asks the engine (the test client, Channels, allauth's list of sessions) finds nobody logged in.",
            hint=f"Set SESSION_ENGINE = '{OUR_ENGINE}', or put Django's own session middleware back.",
            id="sharedsession.E102",
        )


def _another_middleware(found: Sequence[tuple[str, type]]) -> Iterator[CheckMessage]:
    """With our engine: a middleware that is not built on Django's, so that it has sessions of its own."""
    for path, middleware in found:
        if len(found) == 1 and not issubclass(middleware, theirs.SessionMiddleware):
            yield Error(
                f"SESSION_ENGINE is '{django.SESSION_ENGINE}', but '{path}' is made for another engine.",
                hint=f"Put '{OUR_MIDDLEWARE}' in its place, or set SESSION_ENGINE to the engine that belongs to it.",
                id="sharedsession.E103",
            )


@register(Tags.security)
def check_channels(app_configs: Any = None, **_: Any) -> list[CheckMessage]:
    """Returns what to do where Channels is installed: it takes whatever is in the cookie for a key."""
    if not (apps.is_installed("channels") and keys_are_ids() and _is_engine_ours()):
        return []
    return [
        CheckWarning(
            "Channels' own SessionMiddleware takes an unsigned session_key for a cookie, so whoever reads one in a "
            "table could open that session in a consumer.",
            hint="Put sharedsession.frameworks.django.SignedSessions around Channels' stack in asgi.py, and then add "
            "'sharedsession.W101' to SILENCED_SYSTEM_CHECKS.",
            id="sharedsession.W101",
        )
    ]


def _is_engine_ours() -> bool:
    if django.SESSION_ENGINE.startswith("django.contrib.sessions."):  # some of them import a table
        return False
    try:
        engine = import_module(django.SESSION_ENGINE)
    except ImportError:  # Django says so itself
        return False
    return issubclass(getattr(engine, "SessionStore", object), SessionStore)
