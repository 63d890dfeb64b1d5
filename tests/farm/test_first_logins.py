"""Several people's first logins at once on a ring: there is no stamp yet, and each web node adds one."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sharedsession.backends.base import Read, Stored
from sharedsession.backends.memcached.urls import from_url
from sharedsession.concurrency import run
from tests.farm.laboratory import LOGINS, VICTIMS, Laboratory, until
from tests.support.farm import COLOURS, WebNode, read


@pytest.fixture
def lab(laboratory: Callable[..., Laboratory]) -> Laboratory:
    return laboratory(relayed=VICTIMS)


@pytest.fixture
def webs(lab: Laboratory) -> Iterator[list[WebNode]]:
    with WebNode(COLOURS[0], lab.url(), timeout=5.0) as one, WebNode(COLOURS[1], lab.url(), timeout=5.0) as two:
        yield [one, two]


def test_each_login_stands_under_the_stamp_that_wins(webs: list[WebNode]) -> None:
    """Four logins of a new principal at once, over two web nodes: all four are alive."""
    with ThreadPoolExecutor(4) as pool:
        for number in range(2 * LOGINS):
            login = logs_in(f"user:{number}")
            asked = [pool.submit(webs[at % 2].request, login) for at in range(4)]
            answers = [each.result() for each in asked]
            assert [answer.status for answer in answers] == [200] * 4
            cookies = [answer.set_cookies[0].partition(";")[0] for answer in answers]
            assert [webs[0].request(read("user"), cookie).body for cookie in cookies] == [repr(f"user:{number}")] * 4


def test_a_default_that_another_web_node_adds_at_the_same_time(lab: Laboratory) -> None:
    """It is at one owner, a rival comes to the other while that one's answer is on its way: they agree."""
    ring = from_url(lab.url())
    first, second = [lab.nodes[index] for index in ring.ring.order("ss:key")[:2]]
    ring.get("ss:key", None, 5.0)  # all connections are open
    put(first, b"mine")
    second.wire.hold()
    with ThreadPoolExecutor(1) as pool:
        second.wire.reset_counts()
        reads = [Read("ss:key", 60.0, default=b"third")]
        asked = pool.submit(run, ring.store.get_many_newest(reads, 5.0, [Strangers()]))
        until(lambda: second.wire.requests and second.server.stat("get_misses") != "1")
        put(second, b"theirs")
        second.wire.release()
        (found,) = asked.result(30)
    assert isinstance(found, Stored)
    assert {found.value, *copies(lab)} == {b"theirs"}


class Strangers:
    """Judges records of which none was made from another, as several first stamps are."""

    def is_genuine(self, value: bytes) -> bool:
        return True

    def includes(self, value: bytes, other: bytes) -> bool:
        return value == other

    replaces = includes


def logs_in(principal: str) -> Callable[[Any], None]:
    """A handler that logs a principal in."""

    def handler(session: Any) -> None:
        session.principal = session["user"] = principal

    return handler


def put(node: Any, value: bytes) -> None:
    """As another web node's `add` would."""
    assert node.server.command("ms", "ss:key", len(value), "ME", "T60", b"\r\n" + value).startswith(b"HD")


def copies(lab: Laboratory) -> list[bytes]:
    return [value for node in lab.nodes for value in node.server.dump().values()]
