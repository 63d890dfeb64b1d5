"""The SQLite file: its connections, waiting for its lock, and what both colours do on a connection.

The file is in WAL mode, so readers never wait (sqlite.org/wal.html). A writer that finds the file locked tries again
every half millisecond until its time is up: SQLite's own busy handler sleeps for up to 100 ms at a time. Expired rows
are swept a few at a time.

The path counts, not the file that was opened: once a second it is looked at, and opened anew if it leads elsewhere.
Else two processes would serve two different files for ever.
"""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from sharedsession.backends.base import Ended, Read, Stored
from sharedsession.backends.sqlite import rows
from sharedsession.backends.sqlite.place import Opened, Place, place_of, remove_leftovers
from sharedsession.backends.tombstone import is_tombstone, note_on
from sharedsession.concurrency import PerProcess
from sharedsession.environment import Environment
from sharedsession.errors import BackendUnavailable
from sharedsession.file_rights import rights_of
from sharedsession.observe import Observer

T = TypeVar("T")

MAX_VALUE = 100_000_000  # bytes
_RETRY_EVERY = 0.0005  # seconds
_RENEW_BELOW = 0.9  # of the time to live: a renewal that gains less than a tenth is left out
_SWEEP_ROWS = 200
_SWEEP_EVERY = 1.0  # seconds
_SWEEP_PAUSE = 60.0  # seconds after the last row
_LOOK_EVERY = 1.0  # seconds between two looks at the path
_WELL_AFTER = 2.0  # seconds without a failure: reads may work while the disk is full


class SessionFile:
    """One SQLite file, for any number of threads.

    Args:
        path: of the file. It is made when first used, readable by this user only.
        environment: where clocks and sleep come from.

    Attributes:
        observer: counts renewals that were left out and waits that were in vain.
    """

    def __init__(self, path: Path, environment: Environment) -> None:
        self.path = path
        self.clock = environment.clock
        self._random_bytes = environment.random_bytes
        self.monotonic = environment.monotonic
        self.observer = Observer(environment=environment)
        self._sleep = environment.sleep
        self._opened = Opened()
        self._of_parents: list[Opened] = []
        self._process = os.getpid()
        self._opening = PerProcess(threading.RLock)
        self._look_next = 0.0
        self._looked_at_mounts = False
        self._said_of_rights: str | None = None
        self._failed_at: float | None = None  # on the monotonic clock; ``None``: it works
        self._sweep_next = 0.0
        self._swept_to = 0

    # -- on a connection, inside a transaction or not

    def read(
        self, connection: sqlite3.Connection, key: str, touch: float | None, deadline: float
    ) -> Stored | Ended | None:
        """Reads a row. Renews it only if that gains a tenth, and not at all if another process holds the lock too long.

        Args:
            connection: to the file.
            key: the store key.
            touch: the new time to live in seconds, or ``None``.
            deadline: of the renewal, on the monotonic clock.
        """
        row = rows.find(connection, key, self.clock())
        if row is None:
            return None
        if row.ended:
            return Ended(shown_note(row), row.left)
        if touch is not None and row.left < touch * _RENEW_BELOW:
            self._renew(connection, key, touch, deadline)
        return Stored(row.value, row.version)

    def read_or_add(self, connection: sqlite3.Connection, read: Read, deadline: float) -> Stored | Ended | None:
        """Same as `read`, for one of several reads."""
        key, touch, default, _ = read
        if default is not None and touch is not None and rows.find(connection, key, self.clock()) is None:
            left = max(0.0, deadline - self.monotonic())
            self.patiently(left, lambda: rows.add(connection, key, default, touch, self.new_write()))
        return self.read(connection, key, touch, deadline)

    def new_write(self) -> rows.Write:
        """Returns what the next write needs."""
        return rows.Write(int.from_bytes(self._random_bytes(8)) >> 1, self.clock())

    def in_transaction(self, connection: sqlite3.Connection, timeout: float, work: Callable[[], T]) -> T:
        """Does several statements in one step.

        Raises:
            BackendUnavailable: another process holds the lock for longer than ``timeout`` seconds.
        """
        self.patiently(timeout, lambda: connection.execute("BEGIN IMMEDIATE"))
        try:
            result = work()
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        return result

    def _renew(self, connection: sqlite3.Connection, key: str, touch: float, deadline: float) -> None:
        try:
            self.patiently(deadline - self.monotonic(), lambda: rows.touch(connection, key, touch, self.clock()))
        except BackendUnavailable:
            self.observer.count("not_renewed")

    def sweep(self, connection: sqlite3.Connection) -> None:
        """Deletes a few expired rows, where the last sweep stopped, once a second; not if the file is locked."""
        now = self.monotonic()
        if now < self._sweep_next:
            return
        self._sweep_next = now + _SWEEP_EVERY
        with suppress(sqlite3.OperationalError):
            self._swept_to = rows.sweep(connection, self._swept_to, _SWEEP_ROWS, self.clock())
            if not self._swept_to:
                self._sweep_next += _SWEEP_PAUSE

    # -- connections and waiting

    @contextmanager
    def connection(self, timeout: float) -> Iterator[sqlite3.Connection]:
        """Lends a connection of this process to one thread.

        Args:
            timeout: seconds to wait at most where a connection must be opened.

        Raises:
            BackendUnavailable: the file is locked for longer, or cannot be used.
        """
        if self._process != os.getpid():
            self._forget_parent()
        if self.monotonic() >= self._look_next:
            self._look()
        opened = self._opened
        try:
            connection = opened.idle.pop()
        except IndexError:
            opened, connection = self.patiently(timeout, self._open)
        try:
            yield connection
            if self.monotonic() >= self._look_next:
                self._look()
            if opened is not self._opened:
                raise BackendUnavailable("the session file was replaced or removed meanwhile")  # noqa: TRY301
        except BaseException as error:
            self._discard(opened, connection)
            if isinstance(error, sqlite3.Error):
                raise self._unavailable(error) from None
            raise
        opened.idle.append(connection)
        if self._failed_at is not None:
            self._note_success(self._failed_at)
        if opened is not self._opened:  # since it was asked a moment ago: closed with the others then
            with self._opening.mine:
                opened.close()

    def patiently(self, timeout: float, attempt: Callable[[], T]) -> T:
        """Repeats an attempt until the file is not locked, for ``timeout`` seconds at most.

        Raises:
            BackendUnavailable: another process held the lock for longer, or the file cannot be used.
        """
        deadline = self.monotonic() + timeout
        while True:
            try:
                return attempt()
            except sqlite3.Error as error:
                if not _is_busy(error):
                    raise self._unavailable(error) from None
                if self.monotonic() >= deadline:
                    self.observer.count("locked")
                    raise BackendUnavailable("the session file is locked by another process") from None
            self._sleep(_RETRY_EVERY)

    def close(self) -> None:
        """Closes the idle connections."""
        with self._opening.mine:
            self._opened.close()

    def health(self) -> dict[str, Any]:
        """Same as `Facts.health`."""
        return {"kind": "sqlite", "path": str(self.path), "counters": dict(self.observer.counters)}

    def _open(self) -> tuple[Opened, sqlite3.Connection]:
        with self._opening.mine:
            self._make_private_file()
            self._check_rights()
            self._warn_of_network()
            before = place_of(self.path)
            connection = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute(rows.SCHEMA)
                return self._admitted(connection, before), connection
            except (sqlite3.Error, BackendUnavailable):
                connection.close()
                raise

    def _admitted(self, connection: sqlite3.Connection, before: Place) -> Opened:
        """Counts a new connection among those to the same files.

        Raises:
            BackendUnavailable: the file was replaced while it was opened, so that it may be either one.
        """
        place = place_of(self.path)
        if place.file is None or place.file != before.file:
            raise BackendUnavailable("the session file was replaced or removed meanwhile")
        if self._opened.place not in {None, place}:
            self._leave(place)
        self._opened.place = place
        self._opened.count += 1
        return self._opened

    # -- the path, and what it leads to

    def _look(self) -> None:
        """Leaves the open file if the path does not lead to it any more."""
        with self._opening.mine:
            self._look_next = self.monotonic() + _LOOK_EVERY
            if self._opened.place is not None:
                place = place_of(self.path)
                if place != self._opened.place:
                    self._leave(place)

    def _leave(self, place: Place) -> None:
        """Closes the connections to files that have other files in their place, or none; lent ones when they return."""
        old, self._opened = self._opened, Opened()
        if old.place and place.file != old.place.file and place.log == old.place.log:
            remove_leftovers(self.path)  # the log of the old file
        old.close()
        self.observer.event(
            "sqlite_file_replaced",
            f"session file {str(self.path)!r}, or the '-wal' beside it, was replaced or removed while it was in "
            "use: it is opened anew, and sessions that only the old file has are lost; keep it where nothing is "
            "cleaned up, and stop the web nodes before you restore it",
        )

    def _discard(self, opened: Opened, connection: sqlite3.Connection) -> None:
        with self._opening.mine:
            opened.discard(connection)
            self._look_next = 0.0  # what failed may have failed because the file is gone

    def _make_private_file(self) -> None:
        if self.path.exists():
            return
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            remove_leftovers(self.path)
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as error:
            raise self._unavailable(error) from None

    def _check_rights(self) -> None:
        """Names a file that others may use, once.

        Raises:
            BackendUnavailable: it belongs to another user.
        """
        try:
            rights = rights_of(self.path, self.path.stat())
        except OSError as error:
            raise self._unavailable(error) from None
        if rights.foreign_owner is not None:
            self.observer.event(
                "sqlite_file_refused",
                f"session file {str(self.path)!r} {rights.fault}, who can change any session: "
                "give it to the web node's user with chown, or name another file",
            )
            self._failed_at = self.monotonic()
            raise BackendUnavailable("the session file belongs to another user")
        if rights.problem != self._said_of_rights and rights.problem:
            self.observer.event(
                "file_open_to_others", f"session file {str(self.path)!r} {rights.problem}: chmod 600 {self.path}"
            )
        self._said_of_rights = rights.problem

    def _warn_of_network(self) -> None:
        if self._looked_at_mounts:
            return
        self._looked_at_mounts = True
        kind = _network_file_system(self.path)
        if kind:
            self.observer.event(
                "sqlite_on_network",
                f"session file {str(self.path)!r} lies on a network file system ({kind}), where SQLite's locks "
                "do not work: put it on a local disk, or use Redis or memcached for several hosts",
            )

    def _note_success(self, failed_at: float) -> None:
        if self.monotonic() - failed_at >= _WELL_AFTER:
            self._failed_at = None
            self.observer.event("node_up", f"session file {str(self.path)!r} can be used again")

    def _unavailable(self, error: Exception) -> BackendUnavailable:
        self._failed_at = self.monotonic()
        self.observer.event(
            "store_failed",
            f"session file {str(self.path)!r} cannot be used ({error}): check path, rights and disk",
        )
        return BackendUnavailable("the session file cannot be used")

    def _forget_parent(self) -> None:
        """After a fork, uses no connection of the parent, and closes none.

        See sqlite.org/howtocorrupt.html, 2.6.
        """
        self._of_parents.append(self._opened)
        self._opened = Opened()
        self._process = os.getpid()


def shown_note(row: rows.Row | None) -> bytes:
    """Returns the note of a tombstone, while it is shown; else empty bytes."""
    if row is None or not row.ended or not is_tombstone(row.value):
        return b""
    return note_on(row.value, row.left)


def is_alive(row: rows.Row | None) -> bool:
    """Returns whether a row is a live record."""
    return row is not None and not row.ended


@contextmanager
def flushed_to_disk(connection: sqlite3.Connection) -> Iterator[None]:
    """Commits inside of it are on the disk when they return."""
    connection.execute("PRAGMA synchronous = FULL")
    try:
        yield
    finally:
        connection.execute("PRAGMA synchronous = NORMAL")


def _is_busy(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def _network_file_system(path: Path) -> str | None:
    """Returns the kind of network file system that holds a path; ``None`` if none does, or the system is not Linux."""
    mounts = Path("/proc/self/mounts")
    if not mounts.exists():
        return None
    fields = (line.split() for line in mounts.read_text(errors="replace").splitlines())
    holding = [(point, kind) for _, point, kind, *_ in fields if path.resolve().is_relative_to(point)]
    kind = max(holding, default=("", ""))[1]
    return kind if kind.startswith(("nfs", "cifs", "smb", "9p", "ceph", "glusterfs", "fuse.sshfs")) else None
