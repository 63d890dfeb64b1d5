"""How far a session is in its request, and what stands in its dictionary until it is loaded."""

from enum import Enum


class NotLoaded:
    """Stands in the dictionary of a session that is not loaded yet, so that C code never takes it for empty."""

    def __repr__(self) -> str:
        return "<the session is not loaded yet>"


NOT_LOADED = NotLoaded()


class Status(Enum):
    """How far a session is in its request."""

    UNLOADED = "the store was not asked yet"
    OPEN = "loaded, or new"
    READ_ONLY = "loaded by a superseded ID or empty in an outage: changes are dropped"
    DESTROYED = "destroyed by this request, not committed yet"


UNLOADED, OPEN, READ_ONLY, DESTROYED = Status
