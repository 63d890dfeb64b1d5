"""Every backend in both colours behind one blocking face, so that each promise is tested once."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sharedsession.backends import connect
from sharedsession.concurrency.driver import for_event_loop

BACKENDS = ("memory", "sqlite", "memcached", "redis", "valkey", "ring")
COLOURS = ("blocking", "asynchronous")
WITHIN = 5.0


class Verbs:
    """The verbs of a backend, called from a test; asynchronous ones run on an event loop in a thread."""

    def __init__(self, backend: Any, loop: asyncio.AbstractEventLoop | None) -> None:
        self.backend = backend if loop is None else for_event_loop(backend)[0]
        self._loop = loop

    def get(self, key: str, touch: float | None = None) -> Any:
        return self._do(self.backend.get(key, touch, WITHIN))

    def add(self, key: str, value: bytes, ttl: float = 60) -> Any:
        return self._do(self.backend.add(key, value, ttl, WITHIN))

    def replace(self, key: str, value: bytes, version: Any, ttl: float = 60) -> Any:
        return self._do(self.backend.replace(key, value, ttl, version, WITHIN))

    def end(self, key: str, note: bytes = b"", note_ttl: float = 0.0, ttl: float = 60) -> None:
        self._do(self.backend.end(key, ttl, WITHIN, note, note_ttl))

    def leave(self, key: str, version: Any, note: bytes = b"", note_ttl: float = 0.0, ttl: float = 60) -> Any:
        return self._do(self.backend.leave(key, ttl, WITHIN, version, note, note_ttl))

    def touch(self, key: str, ttl: float) -> Any:
        return self._do(self.backend.touch(key, ttl, WITHIN))

    def close(self) -> None:
        self._do(self.backend.close())

    def _do(self, result: Any) -> Any:
        if self._loop is None:
            return result
        return asyncio.run_coroutine_threadsafe(result, self._loop).result(20)


@pytest.fixture(params=BACKENDS)
def url(request: pytest.FixtureRequest, tmp_path: Any) -> str:
    if request.param == "memory":
        return "memory://"
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/sessions.db"
    return str(request.getfixturevalue(request.param).url)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    running = asyncio.new_event_loop()
    thread = threading.Thread(target=running.run_forever, daemon=True)
    thread.start()
    yield running
    asyncio.run_coroutine_threadsafe(_settled(), running).result(5)
    running.call_soon_threadsafe(running.stop)
    thread.join(5)
    running.close()


async def _settled() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)


@pytest.fixture(params=COLOURS)
def make(request: pytest.FixtureRequest, url: str) -> Iterator[Callable[[], Verbs]]:
    """Makes verbs over the same store, each with connections of its own; a memory store is its connection."""
    loop = request.getfixturevalue("loop") if request.param == "asynchronous" else None
    made: list[Verbs] = []

    def one() -> Verbs:
        backend = made[0].backend if made and url == "memory://" else None
        made.append(Verbs(connect(url), loop))
        if backend is not None:
            made[-1].backend = backend
        return made[-1]

    yield one
    for verbs in made:
        verbs.close()


@pytest.fixture
def verbs(make: Callable[[], Verbs]) -> Verbs:
    return make()
