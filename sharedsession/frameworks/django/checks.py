"""System checks of settings: ``manage.py check`` finds what a web process would refuse, before it is started.

Also what Django's own check of the cookie cannot know: with our middleware it is ``Secure``, unless in development.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from django.conf import settings as django
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as CheckWarning
from django.core.checks.registry import registry
from django.core.checks.security.sessions import check_session_cookie_secure

from sharedsession.errors import ConfigurationError
from sharedsession.frameworks.django.configuration import configuration
from sharedsession.frameworks.django.session_key import SigningMiddleware, session_middlewares


@register(Tags.compatibility)
def check_settings(app_configs: Any = None, **_: Any) -> list[CheckMessage]:
    """Returns the mistake in our settings, if there is one and they are used."""
    if not (has_our_middleware() or django.SESSION_ENGINE.startswith("sharedsession.")):
        return []
    try:
        configuration().settings.machine_key()
    except ConfigurationError as error:
        return [Error(str(error), id="sharedsession.E001")]
    return []


@register(Tags.security, deploy=True)
def check_development(app_configs: Any = None, **_: Any) -> list[CheckMessage]:
    """Returns a warning if settings for development would be deployed."""
    with suppress(ConfigurationError):
        if has_our_middleware() and configuration().settings.development:
            return [
                CheckWarning(
                    'SHAREDSESSION["DEVELOPMENT"] is True: weak secrets and plain-HTTP cookies are allowed.',
                    hint="Leave it out where visitors are served.",
                    id="sharedsession.W001",
                )
            ]
    return []


@register(Tags.security, deploy=True)
def check_cookie(app_configs: Any = None, **kwargs: Any) -> Sequence[CheckMessage]:
    """Returns what Django says of ``SESSION_COOKIE_SECURE``, unless the cookie is ours and ``Secure`` without it."""
    with suppress(ConfigurationError):
        if has_our_middleware():
            cookie = configuration().settings.transport.cookie
            if cookie is None or cookie.secure:
                return []
    found: Sequence[CheckMessage] = check_session_cookie_secure(app_configs, **kwargs)
    return found


registry.deployment_checks.discard(check_session_cookie_secure)  # `check_cookie` stands in its place


def has_our_middleware() -> bool:
    """Returns whether our middleware serves the requests, or one that was made of it."""
    return any(issubclass(middleware, SigningMiddleware) for _, middleware in session_middlewares())
