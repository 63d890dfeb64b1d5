"""The drivers: one object for each colour, which answers every question about it.

What must wait is written once, as ``async def``. `BlockingDriver` runs it at once over a blocking backend; `LoopDriver`
lets the event loop run it over an asynchronous backend; `ThreadDriver` runs a whole step over a blocking backend in one
worker thread, so that the event loop does not block.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar, cast

from sharedsession.concurrency.begun import abandon, is_under_way
from sharedsession.concurrency.blocking import Done, gather, run
from sharedsession.concurrency.keyed_queue import LoopQueue, ThreadQueue
from sharedsession.concurrency.per_loop import background
from sharedsession.concurrency.timers import LoopTimer, ThreadTimer, repeat_in_thread, repeat_on_loop
from sharedsession.concurrency.types import Step
from sharedsession.environment import REAL, Environment
from sharedsession.errors import BackendUnavailable

T = TypeVar("T")


class BlockingDriver:
    """For applications that block (WSGI).

    Args:
        environment: where clocks and sleep come from.
    """

    blocking = True

    def __init__(self, environment: Environment = REAL) -> None:
        self._environment = environment
        self._monotonic = environment.monotonic

    def run(self, step: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> Awaitable[T]:
        """Same as `Driver.run`: the step has run when this returns."""
        return Done(run(step(*arguments)))

    def gather(self, coroutines: Sequence[Coroutine[Any, Any, T]]) -> Coroutine[Any, Any, list[T]]:
        """Same as `Driver.gather`."""
        return gather(coroutines, self._monotonic)

    def outcomes(self, works: Sequence[Awaitable[T]]) -> Coroutine[Any, Any, list[T | BackendUnavailable]]:
        """Same as `Driver.outcomes`."""
        coroutines: Any = works  # over blocking clients
        return gather(coroutines, self._monotonic)

    @staticmethod
    def queue() -> ThreadQueue:
        """Same as `Driver.queue`."""
        return ThreadQueue()

    @staticmethod
    def timer(step: Step[None], *, at_once: bool = False) -> ThreadTimer:
        """Same as `Driver.timer`."""
        return ThreadTimer(step, at_once=at_once)

    @staticmethod
    def repeat(seconds: float, step: Step[None]) -> Callable[[], Awaitable[None]]:
        """Same as `Driver.repeat`."""
        return repeat_in_thread(seconds, step)

    @staticmethod
    def background(step: Step[None]) -> None:
        """Same as `Driver.background`: in a thread of its own."""
        threading.Thread(target=lambda: run(step()), name="sharedsession-background", daemon=True).start()

    async def pause(self, seconds: float) -> None:
        """Same as `Driver.pause`."""
        self._environment.sleep(seconds)


class ThreadDriver(BlockingDriver):
    """For applications on an event loop, over a backend that blocks: each step runs in one worker thread."""

    blocking = False

    def run(self, step: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> Awaitable[T]:
        """Same as `Driver.run`."""
        return asyncio.to_thread(lambda: run(step(*arguments)))


class LoopDriver:
    """For applications on an event loop, over a backend that never blocks it."""

    blocking = False

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    @staticmethod
    def run(step: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> Awaitable[T]:
        """Same as `Driver.run`."""
        return step(*arguments)

    @staticmethod
    async def gather(coroutines: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
        """Same as `Driver.gather`. The first runs in this task, since a task of its own has its price."""
        if not coroutines:
            return []
        first, *others = coroutines
        loop = asyncio.get_running_loop()
        tasks = [background(loop, other) for other in others]
        try:
            return [await first, *[await task for task in tasks]]
        except BaseException:
            for task in tasks:
                if not loop.is_closed():  # by hand: then they have ended with it
                    task.cancel()
            raise

    @staticmethod
    async def outcomes(works: Sequence[Awaitable[T]]) -> list[T | BackendUnavailable]:
        """Same as `Driver.outcomes`."""
        loop = asyncio.get_running_loop()
        begun: list[asyncio.Future[T]] = [
            work if is_under_way(work) else background(loop, cast("Coroutine[Any, Any, T]", work)) for work in works
        ]
        try:
            return [await _outcome(each) for each in begun]
        except BaseException:
            abandon(begun)
            raise

    @staticmethod
    def queue() -> LoopQueue:
        """Same as `Driver.queue`."""
        return LoopQueue()

    @staticmethod
    def timer(step: Step[None], *, at_once: bool = False) -> LoopTimer:
        """Same as `Driver.timer`."""
        return LoopTimer(step, at_once=at_once)

    @staticmethod
    def repeat(seconds: float, step: Step[None]) -> Callable[[], Awaitable[None]]:
        """Same as `Driver.repeat`."""
        return repeat_on_loop(seconds, step)

    def background(self, step: Step[None]) -> None:
        """Same as `Driver.background`: in a task that ends with its loop."""
        task = background(asyncio.get_running_loop(), step())
        self._tasks.add(task)  # a loop keeps only weak references to its tasks
        task.add_done_callback(self._tasks.discard)

    @staticmethod
    async def pause(seconds: float) -> None:
        """Same as `Driver.pause`."""
        await asyncio.sleep(seconds)


async def _outcome(work: Awaitable[T]) -> T | BackendUnavailable:
    try:
        return await work
    except BackendUnavailable as error:
        return error
