"""What is sealed: one session as the store keeps it, and its two forms.

A record is one MessagePack array, so that it is opened without decoding what the application keeps: `items` holds
each value still packed. A farewell is what a tombstone says after `regenerate`.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import ormsgpack

_MARK = 4  # bytes
_MARKS = 32  # more writes than that seldom come between a lost answer and the look that follows it
_MOST_MARKS = 256  # in a crowd of writers; kept until it is calm


class Record(NamedTuple):
    """One session.

    Attributes:
        version: how often it was written.
        created: when the session began, in seconds since the epoch; regenerating the ID keeps it.
        refreshed: when it was last written.
        principal: whose session it is.
        persistent: whether its cookie outlives the browser; ``None`` for the farm's setting.
        items: the application's data, each value packed by `codec`.
        marks: the random marks of the last writes, newest last: who finds its own here knows that its write is part
            of this record, even if the answer got lost and others have written since.
    """

    version: int
    created: float
    refreshed: float
    principal: str | None = None
    persistent: bool | None = None
    items: Mapping[str, bytes] = MappingProxyType({})
    marks: bytes = b""

    def __repr__(self) -> str:
        return f"<Record, version {self.version}>"

    def encode(self) -> bytes:
        """Turns the record into bytes."""
        clocks = (self.version, self.created, self.refreshed)
        return ormsgpack.packb((*clocks, self.principal, self.persistent, dict(self.items), self.marks))

    def following(self, newest: "Record", items: Mapping[str, bytes]) -> "Record":
        """This record, brought to stand after the newest one in the store, with the items agreed on."""
        return self._replace(
            version=newest.version + 1,
            principal=newest.principal,
            persistent=newest.persistent,
            items=items,
            marks=(newest.marks + self._own_mark)[-_MARK * _MOST_MARKS :],
        )

    def includes(self, other: "Record") -> bool:
        """Whether the write that made the other record is part of this one."""
        if self is other:
            return True
        marks, own = self.marks, other._own_mark
        return any(marks[at : at + _MARK] == own for at in range(0, len(marks), _MARK))

    @property
    def _own_mark(self) -> bytes:
        return self.marks[-_MARK:]

    @classmethod
    def decode(cls, encoded: bytes) -> "Record":
        """Turns bytes that `encode` made, and that were authenticated, into a record."""
        return cls._make(ormsgpack.unpackb(encoded))


def new_mark() -> bytes:
    """A mark for one write."""
    return secrets.token_bytes(_MARK)


def marked(marks: bytes, mark: bytes, *, calm: bool) -> bytes:
    """The marks of a record after one more write.

    Args:
        marks: before it.
        mark: of the write.
        calm: whether the last write was long enough ago that nobody waits for its answer any more.
    """
    kept = _MARK * _MARKS if calm else max(_MARK * _MARKS, len(marks))
    return (marks + mark)[-kept:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Farewell:
    """What the old ID of a regenerated session still says for a few seconds.

    Attributes:
        record: the session as it was, if requests in flight may look at it.
    """

    record: Record | None = None

    def encode(self) -> bytes:
        """Turns the farewell into bytes."""
        return ormsgpack.packb((self.record and self.record.encode(),))

    @classmethod
    def decode(cls, encoded: bytes) -> "Farewell":
        """Turns bytes that `encode` made, and that were authenticated, into a farewell."""
        (record,) = ormsgpack.unpackb(encoded)
        return cls(record=record and Record.decode(record))
