"""Who may see the page, and which forms are genuine. No I/O, and no knowledge of what the page shows.

A visitor has a ticket in a cookie: ``level.expires.nonce.signature``. A visitor who has not logged in has one as well,
since the login form carries a token that is made of it: so no other site can log a visitor in or press a button. The
password is part of neither. Each level has a cookie name of its own: a request that follows a link from another site
comes without cookies (SameSite), and the anonymous ticket in its answer must not replace the other one.

A ticket is good for one application, at one path: both are part of what signs it.
"""

import hashlib
import hmac
from typing import NamedTuple

from sharedsession.environment import Environment
from sharedsession.errors import ConfigurationError
from sharedsession.farmpage.exchange import Request
from sharedsession.http import CookiePolicy
from sharedsession.keys import problem_with

TICKET_LIFE = 3600
"""Seconds for which a ticket is valid; then the page asks for the password again."""

ANONYMOUS, LOGGED_IN = "a", "l"
_PURPOSE = b"sharedsession farm page 1 "
_NONCE_BYTES = 16


class Ticket(NamedTuple):
    """A visitor's ticket, after its signature was verified.

    Attributes:
        level: `ANONYMOUS` or `LOGGED_IN`.
        text: the cookie's whole value.
    """

    level: str
    text: str

    def __repr__(self) -> str:
        return f"<Ticket {'of a visitor who has logged in' if self.level == LOGGED_IN else 'anonymous'}>"


class PageAuth:
    """Tickets, tokens and the password of one page.

    Args:
        secret: the password; ``None`` where the application decides who may see the page.
        app_name: of the application.
        secure: whether the cookie travels over TLS only.
        environment: where clock and random bytes come from.

    Attributes:
        asks_password: whether there is a password.
        cookies: of each level.

    Raises:
        ConfigurationError: the secret is short or easy to guess.
    """

    def __init__(self, secret: str | None, *, app_name: str, secure: bool, environment: Environment) -> None:
        problem = problem_with(secret.encode()) if secret is not None else None
        if problem:
            raise ConfigurationError(f"secret of the farm page {problem}; 'sharedsession genkey' makes one")
        self.asks_password = secret is not None
        name = "__Host-farmpage" if secure else "farmpage"
        self.cookies = {
            level: CookiePolicy(name=f"{name}{ending}", secure=secure, samesite="strict")
            for level, ending in ((LOGGED_IN, ""), (ANONYMOUS, "-anonymous"))
        }
        self._clock = environment.clock
        self._random_bytes = environment.random_bytes
        seed = secret.encode() if secret is not None else self._random_bytes(32)
        self._key = hmac.digest(seed, _PURPOSE + b"tickets " + app_name.encode("utf-8", "surrogatepass"), "sha256")
        self._password = self._mac(b"password", seed)

    def __repr__(self) -> str:
        return f"<PageAuth {'by password' if self.asks_password else 'by the application'}>"

    def ticket_of(self, request: Request) -> Ticket | None:
        """Returns the valid ticket that a request carries; of two, the one of the higher level."""
        header = request.fields.get("cookie", "").encode("latin-1", "replace")
        sent = [value.decode("latin-1") for cookie in self.cookies.values() for value in cookie.candidates(header)]
        tickets = [self._verified(text, request.path) for text in sent]
        return max(filter(None, tickets), key=lambda ticket: ticket.level == LOGGED_IN, default=None)

    def new_ticket(self, level: str, path: str) -> Ticket:
        """Makes a ticket that is valid for `TICKET_LIFE` seconds, for the page at one path."""
        claim = f"{level}.{int(self._clock()) + TICKET_LIFE}.{self._random_bytes(_NONCE_BYTES).hex()}"
        return Ticket(level, f"{claim}.{self._signature(claim, path)}")

    def cookie(self, ticket: Ticket | None) -> tuple[str, str]:
        """Returns the header that sets a ticket; with ``None``, the header that clears the one of `LOGGED_IN`."""
        if ticket is None:
            return "Set-Cookie", self.cookies[LOGGED_IN].clear()
        return "Set-Cookie", self.cookies[ticket.level].set(ticket.text, TICKET_LIFE)

    def name_in_store(self, ticket: Ticket) -> str:
        """Returns the key under which the store keeps that a ticket was revoked: a hash, which is no ticket."""
        return f"ss:page:{self._mac(b'revoked', ticket.text.encode())[:32]}"

    def token(self, ticket: Ticket) -> str:
        """Returns what the forms of a visitor carry."""
        return self._mac(b"form", ticket.text.encode())

    def is_genuine_form(self, request: Request, ticket: Ticket | None) -> bool:
        """Returns whether a form was sent by the page that this visitor got, and not by the page of another site."""
        sent = request.form.get("token", "")
        return ticket is not None and is_from_same_origin(request) and _equal(sent, self.token(ticket))

    def is_password(self, password: str) -> bool:
        """Returns whether this is the password; compares in constant time."""
        return self.asks_password and _equal(self._mac(b"password", password.encode(errors="replace")), self._password)

    def _verified(self, text: str, path: str) -> Ticket | None:
        claim, _, signature = text.rpartition(".")
        if not _equal(signature, self._signature(claim, path)):
            return None
        level, expires, _ = claim.split(".")
        return Ticket(level, text) if self._clock() < int(expires) else None

    def _signature(self, claim: str, path: str) -> str:
        return self._mac(b"ticket", f"{path}\0{claim}".encode(errors="replace"))

    def _mac(self, purpose: bytes, data: bytes) -> str:
        return hmac.new(self._key, purpose + b"\0" + data, hashlib.sha256).hexdigest()


def is_from_same_origin(request: Request) -> bool:
    """Returns whether a page of this host sent a form, by the browser's headers; programs send none of them."""
    site, origin = request.fields.get("sec-fetch-site"), request.fields.get("origin")
    if site is not None:
        return site == "same-origin"
    return origin is None or authority_of(origin) == request.fields.get("host")


def authority_of(origin: str) -> str:
    """Returns host and port of an Origin header (RFC 6454, section 7); empty if it has none."""
    return origin.partition("://")[2]


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(errors="replace"), other.encode(errors="replace"))
