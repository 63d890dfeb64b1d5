"""Superseding a record by compare-and-swap, however often it changes meanwhile."""

from collections.abc import Awaitable, Callable

from sharedsession.backends.base import Ended, Stored, Version
from sharedsession.backends.wire.deadline import Deadline
from sharedsession.errors import BackendUnavailable


async def supersede(
    write_tombstone_if: Callable[[Version, float], Awaitable[bool]],
    get: Callable[[float], Awaitable[Stored | Ended | None]],
    version: Version,
    deadline: Deadline,
) -> bool:
    """Same as `Backend.supersede`.

    Args:
        write_tombstone_if: replaces the record by the tombstone if it is still of a version. Takes the version and the
            seconds of the step; returns whether it did.
        get: reads the record; takes the seconds of the step.
        version: of the record as it was read.
        deadline: of all steps.
    """
    try:
        while not await write_tombstone_if(version, deadline.require()):
            found = await get(deadline.require())
            if not isinstance(found, Stored):
                return found is not None
            version = found.version
    except TimeoutError:
        raise BackendUnavailable("the record changes too often to be superseded in time") from None
    return True
