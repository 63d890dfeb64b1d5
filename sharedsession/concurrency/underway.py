"""Work that is awaited for a moment, and to its end later, always by the same task.

A second task would not do: work that began in one task and went on in another would leave timeouts, cancel scopes and
task groups where they were not entered, and lose its context variables.
"""

import asyncio
from collections.abc import Awaitable, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Underway(Generic[T]):
    """Something that is awaited, and may be left for a while when it takes long.

    Args:
        work: has not begun yet.
    """

    def __init__(self, work: Awaitable[T]) -> None:
        self._steps: Any = work.__await__()
        self._waits_for: asyncio.Future[Any] | None = None
        self._error: BaseException | None = None  # to be raised inside of the work
        self._has_ended = False
        self._result: T

    async def go_on(self, seconds: float) -> None:
        """Works to the end, or for so long. What the work raises is raised here."""
        clock = asyncio.get_running_loop().time
        end = clock() + seconds
        self._step()
        while not self._has_ended and (left := end - clock()) > 0:
            try:
                await self._wait(left)
            except asyncio.CancelledError as error:  # the task's: what the work waits for is cancelled, as ever
                if self._waits_for is None or not self._waits_for.cancel():
                    self._error = error
                await self
                return
            if self._waits_for is None or self._waits_for.done():
                self._step()

    def __await__(self) -> Generator[Any, None, T]:
        """Works to the end. Returns what the work returned."""
        while not self._has_ended:
            if self._error is None and (self._waits_for is None or not self._waits_for.done()):
                try:
                    yield self._asked()
                except BaseException as error:  # noqa: BLE001  (it is for the work)
                    self._error = error
            self._step()
        return self._result

    async def _wait(self, seconds: float) -> None:
        """Waits for what the work waits for, without a claim to its result."""
        if self._waits_for is None:
            await asyncio.sleep(0)
        else:
            self._waits_for._asyncio_future_blocking = False
            await asyncio.wait([self._waits_for], timeout=seconds)

    def _asked(self) -> asyncio.Future[Any] | None:
        """Returns what a task must see: a future that is asked for by ``await``, or nothing, as by ``sleep(0)``."""
        if self._waits_for is not None:
            self._waits_for._asyncio_future_blocking = True
        return self._waits_for

    def _step(self) -> None:
        error, self._error = self._error, None
        try:
            self._waits_for = self._steps.send(None) if error is None else self._steps.throw(error)
        except StopIteration as end:
            self._has_ended, self._result = True, end.value
        except BaseException:
            self._has_ended = True
            raise
