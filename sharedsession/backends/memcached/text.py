"""memcached's classic text protocol without I/O, for proxies and servers that know no meta commands.

The same functions as `protocol`, and the same `Reply`: the words of the text protocol become the status of the meta
command. They carry less: a reply to a change names no key and brings no new CAS token. So the version after a change is
one that `replace` refuses, and a caller that changes a record twice must read it in between. Nothing tells an absence
from one that another request was told, so it is asked for in two ways.
"""

from sharedsession.backends.memcached import protocol
from sharedsession.backends.memcached.protocol import TOMBSTONE, Reply
from sharedsession.backends.wire import strangers
from sharedsession.backends.wire.protocol import INCOMPLETE, Desynchronised

_LONGEST_LINE = 2048  # bytes
_NO_TOKEN = [b"c0"]  # no item has this token
_WORDS = {
    b"STORED": Reply(b"HD", _NO_TOKEN),
    b"NOT_STORED": Reply(b"NS", []),
    b"EXISTS": Reply(b"EX", []),
    b"NOT_FOUND": Reply(b"NF", []),
    b"DELETED": Reply(b"HD", []),
    b"VERSION": Reply(b"MN", []),
}
_CHANGES = {b"HD", b"NS", b"EX", b"NF"}
_ERRORS = (b"ERROR", b"CLIENT_ERROR", b"SERVER_ERROR")
EXPECTED = protocol.EXPECTED._replace(hang_ups="or have no connection left (-c)")


class Parser:
    """Cuts the bytes of a connection into replies, however the network cut them."""

    def __init__(self) -> None:
        self._buffer = b""
        self._found: Reply | None = None

    def feed(self, data: bytes) -> None:
        """Takes bytes as they arrive."""
        self._buffer += data

    def pop(self) -> object:
        """Returns the next `Reply`, or `INCOMPLETE`.

        Raises:
            Desynchronised: the bytes are not memcached's.
        """
        words, rest = self._line()
        if words is not None and words[0] == b"VALUE" and self._found is None:
            if not self._take_value(words, rest):
                return INCOMPLETE
            words, rest = self._line()
        if words is None:
            return INCOMPLETE
        if words[0] == b"END":
            found, self._found = self._found, None
            self._buffer = rest
            return found or Reply(b"EN", [])
        if self._found is not None or words[0] not in {*_WORDS, *_ERRORS}:
            raise Desynchronised(strangers.description(self._buffer, EXPECTED))
        self._buffer = rest
        return _WORDS.get(words[0]) or Reply(words[0], words[1:])

    def end(self) -> Exception:
        """Takes the end of the stream; bytes that are left over are no reply."""
        if self._buffer:
            return Desynchronised(strangers.description(self._buffer, EXPECTED))
        return EOFError("connection closed")

    def _line(self) -> tuple[list[bytes] | None, bytes]:
        """Returns the words of the next line, or ``None`` until it has arrived as a whole; and what follows it."""
        end = self._buffer.find(b"\r\n", 0, _LONGEST_LINE + 2)
        if end >= 0:
            return self._buffer[:end].split(b" "), self._buffer[end + 2 :]
        if len(self._buffer) >= _LONGEST_LINE + 2:
            raise Desynchronised(strangers.description(self._buffer, EXPECTED))
        return None, b""

    def _take_value(self, words: list[bytes], rest: bytes) -> bool:
        """Takes a value for the reply that the next line ends. Returns whether it has arrived as a whole."""
        if len(words) != 5 or not all(number.isdigit() and len(number) < 21 for number in words[2:]):
            raise Desynchronised("a value without its numbers")
        key, flags, length, cas = words[1:]
        end = int(length)
        if len(rest) < end + 2:
            return False
        if rest[end : end + 2] != b"\r\n":
            raise Desynchronised("a value of another length")
        self._found = Reply(b"VA", [b"c" + cas, b"f" + flags, b"t-1", b"k" + key], rest[:end])
        self._buffer = rest[end + 2 :]
        return True


def get(key: str, exptime: int | None, _opaque: int) -> bytes:
    """Reads value and CAS token, and renews, in one round trip (``gats``, since memcached 1.5.3)."""
    return f"gets {key}\r\n".encode() if exptime is None else f"gats {exptime} {key}\r\n".encode()


def look(key: str, opaque: int) -> bytes:
    """Reads without renewing; the text protocol has no way to leave the value out."""
    return get(key, None, opaque)


def add(key: str, value: bytes, exptime: int, _opaque: int) -> bytes:
    """Stores under a key that holds nothing."""
    return b"add %b 0 %d %d\r\n%b\r\n" % (key.encode(), exptime, len(value), value)


def replace(key: str, value: bytes, exptime: int, cas: int, _opaque: int) -> bytes:
    """Stores if the item still has this CAS token."""
    return b"cas %b 0 %d %d %d\r\n%b\r\n" % (key.encode(), exptime, len(value), cas, value)


def write_tombstone(key: str, tombstone: bytes, exptime: int, cas: int | None, _opaque: int) -> bytes:
    """Stores a tombstone if the item still has this CAS token; with ``None``, whatever the key holds."""
    if cas is None:
        return b"set %b %d %d %d\r\n%b\r\n" % (key.encode(), TOMBSTONE, exptime, len(tombstone), tombstone)
    return b"cas %b %d %d %d %d\r\n%b\r\n" % (key.encode(), TOMBSTONE, exptime, len(tombstone), cas, tombstone)


def add_tombstone(key: str, tombstone: bytes, exptime: int, _opaque: int) -> bytes:
    """Stores a tombstone under a key that holds nothing."""
    return b"add %b %d %d %d\r\n%b\r\n" % (key.encode(), TOMBSTONE, exptime, len(tombstone), tombstone)


def delete(key: str, _opaque: int) -> bytes:
    """Deletes, whatever the key holds."""
    return f"delete {key}\r\n".encode()


def delete_if(key: str, _cas: int, opaque: int) -> bytes:
    """Deletes, whatever the key holds: this protocol has no condition for it."""
    return delete(key, opaque)


NOTHING = b"version\r\n"
ECHOES = False
GREETING: tuple[bytes, ...] = ()  # a proxy would close the connection at `stats`


def confirm_absence(key: str) -> bytes:
    """Asks whether there is nothing under a key, in words whose answer is none to `get`.

    It is a compare-and-swap with a token that no item has, so it changes nothing: ``NOT_FOUND`` if there is no item,
    ``EXISTS`` if there is one.
    """
    return b"cas %b 0 1 0 0\r\n\r\n" % key.encode()


def answers_get(reply: object, key: str, _opaque: int) -> bool:
    """Returns whether a reply can answer `get`. A value names its key; an absence names nothing."""
    if not isinstance(reply, Reply):
        return False
    return b"k" + key.encode() in reply.flags if reply.status == b"VA" else reply.status == b"EN" or reply.is_error


def answers(reply: object, _key: str, _opaque: int) -> bool:
    """Returns whether a reply can answer a change; it names nothing."""
    return isinstance(reply, Reply) and (reply.status in _CHANGES or reply.is_error)
