"""memcached's classic text protocol without I/O, for proxies and servers that know no meta commands.

The same functions as `protocol`, and the same `Reply`: what the text protocol says in words is given the meta command's
status. It says less. A reply to a change names no key and brings no new CAS token, so the version after a change is one
that `replace` refuses, and whoever wants to change a record twice reads it again in between.
"""

from sharedsession.backends.memcached.protocol import TOMBSTONE, Reply, expiry
from sharedsession.backends.wire.protocol import INCOMPLETE, Desynchronised

_LONGEST_LINE = 2048
_NO_TOKEN = [b"c0"]  # no item has this token
_WORDS = {
    b"STORED": Reply(b"HD", _NO_TOKEN),
    b"NOT_STORED": Reply(b"NS", []),
    b"EXISTS": Reply(b"EX", []),
    b"NOT_FOUND": Reply(b"NF", []),
    b"DELETED": Reply(b"HD", []),
    b"VERSION": Reply(b"MN", []),
}
_ERRORS = (b"ERROR", b"CLIENT_ERROR", b"SERVER_ERROR")


class Parser:
    """Cuts what memcached sends into replies, however the network cut it."""

    def __init__(self) -> None:
        self._buffer = b""
        self._found: Reply | None = None

    def feed(self, data: bytes) -> None:
        """Takes bytes as they come."""
        self._buffer += data

    def pop(self) -> object:
        """The next `Reply`, or `INCOMPLETE`.

        Raises:
            Desynchronised: the bytes are not memcached's.
        """
        line, end, rest = self._buffer.partition(b"\r\n")
        if not end:
            if len(line) > _LONGEST_LINE:
                raise Desynchronised("a line without an end")
            return INCOMPLETE
        words = line.split(b" ")
        if words[0] == b"VALUE" and self._found is None:
            return self._value(words, rest)
        self._buffer = rest
        if words[0] == b"END":
            found, self._found = self._found, None
            return found or Reply(b"EN", [])
        if self._found is not None or words[0] not in {*_WORDS, *_ERRORS}:
            raise Desynchronised("not a reply of memcached")
        return _WORDS.get(words[0]) or Reply(words[0], words[1:])

    def _value(self, words: list[bytes], rest: bytes) -> object:
        if len(words) != 5 or not all(number.isdigit() and len(number) < 21 for number in words[2:]):
            raise Desynchronised("a value without its numbers")
        key, flags, length, cas = words[1:]
        end = int(length)
        if len(rest) < end + 2:
            return INCOMPLETE
        if rest[end : end + 2] != b"\r\n":
            raise Desynchronised("a value of another length")
        self._found = Reply(b"VA", [b"c" + cas, b"f" + flags, b"t-1", b"k" + key], rest[:end])
        self._buffer = rest[end + 2 :]
        return self.pop()


def get(key: str, touch: float | None, _opaque: int) -> bytes:
    """Read, CAS token and renewal in one round trip (``gats``, memcached 1.5.3)."""
    return f"gats {expiry(touch)} {key}\r\n".encode() if touch is not None else f"gets {key}\r\n".encode()


def add(key: str, value: bytes, ttl: float, _opaque: int) -> bytes:
    """Store under a key that holds nothing."""
    return b"add %b 0 %d %d\r\n%b\r\n" % (key.encode(), expiry(ttl), len(value), value)


def replace(key: str, value: bytes, ttl: float, cas: int, _opaque: int) -> bytes:
    """Store if the item still has this CAS token."""
    return b"cas %b 0 %d %d %d\r\n%b\r\n" % (key.encode(), expiry(ttl), len(value), cas, value)


def write_tombstone(key: str, note: bytes, ttl: float, cas: int | None, _opaque: int) -> bytes:
    """Store a tombstone, whatever is there, or if the item still has this CAS token."""
    if cas is not None:
        return b"cas %b %d %d %d %d\r\n%b\r\n" % (key.encode(), TOMBSTONE, expiry(ttl), len(note), cas, note)
    return b"set %b %d %d %d\r\n%b\r\n" % (key.encode(), TOMBSTONE, expiry(ttl), len(note), note)


def delete(key: str, _opaque: int) -> bytes:
    """Delete, whatever is there."""
    return f"delete {key}\r\n".encode()


NOTHING = b"version\r\n"
GREETING: tuple[bytes, ...] = ()  # a proxy would hang up on `stats`


def answers(reply: object, key: str, opaque: int) -> bool:
    """Whether a reply can be the answer to a request: a value says whose it is, nothing else does."""
    return isinstance(reply, Reply) and (reply.status != b"VA" or b"k" + key.encode() in reply.flags)
