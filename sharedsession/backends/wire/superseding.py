"""How a record is left for another one: by compare-and-swap, however often it changes meanwhile."""

import time
from collections.abc import Awaitable, Callable

from sharedsession.backends.base import Ended, Stored, Version
from sharedsession.errors import BackendUnavailable


async def supersede(
    write_tombstone_if: Callable[[Version, float], Awaitable[bool]],
    get: Callable[[float], Awaitable[Stored | Ended | None]],
    version: Version,
    timeout: float,
) -> bool:
    """Same as `Backend.supersede`.

    Args:
        write_tombstone_if: leaves the tombstone if the record is still of a version; takes the version and the seconds there are.
        get: reads the record; takes the seconds there are.
        version: as it was read.
        timeout: seconds to wait for one step; all of them take twice that at most.
    """
    deadline = time.monotonic() + 2 * timeout
    while not await write_tombstone_if(version, _left(timeout, deadline)):
        found = await get(_left(timeout, deadline))
        if not isinstance(found, Stored):
            return found is not None
        version = found.version
    return True


def _left(timeout: float, deadline: float) -> float:
    left = min(timeout, deadline - time.monotonic())
    if left <= 0:
        raise BackendUnavailable("the record is changed too often to be left in time")
    return left
