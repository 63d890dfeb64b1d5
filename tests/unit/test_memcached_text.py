"""The classic text protocol without I/O: requests to bytes, and whatever a server may say to replies."""

import pytest

from sharedsession.backends.memcached import text
from sharedsession.backends.memcached.protocol import Reply
from sharedsession.backends.wire.protocol import INCOMPLETE, Desynchronised

FOUND = Reply(b"VA", [b"c42", b"f1", b"t-1", b"kss:k"], b"a\r\nEND\r\nb")
STREAM = b"VALUE ss:k 1 9 42\r\na\r\nEND\r\nb\r\nEND\r\nEND\r\nSTORED\r\nNOT_FOUND\r\nSERVER_ERROR out of memory\r\n"
REPLIES = [
    FOUND,
    Reply(b"EN", []),
    Reply(b"HD", [b"c0"]),
    Reply(b"NF", []),
    Reply(b"SERVER_ERROR", [b"out", b"of", b"memory"]),
]


def replies(*chunks: bytes) -> list[object]:
    parser, found = text.Parser(), []
    for chunk in chunks:
        parser.feed(chunk)
        while (reply := parser.pop()) is not INCOMPLETE:
            found.append(reply)
    return found


@pytest.mark.parametrize("size", [1, 2, 3, 7, len(STREAM)])
def test_replies_however_the_network_cut_them(size):
    """What looks like an end inside a value is none."""
    assert replies(*(STREAM[at : at + size] for at in range(0, len(STREAM), size))) == REPLIES


@pytest.mark.parametrize(
    "garbage",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b"VALUE k 0 x 1\r\n",
        b"VALUE k 0 1\r\n",
        b"VALUE k 0 1 1\r\nxyz\r\n",
        b"VALUE k 0 1 1\r\nx\r\nVALUE k 0 1 1\r\nx\r\n",
        b"VALUE k 0 1 1\r\nx\r\nSTORED\r\n",
        b"\r\n",
        b"x" * 3000,
        b"VERSION " + b"x" * 3000 + b"\r\n",
    ],
)
def test_what_memcached_would_not_say(garbage):
    """It means that the connection lost its place."""
    with pytest.raises(Desynchronised):
        replies(garbage)


def test_a_value_says_whose_it_is():
    """Another key's is never the answer, nor is that to a change."""
    assert text.answers_get(FOUND, "ss:k", 1)
    assert not text.answers_get(FOUND, "ss:other", 1)
    assert text.answers_get(Reply(b"EN", []), "ss:k", 1)
    assert not text.answers_get({}, "ss:k", 1)
    assert not text.answers_get(Reply(b"HD", [b"c0"]), "ss:k", 1)


def test_a_change_is_answered_by_its_own_words():
    """What answers a question is no answer to it; an error always is."""
    assert all(text.answers(Reply(status, []), "ss:k", 1) for status in (b"HD", b"NS", b"EX", b"NF", b"SERVER_ERROR"))
    assert not any(text.answers(reply, "ss:k", 1) for reply in (FOUND, Reply(b"EN", []), Reply(b"MN", []), {}))


def test_requests():
    """As doc/protocol.txt has them."""
    assert text.get("k", None, 1) == b"gets k\r\n"
    assert text.get("k", 60, 1) == b"gats 60 k\r\n"
    assert text.add("k", b"v", 60, 1) == b"add k 0 60 1\r\nv\r\n"
    assert text.replace("k", b"v", 60, 7, 1) == b"cas k 0 60 1 7\r\nv\r\n"
    assert text.write_tombstone("k", b"n", 60, None, 1) == b"set k 1 60 1\r\nn\r\n"
    assert text.write_tombstone("k", b"n", 60, 7, 1) == b"cas k 1 60 1 7\r\nn\r\n"
    assert text.delete("k", 1) == b"delete k\r\n"
    assert text.confirm_absence("k") == b"cas k 0 1 0 0\r\n\r\n"
