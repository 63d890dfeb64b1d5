"""Queues by key: in one process, one at a time holds a key, and the others get it in the order they came.

One for threads, one for the tasks of event loops. Where a key is free, acquiring it is one lookup in a dictionary.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Hashable

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
        self.waiters: dict[Hashable, deque[threading.Event]] = {}


class ThreadQueue:
    """A `KeyedQueue` of threads. In a child after a fork, every key is free."""

    def __init__(self) -> None:
        self._lines: PerProcess[_Lines] = PerProcess(_Lines)

    def acquire(self, key: Hashable) -> bool:
        """Same as `KeyedQueue.acquire`."""
        new: deque[threading.Event] = deque()
        return self._lines.mine.waiters.setdefault(key, new) is new

    async def wait(self, key: Hashable, timeout: float) -> bool:
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

    def release(self, key: Hashable) -> None:
        """Same as `KeyedQueue.release`. A thread that forked while it held a key holds nothing in the child."""
        lines = self._lines.mine
        with lines.guard:
            waiters = lines.waiters.get(key)
            if waiters:
                waiters.popleft().set()
            else:
                lines.waiters.pop(key, None)

    def waiting(self, key: Hashable) -> int:
        """Same as `KeyedQueue.waiting`."""
        return len(self._waiters.get(key, ()))

    @property
    def _waiters(self) -> dict[Hashable, deque[threading.Event]]:
        return self._lines.mine.waiters


class LoopQueue:
    """A `KeyedQueue` of tasks, apart for each event loop."""

    def __init__(self) -> None:
        self._loops: PerLoop[dict[Hashable, _Waiters | None]] = PerLoop()

    def acquire(self, key: Hashable) -> bool:
        """Same as `KeyedQueue.acquire`."""
        held = self._loops.get(asyncio.get_running_loop())
        if held is None:
            held = self._held()
        if key in held:
            return False
        held[key] = None
        return True

    async def wait(self, key: Hashable, timeout: float) -> bool:
        """Same as `KeyedQueue.wait`."""
        mine, held = asyncio.get_running_loop().create_future(), self._held()
        waiters = held[key] = held[key] or _Waiters()
        waiters.append(mine)
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

    def release(self, key: Hashable) -> None:
        """Same as `KeyedQueue.release`."""
        held = self._loops.get(asyncio.get_running_loop())
        assert held is not None  # noqa: S101
        waiters = held[key]
        while waiters:
            following = waiters.popleft()
            if not following.done():
                following.set_result(None)
                return
        del held[key]

    def waiting(self, key: Hashable) -> int:
        """Same as `KeyedQueue.waiting`."""
        return len(self._held().get(key) or ())

    def _held(self) -> dict[Hashable, _Waiters | None]:
        """Returns the keys that are held on the running event loop, each with those who wait for it."""
        loop = asyncio.get_running_loop()
        held = self._loops.get(loop)
        if held is None:
            held = {}
            self._loops.put(loop, held)
        return held
