"""Turns: within one process, those who want the same thing get it one after the other, in the order in which they came.

For threads, and for tasks of event loops. Whoever finds it free pays for a look into a table.
"""

import asyncio
import threading
from collections import deque
from typing import Protocol

from sharedsession.concurrency.per_loop import PerLoop


class Turns(Protocol):
    """One line for each thing that somebody has, or wants."""

    def take(self, thing: str) -> bool:
        """Takes it, if it is free. Returns whether it was."""
        ...

    async def wait(self, thing: str, within: float) -> bool:
        """Waits for a turn, behind those who came before.

        Args:
            thing: what is wanted, and was not free.
            within: seconds to wait at most.

        Returns:
            Whether the turn has come.
        """
        ...

    def leave(self, thing: str) -> None:
        """Lets the next one have it."""
        ...

    def waiting(self, thing: str) -> int:
        """How many wait."""
        ...


_Line = deque[asyncio.Future[None]]


class ThreadTurns:
    """Turns of threads."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._lines: dict[str, deque[threading.Event]] = {}

    def take(self, thing: str) -> bool:
        """Same as `Turns.take`."""
        new: deque[threading.Event] = deque()
        return self._lines.setdefault(thing, new) is new

    async def wait(self, thing: str, within: float) -> bool:
        """Same as `Turns.wait`."""
        mine = threading.Event()
        with self._guard:
            if self.take(thing):
                return True
            self._lines[thing].append(mine)
        if mine.wait(within):
            return True
        with self._guard:
            if mine.is_set():
                return True
            self._lines[thing].remove(mine)
            return False

    def leave(self, thing: str) -> None:
        """Same as `Turns.leave`."""
        with self._guard:
            line = self._lines[thing]
            if line:
                line.popleft().set()
            else:
                del self._lines[thing]

    def waiting(self, thing: str) -> int:
        """Same as `Turns.waiting`."""
        return len(self._lines.get(thing, ()))


class LoopTurns:
    """Turns of the tasks of each event loop."""

    def __init__(self) -> None:
        self._loops: PerLoop[dict[str, _Line]] = PerLoop()

    def take(self, thing: str) -> bool:
        """Same as `Turns.take`."""
        new = _Line()
        return self._lines.setdefault(thing, new) is new

    async def wait(self, thing: str, within: float) -> bool:
        """Same as `Turns.wait`."""
        mine = asyncio.get_running_loop().create_future()
        self._lines[thing].append(mine)
        try:
            async with asyncio.timeout(within):
                await mine
        except TimeoutError:
            return mine.done() and not mine.cancelled()  # it may have come in the last moment
        except BaseException:
            if mine.done() and not mine.cancelled():  # it has come, and nobody is there to take it
                self.leave(thing)
            raise
        return True

    def leave(self, thing: str) -> None:
        """Same as `Turns.leave`."""
        line = self._lines[thing]
        while line:
            following = line.popleft()
            if not following.done():
                following.set_result(None)
                return
        del self._lines[thing]

    def waiting(self, thing: str) -> int:
        """Same as `Turns.waiting`."""
        return len(self._lines.get(thing, ()))

    @property
    def _lines(self) -> dict[str, "_Line"]:
        loop = asyncio.get_running_loop()
        lines = self._loops.get(loop)
        if lines is None:
            lines = {}
            self._loops.put(loop, lines)
        return lines
