"""How each colour lets time pass: by sleeping and threads, or by timers and tasks of the event loop.

With `_drive`, `_turns` and `_perloop` the only files that know of colour.
"""

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any
from weakref import WeakMethod

from sharedsession.concurrency.driver import run
from sharedsession.concurrency.keyed_queue import LoopTurns, ThreadTurns
from sharedsession.concurrency.per_loop import PerLoop, background

Step = Callable[[], Coroutine[Any, Any, None]]


class BlockingClockwork:
    """A blocking application sleeps, and a thread does what is to be done meanwhile."""

    def turns(self) -> ThreadTurns:
        """Makes lines for those who want the same thing."""
        return ThreadTurns()

    def ticker(self, step: Step, *, at_once: bool = False) -> "BlockingTicker":
        """Makes what does a step again and again."""
        return BlockingTicker(step, at_once=at_once)

    @staticmethod
    async def pause(seconds: float) -> None:
        """Waits."""
        time.sleep(seconds)  # noqa: ASYNC251  (no loop runs this)

    @staticmethod
    def repeat(seconds: float, step: Step) -> Callable[[], Awaitable[None]]:
        """Does a step each so many seconds in a thread, until what is returned is awaited."""
        stopped = threading.Event()

        def work() -> None:
            while not stopped.wait(seconds):
                run(step())

        thread = threading.Thread(target=work, name="sharedsession-repeat", daemon=True)
        thread.start()

        async def stop() -> None:
            stopped.set()
            thread.join()

        return stop


class LoopClockwork:
    """An application on an event loop has that look at the clock."""

    def turns(self) -> LoopTurns:
        """Makes lines for those who want the same thing."""
        return LoopTurns()

    def ticker(self, step: Step, *, at_once: bool = False) -> "LoopTicker":
        """Makes what does a step again and again."""
        return LoopTicker(step, at_once=at_once)

    @staticmethod
    async def pause(seconds: float) -> None:
        """Waits."""
        await asyncio.sleep(seconds)

    @staticmethod
    def repeat(seconds: float, step: Step) -> Callable[[], Awaitable[None]]:
        """Does a step each so many seconds in a task, until what is returned is awaited."""

        async def work() -> None:
            while True:
                await asyncio.sleep(seconds)
                await step()

        task = asyncio.get_running_loop().create_task(work())

        async def stop() -> None:
            task.cancel()
            await asyncio.wait([task])

        return stop


class BlockingTicker:
    """Does a step again and again in a thread of its own, which begins when it is first needed.

    Args:
        step: what to do: a method. The thread ends with the object that it belongs to.
        at_once: whether to do it a first time when it begins.
    """

    def __init__(self, step: Step, *, at_once: bool = False) -> None:
        self._sooner = sooner = threading.Event()
        self._step = WeakMethod(step, lambda _gone: sooner.set())
        self._at_once = at_once
        self._seconds = threading.TIMEOUT_MAX
        self._starting = threading.Lock()
        self._process = 0

    def ensure(self, seconds: float) -> None:
        """Sees that it is done each so many seconds, or more often; in a child after a fork as well."""
        if seconds < self._seconds:
            self._seconds = seconds
            self._sooner.set()
        if self._process != os.getpid():
            self._start()

    def _start(self) -> None:
        with self._starting:
            if self._process != os.getpid():
                self._process = os.getpid()
                threading.Thread(target=self._work, name="sharedsession-ticker", daemon=True).start()

    def _work(self) -> None:
        is_due = self._at_once
        while (step := self._step()) is not None:
            if is_due:
                run(step())
            del step  # or nobody but this thread would keep it alive
            is_due = not self._sooner.wait(self._seconds)
            self._sooner.clear()


class LoopTicker:
    """Does a step again and again on each event loop that needs it, in a task that ends with the loop.

    Args:
        step: what to do.
        at_once: whether to do it a first time when it begins.
    """

    def __init__(self, step: Step, *, at_once: bool = False) -> None:
        self._step = step
        self._at_once = at_once
        self._tasks: PerLoop[tuple[asyncio.Task[None], float]] = PerLoop()

    def ensure(self, seconds: float) -> None:
        """Sees that it is done each so many seconds, or more often, on the running loop."""
        loop = asyncio.get_running_loop()
        known = self._tasks.get(loop)
        if known is None or seconds < known[1] or known[0].done():
            if known is not None:
                known[0].cancel()
            work = self._work(seconds, at_once=self._at_once and known is None)
            self._tasks.put(loop, (background(loop, work), seconds))

    async def _work(self, seconds: float, *, at_once: bool) -> None:
        if at_once:
            await self._step()
        while True:
            await asyncio.sleep(seconds)
            await self._step()
