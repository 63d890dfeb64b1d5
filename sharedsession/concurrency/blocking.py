"""How coroutines run without an event loop.

Over blocking clients a coroutine never suspends, so one ``send(None)`` runs it to its end. There is one exception:
inside of `gather`, so that one thread can have several requests under way, it suspends between sending and receiving
with a `Readable`. A `gather` inside of another one suspends with those of all its coroutines.
"""

import math
import select
import threading
from collections.abc import Awaitable, Callable, Collection, Coroutine, Generator, Iterable, Sequence
from typing import Any, TypeVar

from sharedsession.errors import BackendUnavailable

T = TypeVar("T")


class Readable(Awaitable[None]):
    """What a blocking client awaits between sending and receiving.

    Args:
        fileno: of the socket that the reply comes on.

    Attributes:
        deadline: when waiting ends, on the monotonic clock.
    """

    __slots__ = ("deadline", "fileno")

    def __init__(self, fileno: int) -> None:
        self.fileno = fileno
        self.deadline = 0.0

    def until(self, deadline: float) -> "Readable":
        """Returns itself, to be awaited until a moment on the monotonic clock."""
        self.deadline = deadline
        return self

    def __await__(self) -> Generator[Any, None, None]:
        return iter((self,))  # type: ignore[return-value]  # awaiting asks for no more than that


class _Several(Awaitable[None]):
    """What a `gather` inside of another one awaits: any of several."""

    __slots__ = ("each",)

    def __init__(self, each: list[Readable]) -> None:
        self.each = each

    def __await__(self) -> Generator[Any, None, None]:
        yield self


class _SideBySide(threading.local):
    """Whether this thread runs coroutines side by side.

    Attributes:
        depth: how many `gather` are under way, one inside of the other.
    """

    depth = 0


side_by_side = _SideBySide()


class Done(Awaitable[T]):
    """What a blocking method returns where its asynchronous twin returns a coroutine. Awaiting it waits for nothing.

    Attributes:
        result: what awaiting it returns.
    """

    __slots__ = ("result",)

    def __init__(self, result: T) -> None:
        self.result = result

    def __await__(self) -> Generator[Any, None, T]:
        yield from ()
        return self.result


class _DoneAlready(Done[None]):
    """What has no result, and takes the shortest way to say so."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, None]:
        return iter(())  # type: ignore[return-value]  # awaiting asks for no more than that


DONE: Done[None] = _DoneAlready(None)


def run(work: Awaitable[T]) -> T:
    """Runs a coroutine, or anything else that is awaited, that does not suspend.

    Raises:
        RuntimeError: the coroutine waited for an event loop: an asynchronous backend serves a blocking application.
    """
    if side_by_side.depth:
        return _run_alone(work)
    steps = work.__await__()
    try:
        next(steps)
    except StopIteration as done:
        value: T = done.value
        return value
    steps.close()
    raise RuntimeError("an asynchronous backend cannot serve a blocking application")


def _run_alone(work: Awaitable[T]) -> T:
    """Runs it for a plain function that is called inside of `gather`: it waits by itself."""
    depth, side_by_side.depth = side_by_side.depth, 0
    try:
        return run(work)
    finally:
        side_by_side.depth = depth


async def gather(coroutines: Sequence[Coroutine[Any, Any, T]], monotonic: Callable[[], float]) -> list[T]:
    """Runs coroutines side by side in one thread: all send, then each receives when its reply comes.

    None is waited for alone, however likely it is that the others have been answered: one of them may have more to
    send, as over a connection that it has to open first, and must not lose its time to a server that stands still.

    They may raise `BackendUnavailable`, which is the result then, and nothing else. If one is interrupted all the same,
    the others are closed, and their connections with them.

    Args:
        coroutines: over blocking clients.
        monotonic: the clock of their deadlines.
    """
    results: list[Any] = [None] * len(coroutines)
    waiting: dict[int, Sequence[Readable]] = {}
    outside = side_by_side.depth
    side_by_side.depth = outside + 1
    try:
        ready: Iterable[int] = range(len(coroutines))
        while True:
            for index in ready:
                try:
                    awaited = coroutines[index].send(None)
                    waiting[index] = awaited.each if type(awaited) is _Several else (awaited,)
                except StopIteration as done:
                    results[index] = done.value
                    waiting.pop(index, None)
                except BackendUnavailable as error:
                    results[index] = error
                    waiting.pop(index, None)
            if not waiting:
                return results
            if outside:
                await _Several([one for each in waiting.values() for one in each])
            ready = _ready(waiting, monotonic, waits=not outside)
    finally:
        side_by_side.depth = outside
        for coroutine in coroutines:
            coroutine.close()


def _ready(waiting: dict[int, Sequence[Readable]], monotonic: Callable[[], float], *, waits: bool) -> list[int]:
    """Returns those whose reply has begun to come; if there are none when a deadline passes, those it passed for."""
    if len(waiting) == 1:
        return list(waiting)
    filenos: dict[int, int] = {}
    soonest = math.inf
    for index, each in waiting.items():  # plain loops: each read of a ring does this
        for one in each:
            filenos[one.fileno] = index
            if one.deadline < soonest:  # noqa: PLR1730  (a call less)
                soonest = one.deadline
    found = readable(filenos, max(0.0, soonest - monotonic()) if waits else 0.0)
    if len(found) == len(filenos):
        return list(waiting)
    if found:
        return [index for index, each in waiting.items() if any(one.fileno in found for one in each)]
    now = monotonic()
    return [index for index, each in waiting.items() if min(one.deadline for one in each) <= now]


def readable(filenos: Collection[int], timeout: float) -> set[int]:
    """Returns the file numbers that have something to read, or whose connection is closed.

    Args:
        filenos: of sockets.
        timeout: seconds to wait at most for the first of them.
    """
    poll = vars(select).get("poll")  # Windows has none, and eventlet takes it out of the module
    if poll is None:
        return set(select.select(filenos, [], [], timeout)[0])
    waiting = poll()
    for fileno in filenos:
        waiting.register(fileno, select.POLLIN)
    found = waiting.poll(math.ceil(timeout * 1000))
    return set(filenos) if len(found) == len(filenos) else {fileno for fileno, _ in found}
