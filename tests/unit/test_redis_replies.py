"""Replies that no Redis gives: whoever gives them, a request has no answer then, and nothing else fails."""

import hiredis
import pytest

from sharedsession.backends.base import Ended
from sharedsession.backends.redis.backend import _tombstone
from sharedsession.backends.redis.resp import EXPECTED, RespParser
from sharedsession.backends.redis.server import Server
from sharedsession.backends.tombstone import Tombstone
from sharedsession.backends.wire.node_guard import NodeGuard
from sharedsession.backends.wire.protocol import Address, Desynchronised

_ECHO = b"$9\r\n000000001\r\n"


@pytest.mark.parametrize(
    "reply", [b"%1\r\n*0\r\n:1\r\n", b"~1\r\n%1\r\n%0\r\n:1\r\n", b"*9999999999999\r\n", b"*1\r\n" * 3000]
)
def test_a_reply_that_python_has_no_value_for_ends_the_connection(reply: bytes) -> None:
    """A map whose key is a list, an array without bounds: no request fails over it, it has no answer."""
    cut = RespParser()
    cut.feed(reply + _ECHO)
    with pytest.raises(Desynchronised):
        cut.pop()


@pytest.mark.parametrize(
    "hello",
    [
        [[], 1],
        [b"server", [], b"version", None],
        [b"server", b"re\xffdis", b"version", b"8.4"],
        [b"server", b"redis", b"version", b"9" * 5000],
        [b"server"],
        [b"mode", 1, b"version"],
        {},
        7,
    ],
    ids=range(8),
)
def test_a_server_that_says_nonsense_of_itself_has_no_more_than_others(hello: object) -> None:
    """What it can do is not known then."""
    server = Server(NodeGuard(Address(host="h"), 2.0, EXPECTED), None, None, 0)
    server.protocol.greeted([(hello, b"000000000")])
    assert server.has_ifeq is (isinstance(hello, list) and b"9" * 5000 in hello)


@pytest.mark.parametrize("life", [None, b"1200", [], 1.5, hiredis.ReplyError("ERR")], ids=range(5))
def test_a_tombstone_whose_life_is_no_number_is_none(life: object) -> None:
    """What the key holds does not open then, and is no absence."""
    assert _tombstone([Tombstone(60.0).encode(), life]) is None
    assert _tombstone([Tombstone(60.0).encode(), 5000]) == Ended(b"", 5.0)
