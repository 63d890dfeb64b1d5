"""The security stamp of a principal: which of its sessions are valid. Pure.

Each session of a principal stands under the stamp of its login. "Log out everywhere" is one new value: whatever stands
under an older one has ended, whether anything knows of it or not. A session can be spared: by one of its handles *and*
by the value that it stands under, so that no other one passes for it.
"""

from collections.abc import Mapping
from typing import NamedTuple

from sharedsession.records.record import Record, with_write_id
from sharedsession.records.timeouts import LEEWAY, Timeouts

STAMP_BYTES = 16
MOST_HANDLES = 4
"""The handles that a record keeps: so many new IDs may lie between a session's last look and its being spared."""
_MOST_SPARED_FROM = 8
_VALUE = "value"  # beside handles, which are longer
_LIFE_WITHOUT_END = 34_560_000.0  # seconds, 400 days


class Stamp(NamedTuple):
    """A security stamp.

    Attributes:
        value: 128 random bits.
        spared: the sessions that are spared from the last change: handle -> the values that it may stand under, one
            behind the other.
    """

    value: bytes
    spared: Mapping[str, bytes]

    @classmethod
    def of(cls, record: Record) -> "Stamp":
        """Returns the stamp in a record.

        Raises:
            ValueError: it is no stamp's.
        """
        spared = dict(record.items)
        value = spared.pop(_VALUE, b"")
        if not all(isinstance(each, bytes) for each in record.items.values()) or len(value) != STAMP_BYTES:
            raise ValueError("no stamp")
        return cls(value, spared)

    def admits(self, record: Record) -> bool:
        """Returns whether a session is valid under this stamp."""
        return record.stamp == self.value or any(self.spares(handle, record.stamp) for handle in record.handles)

    def spares(self, handle: str, value: bytes) -> bool:
        """Returns whether a session of one handle, under one value, is spared."""
        values = self.spared.get(handle, b"")
        return any(values[at : at + STAMP_BYTES] == value for at in range(0, len(values), STAMP_BYTES))


def spared_from(*values: bytes) -> bytes:
    """Returns what a session is spared from: the values of stamps, newest last, each once and not too many of them.

    A session may be spared again and again. A request of it that began long before stands under an older value.
    """
    joined = b"".join(values)
    each = [joined[at : at + STAMP_BYTES] for at in range(0, len(joined), STAMP_BYTES)]
    newest_first = list(dict.fromkeys(reversed(each)))[:_MOST_SPARED_FROM]
    return b"".join(reversed(newest_first))


def stamp_record(
    before: Record, value: bytes, now: float, write_id: bytes, spared: Mapping[str, bytes] | None = None
) -> Record:
    """Returns the record of a new stamp.

    Args:
        before: the record in whose place it comes; an empty one if there is none that opens.
        value: 16 random bytes.
        now: seconds since the epoch.
        write_id: 4 random bytes.
        spared: see `Stamp`.
    """
    return Record(
        version=before.next_number(now),
        created=now,
        refreshed=now,
        items={_VALUE: value, **(spared or {})},
        write_ids=with_write_id(before.write_ids, write_id, calm=False),
    )


def life_of_stamps(timeouts: Timeouts) -> float:
    """Returns for how many seconds a stamp is kept: it outlives each session that stands under it."""
    return _LIFE_WITHOUT_END if timeouts.absolute is None else timeouts.absolute + LEEWAY
