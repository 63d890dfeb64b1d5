"""URL -> backend: one table, and the entry points of other packages.

Nothing is connected here. A client library is imported only for a URL that needs it.
"""

import re
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NamedTuple, cast

from sharedsession import durations
from sharedsession.backends.base import AsyncBackend, Backend
from sharedsession.environment import REAL, Environment
from sharedsession.errors import ConfigurationError
from sharedsession.extras import missing_package

ENTRY_POINTS = "sharedsession.backends"
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")  # RFC 3986, section 3.1

_Factory = Callable[..., Backend | AsyncBackend]


class _Scheme(NamedTuple):
    """Where the backend of a scheme is made.

    Attributes:
        module: has a function ``from_url(url, breaker_window, environment)``.
        extra: of this package, which installs the client library; empty if none is needed.
    """

    module: str
    extra: str = ""


_SCHEMES = {
    "memory": _Scheme("sharedsession.backends.memory"),
    "sqlite": _Scheme("sharedsession.backends.sqlite.backend"),
    "memcached": _Scheme("sharedsession.backends.memcached.urls"),
    "memcacheds": _Scheme("sharedsession.backends.memcached.urls"),
    "redis": _Scheme("sharedsession.backends.redis.urls", "redis"),
    "rediss": _Scheme("sharedsession.backends.redis.urls", "redis"),
    "unix": _Scheme("sharedsession.backends.redis.urls", "redis"),
    "valkey": _Scheme("sharedsession.backends.redis.urls", "redis"),
    "valkeys": _Scheme("sharedsession.backends.redis.urls", "redis"),
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


def connect(url: str, *, environment: Environment = REAL, **options: Any) -> Backend | AsyncBackend:
    """Makes the backend that a URL names. No I/O: it connects when it is first used.

    Args:
        url: as in the table of backends, for instance ``sqlite:////var/lib/app/sessions.db``.
        environment: where time and random bytes come from. A backend of another package does not get it.
        **options: ``breaker_window``, in seconds, for backends on a network. A backend of another package gets all
            options that are given here, and no others.

    Returns:
        A backend for blocking applications; its ``asynchronous`` attribute serves event loops.

    Raises:
        ConfigurationError: the URL is wrong, its scheme unknown, or its client not installed. The message never
            holds a password.
    """
    url = url.strip()  # a line end from the file that it stood in
    if "://" not in url:
        raise ConfigurationError("backend must be a URL like 'sqlite:///' or 'redis://localhost:6379/0'")
    name = url.partition("://")[0].lower()
    if not _SCHEME.fullmatch(name):
        raise ConfigurationError("backend must begin with a scheme like redis://, and user:password@ comes behind it")
    scheme = _SCHEMES.get(name)
    if scheme is None:
        return _registered(name)(url, **options)
    return _imported(scheme)(url, **_checked(options), environment=environment)


def _checked(options: Mapping[str, Any]) -> dict[str, float]:
    unknown = options.keys() - {"breaker_window"}
    if unknown:
        raise ConfigurationError(f"connect() has no option {min(unknown)!r}; there is 'breaker_window'")
    try:
        return {name: durations.waiting_time(value) for name, value in options.items()}
    except ValueError as problem:
        raise ConfigurationError(f"breaker_window {problem}") from None


def _registered(name: str) -> _Factory:
    """Returns the factory that another package has registered for a scheme."""
    for entry in entry_points(group=ENTRY_POINTS, name=name):
        return _loaded(entry)
    later = _LATER.get(name) or _LATER.get(name.partition("+")[0])
    if later:
        raise ConfigurationError(f"backend {name}:// ({later}) is not part of this release yet")
    known = ", ".join(f"{scheme}://" for scheme in _SCHEMES)
    raise ConfigurationError(f"backend {name}:// is unknown; there are {known}")


def _loaded(entry: EntryPoint) -> _Factory:
    try:
        return cast("_Factory", entry.load())
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"backend {entry.name}:// is registered as {entry.value!r}, which cannot be loaded ({error}): "
            "install or fix the package that registers it"
        ) from error


def _imported(scheme: _Scheme) -> _Factory:
    try:
        return cast("_Factory", import_module(scheme.module).from_url)
    except ModuleNotFoundError as error:
        if not scheme.extra or (error.name or "").startswith("sharedsession"):
            raise
        raise ConfigurationError(missing_package("this backend", error, scheme.extra)) from None
