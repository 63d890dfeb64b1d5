"""The statements: a row is a session, or the tombstone of one, and each verb is one statement, atomic by itself.

Nothing here waits, opens a file or keeps a state: the connection is lent, inside a transaction or not. There is no
index on the expiry, which would cost every renewal; what is expired is invisible until it is swept, by row number.
"""

import sqlite3
import time
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
_WRITE_TOMBSTONE = """
INSERT INTO sessions (key, value, version, expires, ended) VALUES (?, ?, 1, ?, 1)
ON CONFLICT (key) DO UPDATE SET value = excluded.value, version = version + 1, expires = excluded.expires, ended = 1
"""
_SUPERSEDE = """
UPDATE sessions SET value = ?, version = version + 1, expires = ?, ended = 1 WHERE key = ? AND expires > ?
"""
_SWEEP = """
DELETE FROM sessions WHERE expires <= ? AND number IN
(SELECT number FROM sessions WHERE number > ? ORDER BY number LIMIT ?)
"""
_SWEPT_TO = "SELECT max(number) FROM (SELECT number FROM sessions WHERE number > ? ORDER BY number LIMIT ?)"


class Row(NamedTuple):
    """What is kept under a key.

    Attributes:
        value: the record, or the note of a tombstone.
        version: grows with each write.
        left: seconds until it expires.
        ended: 1 for a tombstone, else 0.
    """

    value: bytes
    version: Version
    left: float
    ended: int


def find(connection: sqlite3.Connection, key: str) -> Row | None:
    """The row of a key, if it has not expired."""
    now = time.time()
    row = connection.execute(_FIND, (now, key, now)).fetchone()
    if row is None:
        return None
    value, *rest = row
    return Row(value if type(value) is bytes else b"", *rest)  # another type was planted: nothing that opens


def touch(connection: sqlite3.Connection, key: str, ttl: float) -> bool:
    """Renews; returns whether there was something to renew."""
    now = time.time()
    return connection.execute(_TOUCH, (now + ttl, key, now)).rowcount > 0


def add(connection: sqlite3.Connection, key: str, value: bytes, ttl: float) -> Version | None:
    """Stores what is not there yet; returns its version, or ``None`` if it is there."""
    now = time.time()
    return _version(connection.execute(_ADD, (key, value, now + ttl, now)))


def replace(connection: sqlite3.Connection, key: str, value: bytes, ttl: float, version: Version) -> Version | None:
    """Writes over one version; returns the new one, or ``None`` if another is there, or nothing."""
    now = time.time()
    return _version(connection.execute(_REPLACE, (value, now + ttl, key, version, now)))


def end(connection: sqlite3.Connection, key: str, note: bytes, note_ttl: float) -> None:
    """Deletes, or leaves the note for as long as it is of use: this store forgets nothing by itself."""
    if note:
        connection.execute(_WRITE_TOMBSTONE, (key, note, time.time() + note_ttl))
    else:
        connection.execute(_DELETE, (key,))


def supersede(connection: sqlite3.Connection, key: str, note: bytes, note_ttl: float) -> bool:
    """Turns a row into a tombstone, in one step; returns whether there was one."""
    now = time.time()
    return connection.execute(_SUPERSEDE, (note, now + note_ttl, key, now)).rowcount == 1


def sweep(connection: sqlite3.Connection, after: int, most: int) -> int:
    """Deletes what has expired among some rows.

    Args:
        connection: to the file.
        after: the number of the row behind which to begin.
        most: rows to look at.

    Returns:
        The number of the last row that was looked at; 0 behind the last one of all.
    """
    last = connection.execute(_SWEPT_TO, (after, most)).fetchone()[0]
    connection.execute(_SWEEP, (time.time(), after, most))
    return last or 0


def _version(cursor: sqlite3.Cursor) -> Version | None:
    row = cursor.fetchone()
    return None if row is None else row[0]
