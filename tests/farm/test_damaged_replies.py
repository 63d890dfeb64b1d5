"""Replies of one node whose heads are damaged: the other copy answers, the application notices nothing."""

import re
from collections.abc import Callable

import pytest

from tests.farm.laboratory import VICTIMS, Laboratory, until
from tests.support.farm import COLOURS, Browser, WebNode, destroy, read, write

DAMAGE = {
    "time to live": (rb" t-?\d+", b" tx7"),
    "version": (rb" c\d+", b" c\xb18"),
    "no version": (rb" c\d+", b""),
    "client flags": (rb" f\d+", b" f?"),
    "length": (rb"^VA \d+", b"VA 7x"),
    "opaque": (rb" O\d+", b" O0"),
    "status": (rb"^(VA|HD)", b"W\x01"),
    "statistics": (rb"STAT \w+ [^\r]*", b"STAT"),
    "end of statistics": (rb"^(VA|HD)[^\r]*", b"END"),
    "empty lines": (rb"^", b"\r\n"),
}


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_head_is_no_answer(laboratory: Callable[..., Laboratory], damage: str, colour: str) -> None:
    """Reads, writes, logins and logouts go on without an error, whichever of the key's nodes it is."""
    lab = laboratory(relayed=VICTIMS)
    pattern, instead = DAMAGE[damage]
    with WebNode(colour, lab.url(), timeout=5.0, breaker_window=0.05) as node:
        for victim in VICTIMS:
            browsers = [Browser([node]) for _ in range(12)]
            for number, browser in enumerate(browsers):
                assert browser.go(write("n", number)).status == 200
            wire = lab.nodes[victim].wire
            wire.on_reply(lambda data: re.sub(pattern, instead, data))
            wire.cut()
            for number, browser in enumerate(browsers):
                assert browser.go(read("n")).body == repr(number)
                assert browser.go(write("n", -number)).status == 200
                assert browser.go(read("n")).body == repr(-number)
            cookie = browsers[0].cookie
            assert browsers[0].go(destroy).status == 200
            assert node.request(read("n"), cookie).body == "None"
            wire.on_reply(None)
            wire.cut()
            until(lambda browsers=browsers: all_read(browsers) and all_up(node))


def all_read(browsers: list[Browser]) -> bool:
    """Nothing is lost, but the session that was logged out."""
    expected = ["None", *(repr(-number) for number in range(1, len(browsers)))]
    assert [browser.go(read("n")).body for browser in browsers] == expected
    return True


def all_up(node: WebNode) -> bool:
    return all(fact["state"] == "up" for fact in node.manager.health()["backend"]["nodes"])
