"""RESP, the protocol of Redis: a command to bytes, bytes to replies that name their requests. hiredis does both."""

from typing import Any

import hiredis

from sharedsession.backends.redis import refusals
from sharedsession.backends.wire import strangers
from sharedsession.backends.wire.protocol import INCOMPLETE, Desynchronised
from sharedsession.backends.wire.strangers import Expected
from sharedsession.errors import BackendError

EXPECTED = Expected("Redis", "redis", "rediss", "or have no connection left (maxclients)")
NUMBERS = 1_000_000_000
"""Requests are numbered up to this: a number has nine digits."""
_NAMED = b"%b*2\r\n$4\r\nECHO\r\n$9\r\n%09d\r\n"  # a command, and the number that names it


class RespParser:
    """hiredis behind the parser interface. What it cuts are pairs: a reply, and the name of its request.

    Redis repeats nothing of a request in its reply. So an ECHO travels behind each command, with a number of its own.
    """

    def __init__(self) -> None:
        self._reader = hiredis.Reader(notEnoughData=INCOMPLETE)
        self._reply: Any = INCOMPLETE
        self._newest = b""

    def feed(self, data: bytes) -> None:
        """Takes bytes as they arrive."""
        self._newest = data
        self._reader.feed(data)

    def pop(self) -> Any:
        """Returns the next reply and its name, or `INCOMPLETE`. An error of the server is returned, not raised."""
        reply, gets = self._reply, self._reader.gets
        try:
            if reply is INCOMPLETE:
                reply = gets()
            name = INCOMPLETE if reply is INCOMPLETE else gets()
        except (hiredis.ProtocolError, TypeError, MemoryError):  # a map with a list for a key, an array without bounds
            raise Desynchronised(strangers.description(self._newest, EXPECTED)) from None
        if name is INCOMPLETE:
            self._reply = reply
            return INCOMPLETE
        self._reply = INCOMPLETE
        return reply, name

    def end(self) -> Exception:
        """Takes the end of the stream. A server that lets nobody in says why, and hangs up."""
        if isinstance(self._reply, hiredis.ReplyError):
            return BackendError(refusals.hang_up(str(self._reply)))
        return EOFError("connection closed")


def named(command: tuple[Any, ...], number: int) -> bytes:
    """Returns a command, and behind it the number that names it."""
    packed: bytes = hiredis.pack_command(command)
    return _NAMED % (packed, number)


def is_answer(reply: Any, _key: str, number: int) -> bool:
    """Returns whether a reply names the request with this number."""
    return bool(reply[1] == b"%09d" % number)
