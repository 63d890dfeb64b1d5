"""Sessions in an SQLite file: one host, any number of processes, nothing to install, survives restarts.

WAL, so readers never wait. A writer that finds the file locked tries again every half millisecond until its time is
up: SQLite's own waiting sleeps up to 100 ms at a time. A logout is flushed to the disk (``synchronous=FULL``) before it
is confirmed; other writes may lose the last moments at a power cut. Expired rows are swept a few at a time.
"""

import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

from sharedsession.backends.base import AsyncBackend, Ended, Stored, Version
from sharedsession.backends.sqlite import rows
from sharedsession.errors import BackendUnavailable, ConfigurationError
from sharedsession.observe import Observer

T = TypeVar("T")

_RETRY_EVERY = 0.0005
_RENEW_BELOW = 0.9  # of the time to live: a renewal that gains less than a tenth is left out
_SWEEP_ROWS = 200
_SWEEP_EVERY = 1.0
_SWEEP_PAUSE = 60.0


class SqliteBackend:
    """The blocking verbs over one SQLite file.

    Args:
        path: of the file; made when first used, readable by this user only.
    """

    max_value = 100_000_000
    renews_when_due = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self._idle: deque[sqlite3.Connection] = deque()
        self._abandoned: list[sqlite3.Connection] = []
        self._process = os.getpid()
        self._opening = threading.Lock()
        self._observer = Observer()
        self._looked_at_mounts = False
        self._sweep_next = 0.0
        self._swept_to = 0

    @cached_property
    def asynchronous(self) -> AsyncBackend:
        """The same file for event loops: one thread that joins what is asked at a time into one transaction."""
        from sharedsession.backends.sqlite.worker import SqliteThread  # noqa: PLC0415

        return SqliteThread(self)

    def get(self, key: str, touch: float | None, timeout: float) -> Stored | Ended | None:
        """Same as `Backend.get`."""
        with self.connection(timeout) as connection:
            return self.read(connection, key, touch, time.monotonic() + timeout)

    def add(self, key: str, value: bytes, ttl: float, timeout: float) -> Version | None:
        """Same as `Backend.add`."""
        return self._write(timeout, lambda connection: rows.add(connection, key, value, ttl))

    def replace(self, key: str, value: bytes, ttl: float, version: Version, timeout: float) -> Version | None:
        """Same as `Backend.replace`."""
        return self._write(timeout, lambda connection: rows.replace(connection, key, value, ttl, version))

    def end(self, key: str, ttl: float, timeout: float, note: bytes = b"", note_ttl: float = 0.0) -> None:
        """Same as `Backend.end`."""
        with self.connection(timeout) as connection, flushed_to_disk(connection):
            self.patiently(timeout, lambda: rows.end(connection, key, note, note_ttl))

    def supersede(
        self, key: str, ttl: float, timeout: float, version: Version, note: bytes = b"", note_ttl: float = 0.0
    ) -> bool:
        """Same as `Backend.supersede`."""
        with self.connection(timeout) as connection, flushed_to_disk(connection):
            return self.patiently(timeout, lambda: rows.supersede(connection, key, note, note_ttl))

    def touch(self, key: str, ttl: float, timeout: float) -> bool:
        """Same as `Backend.touch`."""
        return self._write(timeout, lambda connection: rows.touch(connection, key, ttl))

    def close(self) -> None:
        """Same as `Backend.close`."""
        while self._idle:
            self._idle.pop().close()

    def health(self) -> dict[str, Any]:
        """Same as `Backend.health`."""
        return {"kind": "sqlite", "path": str(self.path), "counters": dict(self._observer.counters)}

    # -- on a connection, inside a transaction or not

    def read(
        self, connection: sqlite3.Connection, key: str, touch: float | None, deadline: float
    ) -> Stored | Ended | None:
        """Reads; renews only if that gains a tenth, and gives the renewal up where a writer is in the way."""
        row = rows.find(connection, key)
        if row is None:
            return None
        if row.ended:
            return Ended(row.value)
        if touch is not None and row.left < touch * _RENEW_BELOW:
            self._renew(connection, key, touch, deadline)
        return Stored(row.value, row.version)

    def _renew(self, connection: sqlite3.Connection, key: str, touch: float, deadline: float) -> None:
        try:
            self.patiently(deadline - time.monotonic(), lambda: rows.touch(connection, key, touch))
        except BackendUnavailable:
            self._observer.count("not_renewed")

    def sweep(self, connection: sqlite3.Connection) -> None:
        """Deletes a few expired rows, where the last sweep stopped, if it is time to; skipped if in the way."""
        if time.monotonic() < self._sweep_next:
            return
        self._sweep_next = time.monotonic() + _SWEEP_EVERY
        with suppress(sqlite3.OperationalError):
            self._swept_to = rows.sweep(connection, self._swept_to, _SWEEP_ROWS)
            if not self._swept_to:
                self._sweep_next += _SWEEP_PAUSE

    # -- connections and waiting

    @contextmanager
    def connection(self, timeout: float) -> Iterator[sqlite3.Connection]:
        """Lends a connection of this process to one thread."""
        if self._process != os.getpid():
            self._forget_parent()
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self.patiently(timeout, self._open)
        try:
            yield connection
        except BaseException as error:
            connection.close()
            if isinstance(error, sqlite3.Error):
                raise self._unavailable(error) from None
            raise
        self._idle.append(connection)

    def patiently(self, timeout: float, attempt: Callable[[], T]) -> T:
        """Tries until the file is not locked, or the time is up.

        Raises:
            BackendUnavailable: another process held the lock for longer, or the file is damaged.
        """
        deadline = time.monotonic() + timeout
        while True:
            try:
                return attempt()
            except sqlite3.Error as error:
                if not _is_busy(error):
                    raise self._unavailable(error) from None
                if time.monotonic() >= deadline:
                    self._observer.count("locked")
                    raise BackendUnavailable("the session file is locked by another process") from None
            time.sleep(_RETRY_EVERY)

    def _write(self, timeout: float, attempt: Callable[[sqlite3.Connection], T]) -> T:
        with self.connection(timeout) as connection:
            result = self.patiently(timeout, lambda: attempt(connection))
            self.sweep(connection)
            return result

    def _open(self) -> sqlite3.Connection:
        with self._opening:
            self._make_private_file()
            self._warn_of_network()
            connection = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute(rows.SCHEMA)
            except sqlite3.Error:
                connection.close()
                raise
            return connection

    def _make_private_file(self) -> None:
        if self.path.exists():
            return
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as error:
            raise self._unavailable(error) from None

    def _warn_of_network(self) -> None:
        if self._looked_at_mounts:
            return
        self._looked_at_mounts = True
        kind = _network_file_system(self.path)
        if kind:
            self._observer.event(
                "sqlite_on_network",
                f"the session file {str(self.path)!r} lies on a network file system ({kind}), where SQLite's locks "
                "do not work: put it on a local disk, or use Redis or memcached for several hosts",
            )

    def _unavailable(self, error: Exception) -> BackendUnavailable:
        self._observer.event(
            "store_failed",
            f"the session file {str(self.path)!r} cannot be used ({error}): check path, rights and disk",
        )
        return BackendUnavailable("the session file cannot be used")

    def _forget_parent(self) -> None:
        """After a fork: the parent's connections must be neither used nor closed here (SQLite, "How To Corrupt")."""
        self._abandoned.extend(self._idle)
        self._idle.clear()
        self._process = os.getpid()


def _is_busy(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


@contextmanager
def flushed_to_disk(connection: sqlite3.Connection) -> Iterator[None]:
    """What is committed inside is on the disk when it is over."""
    connection.execute("PRAGMA synchronous = FULL")
    try:
        yield
    finally:
        connection.execute("PRAGMA synchronous = NORMAL")


def from_url(url: str, **_options: Any) -> SqliteBackend:
    """Makes the backend of ``sqlite:///relative.db``, ``sqlite:////absolute.db`` or ``sqlite:///``."""
    path = unquote(url.partition("://")[2])
    if not path.startswith("/") or "?" in url:
        raise ConfigurationError(
            "backend sqlite:// takes a path: 'sqlite:///relative.db', 'sqlite:////absolute.db', "
            "or 'sqlite:///' for a file in your data directory"
        )
    if path == "/:memory:":
        raise ConfigurationError("backend sqlite:///:memory: is seen by one connection only: use 'memory://'")
    return SqliteBackend(Path(path[1:]) if path != "/" else _data_directory() / "sessions.db")


def _data_directory() -> Path:
    """Where the XDG base directory specification wants a user's data."""
    base = os.environ.get("XDG_DATA_HOME") or os.environ.get("LOCALAPPDATA") or Path.home() / ".local" / "share"
    return Path(base) / "sharedsession"


def _network_file_system(path: Path) -> str | None:
    """The kind of network file system that a path lies on, where the system tells (Linux)."""
    mounts = Path("/proc/self/mounts")
    if not mounts.exists():
        return None
    fields = (line.split() for line in mounts.read_text(errors="replace").splitlines())
    holding = [(point, kind) for _, point, kind, *_ in fields if path.resolve().is_relative_to(point)]
    kind = max(holding, default=("", ""))[1]
    return kind if kind.startswith(("nfs", "cifs", "smb", "9p", "ceph", "glusterfs", "fuse.sshfs")) else None
