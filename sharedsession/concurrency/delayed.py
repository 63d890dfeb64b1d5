"""A step that an event loop takes a little later, unless it is called off before.

One that is called off in the same turn of the loop costs neither a timer nor a task.
"""

import asyncio

from sharedsession.concurrency.types import Step


class Delayed:
    """A step that is taken once, when its time is over.

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

    def call_off(self) -> bool:
        """Sees to it that the step is not begun any more. Returns whether it was not begun yet."""
        self._handle.cancel()
        return self._task is None

    async def end(self) -> None:
        """Waits for the end of a step that has begun. What it raises is raised here."""
        if self._task is not None:
            await self._task

    async def stop(self) -> None:
        """Sees to it that the step is not begun any more, or goes no further."""
        if not self.call_off() and self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _wait(self) -> None:
        self._handle = self._loop.call_later(self._seconds, self._begin)

    def _begin(self) -> None:
        self._task = asyncio.ensure_future(self._step())
