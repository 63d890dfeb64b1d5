"""Queues by key: in one process, one at a time holds a key, and the others get it in the order they came.

One for threads, one for the tasks of event loops. Where a key is free, acquiring it is one lookup in a dictionary.
"""

import asyncio
import threading
from collections import deque

from sharedsession.concurrency.fork import PerProcess
from sharedsession.concurrency.per_loop import PerLoop

_Waiters = deque[asyncio.Future[None]]


class _Lines:
    """Who waits in one process. A fork leaves the threads behind that hold keys and wait for them.

    Attributes:
        guard: held while more than one step is made.
        waiters: of each key that is held, in order.
    """

    def __init__(self) -> None:
        self.guard = threading.Lock()
        self.waiters: dict[str, deque[threading.Event]] = {}


class ThreadQueue:
    """A `KeyedQueue` of threads. In a child after a fork, every key is free."""

    def __init__(self) -> None:
        self._lines: PerProcess[_Lines] = PerProcess(_Lines)

    def acquire(self, key: str) -> bool:
        """Same as `KeyedQueue.acquire`."""
        new: deque[threading.Event] = deque()
        return self._lines.mine.waiters.setdefault(key, new) is new

    async def wait(self, key: str, timeout: float) -> bool:
        """Same as `KeyedQueue.wait`."""
        mine, lines = threading.Event(), self._lines.mine
        with lines.guard:
            if self.acquire(key):
                return True
            lines.waiters[key].append(mine)
        if mine.wait(timeout):
            return True
        with lines.guard:
            if mine.is_set():  # the key came in the last moment
                return True
            lines.waiters[key].remove(mine)
            return False

    def release(self, key: str) -> None:
        """Same as `KeyedQueue.release`. A thread that forked while it held a key holds nothing in the child."""
        lines = self._lines.mine
        with lines.guard:
            waiters = lines.waiters.get(key)
            if waiters:
                waiters.popleft().set()
            else:
                lines.waiters.pop(key, None)

    def waiting(self, key: str) -> int:
        """Same as `KeyedQueue.waiting`."""
        return len(self._waiters.get(key, ()))

    @property
    def _waiters(self) -> dict[str, deque[threading.Event]]:
        return self._lines.mine.waiters


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
