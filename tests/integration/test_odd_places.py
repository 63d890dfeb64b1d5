"""Places where a store is asked that have less than usual: no `select.poll`, or hardly any stack."""

import select
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from sharedsession.backends import connect
from sharedsession.concurrency import readable
from tests.support.farm import Browser, WebNode, read, write

STORES = ["sqlite", "memcached", "memcached+text", "redis", "valkey", "ring", "ring+text"]
every_store = pytest.mark.parametrize("url", STORES, indirect=True)


@every_store
def test_a_module_select_without_poll(url: str, colour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As under eventlet, and on Windows: each store works, the ring too."""
    monkeypatch.delattr(select, "poll")
    monkeypatch.delattr(select, "epoll")
    with WebNode(colour, connect(url), timeout=5.0) as node:
        browser = Browser([node])
        assert [browser.go(lambda session: session.increment("n")).body for _ in range(3)] == ["1", "2", "3"]


@pytest.mark.parametrize("has_poll", [True, False])
def test_what_is_readable(has_poll: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has bytes and what was closed, as soon as there is one of them."""
    if not has_poll:
        monkeypatch.delattr(select, "poll")
    pairs = [socket.socketpair() for _ in range(3)]
    ours = [pair[0].fileno() for pair in pairs]
    assert readable(ours, 0) == set()
    assert readable(ours, 0.01) == set()
    pairs[0][1].sendall(b"x")
    pairs[2][1].close()
    assert readable(ours, 10) == {ours[0], ours[2]}
    for end in [end for pair in pairs for end in pair]:
        end.close()


def deep(calls: int, step: Callable[[], Any]) -> Any:
    return deep(calls - 1, step) if calls else step()


@every_store
@pytest.mark.parametrize("colour", ["wsgi"])
def test_a_connection_that_is_opened_deep_in_the_stack(url: str, colour: str) -> None:
    """A template with nested includes looks at the session; the server's greeting has a hundred lines."""
    with WebNode(colour, connect(url), timeout=5.0) as node:
        browser = Browser([node])
        bodies: list[str] = []

        def visit() -> None:
            depth = sys.getrecursionlimit() - 180
            deep(depth, lambda: browser.go(write("n", 1)))
            bodies.append(deep(depth, lambda: browser.go(read("n")).body))

        thread = threading.Thread(target=visit)  # its stack is empty, whatever runs the tests
        thread.start()
        thread.join()
        assert bodies == ["1"]
