r"""A Cookie header in, Set-Cookie text out: RFC 6265bis, and nothing more lenient.

The scan is our own, because the frameworks' parsers are not fit for a security path: they take ``\x85__Host-session``
for ``__Host-session``, unquote values, and some need quadratic time. Ours splits pairs at ``;``, strips only space and
tab, compares names byte for byte, and takes time linear in the header.
"""

import re
from dataclasses import dataclass
from functools import cached_property

from sharedsession.errors import ConfigurationError

MAX_CANDIDATES = 256  # no header that servers let through has more; each costs one keyed hash
MAX_AGE = 34_560_000  # 400 days, RFC 6265bis section 5.5: browsers clamp anything longer
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, section 5.6.2
_DOMAIN = re.compile(r"\.?[A-Za-z0-9]([A-Za-z0-9\-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9\-]*[A-Za-z0-9])?)*")
_LONGEST_NAME = 1024  # name and value together may have 4096
_LONGEST_PATH = 1000  # an attribute may have 1024, its name included
_LONGEST_DOMAIN = 253  # RFC 1035
_SAMESITE = {"lax": "Lax", "strict": "Strict", "none": "None"}


@dataclass(frozen=True, kw_only=True)
class CookiePolicy:
    """The attributes of the session cookie. HttpOnly is always set.

    Args:
        name: of the cookie.
        path: its ``Path``.
        domain: its ``Domain``, if it has one.
        secure: whether it is sent over HTTPS only.
        samesite: ``"lax"``, ``"strict"`` or ``"none"``.
        partitioned: whether it is ``Partitioned`` (CHIPS).
        lower_case: whether attributes are written in lower case, as Starlette does. Browsers make no difference.

    Raises:
        ConfigurationError: browsers would refuse this mix, or a part could inject another header.
    """

    name: str = "__Host-session"
    path: str = "/"
    domain: str | None = None
    secure: bool = True
    samesite: str = "lax"
    partitioned: bool = False
    lower_case: bool = False

    def __post_init__(self) -> None:
        for problem in (self._malformed(), self._impossible()):
            if problem:
                raise ConfigurationError(problem)

    def candidates(self, header: bytes) -> list[bytes]:
        """Returns the values of this cookie in a raw Cookie header.

        Args:
            header: the header's bytes, however long and hostile.

        Returns:
            At most 256 values, in the order of the header. More than one may mean that cookies were planted.
        """
        return [value.rstrip(b" \t") for value in self._pattern.findall(header)[:MAX_CANDIDATES]]

    def set(self, token: str, max_age: float | None = None) -> str:
        """Returns the Set-Cookie value that sets a token.

        Args:
            token: the signed session ID.
            max_age: seconds that the cookie outlives the browser; ``None``: it ends with the browser.
        """
        age = "" if max_age is None else f"; Max-Age={int(min(MAX_AGE, max(1, max_age)))}"
        return f"{self.name}={token}{age}{self._attributes}"

    def clear(self) -> str:
        """Returns the Set-Cookie value that clears the cookie: with the same attributes, or browsers keep it."""
        return f"{self.name}=; Max-Age=0{self._attributes}"

    @cached_property
    def _pattern(self) -> re.Pattern[bytes]:
        return re.compile(rb"(?:\A|;)[ \t]*" + re.escape(self.name.encode()) + rb"[ \t]*=[ \t]*([^;]*)")

    @cached_property
    def _attributes(self) -> str:
        parts = (
            f"Path={self.path}",
            f"Domain={self.domain}" if self.domain else "",
            "HttpOnly",
            "Secure" if self.secure else "",
            f"SameSite={_SAMESITE[self.samesite.lower()]}",
            "Partitioned" if self.partitioned else "",
        )
        return "".join(f"; {self._spelled(part)}" for part in parts if part)

    def _spelled(self, attribute: str) -> str:
        name, equals, value = attribute.partition("=")
        if not self.lower_case:
            return attribute
        return name.lower() + equals + (value.lower() if name == "SameSite" else value)

    def _malformed(self) -> str | None:
        if not _TOKEN.fullmatch(self.name):
            return "cookie_name must be letters, digits and - _ . ! # $ % & ' * + ^ ` | ~ only (RFC 6265bis, 4.1.1)"
        if len(self.name) > _LONGEST_NAME or len(self.path) > _LONGEST_PATH or len(self.domain or "") > _LONGEST_DOMAIN:
            return (
                f"cookie_name may have {_LONGEST_NAME} characters, `cookie_path` {_LONGEST_PATH} and `cookie_domain` "
                f"{_LONGEST_DOMAIN}: browsers drop longer ones (RFC 6265bis, 5.6)"
            )
        if not self.path.startswith("/") or re.search(r"[\x00-\x1f\x7f;,]|[^\x00-\x7f]| ", self.path):
            return "cookie_path must begin with / and hold no space, comma, semicolon or control character"
        if self.domain is not None and not _DOMAIN.fullmatch(self.domain):
            return "cookie_domain is not a host name: leave it out, or give one like 'example.com'"
        if self.samesite.lower() not in _SAMESITE:
            return "cookie_samesite must be 'lax', 'strict' or 'none'"
        return None

    def _impossible(self) -> str | None:
        name = self.name.lower()  # browsers compare the prefixes without regard to case
        if name.startswith(("__host-", "__secure-", "__http-")) and not self.secure:
            return (
                f"cookie_name {self.name!r} needs `cookie_secure`=True; for plain HTTP on your own machine set "
                "`development`=True and leave both out"
            )
        if name.startswith("__host-") and (self.domain or self.path != "/"):
            return (
                f"cookie_name {self.name!r} allows neither `cookie_domain` nor a `cookie_path` other than '/': "
                "drop those, or set `cookie_name`='__Secure-session'"
            )
        if not self.secure and (self.partitioned or self.samesite.lower() == "none"):
            return (
                "cookie_samesite='none' and `cookie_partitioned`=True need `cookie_secure`=True: "
                "browsers drop the cookie"
            )
        return None
