"""URL -> backend: one table, and the entry points of others.

Nothing is connected here, and no client is imported that was not asked for.
"""

import re
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast

from sharedsession.backends.base import AsyncBackend, Backend
from sharedsession.errors import ConfigurationError
from sharedsession.settings import converters as convert

ENTRY_POINTS = "sharedsession.backends"

# scheme: (module, factory taking the URL and options, the extra to install)
_SCHEMES: dict[str, tuple[str, str, str]] = {
    "memory": ("sharedsession.backends.memory", "from_url", ""),
    "sqlite": ("sharedsession.backends.sqlite.backend", "from_url", ""),
    "memcached": ("sharedsession.backends.memcached.urls", "from_url", ""),
    "memcacheds": ("sharedsession.backends.memcached.urls", "from_url", ""),
    "redis": ("sharedsession.backends.redis", "from_url", "redis"),
    "rediss": ("sharedsession.backends.redis", "from_url", "redis"),
    "unix": ("sharedsession.backends.redis", "from_url", "redis"),
    "valkey": ("sharedsession.backends.redis", "from_url", "redis"),
    "valkeys": ("sharedsession.backends.redis", "from_url", "redis"),
}
_LATER = {
    "redis+sentinel": "Redis with Sentinel",
    "redis+cluster": "Redis Cluster",
    "sqlite": "SQL",  # with a driver: sqlite+pysqlite://
    "postgresql": "SQL",
    "mysql": "SQL",
    "mariadb": "SQL",
    "mssql": "SQL",
    "oracle": "SQL",
}


def connect(url: str, **options: Any) -> Backend | AsyncBackend:
    """Makes the backend that a URL names. No I/O: it connects when it is first used.

    Args:
        url: as in the table of backends, for instance ``sqlite:////var/lib/app/sessions.db``.
        **options: ``breaker_window`` in seconds, for backends on a network.

    Returns:
        A backend for blocking applications; its ``asynchronous`` attribute serves event loops.

    Raises:
        ConfigurationError: the URL is wrong, its scheme unknown, or its client not installed. The message never
            holds a password.
    """
    if "://" not in url:
        raise ConfigurationError("backend must be a URL like 'sqlite:///' or 'redis://localhost:6379/0'")
    scheme = url.partition("://")[0].lower()
    factory = _factory(scheme)
    return cast("Backend | AsyncBackend", factory(url, **(_checked(options) if scheme in _SCHEMES else options)))


def _checked(options: Mapping[str, Any]) -> dict[str, float]:
    unknown = options.keys() - {"breaker_window"}
    if unknown:
        raise ConfigurationError(f"connect() has no option {min(unknown)!r}; there is 'breaker_window'")
    try:
        return {name: convert.moment(value) for name, value in options.items()}
    except ValueError as problem:
        raise ConfigurationError(f"breaker_window {problem}") from None


def redacted(url: str) -> str:
    """The URL without user and password, even if it is none: whatever stands before the last ``@`` goes."""
    scheme, _, rest = url.partition("://")
    shown = re.sub(r"^.*@", "***@", rest, flags=re.DOTALL)
    return f"{scheme}://" + re.sub(r"((?:username|password)=)[^&]*", r"\1***", shown, flags=re.IGNORECASE)


def _factory(scheme: str) -> Callable[..., object]:
    if scheme in _SCHEMES:
        return _imported(*_SCHEMES[scheme])
    for entry in entry_points(group=ENTRY_POINTS, name=scheme):
        return _loaded(entry)
    base = scheme.partition("+")[0]
    later = _LATER.get(scheme) or _LATER.get(base)
    if later:
        raise ConfigurationError(f"backend {scheme}:// ({later}) is not part of this release yet")
    known = ", ".join(f"{name}://" for name in _SCHEMES)
    raise ConfigurationError(f"backend {scheme}:// is unknown; there are {known}")


def _loaded(entry: EntryPoint) -> Callable[..., object]:
    try:
        return cast("Callable[..., object]", entry.load())
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"backend {entry.name}:// is registered as {entry.value!r}, which cannot be loaded ({error}): "
            "install or fix the package that registers it"
        ) from error


def _imported(module: str, name: str, extra: str) -> Callable[..., object]:
    try:
        return cast("Callable[..., object]", getattr(import_module(module), name))
    except ModuleNotFoundError as error:
        if not extra or (error.name or "").startswith("sharedsession"):
            raise
        raise ConfigurationError(
            f"this backend needs the package {error.name!r}: pip install 'sharedsession[{extra}]'"
        ) from None
