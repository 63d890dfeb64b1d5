"""How the token travels, and what a response must tell because of it: the HTTP of sessions, without a server.

Headers in, tokens out; an outcome in, headers out. Rules: RFC 6265bis for cookies; those for caches are in `caching`.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus

from sharedsession.http import caching
from sharedsession.http.answer import Answer, Headers, make_answer
from sharedsession.http.cookie import CookiePolicy
from sharedsession.http.outcome import Outcome
from sharedsession.http.replaced import surviving
from sharedsession.observe import Observer

_UNAVAILABLE = b"The session store is not answering. Please try again in a moment.\n"


@dataclass(frozen=True)
class TokenTransport:
    """Where the token stands in requests and responses.

    Args:
        cookie: the cookie's attributes; ``None``: no cookie is read or set.
        header_name: the header that carries the token; ``None``: no such header.
    """

    cookie: CookiePolicy | None
    header_name: str | None

    def tokens(self, cookie_header: bytes, token_header: bytes) -> list[bytes]:
        """Returns what could be tokens in a request: from cookies, at most 256, and one from the header."""
        found = self.cookie.candidates(cookie_header) if cookie_header and self.cookie is not None else []
        return [*found, token_header.strip(b" \t")] if self.header_name and token_header else found

    def text_tokens(self, cookie_header: str, token_header: str) -> list[bytes]:
        """Same as `tokens`, for headers as WSGI has them: text that stands for Latin-1 bytes (PEP 3333)."""
        # Other characters are replaced, so that they can be part of no cookie's name.
        return self.tokens(cookie_header.encode("latin-1", "replace"), token_header.encode("latin-1", "replace"))

    def apply(self, headers: Headers, outcome: Outcome, *, accessed: bool, observer: Observer) -> Headers:
        """Returns a response's headers with what the outcome of its commit asks for.

        Args:
            headers: the application's headers; not changed.
            outcome: of the commit.
            accessed: whether the application accessed the session: then caches must know what the page depends on.
            observer: told when the application's own cache headers are overridden.
        """
        headers = self.protected(headers, outcome, accessed=accessed, observer=observer)
        cookie = self._set_cookie(outcome)
        return [*headers, ("Set-Cookie", cookie)] if cookie else headers

    def protected(self, headers: Headers, outcome: Outcome, *, accessed: bool, observer: Observer) -> Headers:
        """Same as `apply`, for a framework that sets the cookie itself."""
        if outcome.token or outcome.clear:
            headers = caching.vary(caching.no_store(headers, observer), self._varies_by)
            return [*headers, (self.header_name, outcome.token or "")] if self.header_name else headers
        return caching.vary(headers, self._varies_by) if accessed else headers

    def report_late_look(self, headers: Headers, observer: Observer) -> None:
        """Reports that a stream first looked at its session when these headers had left."""
        caching.report_late_look(headers, self._varies_by, observer)

    def unavailable(
        self, retry_after: float, method: str = "GET", *, replaced: Iterable[tuple[str, str]] = ()
    ) -> Answer:
        """Returns the answer for when the store cannot be asked: 503. It neither sets nor clears the token.

        Args:
            retry_after: seconds after which the client may try again.
            method: of the request.
            replaced: the headers of the application's answer, if there is one that this takes the place of.
        """
        replaced = list(replaced)
        said = [(name, value) for name, value in replaced if name.lower() == "vary"]
        headers = [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Retry-After", str(max(1, math.ceil(retry_after)))),
            ("Cache-Control", "no-store"),
            *caching.vary(said, self._varies_by),
            *surviving(replaced, cookie=self.cookie.name if self.cookie else None, token_header=self.header_name),
        ]
        return make_answer(HTTPStatus.SERVICE_UNAVAILABLE, headers, _UNAVAILABLE, method=method)

    def clashes_with(self, other: "TokenTransport") -> bool:
        """Returns whether both would take and set one token: by a cookie of one name, or by one header."""
        same_cookie = self.cookie is not None and other.cookie is not None and self.cookie.name == other.cookie.name
        return same_cookie or (self.header_name is not None and self.header_name == other.header_name)

    def _set_cookie(self, outcome: Outcome) -> str | None:
        if not self.cookie or not (outcome.token or outcome.clear):
            return None
        return self.cookie.set(outcome.token, outcome.max_age) if outcome.token else self.cookie.clear()

    @cached_property
    def raw_header_name(self) -> bytes:
        """The name under which ASGI has that header; empty where there is none."""
        return (self.header_name or "").lower().encode()

    @cached_property
    def environ_name(self) -> str:
        """The name under which WSGI has the header that carries the token."""
        return f"HTTP_{(self.header_name or '').upper().replace('-', '_')}"

    @cached_property
    def vary(self) -> str:
        """The value of ``Vary`` where the response has none yet."""
        return ", ".join(self._varies_by)

    @cached_property
    def vary_line(self) -> tuple[bytes, bytes]:
        """The same as a header of ASGI."""
        return b"vary", self.vary.encode()

    @cached_property
    def _varies_by(self) -> list[str]:
        return ["Cookie"] * bool(self.cookie) + [self.header_name] * bool(self.header_name)  # type: ignore[list-item]
