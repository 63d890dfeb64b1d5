"""What listens where a store is expected: what its first bytes look like, in words for the log. Pure.

A wrong port is the commonest mistake of the first day, and a reply of another kind of server looks like a broken
network. None of the bytes is shown: they may repeat the request.
"""

import re
from typing import NamedTuple


class Expected(NamedTuple):
    """The kind of server that a URL asks for.

    Attributes:
        name: of the kind.
        scheme: of its URLs.
        secure_scheme: the same with TLS.
        hang_ups: why one may close a new connection without a word, where it does not expect TLS.
    """

    name: str
    scheme: str
    secure_scheme: str
    hang_ups: str


_TLS = re.compile(rb"[\x14-\x17]\x03[\x00-\x04]")  # a record of it: type and version (RFC 8446, 5.1)
_KINDS = (
    ("Redis or Valkey", "redis", re.compile(rb"-[A-Z]{2,} |\+(OK|PONG)\r\n|[*$:%]-?\d+\r\n")),
    ("memcached", "memcached", re.compile(rb"(CLIENT_|SERVER_)?ERROR\b|(VERSION|STAT|VALUE|END|STORED)\b")),
    ("a web server (HTTP)", "", re.compile(rb"HTTP/\d|\s*<(!doctype|html|head|\?xml)", re.IGNORECASE)),
    ("an SSH server", "", re.compile(rb"SSH-\d")),
    ("a mail or FTP server", "", re.compile(rb"[2-5]\d\d[ -]")),
    ("MySQL or MariaDB", "", re.compile(rb"...\x00(\x0a\d+\.|\xff)", re.DOTALL)),
    ("PostgreSQL", "", re.compile(rb"E\x00\x00..S", re.DOTALL)),
)


def description(data: bytes, expected: Expected) -> str:
    """Returns what is wrong where these bytes came in the place of a reply, and the fix.

    Args:
        data: as they came.
        expected: who should have sent them.
    """
    if _TLS.match(data):
        return (
            f"what answers there is not {expected.name} in the clear but a port with TLS: write "
            f"{expected.secure_scheme}:// in the backend's URL, or name the port without TLS"
        )
    for name, scheme, pattern in _KINDS:
        if name.casefold().startswith(expected.name.casefold()) or not pattern.match(data):
            continue
        other = f"write {scheme}:// in the backend's URL, or " if scheme else ""
        return f"what answers there is not {expected.name} but {name}: {other}name the host and port of {expected.name}"
    return f"what came from there is not a reply of {expected.name}: compare host and port in the backend's URL"
