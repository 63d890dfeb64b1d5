"""What caches must be told of an answer: headers in, headers out.

A page that depends on the session has ``Vary`` (RFC 9110, 12.5.5). One that hands out a token is stored by nobody:
Set-Cookie does not see to that by itself (RFC 9111, 7.3), and some headers outrank ``Cache-Control``.
"""

from collections.abc import Iterable, Sequence

from sharedsession.http.answer import Headers
from sharedsession.observe import Observer

# What shared caches obey before Cache-Control. Beside these: every targeted field (RFC 9213), as CDN-Cache-Control.
_OUTRANK = {"x-accel-expires", "surrogate-control", "edge-control", "expires"}
_TARGETED = "-cache-control"
_NO_STORE = ("Cache-Control", "no-store")
_PROHIBITIONS = {"no-store", "private", "no-cache", "must-revalidate", "max-age=0", "0"}


def no_store(headers: Headers, observer: Observer) -> Headers:
    """Returns the headers of an answer that no cache may store, whatever the application said."""
    if not _address_caches(headers):
        return [*headers, _NO_STORE]
    if _asks_for_caching(headers):
        observer.event(
            "cache_control_overridden",
            "session cookie in a response that caches were asked to keep: it was sent with Cache-Control: no-store "
            "alone",
        )
    kept = [(name, value) for name, value in headers if name.lower() != "cache-control" and not _permits(name, value)]
    return [*kept, _NO_STORE]


def vary(headers: Headers, names: Sequence[str]) -> Headers:
    """Returns headers with names in ``Vary``, each once."""
    values = _values(headers, "vary")
    if not values:
        return [*headers, ("Vary", ", ".join(names))]
    known = [name for value in values for name in _split(value)]
    if "*" in known:
        return headers
    seen = {name.lower() for name in known}
    missing = [name for name in names if name.lower() not in seen]
    others = [(name, value) for name, value in headers if name.lower() != "vary"]
    return [*others, ("Vary", ", ".join(known + missing))] if missing else headers


def outranks(name: str) -> bool:
    """Returns whether caches obey a header before ``Cache-Control``."""
    return name in _OUTRANK or name.endswith(_TARGETED)


def report_late_look(headers: Headers, names: Sequence[str], observer: Observer) -> None:
    """Reports that a stream depends on the session after all, when its head has left.

    Args:
        headers: that have left. Nothing is wrong if they keep the answer out of shared caches, or say it anyway.
        names: that should be in their ``Vary``.
        observer: told about it.
    """
    said = ",".join(_values(headers, "cache-control")).lower()
    if "no-store" in said or "private" in said or vary(headers, names) == headers:
        return
    observer.event(
        "late_look",
        "session first looked at by a stream after its first chunk, too late for Vary: a shared cache may hand it to "
        "others. Look before the first chunk, or send Cache-Control: private",
    )


def _address_caches(headers: Headers) -> bool:
    """Returns whether any of the headers, which most answers have none of, says how long caches may keep the answer."""
    for name, _ in headers:
        lower = name.lower()
        if lower == "cache-control" or outranks(lower):
            return True
    return False


def _asks_for_caching(headers: Headers) -> bool:
    directives = " ".join(_values(headers, "cache-control")).lower()
    if "public" in directives or "s-maxage" in directives:
        return True
    # Expires means something only where no Cache-Control stands beside it, and as a date (RFC 9111, 5.3).
    return any(
        _permits(name, value) and (name.lower() != "expires" or (not directives and ":" in value))
        for name, value in headers
    )


def _permits(name: str, value: str) -> bool:
    """Returns whether a header may have a cache store what ``Cache-Control`` forbids."""
    return outranks(name.lower()) and not {part.lower() for part in _split(value)} <= _PROHIBITIONS


def _values(headers: Headers, name: str) -> list[str]:
    return [value for key, value in headers if key.lower() == name]


def _split(value: str) -> Iterable[str]:
    return filter(None, (name.strip() for name in value.split(",")))
