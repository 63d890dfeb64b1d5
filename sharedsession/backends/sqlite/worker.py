"""SQLite for event loops: one thread drains a queue, and all requests that wait at a time are one transaction.

The loop never waits for the disk. Fifty requests that write together cost one commit, and each loop is woken once.
"""

import asyncio
import os
import queue
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from sharedsession.backends.base import Ended, Read, Stored, Version
from sharedsession.backends.sqlite import rows
from sharedsession.backends.sqlite.session_file import (
    MAX_VALUE,
    SessionFile,
    flushed_to_disk,
    is_alive,
    shown_note,
)
from sharedsession.backends.tombstone import Tombstone
from sharedsession.concurrency import PerProcess
from sharedsession.errors import BackendUnavailable

T = TypeVar("T")

_BATCH = 64  # requests
_GRACE = 0.02  # seconds: the thread itself keeps the deadline, the loop only notices that the thread has died


@dataclass(eq=False, slots=True)
class _Job:
    """One request.

    Attributes:
        run: the statement; takes the connection.
        writes: whether it needs a transaction.
        ends: whether it must be on the disk before it is confirmed.
        deadline: on the monotonic clock.
        loop: that waits.
        future: of the result, on that loop.
    """

    run: Callable[[sqlite3.Connection], Any]
    writes: bool
    ends: bool
    deadline: float
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]"
    result: Any = None
    error: Exception | None = None

    def settle(self) -> None:
        """Sets the future, on its loop; the request may have been cancelled."""
        if self.future.done():
            return
        if self.error:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class SqliteWorker:
    """The asynchronous colour of one SQLite file.

    Args:
        file: the file.
    """

    max_value = MAX_VALUE
    renews_when_due = True

    def __init__(self, file: SessionFile) -> None:
        self._file = file
        self._starting = PerProcess(threading.Lock)
        self._process = 0
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()

    def health(self) -> dict[str, Any]:
        """Same as `Facts.health`."""
        return self._file.health()

    async def get(self, key: str, touch: float | None, timeout: float) -> Stored | Ended | None:
        """Same as `Backend.get`."""
        file, deadline = self._file, self._file.monotonic() + timeout
        return await self._do(timeout, lambda connection: file.read(connection, key, touch, deadline))

    async def get_many(self, reads: Sequence[Read], timeout: float) -> list[Stored | Ended | None]:
        """Same as `BatchingBackend.get_many`."""
        file, deadline = self._file, self._file.monotonic() + timeout
        writes = any(read.default is not None for read in reads)
        return await self._do(
            timeout, lambda on: [file.read_or_add(on, read, deadline) for read in reads], writes=writes
        )

    async def add(self, key: str, value: bytes, ttl: float, timeout: float) -> Version | None:
        """Same as `Backend.add`."""
        new = self._file.new_write
        return await self._do(timeout, lambda on: rows.add(on, key, value, ttl, new()), writes=True)

    async def replace(self, key: str, value: bytes, ttl: float, version: Version, timeout: float) -> Version | None:
        """Same as `Backend.replace`."""
        new = self._file.new_write
        return await self._do(timeout, lambda on: rows.replace(on, key, value, ttl, version, new()), writes=True)

    async def end(self, key: str, ttl: float, timeout: float) -> bytes:
        """Same as `Backend.end`."""
        (before,) = await self._end([key], ttl, timeout)
        return shown_note(before)

    async def end_many(self, keys: Sequence[str], ttl: float, timeout: float) -> list[bool]:
        """Same as `BatchingBackend.end_many`."""
        return [is_alive(before) for before in await self._end(keys, ttl, timeout)]

    async def _end(self, keys: Sequence[str], ttl: float, timeout: float) -> list[rows.Row | None]:
        new = self._file.new_write
        return await self._do(
            timeout, lambda on: [rows.end(on, key, ttl, new()) for key in keys], writes=True, ends=True
        )

    async def supersede(
        self, key: str, ttl: float, timeout: float, version: Version, note: bytes = b"", note_ttl: float = 0.0
    ) -> bool:
        """Same as `Backend.supersede`."""
        new, tombstone = self._file.new_write, Tombstone(ttl, note, note_ttl)
        return await self._do(timeout, lambda on: rows.supersede(on, key, tombstone, new()), writes=True, ends=True)

    async def touch(self, key: str, ttl: float, timeout: float) -> bool:
        """Same as `Backend.touch`."""
        clock = self._file.clock
        return await self._do(timeout, lambda on: rows.touch(on, key, ttl, clock()), writes=True)

    async def close(self) -> None:
        """Same as `Backend.close`: the thread ends after what is queued."""
        if self._process == os.getpid():
            self._process = 0
            self._queue.put(None)

    # -- on the event loop

    async def _do(
        self,
        timeout: float,
        run: Callable[[sqlite3.Connection], T],
        *,
        writes: bool = False,
        ends: bool = False,
    ) -> T:
        self._start()
        loop = asyncio.get_running_loop()
        job = _Job(run, writes, ends, self._file.monotonic() + timeout, loop, loop.create_future())
        self._queue.put(job)
        try:
            async with asyncio.timeout(timeout + _GRACE):
                return cast("T", await job.future)
        except TimeoutError:
            raise BackendUnavailable("the session file did not answer in time") from None

    def _start(self) -> None:
        with self._starting.mine:
            if self._process == os.getpid():
                return
            self._process = os.getpid()
            self._queue = queue.SimpleQueue()
            threading.Thread(target=self._serve, args=(self._queue,), name="sharedsession-sqlite", daemon=True).start()

    # -- in the thread

    def _serve(self, jobs: "queue.SimpleQueue[_Job | None]") -> None:
        while (first := jobs.get()) is not None:
            batch = [first]
            while len(batch) < _BATCH and not jobs.empty():
                job = jobs.get()
                if job is None:
                    jobs.put(None)
                    break
                batch.append(job)
            self._carry_out(batch)

    def _carry_out(self, batch: list[_Job]) -> None:
        flush = any(job.ends for job in batch)
        try:
            with (
                self._file.connection(self._time_left(batch)) as connection,
                flushed_to_disk(connection) if flush else nullcontext(),
            ):
                self._run_on(connection, batch)
        except Exception as error:  # noqa: BLE001  (the thread must live on, and every request must be answered)
            for job in batch:
                job.error = job.error or error
        _deliver(batch)

    def _run_on(self, connection: sqlite3.Connection, batch: list[_Job]) -> None:
        if any(job.writes for job in batch):
            self._run_in_one_transaction(connection, batch)
        else:
            _run_each(connection, batch)

    def _run_in_one_transaction(self, connection: sqlite3.Connection, batch: list[_Job]) -> None:
        try:
            self._file.patiently(self._time_left(batch), lambda: connection.execute("BEGIN IMMEDIATE"))
        except BackendUnavailable as error:
            for job in batch:
                job.error = error if job.writes else None
            _run_each(connection, [job for job in batch if not job.writes])
            return
        try:
            _run_each(connection, batch)
            self._file.sweep(connection)
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def _time_left(self, batch: list[_Job]) -> float:
        return max(0.0, min(job.deadline for job in batch) - self._file.monotonic())


def _run_each(connection: sqlite3.Connection, batch: list[_Job]) -> None:
    for job in batch:
        try:
            job.result = job.run(connection)
        except BackendUnavailable as error:
            job.error = error


def _deliver(batch: list[_Job]) -> None:
    """Wakes each loop once, however many of its requests are done."""
    by_loop: defaultdict[asyncio.AbstractEventLoop, list[_Job]] = defaultdict(list)
    for job in batch:
        by_loop[job.loop].append(job)
    for loop, jobs in by_loop.items():
        try:
            loop.call_soon_threadsafe(_settle, jobs)
        except RuntimeError:  # the loop was closed: no task waits any more
            continue


def _settle(jobs: list[_Job]) -> None:
    for job in jobs:
        job.settle()
