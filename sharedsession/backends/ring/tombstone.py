"""What a tombstone on a node of a ring says: that a record has ended and, for its first seconds, a note.

The node remembers the end for as long as any copy may live, but the note is of use only for a while. How long that is
is told by the node's own count of the life that the tombstone has left: no web node's clock is asked. Pure.
"""

import math
import struct

_MARK = b"."  # a tombstone is never empty: a node would take an empty note for leave to delete
_SILENT_BELOW = struct.Struct(">I")
_HEAD = len(_MARK) + _SILENT_BELOW.size


def inscribed(note: bytes, ttl: float, note_ttl: float) -> bytes:
    """What a node shall keep.

    Args:
        note: for readers; empty: nothing.
        ttl: seconds for which the end is remembered.
        note_ttl: seconds for which the note is of use.
    """
    return _MARK + _SILENT_BELOW.pack(max(0, math.ceil(ttl) - math.ceil(note_ttl))) + note if note else _MARK


def is_tombstone(said: bytes) -> bool:
    """Whether bytes that a node gives for a tombstone are one; else the reply was garbled on the way."""
    return said == _MARK or (said.startswith(_MARK) and len(said) > _HEAD)


def has_note(tombstone: bytes) -> bool:
    """Whether the record was left for another one, and not ended for good."""
    return len(tombstone) > _HEAD


def note_on(tombstone: bytes, left: float | None) -> bytes:
    """What a reader shall be told.

    Args:
        tombstone: as the node keeps it.
        left: seconds that the tombstone has left to live; ``None`` if the node does not tell.
    """
    if not has_note(tombstone) or left is None:
        return b""
    (silent_below,) = _SILENT_BELOW.unpack_from(tombstone, len(_MARK))
    return tombstone[_HEAD:] if left > silent_below else b""
