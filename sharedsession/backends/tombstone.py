"""The bytes of a tombstone: a record has ended and, for the first seconds, a note. Pure.

A tombstone outlives every copy of its record, but its note is of use only for a while. So the bytes tell both lives,
and the note is shown while the tombstone's remaining life says so. That life is measured by the store, so no web node's
clock matters. A plain tombstone, one without a note, says that the record ended for good.

They also tell when the tombstone ends by its writer's clock: for stores that cannot leave its life alone, where nothing
better is known.
"""

import math
import struct
from enum import Enum
from typing import NamedTuple

_MARK = b"."  # a tombstone is never empty, so that damaged bytes are told from one
_LIVES = struct.Struct(">II")
_NOTE_LIFE = struct.Struct(">I")
_PLAIN = len(_MARK) + _LIVES.size
_HEAD = _PLAIN + _NOTE_LIFE.size
_LONGEST = 2**32 - 1
_CLOCKS_DIFFER = 1200.0  # seconds: one ten minutes ahead, one ten minutes behind


class Tombstone(NamedTuple):
    """What is left of a record.

    Attributes:
        ttl: seconds for which it is kept.
        note: for readers; empty if the record ended for good.
        note_ttl: seconds for which the note is shown.
    """

    ttl: float
    note: bytes = b""
    note_ttl: float = 0.0

    def encode(self, now: float = 0.0) -> bytes:
        """Returns the bytes that a store keeps.

        Args:
            now: seconds since the epoch, where the store needs it.
        """
        ttl = math.ceil(self.ttl)
        lives = _MARK + _LIVES.pack(min(_LONGEST, ttl), min(_LONGEST, int(now) + ttl))
        return lives + _NOTE_LIFE.pack(min(_LONGEST, math.ceil(self.note_ttl))) + self.note if self.note else lives


class KeyState(Enum):
    """What a key held when its record was superseded."""

    NOTHING = "no copy"
    LIVE = "a live copy"
    NOTE = "the tombstone of another supersession"
    PLAIN = "the tombstone of a logout, which stays"


def is_tombstone(kept: bytes) -> bool:
    """Returns whether bytes are a tombstone's; else they were damaged on the way."""
    return kept.startswith(_MARK) and (len(kept) == _PLAIN or len(kept) > _HEAD)


def has_note(kept: bytes) -> bool:
    """Returns whether the record was superseded by another one, and did not end for good."""
    return len(kept) > _HEAD


def plain(kept: bytes) -> bytes:
    """Returns the same tombstone without its note."""
    return kept[:_PLAIN]


def life_of(kept: bytes) -> float:
    """Returns the seconds for which a tombstone was written to be kept."""
    return float(_LIVES.unpack_from(kept, len(_MARK))[0])


def end_of(kept: bytes) -> float:
    """Returns when a tombstone ends by its writer's clock, in seconds since the epoch."""
    return float(_LIVES.unpack_from(kept, len(_MARK))[1])


def life_before(kept: bytes, left: float, touch: float, now: float) -> float:
    """Returns the life that a tombstone had before reads renewed it, in a store that cannot renew records alone.

    A reader gives that life back. Until it does, or if its answer was lost, the tombstone has the life of a session. A
    moment later that shows, and its own end tells the right life. Later it shows only by more than clocks may differ;
    then no note is shown any more.

    Args:
        kept: as the store keeps it.
        left: seconds that it has left to live, as the store tells.
        touch: the seconds with which reads renew.
        now: seconds since the epoch.
    """
    own, full = end_of(kept) - now, life_of(kept)
    if left > full or 0 <= math.ceil(touch) - left <= 1:
        return float(math.floor(min(own, full)))
    return max(left, float(math.floor(own - _CLOCKS_DIFFER)))


def note_on(kept: bytes, left: float | None) -> bytes:
    """Returns the note while it is shown; then empty bytes.

    Args:
        kept: as the store keeps it.
        left: seconds that the tombstone has left to live; ``None`` if the store does not tell.
    """
    if not has_note(kept):
        return b""
    (note_ttl,) = _NOTE_LIFE.unpack_from(kept, _PLAIN)
    return kept[_HEAD:] if left is None or left > life_of(kept) - note_ttl else b""
