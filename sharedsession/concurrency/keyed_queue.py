"""Queues by key: in one process, one at a time holds a key, and the others get it in the order they came.

One for threads, one for the tasks of event loops. Where a key is free, acquiring it is one lookup in a dictionary.
"""

import asyncio
import threading
from collections import deque

from sharedsession.concurrency.per_loop import PerLoop

_Waiters = deque[asyncio.Future[None]]


class ThreadQueue:
    """A `KeyedQueue` of threads."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiters: dict[str, deque[threading.Event]] = {}

    def acquire(self, key: str) -> bool:
        """Same as `KeyedQueue.acquire`."""
        new: deque[threading.Event] = deque()
        return self._waiters.setdefault(key, new) is new

    async def wait(self, key: str, timeout: float) -> bool:
        """Same as `KeyedQueue.wait`."""
        mine = threading.Event()
        with self._guard:
            if self.acquire(key):
                return True
            self._waiters[key].append(mine)
        if mine.wait(timeout):
            return True
        with self._guard:
            if mine.is_set():  # the key came in the last moment
                return True
            self._waiters[key].remove(mine)
            return False

    def release(self, key: str) -> None:
        """Same as `KeyedQueue.release`."""
        with self._guard:
            waiters = self._waiters[key]
            if waiters:
                waiters.popleft().set()
            else:
                del self._waiters[key]

    def waiting(self, key: str) -> int:
        """Same as `KeyedQueue.waiting`."""
        return len(self._waiters.get(key, ()))


class LoopQueue:
    """A `KeyedQueue` of tasks, apart for each event loop."""

    def __init__(self) -> None:
        self._loops: PerLoop[dict[str, _Waiters]] = PerLoop()

    def acquire(self, key: str) -> bool:
        """Same as `KeyedQueue.acquire`."""
        new = _Waiters()
        return self._waiters.setdefault(key, new) is new

    async def wait(self, key: str, timeout: float) -> bool:
        """Same as `KeyedQueue.wait`."""
        mine = asyncio.get_running_loop().create_future()
        self._waiters[key].append(mine)
        try:
            async with asyncio.timeout(timeout):
                await mine
        except TimeoutError:
            return mine.done() and not mine.cancelled()  # the key may have come in the last moment
        except BaseException:
            if mine.done() and not mine.cancelled():  # the key came, and this task no longer wants it
                self.release(key)
            raise
        return True

    def release(self, key: str) -> None:
        """Same as `KeyedQueue.release`."""
        waiters = self._waiters[key]
        while waiters:
            following = waiters.popleft()
            if not following.done():
                following.set_result(None)
                return
        del self._waiters[key]

    def waiting(self, key: str) -> int:
        """Same as `KeyedQueue.waiting`."""
        return len(self._waiters.get(key, ()))

    @property
    def _waiters(self) -> dict[str, _Waiters]:
        loop = asyncio.get_running_loop()
        waiters = self._loops.get(loop)
        if waiters is None:
            waiters = {}
            self._loops.put(loop, waiters)
        return waiters
