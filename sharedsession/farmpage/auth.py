"""Who may look, and whose form is believed. No I/O, and nothing but the page is behind it.

A visitor holds a pass in a cookie: ``grade.expires.nonce.signature``. A guest has one as well, since the form to log in
carries a token that is made of it: so no other site can log anybody in or press a button. The secret is in neither. The
two have names of their own: a link from another site comes without cookies, and the guest's pass that it is given must
not take the place of the other one.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from typing import NamedTuple

from sharedsession.errors import ConfigurationError
from sharedsession.farmpage.exchange import Request
from sharedsession.keys.strength import problem_with

SHIFT = 3600
"""Seconds for which a pass holds; then the password is asked for again."""

GUEST, INSIDE = "g", "i"
_PURPOSE = b"sharedsession farm page 1 "


class Pass(NamedTuple):
    """What a visitor's cookie says, once its signature was found genuine.

    Attributes:
        grade: `GUEST` or `INSIDE`.
        text: the cookie's whole value.
    """

    grade: str
    text: str


class Door:
    """Passes, tokens and the password of one page.

    Args:
        secret: the password; ``None`` where the application itself says who may look.
        secure: whether the cookie travels over TLS only.
        clock: seconds since the epoch.

    Raises:
        ConfigurationError: the secret is short or easy to guess.
    """

    def __init__(self, secret: str | None, *, secure: bool, clock: Callable[[], float]) -> None:
        problem = problem_with(secret.encode()) if secret is not None else None
        if problem:
            raise ConfigurationError(f"secret of the farm page {problem}; 'sharedsession genkey' makes one")
        self.asks_password = secret is not None
        name = "__Host-farmpage" if secure else "farmpage"
        self.cookie_names = {INSIDE: name, GUEST: f"{name}-guest"}
        self._secure = secure
        self._clock = clock
        seed = secret.encode() if secret is not None else secrets.token_bytes(32)
        self._key = hmac.digest(seed, _PURPOSE + b"passes", "sha256")
        self._password = self._mac(b"password", seed)

    def __repr__(self) -> str:
        return f"<Door {'with a password' if self.asks_password else 'kept by the application'}>"

    def pass_of(self, request: Request) -> Pass | None:
        """The genuine pass that a request carries, if it holds still; the better one of two."""
        sent = [pair.strip().partition("=") for pair in request.fields.get("cookie", "").split(";")]
        passes = [self._verified(text) for name, _, text in sent if name in self.cookie_names.values()]
        return max(filter(None, passes), key=lambda held: held.grade == INSIDE, default=None)

    def new_pass(self, grade: str) -> Pass:
        """Makes a pass that holds for `SHIFT` seconds."""
        claim = f"{grade}.{int(self._clock()) + SHIFT}.{secrets.token_urlsafe(16)}"
        return Pass(grade, f"{claim}.{self._mac(b'pass', claim.encode())}")

    def cookie(self, held: Pass | None) -> tuple[str, str]:
        """The header that hands a pass out; without one, the header that takes the better one back."""
        grade, text, age = (*held, SHIFT) if held else (INSIDE, "", 0)
        secure = "; Secure" if self._secure else ""
        return (
            "Set-Cookie",
            f"{self.cookie_names[grade]}={text}; Max-Age={age}; Path=/; HttpOnly{secure}; SameSite=Strict",
        )

    def token(self, held: Pass) -> str:
        """What the forms of a visitor carry."""
        return self._mac(b"form", held.text.encode())

    def believes(self, request: Request, held: Pass | None) -> bool:
        """Whether a form was sent by the page that this visitor was given, and not by another site's."""
        sent = request.form.get("token", "")
        return held is not None and is_from_here(request) and _equal(sent, self.token(held))

    def opens(self, password: str) -> bool:
        """Whether it is the password; compared in constant time."""
        return self.asks_password and _equal(self._mac(b"password", password.encode(errors="replace")), self._password)

    def _verified(self, text: str) -> Pass | None:
        claim, _, signature = text.rpartition(".")
        if not _equal(signature, self._mac(b"pass", claim.encode(errors="replace"))):
            return None
        grade, expires, _ = claim.split(".")
        return Pass(grade, text) if self._clock() < int(expires) else None

    def _mac(self, purpose: bytes, data: bytes) -> str:
        return hmac.new(self._key, purpose + b"\0" + data, hashlib.sha256).hexdigest()


def is_from_here(request: Request) -> bool:
    """Whether a browser says that a page of this host sent the form; what is no browser says nothing."""
    site, origin = request.fields.get("sec-fetch-site"), request.fields.get("origin")
    if site is not None:
        return site == "same-origin"
    return origin is None or authority_of(origin) == request.fields.get("host")


def authority_of(origin: str) -> str:
    """Host and port of an Origin header (RFC 6454, section 7); whatever is none names nobody."""
    return origin.partition("://")[2]


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(errors="replace"), other.encode(errors="replace"))
