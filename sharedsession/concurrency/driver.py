"""Colour: the only file that knows that some applications block and others run on an event loop.

What must wait is written once, as ``async def``. Over a blocking backend it never suspends, so ``send(None)`` runs it
to its end; over an asynchronous backend it is awaited; a blocking backend under an event loop gets one worker
thread for the whole step.
"""

import asyncio
import inspect
import math
import select
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Sequence
from typing import Any, TypeVar, cast

from sharedsession.backends.base import AsyncBackend, Backend, Ended, Stored, Version

T = TypeVar("T")


class Readable(Awaitable[None]):
    """What a blocking link awaits between sending and receiving, so that others may send, and receive first.

    Args:
        fileno: of the socket that the reply will come on.

    Attributes:
        deadline: when waiting ends, on the monotonic clock.
    """

    __slots__ = ("deadline", "fileno")

    def __init__(self, fileno: int) -> None:
        self.fileno = fileno
        self.deadline = 0.0

    def until(self, deadline: float) -> "Readable":
        """Itself, to be awaited until a moment on the monotonic clock."""
        self.deadline = deadline
        return self

    def __await__(self) -> Generator[Any, None, None]:
        yield self


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine that never suspends, but before it receives.

    Raises:
        RuntimeError: it did suspend: an asynchronous backend was used where blocking is meant.
    """
    try:
        while type(coroutine.send(None)) is Readable:
            pass
    except StopIteration as done:
        value: T = done.value
        return value
    coroutine.close()
    raise RuntimeError("an asynchronous backend cannot serve a blocking application")


async def gather_blocking(coroutines: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Runs coroutines over blocking links side by side: all send, then each receives as its reply comes.

    They must not raise; if one is interrupted all the same, the others are closed, and with them what they asked on.
    """
    results: dict[int, T] = {}
    waiting: dict[int, Readable] = {}
    try:
        for index in range(len(coroutines)):
            _advance(coroutines, index, waiting, results)
        while waiting:
            for index in _ready(waiting):
                _advance(coroutines, index, waiting, results)
    finally:
        for coroutine in coroutines:
            coroutine.close()
    return [results[index] for index in range(len(coroutines))]


def _advance(
    coroutines: Sequence[Coroutine[Any, Any, T]], index: int, waiting: dict[int, Readable], results: dict[int, T]
) -> None:
    try:
        waiting[index] = coroutines[index].send(None)
    except StopIteration as done:
        results[index] = done.value
        waiting.pop(index, None)


def _ready(waiting: dict[int, Readable]) -> list[int]:
    """Those whose reply has begun to come; when time is up for somebody, those whose time is up."""
    if len(waiting) == 1:
        return list(waiting)
    left = min(readable.deadline for readable in waiting.values()) - time.monotonic()
    filenos = _poll([readable.fileno for readable in waiting.values()], max(0.0, left))
    ready = [index for index, readable in waiting.items() if readable.fileno in filenos]
    now = time.monotonic()
    return ready or [index for index, readable in waiting.items() if readable.deadline <= now]


def _poll(filenos: Iterable[int], timeout: float) -> set[int]:
    """Those that something came on, or whose connection is gone."""
    poll = select.poll()
    for fileno in filenos:
        poll.register(fileno, select.POLLIN)
    return {fileno for fileno, _ in poll.poll(math.ceil(timeout * 1000))}


async def gather_on_loop(coroutines: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Runs coroutines side by side on the event loop: the first in this task, since others have their price."""
    if not coroutines:
        return []
    first, *others = coroutines
    tasks = [asyncio.ensure_future(other) for other in others]
    try:
        return [await first, *[await task for task in tasks]]
    except BaseException:
        for task in tasks:
            task.cancel()
        raise


class Done(Awaitable[T]):
    """What a blocking method returns where its asynchronous twin returns a coroutine: awaiting it waits for nothing."""

    __slots__ = ("_result",)

    def __init__(self, result: T) -> None:
        self._result = result

    def __await__(self) -> Generator[Any, None, T]:
        yield from ()
        return self._result


DONE = Done(None)


class Lifted:
    """A blocking backend behind asynchronous verbs that never suspend."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.renews_when_due = getattr(backend, "renews_when_due", False)

    @property
    def max_value(self) -> int:
        return self.backend.max_value

    def health(self) -> dict[str, Any]:
        return self.backend.health()

    async def get(self, key: str, touch: float | None, within: float) -> Stored | Ended | None:
        return self.backend.get(key, touch, within)

    async def add(self, key: str, value: bytes, ttl: float, within: float) -> Version | None:
        return self.backend.add(key, value, ttl, within)

    async def replace(self, key: str, value: bytes, ttl: float, version: Version, within: float) -> Version | None:
        return self.backend.replace(key, value, ttl, version, within)

    async def end(self, key: str, ttl: float, within: float, note: bytes = b"", note_ttl: float = 0.0) -> None:
        return self.backend.end(key, ttl, within, note, note_ttl)

    @property
    def leave(self) -> Callable[..., Coroutine[Any, Any, bool]]:
        leave = self.backend.leave  # an AttributeError where it has none

        async def lifted(*arguments: Any) -> bool:
            return leave(*arguments)

        return lifted

    async def touch(self, key: str, ttl: float, within: float) -> bool:
        return self.backend.touch(key, ttl, within)

    async def close(self) -> None:
        return self.backend.close()


class Lowered:
    """Asynchronous verbs that never suspend behind blocking ones; `Lifted` backwards."""

    def __init__(self, verbs: AsyncBackend) -> None:
        self.verbs = verbs

    @property
    def max_value(self) -> int:
        return self.verbs.max_value

    def health(self) -> dict[str, Any]:
        return self.verbs.health()

    def get(self, key: str, touch: float | None, within: float) -> Stored | Ended | None:
        return run(self.verbs.get(key, touch, within))

    def add(self, key: str, value: bytes, ttl: float, within: float) -> Version | None:
        return run(self.verbs.add(key, value, ttl, within))

    def replace(self, key: str, value: bytes, ttl: float, version: Version, within: float) -> Version | None:
        return run(self.verbs.replace(key, value, ttl, version, within))

    def end(self, key: str, ttl: float, within: float, note: bytes = b"", note_ttl: float = 0.0) -> None:
        run(self.verbs.end(key, ttl, within, note, note_ttl))

    def leave(
        self, key: str, ttl: float, within: float, version: Version, note: bytes = b"", note_ttl: float = 0.0
    ) -> bool:
        return run(self.verbs.leave(key, ttl, within, version, note, note_ttl))

    def touch(self, key: str, ttl: float, within: float) -> bool:
        return run(self.verbs.touch(key, ttl, within))

    def close(self) -> None:
        run(self.verbs.close())


def is_asynchronous(backend: object) -> bool:
    """Whether a backend's verbs are coroutines."""
    return inspect.iscoroutinefunction(getattr(backend, "get", None))


def for_blocking(backend: Backend | AsyncBackend) -> AsyncBackend | None:
    """A backend for an application that blocks: its verbs never suspend. ``None`` if this one cannot."""
    if is_asynchronous(backend):
        return None
    if isinstance(backend, Lowered):
        return backend.verbs
    return Lifted(cast("Backend", backend))


def for_event_loop(backend: Backend | AsyncBackend) -> tuple[AsyncBackend, bool]:
    """A backend for an application on an event loop.

    Returns:
        The asynchronous verbs, and whether a step over them must run in a worker thread.
    """
    if is_asynchronous(backend):
        return cast("AsyncBackend", backend), False
    native = getattr(backend, "asynchronous", None)
    if native is not None:
        return cast("AsyncBackend", native), False
    return Lifted(cast("Backend", backend)), not getattr(backend, "never_waits", False)


async def in_thread(step: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Runs a whole step over a blocking backend in one worker thread."""
    return await asyncio.to_thread(lambda: run(step()))
