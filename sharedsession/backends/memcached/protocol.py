"""memcached's meta protocol without I/O: requests to bytes, bytes to replies (memcached, doc/protocol.txt).

Every request carries an opaque number, which the server repeats in its reply. So a connection that is out of step is
detected at once, and no reply is ever taken for that of another key.
"""

import math
import re
from collections.abc import Callable
from typing import NamedTuple

from sharedsession.backends.wire import strangers
from sharedsession.backends.wire.protocol import INCOMPLETE, Desynchronised, made
from sharedsession.backends.wire.strangers import Expected
from sharedsession.errors import BackendUnavailable

MAX_RELATIVE_TTL = 2_592_000  # seconds, 30 days: doc/protocol.txt reads anything longer as seconds since the epoch
LAST_DATE = 2**31 - 1  # in 2038; memcached reads 32 bits with a sign, so a later date is in the past
ITEM_OVERHEAD = 576  # bytes of an item's header and key, rounded up
MAX_VALUE = 1_048_576 - ITEM_OVERHEAD  # bytes, until the server reports its own limit
UPTIME_AHEAD = 3  # seconds: memcached begins to count its uptime at 2, and rounds up
TOMBSTONE = 1  # in the client flags
_LONGEST_LINE = 2048  # bytes
_MOST_STATISTICS = 4096  # memcached has about a hundred
_HIT = re.compile(rb"VA (\d{1,10}) c(\d{1,20}) f(\d{1,10}) t(-?\d{1,10}) O(\d{1,20})\r\n")
_DONE = re.compile(rb"HD c(\d{1,20}) O(\d{1,20})\r\n")
_STATUS = re.compile(rb"[A-Z]{2,}(_[A-Z]+)?")
EXPECTED = Expected(
    "memcached",
    "memcached",
    "memcacheds",
    "be a proxy without meta commands (?protocol=text), or have no connection left (-c)",
)


class Reply(NamedTuple):
    """One reply.

    Attributes:
        status: ``HD``, ``VA``, ``EN``, ``NS``, ``EX``, ``NF``, or the first word of an error.
        flags: what follows it, for instance ``c42``.
        value: the data block of ``VA``.
    """

    status: bytes
    flags: list[bytes]
    value: bytes = b""

    def flag(self, letter: bytes) -> bytes | None:
        """Returns the argument of a flag; ``None`` if the reply does not have it."""
        for flag in self.flags:
            if flag[:1] == letter:
                return flag[1:]
        return None

    def numbers(self, *letters: bytes) -> list[int]:
        """Returns the numbers of some flags. A reply without them was damaged on the way, and is no answer."""
        arguments = {flag[:1]: flag[1:] for flag in self.flags}
        digits = [arguments.get(letter, b"") for letter in letters]
        if not all(number.removeprefix(b"-").isdigit() for number in digits):
            raise BackendUnavailable("memcached's reply is damaged")
        return [int(number) for number in digits]

    @property
    def is_error(self) -> bool:
        """Whether the server could not carry out the request. Such a reply carries no opaque (doc/protocol.txt)."""
        return self.status in {b"SERVER_ERROR", b"CLIENT_ERROR", b"ERROR"}


class Hit(NamedTuple):
    """The reply to `get` where there is an item, in the form that memcached writes. Any other form is a `Reply`."""

    value: bytes
    cas: int
    flags: int
    ttl: int
    opaque: int


class Done(NamedTuple):
    """The reply to a change that was carried out, in the form that memcached writes. Any other form is a `Reply`."""

    cas: int
    opaque: int


class Parser:
    """Cuts the bytes of a connection into replies, however the network cut them."""

    def __init__(self) -> None:
        self._buffer = b""
        self._at = 0
        self._statistics: dict[bytes, bytes] = {}

    def feed(self, data: bytes) -> None:
        """Takes bytes as they arrive."""
        self._buffer = self._buffer[self._at :] + data if self._at < len(self._buffer) else data
        self._at = 0

    def pop(self) -> object:
        """Returns the next reply, statistics as a dictionary, or `INCOMPLETE`.

        Raises:
            Desynchronised: the bytes are not memcached's.
        """
        buffer, at = self._buffer, self._at
        if at == len(buffer):
            return INCOMPLETE
        if self._statistics:
            return self._any()
        found = _HIT.match(buffer, at)
        if found:
            size, cas, flags, ttl, opaque = found.groups()
            start = found.end()
            end = start + int(size)
            if len(buffer) < end + 2:
                return INCOMPLETE
            if buffer[end : end + 2] != b"\r\n":
                raise Desynchronised("a value of another length")
            self._at = end + 2
            return made(Hit, (buffer[start:end], int(cas), 0 if flags == b"0" else int(flags), int(ttl), int(opaque)))
        found = _DONE.match(buffer, at)
        if found:
            cas, opaque = found.groups()
            self._at = found.end()
            return made(Done, (int(cas), int(opaque)))
        return self._any()

    def end(self) -> Exception:
        """Takes the end of the stream; bytes that are left over are no reply."""
        left = self._buffer[self._at :]
        return Desynchronised(strangers.description(left, EXPECTED)) if left else EOFError("connection closed")

    def _any(self) -> object:
        """Returns the next reply, in whatever form."""
        while (end := self._end_of_line()) >= 0:
            words = self._buffer[self._at : end].split(b" ")
            if words[0] != b"STAT":
                return self._other(words, end)
            self._at = end + 2
            self._statistics[words[1] if len(words) > 1 else b""] = words[-1]
            if len(self._statistics) > _MOST_STATISTICS:
                raise Desynchronised("statistics without an end")
        return INCOMPLETE

    def _other(self, words: list[bytes], end: int) -> object:
        """Returns the reply whose first line has these words and ends here."""
        if words[0] == b"END":
            self._at = end + 2
            statistics, self._statistics = self._statistics, {}
            return statistics
        if self._statistics:
            raise Desynchronised("statistics without an end")
        if words[0] == b"VA":
            return self._value(words, end + 2)
        if not _STATUS.fullmatch(words[0]):
            raise Desynchronised(strangers.description(self._buffer[self._at :], EXPECTED))
        self._at = end + 2
        return Reply(words[0], words[1:])

    def _end_of_line(self) -> int:
        """Returns where the next line ends; -1 until it has arrived as a whole."""
        end = self._buffer.find(b"\r\n", self._at, self._at + _LONGEST_LINE + 2)
        if end < 0 and len(self._buffer) - self._at >= _LONGEST_LINE + 2:
            raise Desynchronised(strangers.description(self._buffer[self._at :], EXPECTED))
        return end

    def _value(self, words: list[bytes], start: int) -> object:
        if len(words) < 2 or not words[1].isdigit() or len(words[1]) > 10:
            raise Desynchronised("a value without a length")
        buffer, end = self._buffer, start + int(words[1])
        if len(buffer) < end + 2:
            return INCOMPLETE
        if buffer[end : end + 2] != b"\r\n":
            raise Desynchronised("a value of another length")
        self._at = end + 2
        return Reply(words[0], words[2:], buffer[start:end])


def get(key: str, exptime: int | None, opaque: int) -> bytes:
    """Reads value, CAS token, client flags and remaining life, and renews, in one round trip. Renewals keep the token.

    The flags are worked off in order: ``t`` before ``T`` reports the life as it was before it is renewed.

    Args:
        key: the store key.
        exptime: the new life as memcached reads it, see `expiry`; ``None`` leaves it as it is.
        opaque: the number that the reply repeats.
    """
    renewal = "" if exptime is None else f"T{exptime} "
    return f"mg {key} v c f t {renewal}O{opaque}\r\n".encode()


def look(key: str, opaque: int) -> bytes:
    """Asks for client flags and remaining life only."""
    return f"mg {key} c f t O{opaque}\r\n".encode()


def add(key: str, value: bytes, exptime: int, opaque: int) -> bytes:
    """Stores under a key that holds nothing."""
    return b"ms %b %d ME c T%d O%d\r\n%b\r\n" % (key.encode(), len(value), exptime, opaque, value)


def replace(key: str, value: bytes, exptime: int, cas: int, opaque: int) -> bytes:
    """Stores if the item still has this CAS token."""
    return b"ms %b %d c C%d T%d O%d\r\n%b\r\n" % (key.encode(), len(value), cas, exptime, opaque, value)


def write_tombstone(key: str, tombstone: bytes, exptime: int, cas: int | None, opaque: int) -> bytes:
    """Stores a tombstone if the item still has this CAS token; with ``None``, whatever the key holds."""
    condition = b"" if cas is None else b" C%d" % cas
    head = b"ms %b %d F%d%b T%d O%d\r\n" % (key.encode(), len(tombstone), TOMBSTONE, condition, exptime, opaque)
    return head + tombstone + b"\r\n"


def add_tombstone(key: str, tombstone: bytes, exptime: int, opaque: int) -> bytes:
    """Stores a tombstone under a key that holds nothing."""
    head = b"ms %b %d ME F%d T%d O%d\r\n" % (key.encode(), len(tombstone), TOMBSTONE, exptime, opaque)
    return head + tombstone + b"\r\n"


def delete(key: str, opaque: int) -> bytes:
    """Deletes, whatever the key holds."""
    return f"md {key} O{opaque}\r\n".encode()


def delete_if(key: str, cas: int, opaque: int) -> bytes:
    """Deletes the item if it still has this CAS token."""
    return f"md {key} C{cas} O{opaque}\r\n".encode()


NOTHING = b"mn\r\n"
STATISTICS = b"stats\r\n"
SETTINGS = b"stats settings\r\n"
ECHOES = True
GREETING: tuple[bytes, ...] = (STATISTICS, SETTINGS)


def answers_get(reply: object, _key: str, opaque: int) -> bool:
    """Returns whether a reply can answer `get` or `look`: it repeats the opaque, or is an error, which has none."""
    return reply.opaque == opaque if type(reply) is Hit else _repeats(reply, opaque)


def answers(reply: object, _key: str, opaque: int) -> bool:
    """Returns whether a reply can answer a change, likewise."""
    return reply.opaque == opaque if type(reply) is Done else _repeats(reply, opaque)


def _repeats(reply: object, opaque: int) -> bool:
    return isinstance(reply, Reply) and (b"O%d" % opaque in reply.flags or reply.is_error)


def number(digits: bytes) -> int | None:
    """Returns a number that a server tells of itself; ``None`` if it is none, or has more digits than 64 bits."""
    return int(digits) if digits.isdigit() and len(digits) <= 20 else None


def expiry(ttl: float, clock: Callable[[], float]) -> int:
    """Returns a time to live as memcached reads it, the exptime of doc/protocol.txt.

    These are whole seconds; never 0, which is for ever, and never negative. Over 30 days it is a date. Then the web
    node's clock matters, but an error of minutes is little against a month.

    Args:
        ttl: seconds.
        clock: returns the time in seconds since the epoch.
    """
    seconds = math.ceil(ttl)
    if seconds > MAX_RELATIVE_TTL:
        return min(math.ceil(clock()) + seconds, LAST_DATE)
    return seconds if seconds > 0 else 1
