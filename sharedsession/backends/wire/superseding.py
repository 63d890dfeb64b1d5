"""How a record is left for another one: by compare-and-swap, however often it changes meanwhile."""

import time
from collections.abc import Awaitable, Callable

from sharedsession.backends.base import Ended, Stored, Version
from sharedsession.errors import BackendUnavailable


async def leave(
    bury_if: Callable[[Version, float], Awaitable[bool]],
    get: Callable[[float], Awaitable[Stored | Ended | None]],
    version: Version,
    within: float,
) -> bool:
    """Same as `Backend.leave`.

    Args:
        bury_if: leaves the tombstone if the record is still of a version; takes the version and the seconds there are.
        get: reads the record; takes the seconds there are.
        version: as it was read.
        within: seconds to wait for one step; all of them take twice that at most.
    """
    deadline = time.monotonic() + 2 * within
    while not await bury_if(version, _left(within, deadline)):
        found = await get(_left(within, deadline))
        if not isinstance(found, Stored):
            return found is not None
        version = found.version
    return True


def _left(within: float, deadline: float) -> float:
    left = min(within, deadline - time.monotonic())
    if left <= 0:
        raise BackendUnavailable("the record is changed too often to be left in time")
    return left
