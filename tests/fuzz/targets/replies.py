"""What comes from a server, or from whatever listens in its place: bytes become replies, however they were cut."""

import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from sharedsession.backends.memcached import protocol, refusals, text
from sharedsession.backends.memcached.protocol import Done, Hit, Reply
from sharedsession.backends.redis import refusals as redis_refusals
from sharedsession.backends.redis.resp import EXPECTED, RespParser
from sharedsession.backends.wire import strangers
from sharedsession.backends.wire.protocol import INCOMPLETE, Desynchronised, Parser
from sharedsession.backends.wire.refusals import plain
from tests.fuzz.target import Choices, target

_META = (
    b"VA 3 c7 f0 t1200 O1\r\nabc\r\nHD c8 O2\r\nEN\r\n",
    b"VA 2 k O5 c1 W\r\nok\r\nNS O1\r\nEX\r\nNF\r\nMN\r\n",
    b"STAT pid 1\r\nSTAT uptime 9\r\nEND\r\n",
    b"SERVER_ERROR out of memory\r\nCLIENT_ERROR bad\r\nERROR\r\n",
)
_TEXT = (
    b"VALUE ss:k 0 3 7\r\nabc\r\nEND\r\nSTORED\r\nNOT_STORED\r\nEXISTS\r\nNOT_FOUND\r\nDELETED\r\nEND\r\n",
    b"VERSION 1.6.42\r\nSERVER_ERROR out of memory\r\nERROR\r\n",
)
_RESP = (
    b"$3\r\nabc\r\n$9\r\n000000001\r\n+OK\r\n$9\r\n000000002\r\n_\r\n:1\r\n",
    b"*2\r\n$1\r\n.\r\n:1200\r\n$9\r\n000000001\r\n-ERR no\r\n$9\r\n000000002\r\n$-1\r\n*-1\r\n",
    b"%1\r\n+a\r\n:1\r\n~2\r\n#t\r\n,1.5\r\n(12345\r\n=5\r\ntxt:a\r\n|1\r\n+a\r\n+b\r\n:1\r\n>1\r\n+x\r\n",
)
_MEMCACHED_WORDS = (
    b"\r\n",
    b" ",
    b"VA ",
    b"HD",
    b"STAT ",
    b"END\r\n",
    b"VALUE ",
    b"O1",
    b" c",
    b" f",
    b" t",
    b"HD\r\n",
)
_RESP_WORDS = (b"\r\n", *(bytes((byte,)) for byte in b"*%$~:+-|>=(,#_"), b"*0\r\n", b"*1\r\n", b"%1\r\n")

_ZEROS = re.compile(rb"(?<!\d)0\d|-0")  # numbers that are written in two ways
# hiredis makes a list of the length that a server says, before an element of it has come: seconds, and gigabytes.
HUGE_LIST = re.compile(rb"[*%~>|]\s*[+-]?\d{6}")


@target(*_META, *_TEXT, b"x" * 2040 + b"\r\n", words=_MEMCACHED_WORDS, tries=2500)
def meta_replies(data: bytes) -> None:
    """Meta commands: the same replies however the network cut them, or the connection is given up for good."""
    _assert_the_same_in_pieces(protocol.Parser, data)
    found = _replies(protocol.Parser(), data)
    if not _ZEROS.search(data) and not any(isinstance(reply, dict) for reply in found):
        assert data.startswith(b"".join(map(_written, found)))


@target(*_TEXT, *_META, b"VERSION " + b"x" * 2040 + b"\r\n", words=_MEMCACHED_WORDS, tries=2500)
def text_replies(data: bytes) -> None:
    """Text protocol: the same replies however the network cut them, or the connection is given up for good."""
    _assert_the_same_in_pieces(text.Parser, data)
    for reply in _replies(text.Parser(), data):
        if reply.status == b"VA" and not _ZEROS.search(data):
            flag = reply.flag
            head = b"VALUE %b %b %d %b\r\n" % (flag(b"k"), flag(b"f"), len(reply.value), flag(b"c"))
            assert head + reply.value + b"\r\nEND" in data


@target(*_RESP, b"*1\r\n" * 12, b"%1\r\n*0\r\n:1\r\n", words=_RESP_WORDS, tries=2500)
def resp_replies(data: bytes) -> None:
    """Redis: the same replies however the network cut them, or the connection is given up for good."""
    if not HUGE_LIST.search(data):
        _assert_the_same_in_pieces(RespParser, data)


@target(*_META, *_TEXT, *_RESP, b"HTTP/1.1 400 Bad\r\n", b"SSH-2.0-x\r\n", b"\x15\x03\x01\0\2", b"220 mail\r\n")
def stranger(data: bytes) -> None:
    """What is said of a stranger's first bytes repeats none of them, and says what to do."""
    for expected in (protocol.EXPECTED, text.EXPECTED, EXPECTED):
        said = strangers.description(data, expected)
        assert "host and port" in said or "the backend's URL" in said
        marked = strangers.description(data + b" s3cr3t-w0rd", expected)
        assert "s3cr3t" not in marked


@target(
    b"WRONGPASS invalid username-password pair",
    b"ERR unknown command 'GETEX', with args beginning with: 'k'",
    b"NOPERM User a has no permissions",
    b"ERR Error running script (call to f_1): @user_script:3: -OOM command not allowed",
    b"SERVER_ERROR out of memory storing object",
    b"Too many open connections",
    words=(b"-ERR ", b": -OOM ", b" ", b"MOVED ", b"unknown command", b"too large"),
)
def refusal(data: bytes) -> None:
    """What is said of a server's error repeats no word of the request, and is short."""
    error = data.decode("latin-1")
    words = error.split()
    request = set(words[1::2])
    for sent in (request, None):
        said = redis_refusals.refusal("GET", error, "redis 7.0", sent)
        assert len(said) < 400
        assert not re.search(r"[\r\n]", said)
    shown = plain(error, request).split()
    assert shown == ["an", "error"] or request.isdisjoint(shown)
    redis_refusals.hang_up(error)
    redis_refusals.code_of(error)
    if words:
        reply = Reply(words[0].encode("latin-1"), [word.encode("latin-1") for word in words[1:]])
        refusals.refusal(reply, has_meta=True)
        refusals.closes(reply)
        refusals.is_too_large(reply)


def _assert_the_same_in_pieces(parser: type[Parser], data: bytes) -> None:
    """The first bytes say how the others are cut."""
    choices = Choices(data[:12])
    whole = _outcome(parser(), [data])
    assert _outcome(parser(), choices.pieces(data)) == whole
    if len(data) < 64:
        assert _outcome(parser(), [bytes((byte,)) for byte in data]) == whole


def _replies(parser: Parser, data: bytes) -> list[Any]:
    """Returns the replies in front of what is none."""
    found: list[Any] = []
    parser.feed(data)
    with suppress(Desynchronised):
        found.extend(_popped(parser))
    return found


def _written(reply: Hit | Done | Reply) -> bytes:
    """Returns a reply to meta commands as its server wrote it."""
    if isinstance(reply, Hit):
        value, cas, flags, ttl, opaque = reply
        return b"VA %d c%d f%d t%d O%d\r\n%b\r\n" % (len(value), cas, flags, ttl, opaque, value)
    if isinstance(reply, Done):
        return b"HD c%d O%d\r\n" % reply
    length, block = ([b"%d" % len(reply.value)], reply.value + b"\r\n") if reply.status == b"VA" else ([], b"")
    return b" ".join([reply.status, *length, *reply.flags]) + b"\r\n" + block


def _outcome(parser: Parser, pieces: Iterable[bytes]) -> tuple[list[str], str]:
    """Returns the replies as text, and how it ended."""
    found: list[str] = []
    try:
        for piece in pieces:
            if piece:
                parser.feed(piece)
                found.extend(map(repr, _popped(parser)))
    except Desynchronised:
        _assert_given_up(parser)
        return found, "given up"
    assert isinstance(parser.end(), Exception)
    return found, "waiting"


def _popped(parser: Parser) -> Iterable[Any]:
    while (reply := parser.pop()) is not INCOMPLETE:
        yield reply


def _assert_given_up(parser: Parser) -> None:
    parser.feed(b"HD O1\r\nSTORED\r\n+OK\r\n+OK\r\n+OK\r\n")
    try:
        reply = parser.pop()
    except Desynchronised:
        return
    raise AssertionError(f"{reply!r} after bytes that were no reply")


TARGETS = (meta_replies, text_replies, resp_replies, stranger, refusal)
