"""The statements. A row is a record or a tombstone, and each operation is one statement, atomic by itself.

Nothing here waits, opens a file, reads a clock or keeps a state: the caller passes a connection, inside a transaction
or not, and the time in seconds since the epoch. There is no index on the expiry, since each renewal would have to write
it: an expired row is invisible until it is swept, by its number.
"""

import sqlite3
from typing import NamedTuple

from sharedsession.backends.base import Version

SCHEMA = """
CREATE TABLE IF NOT EXISTS sessions (
    number INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    value BLOB NOT NULL,
    version INTEGER NOT NULL,
    expires REAL NOT NULL,
    ended INTEGER NOT NULL DEFAULT 0
)
"""
_FIND = "SELECT value, version, expires - ?, ended FROM sessions WHERE key = ? AND expires > ?"
_TOUCH = "UPDATE sessions SET expires = ? WHERE key = ? AND expires > ? AND NOT ended"
_ADD = """
INSERT INTO sessions (key, value, version, expires) VALUES (?, ?, 1, ?)
ON CONFLICT (key) DO UPDATE
SET value = excluded.value, version = version + 1, expires = excluded.expires, ended = 0 WHERE expires <= ?
RETURNING version
"""
_REPLACE = """
UPDATE sessions SET value = ?, version = version + 1, expires = ?
WHERE key = ? AND version = ? AND expires > ? AND NOT ended
RETURNING version
"""
_DELETE = "DELETE FROM sessions WHERE key = ?"
_SUPERSEDE = """
UPDATE sessions SET value = ?, version = version + 1, expires = ?, ended = 1 WHERE key = ? AND expires > ?
"""
_SWEEP = """
DELETE FROM sessions WHERE expires <= ? AND number IN
(SELECT number FROM sessions WHERE number > ? ORDER BY number LIMIT ?)
"""
_SWEPT_TO = "SELECT max(number) FROM (SELECT number FROM sessions WHERE number > ? ORDER BY number LIMIT ?)"


class Row(NamedTuple):
    """What a key holds.

    Attributes:
        value: the record, or the note of a tombstone.
        version: grows with each write of the row.
        left: seconds until it expires.
        ended: 1 for a tombstone, else 0.
    """

    value: bytes
    version: Version
    left: float
    ended: int


def find(connection: sqlite3.Connection, key: str, now: float) -> Row | None:
    """Returns the row of a key if it has not expired, else ``None``."""
    row = connection.execute(_FIND, (now, key, now)).fetchone()
    if row is None:
        return None
    value, *rest = row
    return Row(value if type(value) is bytes else b"", *rest)  # another type is not ours: nothing that opens


def touch(connection: sqlite3.Connection, key: str, ttl: float, now: float) -> bool:
    """Renews a record. Returns whether there was one."""
    return connection.execute(_TOUCH, (now + ttl, key, now)).rowcount > 0


def add(connection: sqlite3.Connection, key: str, value: bytes, ttl: float, now: float) -> Version | None:
    """Stores under a key that holds nothing. Returns the version, or ``None`` if the key was taken."""
    return _version(connection.execute(_ADD, (key, value, now + ttl, now)))


def replace(
    connection: sqlite3.Connection, key: str, value: bytes, ttl: float, version: Version, now: float
) -> Version | None:
    """Replaces the record of one version. Returns the new version, or ``None`` if the key holds another or nothing."""
    return _version(connection.execute(_REPLACE, (value, now + ttl, key, version, now)))


def end(connection: sqlite3.Connection, key: str) -> None:
    """Deletes the row of a key. SQLite forgets no deletion, so no tombstone is needed."""
    connection.execute(_DELETE, (key,))


def supersede(connection: sqlite3.Connection, key: str, note: bytes, note_ttl: float, now: float) -> bool:
    """Turns a row into a tombstone with a note. Returns whether there was a row."""
    return connection.execute(_SUPERSEDE, (note, now + note_ttl, key, now)).rowcount == 1


def sweep(connection: sqlite3.Connection, after: int, most: int, now: float) -> int:
    """Deletes the expired ones among some rows.

    Args:
        connection: to the file.
        after: the number of the row behind which to begin.
        most: the number of rows to look at.
        now: seconds since the epoch.

    Returns:
        The number of the last row that was looked at; 0 if there are none behind it.
    """
    last = connection.execute(_SWEPT_TO, (after, most)).fetchone()[0]
    connection.execute(_SWEEP, (now, after, most))
    return last or 0


def _version(cursor: sqlite3.Cursor) -> Version | None:
    row = cursor.fetchone()
    return None if row is None else row[0]
