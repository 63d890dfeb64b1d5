"""The statements. A row is a record or a tombstone, and each operation is one statement, atomic by itself.

Nothing here waits, opens a file, reads a clock or keeps a state: the caller passes a connection, inside a transaction
or not, the time in seconds since the epoch, and the version of what is written: a random number, so that none comes
back after a row was swept. There is no index on the expiry, since each renewal would have to write it: an expired row
is invisible until it is swept, by its number.
"""

import sqlite3
from typing import NamedTuple

from sharedsession.backends.base import Version
from sharedsession.backends.tombstone import Tombstone, has_note

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
INSERT INTO sessions (key, value, version, expires) VALUES (?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE
SET value = excluded.value, version = excluded.version, expires = excluded.expires, ended = 0 WHERE expires <= ?
"""
_REPLACE = """
UPDATE sessions SET value = ?, version = ?, expires = ? WHERE key = ? AND version = ? AND expires > ? AND NOT ended
"""
_END = """
INSERT INTO sessions (key, value, version, expires, ended) VALUES (?, ?, ?, ?, 1)
ON CONFLICT (key) DO UPDATE
SET value = excluded.value, version = excluded.version, expires = excluded.expires, ended = 1
"""
_SUPERSEDE = """
UPDATE sessions SET value = ?, version = ?, expires = ?, ended = 1 WHERE key = ? AND expires > ? AND NOT ended
"""
_SWEEP = """
DELETE FROM sessions WHERE expires <= ? AND number IN
(SELECT number FROM sessions WHERE number > ? ORDER BY number LIMIT ?)
"""
_SWEPT_TO = "SELECT max(number) FROM (SELECT number FROM sessions WHERE number > ? ORDER BY number LIMIT ?)"


class Row(NamedTuple):
    """What a key holds.

    Attributes:
        value: the record, or the bytes of a tombstone.
        version: of what is there; no other write has the same.
        left: seconds until it expires.
        ended: 1 for a tombstone, else 0.
    """

    value: bytes
    version: Version
    left: float
    ended: int


class Write(NamedTuple):
    """What a statement needs to know of a write.

    Attributes:
        version: a random number from 0 to 2**63 - 1.
        at: when it is made, in seconds since the epoch.
    """

    version: int
    at: float


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


def add(connection: sqlite3.Connection, key: str, value: bytes, ttl: float, write: Write) -> Version | None:
    """Stores under a key that holds nothing. Returns the version, or ``None`` if the key was taken."""
    version, now = write
    return _version(connection.execute(_ADD, (key, value, version, now + ttl, now)), version)


def replace(
    connection: sqlite3.Connection, key: str, value: bytes, ttl: float, expected: Version, write: Write
) -> Version | None:
    """Replaces the record of one version. Returns the new version, or ``None`` if the key holds another or nothing."""
    version, now = write
    return _version(connection.execute(_REPLACE, (value, version, now + ttl, key, expected, now)), version)


def end(connection: sqlite3.Connection, key: str, ttl: float, write: Write) -> Row | None:
    """Leaves a plain tombstone, whatever the key holds. Returns what it held."""
    version, now = write
    before = find(connection, key, now)
    connection.execute(_END, (key, Tombstone(ttl).encode(), version, now + ttl))
    return before


def supersede(connection: sqlite3.Connection, key: str, tombstone: Tombstone, write: Write) -> bool:
    """Turns a record into a tombstone with a note, unless it is one. Returns whether the record was superseded."""
    version, now = write
    changed = connection.execute(_SUPERSEDE, (tombstone.encode(), version, now + tombstone.ttl, key, now))
    if changed.rowcount == 1:
        return True
    before = find(connection, key, now)
    if before is None:
        end(connection, key, tombstone.ttl, write)
    return before is not None and has_note(before.value)


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


def _version(cursor: sqlite3.Cursor, version: int) -> Version | None:
    return version if cursor.rowcount == 1 else None
