"""Plain HTTP: no browser keeps a ``Secure`` cookie that comes by it, so each page begins a new session. It is logged.

Nobody is refused for it. What a client claims about its connection decides nothing but whether there is a log record.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from sharedsession.http.cookie import CookiePolicy
from sharedsession.observe import Observer

_PLAIN = {"http", "ws"}
_FORWARDED = ("x-forwarded-proto", "x-forwarded-scheme", "forwarded")  # what proxies that end TLS add
_IN_SCOPE = {name.encode() for name in _FORWARDED}
_IN_ENVIRON = [f"HTTP_{name.upper().replace('-', '_')}" for name in _FORWARDED]


def environ_is_plain(environ: Mapping[str, Any]) -> bool:
    """Returns whether a WSGI request came over plain HTTP, as far as server and proxies tell."""
    return _is_plain(environ.get("wsgi.url_scheme"), [environ.get(name, "") for name in _IN_ENVIRON])


def scope_is_plain(scope: Mapping[str, Any]) -> bool:
    """Returns whether an ASGI connection came over plain HTTP, as far as server and proxies tell."""
    return _is_plain(
        scope.get("scheme"), [value.decode("latin-1") for name, value in scope["headers"] if name in _IN_SCOPE]
    )


def log_plain_http(cookie: CookiePolicy | None, development: str, observer: Observer) -> None:
    """Logs, the first time only, that a cookie went out over plain HTTP, if browsers will not keep it.

    Args:
        cookie: that went out, if there is one.
        development: how the setting of this name is called where it is set.
        observer: writes the record.
    """
    if cookie is not None and cookie.secure:
        observer.once(
            "plain_http",
            f"session cookie {cookie.name!r} went out over plain HTTP; it is Secure, so browsers drop it and each page "
            "begins a new session: put TLS in front, with a proxy that sends X-Forwarded-Proto, or set "
            f"{development}=True on your own machine",
        )


def _is_plain(scheme: str | None, forwarded: Iterable[str]) -> bool:
    return scheme in _PLAIN and "https" not in ",".join(forwarded).lower()
