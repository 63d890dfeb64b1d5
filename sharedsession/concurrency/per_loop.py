"""What belongs to event loops, one of a kind to each. Like `_drive` it knows of colour.

Weak keys would not do: a connection, a task or a timer refers to its loop, so no loop would ever go. Where each request
has a loop of its own (``asyncio.run``, asgiref's ``async_to_sync``) that is a leak.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class PerLoop(Generic[T]):
    """What event loops have one of each. That of a closed loop goes when the next loop gets its own."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[asyncio.AbstractEventLoop, T] = {}

    def get(self, loop: asyncio.AbstractEventLoop) -> T | None:
        """That of a loop, if it has one."""
        return self._known.get(loop)

    def put(self, loop: asyncio.AbstractEventLoop, value: T) -> None:
        """Gives a loop its own, in the place of an older one."""
        if loop not in self._known:
            for other in [other for other in list(self._known) if other.is_closed()]:
                self._known.pop(other, None)
        self._known[loop] = value

    def pop(self, loop: asyncio.AbstractEventLoop) -> T | None:
        """Takes it away from a loop, if it has one."""
        return self._known.pop(loop, None)


def background(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
    """A task that ends with its loop; asyncio makes no noise about it where a loop is closed with tasks left."""
    task = loop.create_task(work)
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # as asyncio.gather does
    return task
