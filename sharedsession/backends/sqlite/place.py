"""Which file a path leads to now, and the connections that have one such file open.

A file that was replaced or removed lives on for those who have it open. So connections are kept by the place that they
belong to: device and inode of the file, and of the write-ahead log beside it.
"""

import os
import sqlite3
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

_BESIDE = ("-wal", "-shm")


class Place(NamedTuple):
    """Which files a path leads to.

    Attributes:
        file: device and inode; ``None``: there is none.
        log: the same of the write-ahead log.
    """

    file: tuple[int, int] | None
    log: tuple[int, int] | None


@dataclass(eq=False, slots=True)
class Opened:
    """The connections to the files of one place.

    Attributes:
        place: of the files; ``None``: no connection is open. SQLite removes the log with the last connection only.
        idle: the connections that no thread uses.
        count: of all connections, lent ones among them.
    """

    place: Place | None = None
    idle: deque[sqlite3.Connection] = field(default_factory=deque)
    count: int = 0

    def close(self) -> None:
        """Closes the idle connections."""
        while True:
            try:
                self.discard(self.idle.pop())
            except IndexError:
                return

    def discard(self, connection: sqlite3.Connection) -> None:
        """Closes one connection."""
        connection.close()
        self.count -= 1
        if not self.count:
            self.place = None


def place_of(path: Path) -> Place:
    """Returns which files a path leads to now."""
    return Place(_identity(path), _identity(_beside(path, "-wal")))


def remove_leftovers(path: Path) -> None:
    """Removes what a file that is gone left beside its path: SQLite would put an old log into the new file."""
    for ending in _BESIDE:
        with suppress(OSError):
            _beside(path, ending).unlink()


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116  (half the time of Path.stat)
    except OSError:
        return None
    return found.st_dev, found.st_ino
