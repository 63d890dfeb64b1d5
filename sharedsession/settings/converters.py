"""One value of one setting, as a keyword or as text from the environment, becomes the value that is used.

Each function raises `ValueError` with the end of a sentence that begins with the setting's name.
"""

import math
import re
from collections.abc import Callable
from typing import Any

from sharedsession.durations import number

# fmt: off
_NOT_OURS = {  # headers with a meaning of their own, or that servers write or read themselves
    "accept", "accept-encoding", "age", "authorization", "cache-control", "connection", "content-encoding",
    "content-length", "content-type", "cookie", "date", "etag", "expect", "expires", "forwarded", "host",
    "keep-alive", "location", "origin", "proxy-authenticate", "proxy-authorization", "referer", "server",
    "set-cookie", "te", "trailer", "transfer-encoding", "upgrade", "user-agent", "vary", "www-authenticate",
}
# fmt: on
_FLAGS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


def anything(value: Any) -> Any:
    """Leaves the check to the code that uses the value."""
    return value


def text(value: Any) -> str:
    """Takes text that is not empty."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ValueError("must be a text that is not empty and can be printed")
    return value


def text_or_none(value: Any) -> str | None:
    """Takes text, or ``None``."""
    return None if value is None else text(value)


def path(value: Any) -> str | None:
    """Takes the path of a file."""
    named = value.__fspath__() if hasattr(value, "__fspath__") else value
    if named is not None and (not isinstance(named, str) or not named or "\0" in named):
        raise ValueError("must be the path of a file")
    return named


def flag(value: Any) -> bool:
    """Takes True or False, or a usual word for them."""
    if isinstance(value, str):
        value = _FLAGS.get(value.lower())
    if not isinstance(value, bool):
        raise ValueError("must be True or False")  # noqa: TRY004  (one kind of error for all of them)
    return value


def flag_or_none(value: Any) -> bool | None:
    """Takes True or False, or ``None``."""
    return None if value is None else flag(value)


def bytes_count(value: Any) -> int:
    """Takes a size in bytes."""
    size = number(value)
    if size is None or not 1 <= size < math.inf or size != int(size):
        raise ValueError("must be a positive whole number of bytes")
    return int(size)


def bytes_or_none(value: Any) -> int | None:
    """Takes a size in bytes, or ``None``."""
    return None if value is None or (isinstance(value, str) and value.lower() == "none") else bytes_count(value)


def count_or_none(value: Any) -> int | None:
    """Takes a number of things, or ``None``."""
    if value is None or (isinstance(value, str) and value.lower() == "none"):
        return None
    count = number(value)
    if count is None or not 1 <= count < math.inf or count != int(count):
        raise ValueError("must be a positive whole number, or None for no limit")
    return int(count)


def callable_or_none(value: Any) -> Callable[..., Any] | None:
    """Takes a function, or ``None``."""
    if value is not None and not callable(value):
        raise ValueError("must be a function that takes an Event, given in code and not in the environment")
    return value  # type: ignore[no-any-return]


def patterns(value: Any) -> tuple[str, ...]:
    """Takes path patterns, as a list or separated by commas or white space."""
    found = re.findall(r"[^,\s]+", value) if isinstance(value, str) else value
    if not isinstance(found, list | tuple | set | frozenset) or not all(
        isinstance(pattern, str) and pattern.startswith(("/", "*")) for pattern in found
    ):
        raise ValueError("must be a list of path patterns like '/static/*'")
    return tuple(found)


def keys_or_none(value: Any) -> tuple[str, ...] | None:
    """Takes top-level keys of a session, as a list or separated by commas or white space; or ``None``."""
    found = re.findall(r"[^,\s]+", value) if isinstance(value, str) else value
    if found is None:
        return None
    if not isinstance(found, list | tuple | set | frozenset) or not all(isinstance(key, str) and key for key in found):
        raise ValueError("must be a list of keys like '_user_id'")
    return tuple(found)


def header_name(value: Any) -> str:
    """Takes the name of an HTTP header."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9-]+", value):
        raise ValueError("must be a header name of letters, digits and '-'")
    if value.lower() in _NOT_OURS:
        raise ValueError("must be a header of its own, like 'X-Session-Token'")
    return value


def one_of(*allowed: str) -> Callable[[Any], str]:
    """Makes a function that takes one of a few words."""

    def converter(value: Any) -> str:
        if value not in allowed:
            raise ValueError(f"must be {' or '.join(map(repr, allowed))}")
        return str(value)

    return converter


def one_of_or_none(*allowed: str) -> Callable[[Any], str | None]:
    """Makes a function that takes one of a few words, or nothing."""
    converter = one_of(*allowed)

    def or_none(value: Any) -> str | None:
        return None if value is None or (isinstance(value, str) and value.lower() == "none") else converter(value)

    return or_none
