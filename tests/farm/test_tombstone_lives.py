"""Reads change no tombstone's life: a thousand renewing ones from six connections, on each store, of both kinds.

What is left to live is asked of the server itself, behind the library's back.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sharedsession.backends import connect
from sharedsession.backends.base import Backend, Ended
from tests.farm.lines import Lines
from tests.support.binaries import MissingServerError
from tests.support.ring import Ring
from tests.support.servers import KINDS, Memcached

READS = 1000
CONNECTIONS = 6
IDLE = 600.0  # each read would renew with this
LIFE = 5000.0
CLOCKS_DIFFER = 1200.0  # seconds by which it is shorter when it comes back later
KEY = "ss:key"
STORES = ("memcached", "ring", "redis", "valkey", "sqlite")


class Store:
    """A URL, and how to ask what is left to live."""

    def __init__(self, url: str, left: Callable[[], list[float]]) -> None:
        self.url = url
        self.left = left


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "sqlite":
        path = tmp_path / "sessions.db"

        def left() -> list[float]:
            with closing(sqlite3.connect(path)) as connection:
                rows = connection.execute("SELECT expires FROM sessions WHERE key = ?", (KEY,))
                return [expires - time.time() for (expires,) in rows]

        yield Store(f"sqlite:///{path}", left)
        return
    try:
        if request.param == "ring":
            with Lines() as nodes:
                url = Ring(nodes.servers).url
                yield Store(url, lambda: [life for server in nodes.servers for life in lives(server)])
            return
        with KINDS[request.param].start() as server:
            yield Store(server.url, lambda: lives(server))
    except MissingServerError as missing:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(str(missing))


def lives(server: Any) -> list[float]:
    if isinstance(server, Memcached):
        return [float(server.command("mg", KEY, "t").split()[1][1:])]
    return [server.command("PTTL", KEY) / 1000]


def plain(backend: Backend) -> None:
    backend.end(KEY, LIFE, 5.0)


def noted(backend: Any) -> None:
    found = backend.get(KEY, None, 5.0)
    assert backend.supersede(KEY, LIFE, 5.0, found.version, b"note", 60.0)


@pytest.mark.parametrize("end", [plain, noted])
def test_a_thousand_renewing_reads_from_six_connections(store: Store, end: Callable[[Any], None]) -> None:
    """Before and after, less what has passed meanwhile: the same, within two seconds."""
    backends = [connect(store.url) for _ in range(CONNECTIONS)]
    assert backends[0].add(KEY, b"value", IDLE, 5.0)
    end(backends[0])
    began, before = time.monotonic(), store.left()
    assert all(abs(life - LIFE) <= 2 for life in before)

    def read(backend: Any) -> None:
        for _ in range(READS // CONNECTIONS + 1):
            assert isinstance(backend.get(KEY, IDLE, 5.0), Ended)

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for done in [pool.submit(read, backend) for backend in backends]:
            done.result()
    passed, after = time.monotonic() - began, store.left()
    for backend in backends:
        backend.close()
    assert len(after) == len(before)
    assert [life for life, was in zip(after, before, strict=True) if abs(was - passed - life) > 2] == []


@pytest.mark.parametrize("end", [plain, noted])
def test_a_read_whose_answer_was_lost_is_made_good_by_the_next(
    memcached: Memcached, end: Callable[[Any], None]
) -> None:
    """It renewed the tombstone, as it would a session, and could not give the life back that it never heard of."""
    backend = connect(memcached.url)
    assert backend.add(KEY, b"value", IDLE, 5.0)
    end(backend)
    assert memcached.command("mg", KEY, f"T{IDLE:.0f}").startswith(b"HD")
    assert lives(memcached)[0] <= IDLE
    found = backend.get(KEY, IDLE, 5.0)
    assert isinstance(found, Ended)
    assert found.note == (b"note" if end is noted else b"")
    assert abs(lives(memcached)[0] - LIFE) <= 2
    assert memcached.command("mg", KEY, f"T{IDLE - 60:.0f}").startswith(b"HD")  # the same, a minute ago
    assert isinstance(backend.get(KEY, IDLE, 5.0), Ended)
    assert abs(lives(memcached)[0] - (LIFE - CLOCKS_DIFFER)) <= 2
    backend.close()
