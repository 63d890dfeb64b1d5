"""What the log of a big application shows of a store: each message says whose it is, an end as well as a beginning."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sharedsession.backends import connect
from sharedsession.testing import ManualEnvironment
from tests.support.farm import Browser, WebNode, everything, read, write
from tests.support.processes import HOST


def seen(caplog: pytest.LogCaptureFixture, *events: str) -> list[str]:
    """The messages of these events, as they are seen where nobody has configured a log: warnings and errors."""
    shown = [record for record in caplog.records if record.levelno >= logging.WARNING]
    return [record.getMessage() for record in shown if getattr(record, "event", "") in events]


def settle(browser: Browser) -> None:
    """Visits until the store is asked again."""
    for _ in range(200):
        if browser.go(everything).status == 200:
            return
    raise AssertionError("the store does not come back")


@pytest.mark.parametrize("kind", ["memcached", "memcached+text", "redis", "valkey"])
def test_a_single_store_goes_down_and_comes_back(
    kind: str, fresh: Callable[..., Any], web_node: Callable[..., WebNode], caplog: pytest.LogCaptureFixture
) -> None:
    """Both are seen at the same level, with the address, and no format is needed."""
    name, _, protocol = kind.partition("+")
    server = fresh(name)
    url = f"{server.url}?protocol={protocol}" if protocol else server.url
    browser = Browser([web_node(url, timeout=2.0, breaker_window=0.01)])
    assert browser.go(write("user", "alice")).status == 200
    server.kill()
    assert browser.go(read("user")).status == 503
    server.restart()
    settle(browser)
    title = f"session store {HOST}:{server.port}"
    assert seen(caplog, "node_down", "node_up") == [
        f"{title} does not answer (Connection refused)",
        f"{title} answers again",
    ]


def test_a_node_of_a_ring_goes_down_and_comes_back(
    fresh: Callable[..., Any], web_node: Callable[..., WebNode], caplog: pytest.LogCaptureFixture
) -> None:
    """With its name and its address, whichever the reader knows."""
    servers = {name: fresh("memcached") for name in "abc"}
    listed = ",".join(f"{name}={HOST}:{server.port}" for name, server in servers.items())
    browser = Browser([web_node(f"memcached://{listed}", timeout=2.0, breaker_window=0.01)])
    servers["b"].kill()
    title = f"session store node 'b' ({HOST}:{servers['b'].port})"
    for _ in range(200):
        assert Browser(browser.nodes).go(write("user", "alice")).status == 200
        if seen(caplog, "node_down"):
            break
    servers["b"].restart()
    for _ in range(2000):
        assert Browser(browser.nodes).go(write("user", "alice")).status == 200
        if seen(caplog, "node_up"):
            break
    assert seen(caplog, "node_down")[0] == f"{title} does not answer (Connection refused)"
    assert seen(caplog, "node_up")[0] == f"{title} answers again"


def test_a_sqlite_file_that_can_be_used_again(colour: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It has no breaker: it is well when two seconds have gone by without a failure."""
    environment, path = ManualEnvironment(), tmp_path / "sessions.db"
    path.mkdir()
    backend = connect(f"sqlite:///{path}", environment=environment)
    with WebNode(colour, backend, environment=environment, timeout=5.0) as node:
        browser = Browser([node])
        assert browser.go(write("user", "alice")).status == 503
        path.rmdir()
        assert browser.go(write("user", "alice")).status == 200
        assert seen(caplog, "node_up") == []
        environment.advance(2.0)
        for _ in range(2):
            assert browser.go(read("user")).body == repr("alice")
    title = f"session file {str(path)!r}"
    assert seen(caplog, "store_failed")[0].startswith(f"{title} cannot be used (")
    assert seen(caplog, "node_up") == [f"{title} can be used again"]
