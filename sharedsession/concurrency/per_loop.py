"""What each event loop has one of.

A `WeakKeyDictionary` would not do: a connection, a task or a timer refers to its loop, so no loop would ever be freed.
Where each request has a loop of its own (``asyncio.run``, asgiref's ``async_to_sync``) that is a leak.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

from sharedsession.errors import ConfigurationError

T = TypeVar("T")


class PerLoop(Generic[T]):
    """A value for each event loop. The value of a closed loop goes when another loop gets its own."""

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values: dict[asyncio.AbstractEventLoop, T] = {}

    def get(self, loop: asyncio.AbstractEventLoop) -> T | None:
        """Returns the value of a loop, or ``None``."""
        return self._values.get(loop)

    def put(self, loop: asyncio.AbstractEventLoop, value: T) -> None:
        """Sets the value of a loop."""
        if loop not in self._values:
            for other in [other for other in list(self._values) if other.is_closed()]:
                self._values.pop(other, None)
        self._values[loop] = value

    def pop(self, loop: asyncio.AbstractEventLoop) -> T | None:
        """Removes the value of a loop and returns it, or ``None``."""
        return self._values.pop(loop, None)


def check_event_loop() -> None:
    """Checks that the calling code runs on an event loop of asyncio.

    Raises:
        ConfigurationError: it does not; the message says what to do.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError(
            "sharedsession needs an event loop of asyncio (uvloop's is one), and this server runs another, such as "
            "trio: start it with asyncio (hypercorn -k asyncio, TestClient(backend='asyncio'))"
        ) from None


def background(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
    """Starts a task that ends with its loop; asyncio does not warn when the loop is closed before the task ends."""
    task = loop.create_task(work)
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # as asyncio.gather does
    return task
