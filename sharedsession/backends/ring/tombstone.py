"""The bytes of a tombstone on a node of a ring: the record has ended and, for the first seconds, a note.

A node keeps the tombstone for as long as any copy of the record may live, but the note is of use only for a while. The
tombstone holds the remaining life below which its note is no longer returned. That life is measured by the node, so no
web node's clock matters. Pure.
"""

import math
import struct

_MARK = b"."  # a tombstone is never empty, so that damaged bytes are told from one
_NO_NOTE_BELOW = struct.Struct(">I")  # seconds of remaining life
_HEAD = len(_MARK) + _NO_NOTE_BELOW.size


def inscribed(note: bytes, ttl: float, note_ttl: float) -> bytes:
    """Returns the bytes that a node keeps.

    Args:
        note: for readers; empty if the record was ended for good.
        ttl: seconds for which the tombstone is kept.
        note_ttl: seconds for which the note is of use.
    """
    return _MARK + _NO_NOTE_BELOW.pack(max(0, math.ceil(ttl) - math.ceil(note_ttl))) + note if note else _MARK


def is_tombstone(value: bytes) -> bool:
    """Returns whether bytes that a node returns for a tombstone are one; else the reply was damaged on the way."""
    return value == _MARK or (value.startswith(_MARK) and len(value) > _HEAD)


def has_note(tombstone: bytes) -> bool:
    """Returns whether the record was superseded by another one, and not ended for good."""
    return len(tombstone) > _HEAD


def note_on(tombstone: bytes, left: float | None) -> bytes:
    """Returns the note while it is of use; then empty bytes.

    Args:
        tombstone: as the node keeps it.
        left: seconds that the tombstone has left to live; ``None`` if the node does not report it.
    """
    if not has_note(tombstone) or left is None:
        return b""
    (no_note_below,) = _NO_NOTE_BELOW.unpack_from(tombstone, len(_MARK))
    return tombstone[_HEAD:] if left > no_note_below else b""
