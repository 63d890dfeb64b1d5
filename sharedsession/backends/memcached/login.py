"""User and password of memcached's ASCII authentication (``-Y``): from the URL to the wire, and the fix of a refusal.

Without I/O. No text made here holds either of them.
"""

import re
from typing import Any
from urllib.parse import unquote_to_bytes

from sharedsession.backends.memcached.protocol import Reply
from sharedsession.backends.memcached.refusals import as_text
from sharedsession.backends.wire.protocol import Login
from sharedsession.errors import ConfigurationError

_LOGIN = re.compile(r"(?P<user>[^:/,=@#]+):(?P<password>[^/,@#]+)")
_UNFIT = re.compile(rb"[\x00-\x20\x7f]")  # a space separates user and password (doc/protocol.txt, "Authentication")
_ADMITTED = {b"STORED", b"HD"}  # as `protocol` and `text` cut it
_REFUSALS = {
    "CLIENT_ERROR unauthenticated",
    "CLIENT_ERROR authentication failure",
    "CLIENT_ERROR bad authentication token format",
}
OTHER = "refuses user and password: compare those in the backend's URL with the file of its -Y"
NONE = "asks for user and password: put user:password@ in front of the nodes in the backend's URL"


def split(listed: str) -> tuple[Login | None, str]:
    """Splits a URL without its scheme into user and password, and the list of nodes behind the ``@``.

    Raises:
        ConfigurationError: it is no user and password, or there is more than one.
    """
    before, at, nodes = listed.rpartition("@")
    if not at:
        return None, listed
    found = _LOGIN.fullmatch(before)
    if not found:
        raise ConfigurationError(
            "backend memcached:// takes one user:password@ in front of the whole list, for all its nodes; in them "
            "write / , @ # ? and % as %2F %2C %40 %23 %3F and %25"
        )
    return _checked(Login(unquote_to_bytes(found["user"]), unquote_to_bytes(found["password"]))), nodes


def _checked(login: Login) -> Login:
    if _UNFIT.search(login.user + login.password) or b":" in login.user:
        raise ConfigurationError(
            "backend memcached:// has a user or password that memcached cannot take: no spaces, no control "
            "characters, no colon in the user"
        )
    return login


def request(login: Login) -> bytes:
    """Returns the first command of a connection. A server without ``-Y`` takes it for an item that has expired."""
    pair = b"%b %b" % (login.user, login.password)
    return b"set ss:login 0 -1 %d\r\n%b\r\n" % (len(pair), pair)


def is_admitted(reply: Any) -> bool:
    """Returns whether the reply to `request` admits us."""
    return isinstance(reply, Reply) and reply.status in _ADMITTED


def fix(reply: Any, login: Login | None) -> str | None:
    """Returns the fix of a refusal; ``None`` if the reply is none. After a refusal the server may send nothing more."""
    if not isinstance(reply, Reply) or as_text(reply) not in _REFUSALS:
        return None
    return OTHER if login else NONE
