"""``redis://`` and its kin -> one server. redis-py reads the URL; what it would take for something else is refused.

redis-py is lenient: a database that is no number is number 0, where another application keeps its cache, and behind an
unquoted ``/`` or ``@`` in a password it finds another host.
"""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from redis.asyncio.connection import parse_url

from sharedsession.backends.redis.backend import RedisBackend
from sharedsession.backends.wire import tls
from sharedsession.backends.wire.protocol import Address
from sharedsession.backends.wire.urls import is_resolvable, is_text, option_name, redacted
from sharedsession.environment import REAL, Environment
from sharedsession.errors import ConfigurationError

_PORT = 6379
_KNOWN_OPTIONS = {"host", "port", "path", "db", "username", "password", "connection_class", *tls.OPTIONS}
_HOST = re.compile(r"[\w.%-]+|\[[0-9A-Fa-f:.%\w-]+\]")
_DATABASE = re.compile(r"/?|/([0-9]{1,9})/?")
_NUMBER = re.compile(r"[0-9]{1,9}")
_NO_HOST = "has a host that is none: write one, as in redis://10.0.0.5:6379/0 or redis://[::1]:6379/0, and no list"
_NO_PORT = "has a port that is none: ports are numbers from 1 to 65535"
_QUOTING = "in a user or password write / @ # ? and % as %2F %40 %23 %3F and %25"


def from_url(url: str, breaker_window: float = 2.0, environment: Environment = REAL) -> RedisBackend:
    """Makes the backend of ``redis://``, ``rediss://``, ``unix://``, ``valkey://`` or ``valkeys://``.

    Args:
        url: as redis-py reads it.
        breaker_window: seconds for which a failed server is skipped.
        environment: where time and random bytes come from.

    Raises:
        ConfigurationError: the URL is wrong. The message never holds a password.
    """
    options = _read(url)
    secure = url.lower().startswith(("rediss://", "valkeys://"))
    address = Address(
        host=options.get("host", ""),
        port=int(options.get("port", _PORT)),
        path=options.get("path"),
        tls=tls.context(options, secure=secure, instead="rediss"),
    )
    return RedisBackend(
        address,
        username=options.get("username"),
        password=options.get("password"),
        database=int(options.get("db", 0)),
        breaker_window=breaker_window,
        environment=environment,
    )


def _read(url: str) -> Any:
    """Returns the options that redis-py reads in a URL."""
    try:
        as_redis = re.sub("^valkey", "redis", url, flags=re.IGNORECASE)
        parts = urlsplit(as_redis)
        problem = next(_problems(url, parts), None)
        options: Any = {} if problem else parse_url(as_redis)
    except ValueError:  # its text may hold a part of a password that was taken for a port
        problem = f"cannot be read: its port is a number, an IPv6 address stands in [brackets], and {_QUOTING}"
    if not problem and options.get("username") and not options.get("password"):
        problem = "has a user without a password: write user:password@"
    if not problem and not is_resolvable(options.get("host", "")):
        problem = _NO_HOST
    if problem:
        raise ConfigurationError(f"backend {redacted(url)!r} {problem}")
    return options


def _problems(url: str, parts: SplitResult) -> Iterator[str]:
    """Yields what redis-py would pass over, worst first. What comes later takes for granted what came before."""
    if re.search(r"[\t\r\n]", url) or " " in parts.netloc:  # a path of a file may have spaces
        yield "has a space or a line end inside: take it out, or write it as %20"
    if not is_text(url):
        yield "has bytes that are no UTF-8: write them as %XX"
    if "#" in url:
        yield f"has a #, and all behind it would be lost: {_QUOTING}"
    if "@" in parts.path and (parts.netloc or parts.scheme != "unix"):
        yield f"has a / in front of an @: {_QUOTING}"
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    yield from _of_query(parts.query, pairs)
    yield from _of_socket(parts) if parts.scheme == "unix" else _of_host(parts, dict(pairs))


def _of_query(query: str, pairs: list[tuple[str, str]]) -> Iterator[str]:
    given = dict(pairs)
    unknown = given.keys() - _KNOWN_OPTIONS
    if unknown and "@" in query:
        yield f"has no such option; it has {', '.join(tls.OPTIONS)}; and {_QUOTING}"
    if unknown:
        yield f"has no option {option_name(min(unknown))}; it has {', '.join(tls.OPTIONS)}"
    if len(given) < len(pairs) or "" in given.values():
        yield "has an option twice, or without a value: give each one value"
    if not _NUMBER.fullmatch(given.get("db", "0")):
        yield "has a db that is no number: databases are numbers from 0, as in ?db=1"
    if not _NUMBER.fullmatch(given.get("port", "1")) or int(given.get("port", "1")) not in range(1, 65536):
        yield _NO_PORT


def _of_socket(parts: SplitResult) -> Iterator[str]:
    if parts.netloc.rpartition("@")[2] or not parts.path.strip("/"):
        yield "names no socket: write its whole path, as in unix:///run/redis.sock?db=0"


def _of_host(parts: SplitResult, given: dict[str, str]) -> Iterator[str]:
    """Yields what is wrong with host, port or database."""
    host = re.sub(r":[0-9]+$", "", parts.netloc.rpartition("@")[2])
    if not host and not given.keys() & {"host", "path"}:
        yield "names no host: write redis://localhost:6379/0 for this machine"
    if host and not _HOST.fullmatch(host):
        yield _NO_HOST
    if parts.port == 0:
        yield _NO_PORT
    database = _DATABASE.fullmatch(unquote(parts.path))
    if not database:
        yield "has a path that is no database: databases are numbers from 0, as in redis://10.0.0.5:6379/1"
    elif database[1] and int(given.get("db", database[1])) != int(database[1]):
        yield "names two databases, one in its path and one as db: leave one of them out"
