"""Sealed bytes, and what a store answers, become what was sealed. What does not open is logged, and is no error.

It is another session's record, a damaged, forged or planted one. It stays in the store, since a wrong key that was
deployed by mistake can be taken back.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar, cast

from sharedsession.backends.base import Ended, Stored, Version
from sharedsession.errors import BackendUnavailable
from sharedsession.keys import Identity
from sharedsession.observe import Observer
from sharedsession.records import compression
from sharedsession.records.record import NO_RECORD, Record, SupersededNote
from sharedsession.records.stamp import Stamp

T = TypeVar("T")

_MOST_STAMPS = 10_000  # remembered; then all are forgotten, which costs that each is opened once more


Asked: TypeAlias = Stored | Ended | Sequence[Stored | Ended | BackendUnavailable | None] | None
"""What the store answers to `SealedStore.ask`: of a session with a principal, what it has of both."""

NOT_ASKED: Any = object()
"""Stands for an answer that is not there yet."""


class StoredRecord(NamedTuple):
    """A record as the store has it.

    Attributes:
        record: opened and decoded.
        version: stands for it in a compare-and-swap.
        stamp: the security stamp of its principal, read in the same packet; ``None`` if the store has none.
    """

    record: Record
    version: Version
    stamp: Stamp | None = None


class Opener:
    """Opens records, notes and stamps.

    Args:
        observer: told of what does not open.
    """

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._stamps: dict[str, tuple[bytes, Stamp]] = {}

    def record(self, identity: Identity, sealed: bytes, *, reports: bool = True) -> Record | None:
        """Returns the record in sealed bytes; ``None`` if they do not open, which is logged unless told otherwise."""
        return self._opened(identity, sealed, Record.decode, reports=reports)

    def note(self, identity: Identity, sealed: bytes) -> SupersededNote | None:
        """Returns the note in sealed bytes; ``None`` if they do not open."""
        return self._opened(identity, sealed, SupersededNote.decode)

    def stamp(self, identity: Identity, sealed: bytes) -> Stamp | None:
        """Returns the stamp in sealed bytes. It is remembered: all sessions of a principal read it, and it is old."""
        known, stamp = self._stamps.get(identity.store_key, (b"", None))
        if stamp is not None and known == sealed:
            return stamp
        stamp = self._opened(identity, sealed, _stamp)
        if stamp is None:
            return None
        if len(self._stamps) >= _MOST_STAMPS:
            self._stamps.clear()
        self._stamps[identity.store_key] = sealed, stamp
        return stamp

    def parts(self, identity: Identity, asked: Asked) -> tuple[Stored | Ended | None, Stamp | None]:
        """Returns what an answer tells of a record, and the stamp beside it.

        Raises:
            BackendUnavailable: it does not tell.
        """
        if identity.stamp is None:
            return cast("Stored | Ended | None", asked), None
        found, beside = cast("Sequence[Any]", asked)
        if isinstance(found, BackendUnavailable):
            raise found
        if not isinstance(found, Stored):
            return found, None
        if isinstance(beside, BackendUnavailable):
            raise beside
        return found, self.stamp(identity.stamp, beside.value) if isinstance(beside, Stored) else None

    def answer(
        self, identity: Identity, found: Stored | Ended | None, *, reports: bool = True
    ) -> StoredRecord | SupersededNote | None:
        """Returns the record, or the note of a tombstone, in what a store has; ``None`` if there is none that opens."""
        if isinstance(found, Stored):
            record = self.record(identity, found.value, reports=reports)
            return StoredRecord(record, found.version) if record else None
        if isinstance(found, Ended) and found.note:  # one that does not open was left by a supersession all the same
            return self.note(identity, found.note) or SupersededNote()
        return None

    def answer_or_error(
        self, identity: Identity, found: Stored | Ended | BackendUnavailable | None
    ) -> StoredRecord | BackendUnavailable | None:
        """Returns the record in what a store has, or the error if it cannot tell."""
        if isinstance(found, BackendUnavailable):
            return found
        opened = self.answer(identity, found)
        if isinstance(found, Stored) and opened is None:  # it can be replaced, though it does not open
            return StoredRecord(NO_RECORD, found.version)
        return opened if isinstance(opened, StoredRecord) else None

    def _opened(
        self, identity: Identity, sealed: bytes, decode: Callable[[bytes], T], *, reports: bool = True
    ) -> T | None:
        plain = identity.open(sealed)
        try:
            if plain is not None:
                return decode(compression.restored(plain) if plain[:4] == compression.MAGIC else plain)
        except ImportError:
            if reports:
                self._observer.event("zstd_missing", compression.MISSING)
            return None
        except (ValueError, TypeError):  # authentic, but of the other kind, or of a newer version
            pass
        if reports:
            self._report()
        return None

    def _report(self) -> None:
        self._observer.event(
            "unsealed",
            "session record in the store does not open: it is damaged, was swapped or planted, or another secret or "
            "app_name sealed it; the visitor is treated as anonymous and the record is kept",
        )


def _stamp(encoded: bytes) -> Stamp:
    return Stamp.of(Record.decode(encoded))


class CopyJudge:
    """What a ring must know of the copies of one record.

    Args:
        opener: opens them.
        identity: whose record.
    """

    __slots__ = ("_identity", "_opener")

    def __init__(self, opener: Opener, identity: Identity) -> None:
        self._opener = opener
        self._identity = identity

    def is_genuine(self, value: bytes) -> bool:
        """Same as `Judge.is_genuine`."""
        return self._opened(value) is not None

    def includes(self, value: bytes, other: bytes) -> bool:
        """Same as `Judge.includes`."""
        return value == other or self._compare(Record.includes, value, other)

    def replaces(self, value: bytes, other: bytes) -> bool:
        """Same as `Judge.replaces`."""
        return value == other or self._compare(Record.replaces, value, other)

    def _compare(self, question: Callable[[Record, Record], bool], value: bytes, other: bytes) -> bool:
        ours, theirs = self._opened(value), self._opened(other)
        return ours is not None and theirs is not None and question(ours, theirs)

    def _opened(self, value: bytes) -> Record | None:
        return self._opener.record(self._identity, value)
