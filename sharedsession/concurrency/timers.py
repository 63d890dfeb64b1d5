"""Steps that run again and again: in a thread where the application blocks, in a task on an event loop."""

import asyncio
import os
import threading
from weakref import WeakMethod

from sharedsession.concurrency.blocking import run
from sharedsession.concurrency.fork import PerProcess
from sharedsession.concurrency.per_loop import PerLoop, background
from sharedsession.concurrency.types import Step, Stop


def repeat_in_thread(seconds: float, step: Step[None]) -> Stop:
    """Runs a step every so many seconds in a thread, until the result is called and awaited."""
    stopped = PerProcess(threading.Event)

    def work() -> None:
        while not stopped.mine.wait(seconds):
            run(step())

    thread = threading.Thread(target=work, name="sharedsession-repeat", daemon=True)
    thread.start()

    async def stop() -> None:
        stopped.mine.set()
        thread.join()  # a child after a fork does not have it, and does not wait

    return stop


def repeat_on_loop(seconds: float, step: Step[None]) -> Stop:
    """Runs a step every so many seconds in a task of the running event loop, until the result is called and awaited."""

    async def work() -> None:
        while True:
            await asyncio.sleep(seconds)
            await step()

    loop = asyncio.get_running_loop()
    task = background(loop, work())

    async def stop() -> None:
        if not loop.is_closed():  # by hand: then the task has ended with it
            task.cancel()
            await asyncio.wait([task])

    return stop


class ThreadTimer:
    """A `Timer` in a thread of its own, which starts when the timer is first needed.

    Args:
        step: a method. The thread ends when the method's object is gone.
        at_once: whether the step runs a first time when the thread starts.
    """

    def __init__(self, step: Step[None], *, at_once: bool = False) -> None:
        self._own = own = PerProcess(_Own)
        self._step = WeakMethod(step, lambda _gone: own.mine.wake_up.set())
        self._at_once = at_once
        self._seconds = threading.TIMEOUT_MAX
        self._process = 0

    def ensure(self, seconds: float) -> None:
        """Same as `Timer.ensure`; in a child after a fork, a new thread starts."""
        if seconds < self._seconds or self._process != os.getpid():
            self._start(seconds)

    def _start(self, seconds: float) -> None:
        own = self._own.mine
        with own.starting:
            if seconds < self._seconds:
                self._seconds = seconds
                own.wake_up.set()
            if not own.has_started:
                own.has_started = True
                threading.Thread(target=self._work, args=(own,), name="sharedsession-timer", daemon=True).start()
            self._process = os.getpid()

    def _work(self, own: "_Own") -> None:
        is_due = self._at_once
        while (step := self._step()) is not None:
            if is_due:
                run(step())
            del step  # this thread would keep its object alive
            is_due = not own.wake_up.wait(self._seconds)
            own.wake_up.clear()


class _Own:
    """What a `ThreadTimer` has in one process.

    Attributes:
        starting: held while the thread is started.
        has_started: whether there is a thread.
        wake_up: set when the thread must look at its time again, or end.
    """

    def __init__(self) -> None:
        self.starting = threading.Lock()
        self.has_started = False
        self.wake_up = threading.Event()


class LoopTimer:
    """A `Timer` on each event loop that needs it, in a task that ends with the loop.

    Args:
        step: the work.
        at_once: whether the step runs a first time when the task starts.
    """

    def __init__(self, step: Step[None], *, at_once: bool = False) -> None:
        self._step = step
        self._at_once = at_once
        self._tasks: PerLoop[tuple[asyncio.Task[None], float]] = PerLoop()

    def ensure(self, seconds: float) -> None:
        """Same as `Timer.ensure`."""
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
