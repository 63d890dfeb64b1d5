"""Starlette's argument names beside ours: what they mean, and what is said of a mistake."""

from datetime import timedelta
from typing import Any

import pytest
from starlette.datastructures import Secret

from sharedsession import ConfigurationError
from sharedsession.frameworks.starlette import SessionMiddleware
from sharedsession.manager import engines_of
from tests.support.farm import SECRET


def settings_of(**given: Any) -> Any:
    middleware = SessionMiddleware(None, **({"secret_key": SECRET, "backend": "memory://"} | given))  # type: ignore[arg-type]
    return engines_of(middleware.manager).settings


def test_starlettes_names() -> None:
    """Each of its arguments sets the setting of ours that it means."""
    settings = settings_of(
        session_cookie="sid",
        max_age=600,
        path="/app",
        same_site="none",
        https_only=True,
        domain="example.com",
        partitioned=True,
    )
    cookie = settings.transport.cookie
    assert (cookie.name, cookie.path, cookie.samesite, cookie.secure) == ("sid", "/app", "none", True)
    assert (cookie.domain, cookie.partitioned) == ("example.com", True)
    assert (settings.timeouts.idle, settings.timeouts.absolute, settings.cookie_persistent) == (600, 43200, True)


def test_what_starlettes_defaults_say_is_nothing() -> None:
    """Passed on explicitly they leave ours as they are: above all the cookie stays off plain HTTP."""
    settings = settings_of(max_age=None, https_only=False, domain=None, path="/", same_site="lax", partitioned=False)
    assert settings.transport == settings_of().transport
    assert settings.transport.cookie.secure
    assert (settings.timeouts, settings.cookie_persistent) == (settings_of().timeouts, False)


@pytest.mark.parametrize("given", [{"max_age": 1_209_600}, {"max_age": timedelta(days=14)}])
def test_two_weeks_are_two_weeks(given: dict[str, Any]) -> None:
    """No absolute end that nobody asked for cuts a long `max_age` short; one that was set does."""
    assert settings_of(**given).timeouts.absolute == 1_209_600
    assert settings_of(**given, absolute_timeout=3600).timeouts.absolute == 3600


@pytest.mark.parametrize("secret", [Secret(SECRET), [Secret(SECRET)], SECRET], ids=["Secret", "list", "str"])
def test_the_secret_may_be_a_secret(secret: Any) -> None:
    """Starlette's `Secret` is taken as well, by name or by position."""
    expected = settings_of().machine_key().fingerprints()
    assert settings_of(secret_key=secret).machine_key().fingerprints() == expected
    positional = SessionMiddleware(None, secret, backend="memory://")  # type: ignore[arg-type]
    assert engines_of(positional.manager).settings.machine_key().fingerprints() == expected


@pytest.mark.parametrize(
    ("given", "ours"),
    [
        ({"max_age": 600, "idle_timeout": 600}, {"idle_timeout": 600, "cookie_persistent": True}),
        (
            {"max_age": 600, "idle_timeout": timedelta(minutes=10), "cookie_persistent": True},
            {"idle_timeout": 600, "cookie_persistent": True},
        ),
        ({"session_cookie": "sid", "cookie_name": "sid"}, {"cookie_name": "sid"}),
        ({"https_only": True, "cookie_secure": True}, {"cookie_secure": True}),
        ({"https_only": False, "cookie_secure": True}, {}),
    ],
)
def test_the_same_said_twice(given: dict[str, Any], ours: dict[str, Any]) -> None:
    """One value under two names is no contradiction; it means what ours alone would."""
    twice, once = settings_of(**given), settings_of(**ours)
    assert (twice.transport, twice.timeouts, twice.cookie_persistent) == (
        once.transport,
        once.timeouts,
        once.cookie_persistent,
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"max_age": 600, "idle_timeout": 601}, ("max_age", "idle_timeout", "keep one")),
        ({"max_age": 600, "cookie_persistent": False}, ("max_age=600", "cookie_persistent", "keep one")),
        ({"max_age": None, "cookie_persistent": True}, ("max_age=None", "cookie_persistent", "keep one")),
        ({"session_cookie": "a", "cookie_name": "b"}, ("session_cookie", "cookie_name", "keep one")),
        ({"https_only": True, "cookie_secure": False}, ("https_only", "cookie_secure", "keep one")),
        ({"max_age": -1}, ("max_age (idle_timeout) must be a positive number",)),
        ({"same_site": "maybe"}, ("same_site (cookie_samesite) must be",)),
        ({"domain": "a b"}, ("domain (cookie_domain) is not a host name",)),
        ({"session_cookie": ""}, ("session_cookie (cookie_name) must be a text that is not empty",)),
        (
            {"session_cookie": "__Host-a", "domain": "a.b"},
            ("session_cookie (cookie_name)", "neither domain (cookie_domain)"),
        ),
        ({"https_onyl": True}, ("there is no setting 'https_onyl'",)),
        ({"secret_key": None}, ("secret_key is missing",)),
    ],
)
def test_a_wrong_setting_is_named_as_it_was_written(given: dict[str, Any], words: tuple[str, ...]) -> None:
    """Names, problem and mend, in the words of whoever wrote it; never the secret."""
    with pytest.raises(ConfigurationError) as caught:
        settings_of(**given)
    assert [word for word in words if word not in str(caught.value)] == []
    assert SECRET not in str(caught.value)
