"""What each event loop has one of.

A `WeakKeyDictionary` would not do: a connection, a task or a timer refers to its loop, so no loop would ever be freed.
Where each request has a loop of its own (``asyncio.run``, asgiref's ``async_to_sync``) that is a leak.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from sharedsession.errors import ConfigurationError

T = TypeVar("T")

_NO_LOOP = "no running event loop"  # what asyncio.get_running_loop() says
_WITHOUT_LOOP = {_NO_LOOP, "Event loop is closed"}


class PerLoop(Generic[T]):
    """A value for each event loop. The value of a closed loop goes when another loop gets its own.

    Attributes:
        get: returns the value of a loop, or ``None``.
    """

    __slots__ = ("_values", "get")

    def __init__(self) -> None:
        self._values: dict[asyncio.AbstractEventLoop, T] = {}
        self.get: Callable[[asyncio.AbstractEventLoop], T | None] = self._values.get

    def put(self, loop: asyncio.AbstractEventLoop, value: T) -> None:
        """Sets the value of a loop."""
        if loop not in self._values:
            for other in [other for other in list(self._values) if other.is_closed()]:
                self._values.pop(other, None)
        self._values[loop] = value

    def pop(self, loop: asyncio.AbstractEventLoop) -> T | None:
        """Removes the value of a loop and returns it, or ``None``."""
        return self._values.pop(loop, None)


def check_event_loop(error: BaseException) -> None:
    """Looks whether an error is that of code that needs an event loop of asyncio and has none.

    Args:
        error: as asyncio raised it, or something else.

    Raises:
        ConfigurationError: the code runs on another event loop; the message says what to do.
        GeneratorExit: the code is a coroutine that is closed because its loop was, by hand: there is nobody to tell.
    """
    if not isinstance(error, RuntimeError) or str(error) not in _WITHOUT_LOOP:
        return
    context = error.__context__
    while context is not None and not isinstance(context, GeneratorExit):
        context = context.__context__
    if context is not None:
        raise context
    if str(error) == _NO_LOOP:
        raise ConfigurationError(
            "sharedsession needs an event loop of asyncio (uvloop's is one), and this server runs another, such as "
            "trio: start it with asyncio (hypercorn -k asyncio, TestClient(backend='asyncio'))"
        ) from None


def background(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
    """Starts a task that ends with its loop; asyncio does not warn when the loop is closed before the task ends."""
    task = loop.create_task(work)
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # as asyncio.gather does
    return task
