"""Records and notes become sealed bytes: encoded, compressed where that is asked for, small enough, and sealed."""

from sharedsession.environment import Environment
from sharedsession.keys import NONCE_BYTES, Identity
from sharedsession.records import compression
from sharedsession.records.codec import check_size
from sharedsession.records.record import Record, SupersededNote

_OVERHEAD = 128  # bytes that sealing and a backend's own fields add to a record, at most


class Sealer:
    """Seals records and notes.

    Args:
        encrypt: whether they are encrypted, or only authenticated.
        max_size: the most bytes of one encoded session.
        compress_above: bytes above which one is compressed; ``None``: never.
        environment: where random bytes come from.
    """

    def __init__(self, *, encrypt: bool, max_size: int, compress_above: int | None, environment: Environment) -> None:
        self._encrypt = encrypt
        self._max_size = max_size
        self._compress_above = compress_above
        self._random_bytes = environment.random_bytes

    def record(self, identity: Identity, record: Record, max_value: int) -> bytes:
        """Returns a sealed record.

        Args:
            identity: whose record.
            record: its content.
            max_value: the most bytes that the store takes.

        Raises:
            SessionTooLarge: it is larger than the settings or the store allow.
        """
        packed = record.encode()
        if len(packed) > self._max_size and identity.is_session:
            check_size(record.items, len(packed), self._max_size)
        if self._compress_above is not None:
            packed = compression.shrunk(packed, self._compress_above)
        if len(packed) > max_value - _OVERHEAD:
            check_size(record.items, len(packed), max_value - _OVERHEAD)
        return identity.seal(packed, self._random_bytes(NONCE_BYTES), encrypt=self._encrypt)

    def note(self, identity: Identity, note: SupersededNote) -> bytes:
        """Returns the sealed note of an ID that was superseded."""
        packed = compression.shrunk(note.encode(), self._compress_above)
        return identity.seal(packed, self._random_bytes(NONCE_BYTES), encrypt=self._encrypt)
