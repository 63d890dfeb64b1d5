"""A child of a fork uses no lock, queue, pool or connection of its parent, whatever the parent's threads are doing."""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sharedsession.backends import connect
from sharedsession.backends.base import Stored
from sharedsession.backends.memory import MemoryBackend
from sharedsession.backends.ring.hints import Hints
from sharedsession.backends.sqlite.session_file import SessionFile
from sharedsession.backends.sqlite.worker import SqliteWorker
from sharedsession.backends.wire.breaker import NodeHealth
from sharedsession.concurrency import PerProcess, run
from sharedsession.concurrency.keyed_queue import ThreadQueue
from sharedsession.concurrency.timers import ThreadTimer
from sharedsession.environment import REAL
from sharedsession.farmpage.latency import Latency
from tests.support.forks import in_child
from tests.support.relay import Relay

# Not SQLite: the C library has locks of its own, and must not be forked while it works (sqlite.org/howtocorrupt, 2.6).
STORES = ["memory", "memcached", "memcached+text", "redis", "valkey", "ring", "ring+text"]


@contextmanager
def held(lock: Any) -> Iterator[None]:
    """A thread of the parent holds a lock."""
    has, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            has.set()
            let_go.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    has.wait()
    try:
        yield
    finally:
        let_go.set()
        thread.join()


@contextmanager
def busy(work: Callable[[int], None], threads: int = 4) -> Iterator[None]:
    """Threads of the parent work without a pause."""
    over = threading.Event()

    def loop(number: int) -> None:
        while not over.is_set():
            work(number)

    running = [threading.Thread(target=loop, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in running:
            thread.join()


def test_a_value_for_each_process() -> None:
    """The parent keeps its own; all threads of the child get the same, and so does the child's child."""
    own: PerProcess[object] = PerProcess(object)
    mine = own.mine

    def child() -> tuple[bool, int, bool]:
        seen: list[object] = []
        threads = [threading.Thread(target=lambda: seen.append(own.mine)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return own.mine is mine, len(set(map(id, seen))), in_child(lambda: own.mine is seen[0])

    assert in_child(child) == (False, 1, False)
    assert own.mine is mine


def _memory(_: Path) -> tuple[Any, Callable[[], Any]]:
    backend = MemoryBackend()
    return backend._lock.mine, lambda: backend.add("ss:k", b"x", 60, 1) is not None


def _file(path: Path) -> tuple[Any, Callable[[], Any]]:
    file = SessionFile(path / "sessions.db", REAL)

    def opened() -> bool:
        with file.connection(1):
            return True

    return file._opening.mine, opened


def _worker(path: Path) -> tuple[Any, Callable[[], Any]]:
    worker = SqliteWorker(SessionFile(path / "sessions.db", REAL))
    return worker._starting.mine, lambda: asyncio.run(worker.add("ss:k", b"x", 60, 5)) is not None


def _hints(_: Path) -> tuple[Any, Callable[[], Any]]:
    hints = Hints()
    return hints._lock.mine, lambda: hints.add("ss:k", b"", 60, 0) is None


def _health(_: Path) -> tuple[Any, Callable[[], Any]]:
    health = NodeHealth(2.0)
    return health._lock.mine, lambda: health.failed(0)


def _latency(_: Path) -> tuple[Any, Callable[[], Any]]:
    latency = Latency(time.monotonic)
    return latency._lock.mine, lambda: latency.begin() is not None


def _queue(_: Path) -> tuple[Any, Callable[[], Any]]:
    queue = ThreadQueue()
    assert queue.acquire("x")
    return queue._lines.mine.guard, lambda: queue.acquire("x") and not run(queue.wait("x", 0.01))


class Counting:
    """Has a timer, and says when it ran."""

    def __init__(self) -> None:
        self.ran = threading.Event()
        self.timer = ThreadTimer(self.work, at_once=True)

    async def work(self) -> None:
        self.ran.set()

    def runs(self) -> bool:
        self.ran = threading.Event()
        self.timer.ensure(60)
        return self.ran.wait(5)


def _timer(_: Path) -> tuple[Any, Callable[[], Any]]:
    counting = Counting()
    return counting.timer._own.mine.starting, counting.runs


def _running_timer(_: Path) -> tuple[Any, Callable[[], Any]]:
    counting = Counting()
    assert counting.runs()
    return counting.timer._own.mine.wake_up._cond, counting.runs


@pytest.mark.parametrize("part", [_memory, _file, _worker, _hints, _health, _latency, _queue, _timer, _running_timer])
def test_a_lock_that_a_thread_of_the_parent_holds(part: Callable[..., Any], tmp_path: Path) -> None:
    """The child's own is open."""
    lock, works = part(tmp_path)
    with held(lock):
        assert in_child(works)


def test_a_key_that_is_held_when_the_process_forks() -> None:
    """The forking thread gives back what it no longer holds, and nothing is left behind."""
    queue = ThreadQueue()
    assert queue.acquire("x")

    def child() -> tuple[bool, int]:
        queue.release("x")
        return queue.acquire("x"), queue.waiting("x")

    assert in_child(child) == (True, 0)
    assert not queue.acquire("x")
    queue.release("x")
    assert queue.acquire("x")


@pytest.mark.parametrize("url", STORES, indirect=True)
@pytest.mark.parametrize("asynchronous", [False, True], ids=["blocking", "asynchronous"])
def test_forks_while_threads_are_busy(url: str, asynchronous: bool) -> None:
    """Each child of many reads what was there, writes, and reads its own."""
    backend: Any = connect(url)
    version = backend.add("ss:parent", b"parent", 60, 5)
    assert version is not None

    def work(number: int) -> None:
        backend.add(f"ss:{number}", b"x" * 1000, 60, 5)
        backend.get(f"ss:{number}", 60, 5)

    def child() -> list[bytes]:
        verbs = backend.asynchronous if asynchronous and hasattr(backend, "asynchronous") else backend
        name = f"ss:child{os.getpid()}"

        async def visit() -> list[bytes]:
            await verbs.add(name, b"child", 60, 5)
            found = [await verbs.get(key, 60, 5) for key in ("ss:parent", name)]
            return [each.value for each in found if isinstance(each, Stored)]

        if verbs is not backend:
            return asyncio.run(visit())
        backend.add(name, b"child", 60, 5)
        return [backend.get(key, 60, 5).value for key in ("ss:parent", name)]

    with busy(work):
        for _ in range(8):
            assert in_child(child) == [b"parent", b"child"]
    backend.close()


@pytest.mark.parametrize("kind", ["redis", "memcached"])
@pytest.mark.parametrize("asynchronous", [False, True], ids=["blocking", "asynchronous"])
def test_a_fork_while_a_connection_is_opened(kind: str, asynchronous: bool, request: pytest.FixtureRequest) -> None:
    """The parent waits for the greeting; the child does not wait with it, and opens a connection of its own."""
    server = request.getfixturevalue(kind)
    with Relay(server.port) as relay:
        backend: Any = connect(str(server.url).replace(str(server.port), str(relay.port)))
        guard = backend._guard if kind == "redis" else backend.server.guard

        def add(key: str) -> bool:
            if asynchronous:
                return asyncio.run(backend.asynchronous.add(key, b"x", 60, 10)) is not None
            return backend.add(key, b"x", 60, 10) is not None

        def child() -> bool:
            guard.address = replace(guard.address, port=server.port)  # the relay holds every reply
            return add("ss:child")

        relay.hold()
        added: list[bool] = []
        opening = threading.Thread(target=lambda: added.append(add("ss:parent")))
        opening.start()
        while not relay.bytes_up:
            time.sleep(0.001)
        assert in_child(child)
        relay.release()
        opening.join()
        assert added == [True]
        backend.close()
