"""What survives of an answer of the application when ours takes its place: the 503 of an outage.

A failed commit comes when everybody in the stack has added to the answer what each answer needs: CORS, HSTS, the
number of the request. That stays. What is about the application's body, or has the client do something, goes.
"""

from collections.abc import Collection, Iterable

from sharedsession.http.answer import Headers
from sharedsession.http.caching import outranks

_OF_THE_BODY = {
    *("etag", "last-modified", "accept-ranges", "digest", "repr-digest", "trailer", "transfer-encoding"),
    *("x-sendfile", "x-lighttpd-send-file"),  # a server would send the file in the place of ours
}
_OF_CACHES = {"cache-control", "age", "pragma", "warning", "vary"}
_TO_DO = {"location", "refresh", "retry-after", "allow", "www-authenticate", "clear-site-data"}
_GONE = _OF_THE_BODY | _OF_CACHES | _TO_DO
_GONE_BY_PREFIX = ("content-", "x-accel-", "hx-")  # of the body, for nginx, for htmx
_SECURITY = "content-security-policy"  # and -report-only


def surviving(headers: Iterable[tuple[str, str]], *, cookie: str | None, token_header: str | None) -> Headers:
    """Returns the headers that stay, without ``Vary``.

    Args:
        headers: of the application's answer.
        cookie: the name of our cookie, if there is one.
        token_header: the name of the header that carries our token, if there is one.
    """
    gone = _GONE | {token_header.lower()} if token_header else _GONE
    return [(name, value) for name, value in headers if _stays(name.lower(), gone) and not _sets(name, value, cookie)]


def _stays(name: str, gone: Collection[str]) -> bool:
    if name in gone or outranks(name):
        return False
    return name.startswith(_SECURITY) or not name.startswith(_GONE_BY_PREFIX)


def _sets(name: str, value: str, cookie: str | None) -> bool:
    return name.lower() == "set-cookie" and value.partition("=")[0].strip() == cookie
