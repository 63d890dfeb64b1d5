"""An event loop of asyncio on a virtual clock: when nothing is ready, time jumps to the next timer.

It has no selector and no threads, so the order of everything depends on nothing but the program.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
_TICK = 1e-9  # seconds: asyncio runs a timer that is due in less, and time must have come to it then
Connect = Callable[[Callable[[], asyncio.Protocol], str, int], Coroutine[Any, Any, tuple[Any, Any]]]


class NothingLeft(Exception):
    """Every task waits for something that no timer and no network will bring."""


class SimulatedLoop(asyncio.BaseEventLoop):
    """An event loop whose seconds pass only while everybody waits.

    Attributes:
        connect: opens simulated connections: of a `Network`.
        errors: what tasks and callbacks raised, and nobody handled.
    """

    connect: Connect

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._selector = self  # asyncio's loop asks it what is ready, and for how long to wait
        self.errors: list[str] = []
        self.set_exception_handler(lambda _loop, context: self.errors.append(_told(context)))

    def time(self) -> float:
        """Returns the virtual seconds since the beginning."""
        return self._now

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine to its end, cancels what is left, and closes the loop."""
        try:
            return self.run_until_complete(main)
        finally:
            left = asyncio.all_tasks(self)
            for task in left:
                task.cancel()
            if left:
                self.run_until_complete(asyncio.wait(left))
            self.close()

    async def create_connection(self, make: Any, host: Any = None, port: Any = None, **_options: Any) -> Any:
        """Same as asyncio's, over the simulated network."""
        return await self.connect(make, host, port)

    # -- the selector

    def select(self, timeout: float | None) -> list[Any]:
        """Lets the time pass that asyncio would wait for. No file is ever ready."""
        if timeout is None:
            raise NothingLeft
        if timeout > 0:
            self._now += timeout + _TICK
        return []

    def _process_events(self, events: list[Any]) -> None:
        """There are none."""


def _told(context: dict[str, Any]) -> str:
    return f"{context['message']}: {context.get('exception')!r}"
