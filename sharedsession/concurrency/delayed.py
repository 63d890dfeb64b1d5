"""A step that an event loop takes a little later, unless it is asked for before.

One that is asked for in the same turn of the loop costs neither a timer nor a task.
"""

import asyncio

from sharedsession.concurrency.types import Step


class Delayed:
    """A step that is taken once: when its time is over, or when it is asked for.

    Args:
        seconds: from the next turn of the running event loop on.
        step: the work.

    Raises:
        RuntimeError: no event loop of asyncio is running.
    """

    __slots__ = ("_handle", "_loop", "_seconds", "_step", "_task")

    def __init__(self, seconds: float, step: Step[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._seconds = seconds
        self._step = step
        self._task: asyncio.Future[None] | None = None
        self._handle: asyncio.Handle = self._loop.call_soon(self._wait)

    async def take(self) -> None:
        """Takes the step; where it is being taken, waits for its end. What it raises is raised here."""
        self._handle.cancel()
        await (self._step() if self._task is None else self._task)

    async def stop(self) -> None:
        """Sees to it that the step is not taken any more, or not any further."""
        self._handle.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _wait(self) -> None:
        self._handle = self._loop.call_later(self._seconds, self._begin)

    def _begin(self) -> None:
        self._task = asyncio.ensure_future(self._step())
