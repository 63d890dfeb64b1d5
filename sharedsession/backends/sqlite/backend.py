"""Records in an SQLite file: one host, any number of processes, nothing to install, survives restarts.

A logout is flushed to the disk (``synchronous=FULL``, sqlite.org/pragma.html) before it is confirmed. Other writes of
the last moments may be lost at a power cut.
"""

import os
import sqlite3
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

from sharedsession.backends.base import AsyncBackend, Ended, Read, Stored, Version
from sharedsession.backends.sqlite import rows
from sharedsession.backends.sqlite.session_file import (
    MAX_VALUE,
    SessionFile,
    flushed_to_disk,
    is_alive,
    shown_note,
)
from sharedsession.backends.tombstone import Tombstone
from sharedsession.environment import REAL, Environment
from sharedsession.errors import ConfigurationError

T = TypeVar("T")


class SqliteBackend:
    """One SQLite file, in both colours; the methods are the blocking colour.

    Args:
        path: of the file. It is made when first used, readable by this user only.
        environment: where clocks and sleep come from.
    """

    max_value = MAX_VALUE
    renews_when_due = True

    def __init__(self, path: Path, environment: Environment = REAL) -> None:
        self.path = path
        self._file = SessionFile(path, environment)

    @cached_property
    def asynchronous(self) -> AsyncBackend:
        """The same file for event loops."""
        from sharedsession.backends.sqlite.worker import SqliteWorker  # noqa: PLC0415

        return SqliteWorker(self._file)

    def get(self, key: str, touch: float | None, timeout: float) -> Stored | Ended | None:
        """Same as `Backend.get`."""
        with self._file.connection(timeout) as connection:
            return self._file.read(connection, key, touch, self._file.monotonic() + timeout)

    def get_many(self, reads: Sequence[Read], timeout: float) -> list[Stored | Ended | None]:
        """Same as `BatchingBackend.get_many`."""
        file, deadline = self._file, self._file.monotonic() + timeout
        with file.connection(timeout) as connection:
            return [file.read_or_add(connection, read, deadline) for read in reads]

    def add(self, key: str, value: bytes, ttl: float, timeout: float) -> Version | None:
        """Same as `Backend.add`."""
        return self._write(timeout, lambda connection, write: rows.add(connection, key, value, ttl, write))

    def replace(self, key: str, value: bytes, ttl: float, version: Version, timeout: float) -> Version | None:
        """Same as `Backend.replace`."""
        return self._write(timeout, lambda connection, write: rows.replace(connection, key, value, ttl, version, write))

    def end(self, key: str, ttl: float, timeout: float) -> bytes:
        """Same as `Backend.end`."""
        (before,) = self._end([key], ttl, timeout)
        return shown_note(before)

    def end_many(self, keys: Sequence[str], ttl: float, timeout: float) -> list[bool]:
        """Same as `BatchingBackend.end_many`."""
        return [is_alive(before) for before in self._end(keys, ttl, timeout)]

    def _end(self, keys: Sequence[str], ttl: float, timeout: float) -> list[rows.Row | None]:
        file = self._file
        with file.connection(timeout) as connection, flushed_to_disk(connection):
            return file.in_transaction(
                connection, timeout, lambda: [rows.end(connection, key, ttl, file.new_write()) for key in keys]
            )

    def supersede(
        self, key: str, ttl: float, timeout: float, version: Version, note: bytes = b"", note_ttl: float = 0.0
    ) -> bool:
        """Same as `Backend.supersede`."""
        file, tombstone = self._file, Tombstone(ttl, note, note_ttl)
        with file.connection(timeout) as connection, flushed_to_disk(connection):
            return file.in_transaction(
                connection, timeout, lambda: rows.supersede(connection, key, tombstone, file.new_write())
            )

    def touch(self, key: str, ttl: float, timeout: float) -> bool:
        """Same as `Backend.touch`."""
        return self._write(timeout, lambda connection, write: rows.touch(connection, key, ttl, write.at))

    def close(self) -> None:
        """Same as `Backend.close`."""
        self._file.close()

    def health(self) -> dict[str, Any]:
        """Same as `Facts.health`."""
        return self._file.health()

    def _write(self, timeout: float, statement: Callable[[sqlite3.Connection, rows.Write], T]) -> T:
        file = self._file
        with file.connection(timeout) as connection:
            result = file.patiently(timeout, lambda: statement(connection, file.new_write()))
            file.sweep(connection)
            return result


def from_url(url: str, breaker_window: float = 2.0, environment: Environment = REAL) -> SqliteBackend:
    """Makes the backend of ``sqlite:///relative.db``, ``sqlite:////absolute.db`` or ``sqlite:///``.

    Args:
        url: with the path of the file.
        breaker_window: not used.
        environment: where clocks and sleep come from.

    Raises:
        ConfigurationError: the URL is wrong.
    """
    path = unquote(url.partition("://")[2])
    if not path.startswith("/") or "?" in url:
        raise ConfigurationError(
            "backend sqlite:// takes a path: 'sqlite:///relative.db', 'sqlite:////absolute.db', "
            "or 'sqlite:///' for a file in your data directory"
        )
    if path != "/" and (path.rpartition("/")[2].strip() in {"", ".", ".."} or "\0" in path):
        raise ConfigurationError(
            "backend sqlite:// names no file: write the path of one, as in 'sqlite:///sessions.db'"
        )
    if path.startswith("/~"):
        raise ConfigurationError("backend sqlite:// begins with ~, and ~ is not your home there: write the whole path")
    if path == "/:memory:":
        raise ConfigurationError("backend sqlite:///:memory: is seen by one connection only: use 'memory://'")
    return SqliteBackend(Path(path[1:]) if path != "/" else _data_directory() / "sessions.db", environment)


def _data_directory() -> Path:
    """Returns the directory of a user's data (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_DATA_HOME") or os.environ.get("LOCALAPPDATA") or Path.home() / ".local" / "share"
    return Path(base) / "sharedsession"
