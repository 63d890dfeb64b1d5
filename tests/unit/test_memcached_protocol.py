"""memcached's meta protocol: however the network cuts it, the same replies, and garbage is found out."""

import inspect
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharedsession.backends.memcached import protocol
from sharedsession.backends.memcached.protocol import Done, Hit, Parser, Reply
from sharedsession.backends.wire.protocol import INCOMPLETE, Desynchronised

MONTH = protocol.MAX_RELATIVE_TTL
flags = st.lists(st.from_regex(rb"[a-zA-Z][0-9]{0,6}", fullmatch=True), max_size=4)
plain = st.builds(
    Reply, st.sampled_from([b"HD", b"EN", b"NS", b"EX", b"NF", b"MN", b"SERVER_ERROR", b"ERROR"]), flags, st.just(b"")
)
values = st.builds(Reply, st.just(b"VA"), flags, st.binary(max_size=80) | st.just(b"\r\nVA 2\r\nHD\r\n"))
replies = st.lists(plain | values, max_size=8)


def written(reply: Reply) -> bytes:
    """A reply as the server sends it."""
    length = [b"%d" % len(reply.value)] if reply.status == b"VA" else []
    block = reply.value + b"\r\n" if reply.status == b"VA" else b""
    return b" ".join([reply.status, *length, *reply.flags]) + b"\r\n" + block


def read(chunks) -> list[Reply]:
    """All replies that a parser finds in these pieces."""
    parser, found = Parser(), []
    for chunk in chunks:
        parser.feed(chunk)
        while (reply := parser.pop()) is not INCOMPLETE:
            found.append(reply)
    return found


@given(replies, st.data())
def test_replies_do_not_depend_on_how_the_network_cut_them(sent, data):
    """Cut anywhere, also inside a line end or a value that looks like a reply."""
    stream = b"".join(map(written, sent))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    chunks = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert read(chunks) == sent
    assert read(bytes([byte]) for byte in stream) == sent


@given(st.lists(st.binary(max_size=30) | st.sampled_from([b"VA 3\r\n", b"HD\r\n", b"\r\n", b"VA 9", b"en\r\n"])))
def test_garbage_raises_nothing_but_the_one_error(chunks):
    """Whatever a server says, the connection is either waited for or closed; nothing else comes out."""
    try:
        found = read(chunks)
    except Desynchronised:
        return
    assert all(isinstance(reply, Reply) for reply in found)


@pytest.mark.parametrize(
    "stream",
    [
        b"\r\n",
        b"hd\r\n",
        b"HTTP/1.1 400 Bad Request\r\n".lower(),
        b"VA\r\n",
        b"VA x\r\n",
        b"VA -1\r\n",
        b"VA 12345678901\r\n",
        b"VA 2\r\nabc\r\n",
        b"VA 2\r\na\r\n..",
        b"$5\r\nhello\r\n",
        b"x" * 5000,
        b"HD " + b"x" * 5000 + b"\r\n",
        b"STAT pid 1\r\nHD c8 O2\r\n",
        b"STAT pid 1\r\nVA 1 c8 f0 t9 O2\r\nx\r\n",
    ],
)
def test_what_is_not_memcached_s_is_found_out(stream):
    """A stream that lost its place, or another protocol, ends the connection."""
    with pytest.raises(Desynchronised):
        read([stream])


def test_a_parser_that_lost_its_place_never_finds_it_again():
    """After an error no later bytes are taken for a reply."""
    parser = Parser()
    parser.feed(b"oops\r\n")
    for _ in range(3):
        with pytest.raises(Desynchronised):
            parser.pop()
        parser.feed(b"HD O1\r\n")


def test_a_megabyte_in_small_pieces_is_read_in_no_time():
    """Putting a large value together is not quadratic beyond use: 4 kB at a time, as sockets deliver."""
    value = b"v" * 1_000_000
    stream = written(Reply(b"VA", [b"c7"], value))
    started = time.process_time()
    assert read(stream[start : start + 4096] for start in range(0, len(stream), 4096)) == [Reply(b"VA", [b"c7"], value)]
    assert time.process_time() - started < 2


def test_flags_are_found_by_their_letter():
    """A flag without argument is there and empty; one that is missing is ``None``."""
    reply = Reply(b"VA", [b"c42", b"f1", b"W"])
    assert [reply.flag(letter) for letter in (b"c", b"f", b"W", b"O")] == [b"42", b"1", b"", None]


@pytest.mark.parametrize(("status", "error"), [(b"SERVER_ERROR", True), (b"CLIENT_ERROR", True), (b"ERROR", True)])
def test_errors_are_told_from_answers(status, error):
    """An error carries no opaque, so a check must know it."""
    assert Reply(status, []).is_error is error
    assert not Reply(b"EN", []).is_error


@pytest.mark.parametrize(("ttl", "sent"), [(0.001, 1), (1, 1), (1.1, 2), (1200, 1200), (MONTH, MONTH)])
def test_a_time_to_live_is_whole_seconds_and_never_for_ever(ttl, sent):
    """Zero would be for ever, a fraction rounded down would end a session early."""
    assert protocol.expiry(ttl, time.time) == sent


@pytest.mark.parametrize("ttl", [MONTH + 0.5, MONTH + 1, 86400 * 400])
def test_a_time_to_live_over_thirty_days_is_a_date(ttl):
    """The number would be as a moment in 1970, so it is given the moment that is meant."""
    now = 1_800_000_000.5
    assert now + ttl <= protocol.expiry(ttl, lambda: now) <= now + ttl + 2


def test_no_date_is_one_that_memcached_takes_for_the_past():
    """It reads 32 bits with a sign; so what shall live for fifty years lives until 2038."""
    assert protocol.expiry(86400 * 365 * 50, time.time) == 2**31 - 1


@given(st.binary(max_size=50), st.integers(0, 2**31), st.integers(0, 2**63))
def test_requests_carry_their_opaque_and_the_exact_length(value, opaque, cas):
    """The server repeats the number, and finds the end of the value by its length alone."""
    requests = [
        protocol.get("key", None, opaque),
        protocol.get("key", 5, opaque),
        protocol.add("key", value, 5, opaque),
        protocol.replace("key", value, 5, cas, opaque),
        protocol.write_tombstone("key", value, 5, None, opaque),
        protocol.write_tombstone("key", value, 5, cas, opaque),
        protocol.delete("key", opaque),
    ]
    for request in requests:
        head, _, block = request.partition(b"\r\n")
        assert b"O%d" % opaque in head.split(b" ")
        assert block in (b"", value + b"\r\n")
        assert bool(block) == head.startswith(b"ms ")
        assert not block or head.split(b" ")[2] == b"%d" % len(value)


def test_each_request_says_what_it_means():
    """The words of the protocol, one by one."""
    reading, renewing = protocol.get("k", None, 1).split(), protocol.get("k", 10, 1).split()
    assert reading[:2] == [b"mg", b"k"]
    assert {b"v", b"c", b"f", b"O1"} <= set(reading)
    assert set(renewing) - set(reading) == {b"T10"}
    assert protocol.add("k", b"ab", 9, 1) == b"ms k 2 ME c T9 O1\r\nab\r\n"
    assert protocol.replace("k", b"ab", 9, 7, 1) == b"ms k 2 c C7 T9 O1\r\nab\r\n"
    assert protocol.write_tombstone("k", b"", 9, None, 1) == b"ms k 0 F1 T9 O1\r\n\r\n"
    assert protocol.write_tombstone("k", b"", 9, 7, 1) == b"ms k 0 F1 C7 T9 O1\r\n\r\n"
    assert protocol.delete("k", 1) == b"md k O1\r\n"


@pytest.mark.parametrize("lines", [1, 2000])
def test_statistics_of_any_length_take_no_stack(lines: int) -> None:
    """A connection may be opened deep inside of an application: how deep we go does not depend on the server."""
    sent = b"".join(b"STAT n%d %d\r\n" % (n, n) for n in range(lines)) + b"END\r\n"
    parser = Parser()
    parser.feed(sent)

    def deep(calls: int) -> object:
        return deep(calls - 1) if calls else parser.pop()

    room = sys.getrecursionlimit() - len(inspect.stack(0))
    assert len(deep(room - 20)) == lines


def test_statistics_without_an_end_are_no_reply() -> None:
    """They would fill the memory."""
    parser = Parser()
    parser.feed(b"".join(b"STAT n%d 1\r\n" % n for n in range(10_000)))
    with pytest.raises(Desynchronised):
        parser.pop()


@pytest.mark.parametrize("length", [2046, 2047, 2048, 2049])
def test_the_longest_line_is_as_long_however_it_was_cut(length: int) -> None:
    """Else a reply would be one or none, as the network likes."""

    def outcome(*chunks: bytes) -> object:
        try:
            return read(chunks)
        except Desynchronised:
            return None

    line = b"HD " + b"x" * (length - 3) + b"\r\n"
    assert outcome(line) == outcome(line[:-1], line[-1:]) == outcome(*(bytes((byte,)) for byte in line))
    assert (outcome(line) is None) == (length > 2048)


def test_a_reply_of_the_wrong_kind_answers_nothing() -> None:
    """Also one with the right number: a value where something was changed, a change where something was read."""
    hit, done = Hit(b"x", 1, 0, 9, 5), Done(1, 5)
    assert [protocol.answers_get(reply, "k", 5) for reply in (hit, done)] == [True, False]
    assert [protocol.answers(reply, "k", 5) for reply in (hit, done)] == [False, True]
    assert not protocol.answers_get(hit, "k", 6)
    assert not protocol.answers(done, "k", 6)


@pytest.mark.parametrize("digits", [b"", b"-1", b"1.5", b"x", b"9" * 21, b"9" * 400, b"9" * 5000])
def test_a_number_that_no_server_reaches_is_none(digits: bytes) -> None:
    """It would be larger than any clock."""
    assert protocol.number(digits) is None
    assert protocol.number(b"18446744073709551615") == 2**64 - 1
