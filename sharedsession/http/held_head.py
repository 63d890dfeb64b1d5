"""How long the head of an answer waits for the first chunk, which may still look at the session.

A few milliseconds at most, so that an event stream that says nothing at first has begun all the same. A chunk that
comes at once, as in an answer that is no stream, costs neither a timer nor a task.
"""

from typing import TypeAlias

from sharedsession.concurrency import Delayed, Step

HEAD_WAITS = 0.005
"""Seconds that a head waits: a look at the session takes less, and nobody notices them."""

Leaving: TypeAlias = Delayed
"""The leaving of a head that waits."""


def leave_later(leave: Step[None]) -> Leaving | None:
    """Has a head leave when it has waited; ``None`` where it cannot wait, on another event loop than asyncio's.

    Args:
        leave: sends it.
    """
    try:
        return Delayed(HEAD_WAITS, leave)
    except RuntimeError:
        return None
