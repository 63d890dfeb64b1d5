"""A request to the page, as much of HTTP as it needs. No decision is made here."""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

MAX_FORM = 4096
"""The most bytes of a form: a password and a token."""

_USED_HEADERS = ("cookie", "host", "origin", "sec-fetch-site")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class Request(NamedTuple):
    """A whole request.

    Attributes:
        method: ``GET`` or another method.
        query: what stands behind the question mark.
        fields: the headers that matter here, names in lower case.
        form: the fields of a form that was sent.
        path: where the page is mounted, without a slash at its end.
    """

    method: str
    query: str
    fields: Mapping[str, str]
    form: Mapping[str, str]
    path: str = ""

    @property
    def is_safe(self) -> bool:
        """Whether the request changes nothing (RFC 9110, 9.2.1)."""
        return self.method in {"GET", "HEAD"}

    @property
    def wants_json(self) -> bool:
        """Whether a program asks: the page's script, or another one."""
        return self.query == "json"


def from_environ(environ: Mapping[str, Any]) -> Request:
    """Reads a request from WSGI."""
    method = environ["REQUEST_METHOD"]
    named = {name: environ.get(f"HTTP_{name.upper().replace('-', '_')}") for name in _USED_HEADERS}
    body = b""
    if method == "POST":
        length = str(environ.get("CONTENT_LENGTH") or "0")
        size = int(length) if re.fullmatch("[0-9]{1,9}", length) else MAX_FORM + 1
        body = environ["wsgi.input"].read(size) if size <= MAX_FORM else b""
    path = f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}".rstrip("/")
    return Request(method, environ.get("QUERY_STRING", ""), _not_empty(named.items()), form_fields(body), path)


async def from_scope(scope: Scope, receive: Receive) -> Request:
    """Reads a request from ASGI."""
    body = await _body(receive) if scope["method"] == "POST" else b""
    pairs = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]]
    named = {wanted: "; ".join(v for name, v in pairs if name == wanted) for wanted in _USED_HEADERS}
    query = scope.get("query_string", b"").decode("latin-1")
    return Request(scope["method"], query, _not_empty(named.items()), form_fields(body), scope["path"].rstrip("/"))


def form_fields(body: bytes) -> dict[str, str]:
    """Returns the fields of a form; none of a form that is too large."""
    if len(body) > MAX_FORM:
        return {}
    return dict(parse_qsl(body.decode("latin-1"), keep_blank_values=True, max_num_fields=None))


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more and len(body) <= MAX_FORM:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def _not_empty(fields: Iterable[tuple[str, str | None]]) -> dict[str, str]:
    return {name: value for name, value in fields if value}
