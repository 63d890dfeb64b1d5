"""What the index of a principal has of one session: bytes <-> an entry. Pure.

An entry that does not decode, because a later version wrote it, is passed over: the index lists, and nothing more.
"""

from collections.abc import Mapping
from typing import NamedTuple

from sharedsession.records import codec


class Entry(NamedTuple):
    """What an index has of one session.

    Attributes:
        store_key: of its record.
        created: when it began, in seconds since the epoch.
        idle: its idle timeout in seconds.
        stamp: the value of the stamp that it stands under.
        user_agent: of the browser, if it is kept.
        address: of the client, if it is kept.
    """

    store_key: str
    created: float
    idle: float
    stamp: bytes
    user_agent: str | None = None
    address: str | None = None


def entries_in(items: Mapping[str, bytes]) -> dict[str, Entry]:
    """Returns the entries of an index by their handles, without those that a later version may have written."""
    entries = {handle: _entry(packed) for handle, packed in items.items()}
    return {handle: entry for handle, entry in entries.items() if entry is not None}


def _entry(packed: bytes) -> Entry | None:
    try:
        entry = Entry(*codec.unpack(packed))
    except (TypeError, ValueError):
        return None
    is_entry = type(entry.store_key) is str and type(entry.stamp) is bytes
    return entry if is_entry and {type(entry.created), type(entry.idle)} <= {int, float} else None
