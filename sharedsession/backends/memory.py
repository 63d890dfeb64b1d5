"""Records in the memory of this process: for tests and for one worker. No other process sees them.

If there seem to be several workers at start-up, it logs a warning, since each would have sessions of its own.
"""

import multiprocessing
import os
import re
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sharedsession.backends.base import Ended, Stored, Version
from sharedsession.backends.tombstone import Tombstone, has_note, note_on
from sharedsession.concurrency import PerProcess
from sharedsession.environment import REAL, Environment
from sharedsession.errors import ConfigurationError
from sharedsession.observe import Observer

_SWEEP_EVERY = 1000  # writes


@dataclass(slots=True)
class _Entry:
    value: bytes
    version: int
    expires: float
    ended: bool = False


class MemoryBackend:
    """A dictionary with times to live, behind a lock.

    Args:
        environment: where the clock comes from.
    """

    max_value = 1 << 30
    never_waits = True

    def __init__(self, environment: Environment = REAL) -> None:
        self._monotonic = environment.monotonic
        self._entries: dict[str, _Entry] = {}
        self._lock = PerProcess(threading.RLock)
        self._versions = 0
        signs = signs_of_several_workers(sys.argv, os.environ)
        if signs:
            Observer(environment=environment).event(
                "memory_not_shared",
                "session store memory:// keeps sessions in this process only, and there seem to be several workers "
                f"({signs}): visitors will lose their session from one request to the next; use sqlite:/// instead",
            )

    def get(self, key: str, touch: float | None, timeout: float) -> Stored | Ended | None:
        """Same as `Backend.get`."""
        with self._lock.mine:
            entry = self._live(key)
            if entry is None:
                return None
            if entry.ended:
                return self._tombstone(entry)
            if touch is not None:
                entry.expires = self._monotonic() + touch
            return Stored(entry.value, entry.version)

    def add(self, key: str, value: bytes, ttl: float, timeout: float) -> Version | None:
        """Same as `Backend.add`."""
        with self._lock.mine:
            return None if self._live(key) else self._store(key, value, ttl)

    def replace(self, key: str, value: bytes, ttl: float, version: Version, timeout: float) -> Version | None:
        """Same as `Backend.replace`."""
        with self._lock.mine:
            entry = self._live(key)
            unchanged = entry is not None and not entry.ended and entry.version == version
            return self._store(key, value, ttl) if unchanged else None

    def end(self, key: str, ttl: float, timeout: float) -> bytes:
        """Same as `Backend.end`."""
        with self._lock.mine:
            before = self._live(key)
            self._store(key, Tombstone(ttl).encode(), ttl, ended=True)
            return self._tombstone(before).note if before is not None and before.ended else b""

    def supersede(
        self, key: str, ttl: float, timeout: float, version: Version, note: bytes = b"", note_ttl: float = 0.0
    ) -> bool:
        """Same as `Backend.supersede`."""
        with self._lock.mine:
            before = self._live(key)
            if before is not None and before.ended:
                return has_note(before.value)
            tombstone = Tombstone(ttl) if before is None else Tombstone(ttl, note, note_ttl)
            self._store(key, tombstone.encode(), ttl, ended=True)
            return before is not None

    def touch(self, key: str, ttl: float, timeout: float) -> bool:
        """Same as `Backend.touch`."""
        with self._lock.mine:
            entry = self._live(key)
            if entry is None or entry.ended:
                return False
            entry.expires = self._monotonic() + ttl
            return True

    def close(self) -> None:
        """Same as `Backend.close`; the records stay."""

    def health(self) -> dict[str, Any]:
        """Same as `Facts.health`."""
        return {"kind": "memory", "records": len(self._entries)}

    def _tombstone(self, entry: _Entry) -> Ended:
        left = entry.expires - self._monotonic()
        return Ended(note_on(entry.value, left), left)

    def _live(self, key: str) -> _Entry | None:
        entry = self._entries.get(key)
        if entry is not None and entry.expires <= self._monotonic():
            del self._entries[key]
            return None
        return entry

    def _store(self, key: str, value: bytes, ttl: float, *, ended: bool = False) -> int:
        self._versions += 1
        if self._versions % _SWEEP_EVERY == 0:
            self._sweep()
        self._entries[key] = _Entry(value, self._versions, self._monotonic() + ttl, ended)
        return self._versions

    def _sweep(self) -> None:
        for key in list(self._entries):
            self._live(key)


def signs_of_several_workers(arguments: Sequence[str], environ: Mapping[str, str]) -> str:
    """Returns why there seem to be several workers; empty if there is no sign of them.

    Args:
        arguments: the command line of this process.
        environ: its environment variables.
    """
    if multiprocessing.parent_process() is not None:
        return "this is a child process"
    for name in ("WEB_CONCURRENCY", "UVICORN_WORKERS", "GRANIAN_WORKERS"):
        if environ.get(name, "").isdecimal() and int(environ[name]) > 1:
            return f"{name} is set"
    command = " ".join([*arguments, environ.get("GUNICORN_CMD_ARGS", "")])
    option = re.search(r"(?:^|\s)(?:-w|--workers|--processes)[= ]?(\d+)(?=\s|$)", command)
    return "the command line asks for them" if option and int(option[1]) > 1 else ""


def from_url(url: str, breaker_window: float = 2.0, environment: Environment = REAL) -> MemoryBackend:
    """Makes the backend of ``memory://``.

    Args:
        url: nothing else.
        breaker_window: not used.
        environment: where the clock comes from.

    Raises:
        ConfigurationError: the URL has more parts.
    """
    if url.lower() != "memory://":
        raise ConfigurationError("backend memory:// takes nothing after the two slashes")
    return MemoryBackend(environment)
