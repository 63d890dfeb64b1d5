"""What goes on by itself once it has begun: futures of an event loop. A coroutine begins when it is awaited.

Of futures the task that made them awaits one after the other, and they come side by side all the same, without a task
each.
"""

from asyncio import Future
from collections.abc import Awaitable, Iterable
from typing import TypeGuard, TypeVar

T = TypeVar("T")


def is_under_way(work: Awaitable[T]) -> "TypeGuard[Future[T]]":
    """Returns whether something goes on without being awaited."""
    return isinstance(work, Future)


def are_under_way(works: "Iterable[Awaitable[T]]") -> bool:
    """Returns whether all of several do."""
    for work in works:  # noqa: SIM110  (each read of a ring does this)
        if not isinstance(work, Future):
            return False
    return True


def abandon(works: "Iterable[Awaitable[object]]") -> None:
    """Lets go of what nobody will await: it is cancelled, and asyncio does not warn of an error that nobody saw."""
    for work in works:
        if not is_under_way(work) or work.get_loop().is_closed():  # by hand: then all tasks have ended with it
            continue
        if not work.cancel() and not work.cancelled():
            work.exception()
