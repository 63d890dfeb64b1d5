"""Calling a backend of either colour from a test: every call blocks until it has a result."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from sharedsession.backends.adapters import for_event_loop
from sharedsession.backends.base import AsyncBackend, Backend, Ended, Read, Stored, Version
from sharedsession.environment import REAL

T = TypeVar("T")


class Store:
    """A backend as a test calls it, with defaults for what most tests do not care about.

    Args:
        backend: the backend.
        loop: runs in another thread; ``None``: the blocking colour is called.
        timeout: seconds for each operation.
    """

    def __init__(self, backend: Backend | AsyncBackend, loop: asyncio.AbstractEventLoop | None, timeout: float) -> None:
        self.backend: Any = backend if loop is None else for_event_loop(backend)[0]
        self._loop = loop
        self._timeout = timeout

    def get(self, key: str, touch: float | None = None) -> Stored | Ended | None:
        """Same as `Backend.get`."""
        found: Stored | Ended | None = self._result(self.backend.get(key, touch, self._timeout))
        return found

    def record(self, key: str) -> Stored:
        """Reads a record that must be there."""
        found = self.get(key)
        assert isinstance(found, Stored), "the key holds no record"  # noqa: S101
        return found

    def note(self, key: str, touch: float | None = None) -> bytes:
        """Reads the note of a tombstone that must be there."""
        found = self.get(key, touch)
        assert isinstance(found, Ended), "the key holds no tombstone"  # noqa: S101
        return found.note

    def add(self, key: str, value: bytes, ttl: float = 60) -> Version | None:
        """Same as `Backend.add`."""
        version: Version | None = self._result(self.backend.add(key, value, ttl, self._timeout))
        return version

    def replace(self, key: str, value: bytes, version: Version, ttl: float = 60) -> Version | None:
        """Same as `Backend.replace`."""
        new: Version | None = self._result(self.backend.replace(key, value, ttl, version, self._timeout))
        return new

    def end(self, key: str, ttl: float = 60) -> bytes:
        """Same as `Backend.end`; empty bytes for ``None``."""
        return self._result(self.backend.end(key, ttl, self._timeout)) or b""

    def get_many(self, *reads: Read) -> list[Stored | Ended | None]:
        """Same as `BatchingBackend.get_many`."""
        found: list[Stored | Ended | None] = self._result(self.backend.get_many(reads, self._timeout))
        return found

    def end_many(self, *keys: str, ttl: float = 60) -> list[bool]:
        """Same as `BatchingBackend.end_many`."""
        ended: list[bool] = self._result(self.backend.end_many(keys, ttl, self._timeout))
        return ended

    def supersede(self, key: str, version: Version, note: bytes = b"", note_ttl: float = 0.0, ttl: float = 60) -> bool:
        """Same as `Backend.supersede`."""
        return bool(self._result(self.backend.supersede(key, ttl, self._timeout, version, note, note_ttl)))

    def touch(self, key: str, ttl: float) -> bool:
        """Same as `Backend.touch`."""
        return bool(self._result(self.backend.touch(key, ttl, self._timeout)))

    def close(self) -> None:
        """Same as `Backend.close`."""
        self._result(self.backend.close())

    def _result(self, result: Any) -> Any:
        if self._loop is None:
            return result
        return asyncio.run_coroutine_threadsafe(result, self._loop).result(4 * self._timeout)


def new_key() -> str:
    """Returns a key that no test has used."""
    return f"ss:{REAL.random_bytes(12).hex()}"


def at_once(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Makes calls in as many threads, and returns their results in order."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


class LoopThread:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="contract-loop", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Ends the loop as `asyncio.run` does: its tasks are cancelled first."""
        asyncio.run_coroutine_threadsafe(_cancel_tasks(), self.loop).result(5)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)
        self.loop.close()


async def _cancel_tasks() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)  # transports that were closed call back once more
