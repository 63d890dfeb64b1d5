"""What is sealed: one session as the store keeps it, and what the tombstone of a superseded ID tells.

A record is one MessagePack array, so that it is opened without decoding what the application keeps: `items` holds each
value still packed.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import ormsgpack

WRITE_ID_BYTES = 4
_KEPT = 32  # write IDs; more writes seldom come between a lost answer and the read that follows it
_MOST_KEPT = 256  # while many write at once; kept until it is calm
_SHORT, _LONG = 7, 10  # fields of a record without a principal, and with one
_ITEMS = 5  # where the items stand
_NUMBERS = frozenset({int, float})
_WITHOUT_PRINCIPAL = (b"", (), 0.0)  # the last fields of a record that has none
_CLOCKED = 10**11  # versions from here on are milliseconds since the epoch
_LONG_AGO = 1_260_000  # milliseconds by which the clocks of two web nodes may differ, see `timeouts.LEEWAY`


class Record(NamedTuple):
    """One session.

    Attributes:
        version: how often it was written.
        created: when the session began, in seconds since the epoch; a new ID does not change it.
        refreshed: when it was last written, in seconds since the epoch.
        principal: whose session it is.
        persistent: whether its cookie outlives the browser; ``None`` for the farm's setting.
        items: the application's data, each value packed by `codec`.
        write_ids: the random IDs of the last writes, newest last. A writer that finds its own here knows that its write
            is part of this record, even if the answer was lost and others have written since.
        stamp: the value of the principal's security stamp under which the session stands; empty without a principal.
        handles: the public handles that the session has had under its principal, newest last.
        entered: when it was last entered in the principal's index, in seconds since the epoch.
    """

    version: int
    created: float
    refreshed: float
    principal: str | None = None
    persistent: bool | None = None
    items: Mapping[str, bytes] = MappingProxyType({})
    write_ids: bytes = b""
    stamp: bytes = b""
    handles: Sequence[str] = ()
    entered: float = 0.0

    def __repr__(self) -> str:
        return f"<Record, version {self.version}>"

    @classmethod
    def of(cls, fields: Sequence[Any]) -> "Record":
        """Returns the record of all its fields, in order. The constructor takes twice as long."""
        return tuple.__new__(cls, fields)

    def encode(self) -> bytes:
        """Returns the record as bytes."""
        fields = self[:_SHORT] if self.principal is None else self
        if type(self.items) is not dict:
            fields = (*fields[:_ITEMS], dict(self.items), *fields[_ITEMS + 1 :])
        return ormsgpack.packb(tuple(fields))

    def following(self, newest: "Record", items: Mapping[str, bytes], write_id: bytes) -> "Record":
        """Returns this record as the successor of the newest one in the store, with the items agreed on.

        It is another write, with an ID of its own: one ID never names two contents, else each would include the other.
        """
        return self._replace(
            version=newest.version + 1,
            principal=newest.principal,
            persistent=newest.persistent,
            stamp=newest.stamp,
            handles=newest.handles,
            entered=max(self.entered, newest.entered),
            items=items,
            write_ids=(newest.write_ids + write_id)[-WRITE_ID_BYTES * _MOST_KEPT :],
        )

    def includes(self, other: "Record") -> bool:
        """Returns whether the write that made the other record is part of this one."""
        if self is other:
            return True
        write_ids, own = self.write_ids, other._own_write_id
        return any(write_ids[at : at + WRITE_ID_BYTES] == own for at in range(0, len(write_ids), WRITE_ID_BYTES))

    def includes_any(self, others: Iterable["Record"]) -> bool:
        """Returns whether one of several writes is part of this record."""
        return any(self.includes(other) for other in others)

    def replaces(self, other: "Record") -> bool:
        """Returns whether this record is newer than the other one: it includes it, or can no longer tell.

        A record names its last writes only. One that is older by more than those is not a change made meanwhile, but
        a copy that a node kept for long.
        """
        counted = self.version < _CLOCKED
        long_ago = len(self.write_ids) // WRITE_ID_BYTES if counted else _LONG_AGO
        return self.includes(other) or self.version - other.version >= long_ago

    def next_number(self, now: float) -> int:
        """Returns the version of this record's successor, for one that the store may have forgotten in between.

        It is the clock in milliseconds, unless that is behind: so no number comes back, and a record that was made
        anew takes the place of an old copy that turns up later.
        """
        return max(self.version + 1, int(now * 1000))

    def is_same_write(self, other: "Record") -> bool:
        """Returns whether two records were made by the same write."""
        return self._own_write_id == other._own_write_id

    @property
    def _own_write_id(self) -> bytes:
        return self.write_ids[-WRITE_ID_BYTES:]

    @classmethod
    def decode(cls, encoded: bytes) -> "Record":
        """Returns the record in bytes that `encode` made and that were authenticated."""
        fields = ormsgpack.unpackb(encoded)
        if type(fields) is list and len(fields) == _SHORT:
            fields += _WITHOUT_PRINCIPAL
        if type(fields) is not list or len(fields) != _LONG:
            raise ValueError("no record")
        version, created, refreshed, _, _, items, write_ids, stamp, _, _ = fields
        if not (
            type(version) in _NUMBERS
            and type(created) in _NUMBERS
            and type(refreshed) in _NUMBERS
            and type(items) is dict
            and type(write_ids) is bytes
            and type(stamp) is bytes
        ):
            raise ValueError("no record")
        return tuple.__new__(cls, fields)


def with_write_id(write_ids: bytes, new: bytes, *, calm: bool) -> bytes:
    """Returns the write IDs of a record after one more write.

    Args:
        write_ids: before it.
        new: the ID of the write: 4 random bytes.
        calm: whether the last write was so long ago that no writer still waits for its answer.
    """
    kept = WRITE_ID_BYTES * _KEPT if calm else max(WRITE_ID_BYTES * _KEPT, len(write_ids))
    return (write_ids + new)[-kept:]


@dataclass(frozen=True, slots=True, kw_only=True)
class SupersededNote:
    """What the tombstone of a superseded ID tells for a few seconds.

    Attributes:
        successor: the store key under which the session lives on; empty if the note does not open.
        until: when the note is over at the latest, in seconds since the epoch: a bound against tombstones that someone
            puts back later. What counts is the life that the store measures.
        record: the session as it was, if requests in flight may look at it.
    """

    successor: str = ""
    until: float = math.inf
    record: Record | None = None

    def encode(self) -> bytes:
        """Returns the note as bytes."""
        return ormsgpack.packb((self.successor, self.until, self.record and self.record.encode()))

    @classmethod
    def decode(cls, encoded: bytes) -> "SupersededNote":
        """Returns the note in bytes that `encode` made and that were authenticated."""
        successor, until, record = ormsgpack.unpackb(encoded)
        if type(successor) is not str or type(until) not in _NUMBERS:
            raise ValueError("no note")
        return cls(successor=successor, until=until, record=None if record is None else Record.decode(record))


NO_RECORD = Record(version=0, created=0.0, refreshed=0.0)
"""Stands for what is not there, where a first version is made from it."""
