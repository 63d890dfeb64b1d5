"""Starlette's own argument names become settings. What is wrong is told in the words that the user wrote."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from starlette.datastructures import Secret

from sharedsession.errors import ConfigurationError
from sharedsession.settings import Keywords, Settings, Spelling

_OURS = {
    "session_cookie": "cookie_name",
    "max_age": "idle_timeout",
    "path": "cookie_path",
    "same_site": "cookie_samesite",
    "https_only": "cookie_secure",
    "domain": "cookie_domain",
    "partitioned": "cookie_partitioned",
}
_WITHOUT_MEANING: dict[str, Any] = {"max_age": None, "https_only": False, "domain": None}  # then our default holds
_HALF_A_DAY = 43200  # the default of absolute_timeout in seconds


class StarletteKeywords(Keywords, total=False):
    """The settings, and the names that Starlette's own middleware has for some of them."""

    session_cookie: str
    max_age: float | timedelta | None
    path: str
    same_site: str
    https_only: bool
    domain: str | None
    partitioned: bool


def settings_from(given: Mapping[str, Any]) -> Settings:
    """Returns the settings that arguments by either names make.

    Raises:
        ConfigurationError: a setting is wrong, or two names of one setting contradict each other.
    """
    theirs = {name: value for name, value in given.items() if name in _OURS and not _is_meaningless(name, value)}
    ours = {name: value for name, value in given.items() if name not in _OURS}
    for name, value in theirs.items():
        _add(ours, _OURS[name], value, name)
    if "max_age" in given:
        _add(ours, "cookie_persistent", given["max_age"] is not None, f"max_age={given['max_age']!r}, which means")
    ours["secret_key"] = revealed(ours.get("secret_key"))
    spelling = Spelling(given={_OURS[name]: f"{name} ({_OURS[name]})" for name in theirs})
    settings = Settings.load(ours, native=_native(theirs), spelling=spelling)
    cookie = settings.transport.cookie
    if cookie is None:
        return settings
    return replace(settings, transport=replace(settings.transport, cookie=replace(cookie, lower_case=True)))


def revealed(secret: Any) -> Any:
    """Returns a secret without Starlette's `Secret` around it."""
    if isinstance(secret, list | tuple):
        return [revealed(each) for each in secret]
    return str(secret) if isinstance(secret, Secret) else secret


def _is_meaningless(name: str, value: Any) -> bool:
    return name in _WITHOUT_MEANING and value is _WITHOUT_MEANING[name]


def _add(ours: dict[str, Any], name: str, value: Any, named: str) -> None:
    if name in ours and _plain(ours[name]) != _plain(value):
        raise ConfigurationError(f"{named} and {name} are two names of one setting and differ: keep one of them")
    ours.setdefault(name, value)


def _plain(value: Any) -> Any:
    return value.total_seconds() if isinstance(value, timedelta) else value


def _native(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Returns defaults: with a ``max_age`` of two weeks, the absolute end, unless it is set, does not come before."""
    age = _plain(theirs.get("max_age"))
    lasting = isinstance(age, int | float) and age > _HALF_A_DAY
    return {"adopt": False} | ({"absolute_timeout": age} if lasting else {})
