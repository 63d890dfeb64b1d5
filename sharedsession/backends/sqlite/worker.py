"""SQLite for event loops: one thread drains a queue, and whatever waits at a time is one transaction.

The loop never waits for the disk, and fifty requests that write together pay for one commit and one wake-up.
"""

import asyncio
import os
import queue
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from sharedsession.backends.base import Ended, Stored, Version
from sharedsession.backends.sqlite import rows
from sharedsession.backends.sqlite.backend import SqliteBackend, flushed_to_disk
from sharedsession.errors import BackendUnavailable

T = TypeVar("T")

_BATCH = 64


@dataclass(eq=False, slots=True)
class _Job:
    run: Callable[[sqlite3.Connection], Any]
    writes: bool
    ends: bool
    deadline: float
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]"
    result: Any = None
    error: Exception | None = None

    def settle(self) -> None:
        if self.future.done():
            return
        if self.error:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class SqliteThread:
    """The asynchronous verbs over one SQLite file.

    Args:
        backend: the blocking verbs over the same file.
    """

    def __init__(self, backend: SqliteBackend) -> None:
        self._backend = backend
        self.max_value = backend.max_value
        self.renews_when_due = backend.renews_when_due
        self._starting = threading.Lock()
        self._process = 0
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()

    def health(self) -> dict[str, Any]:
        """Same as `Backend.health`."""
        return self._backend.health()

    async def get(self, key: str, touch: float | None, timeout: float) -> Stored | Ended | None:
        """Same as `Backend.get`."""
        deadline = time.monotonic() + timeout
        return await self._do(timeout, lambda connection: self._backend.read(connection, key, touch, deadline))

    async def add(self, key: str, value: bytes, ttl: float, timeout: float) -> Version | None:
        """Same as `Backend.add`."""
        return await self._do(timeout, lambda connection: rows.add(connection, key, value, ttl), writes=True)

    async def replace(self, key: str, value: bytes, ttl: float, version: Version, timeout: float) -> Version | None:
        """Same as `Backend.replace`."""
        return await self._do(
            timeout,
            lambda connection: rows.replace(connection, key, value, ttl, version),
            writes=True,
        )

    async def end(self, key: str, ttl: float, timeout: float, note: bytes = b"", note_ttl: float = 0.0) -> None:
        """Same as `Backend.end`."""
        await self._do(
            timeout,
            lambda connection: rows.end(connection, key, note, note_ttl),
            writes=True,
            ends=True,
        )

    async def supersede(
        self, key: str, ttl: float, timeout: float, version: Version, note: bytes = b"", note_ttl: float = 0.0
    ) -> bool:
        """Same as `Backend.supersede`."""
        return await self._do(
            timeout,
            lambda connection: rows.supersede(connection, key, note, note_ttl),
            writes=True,
            ends=True,
        )

    async def touch(self, key: str, ttl: float, timeout: float) -> bool:
        """Same as `Backend.touch`."""
        return await self._do(timeout, lambda connection: rows.touch(connection, key, ttl), writes=True)

    async def close(self) -> None:
        """Same as `Backend.close`: the thread ends after what is queued."""
        if self._process == os.getpid():
            self._process = 0
            self._queue.put(None)

    # -- on the event loop

    async def _do(
        self,
        timeout: float,
        run: Callable[[sqlite3.Connection], Any],
        *,
        writes: bool = False,
        ends: bool = False,
    ) -> T:
        self._start()
        loop = asyncio.get_running_loop()
        job = _Job(run, writes, ends, time.monotonic() + timeout, loop, loop.create_future())
        self._queue.put(job)
        try:
            # The thread itself keeps the deadline; this one is for its death.
            async with asyncio.timeout(timeout + 0.02):
                return cast("T", await job.future)
        except TimeoutError:
            raise BackendUnavailable("the session file did not answer in time") from None

    def _start(self) -> None:
        with self._starting:
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
                self._backend.connection(_time_left(batch)) as connection,
                flushed_to_disk(connection) if flush else nullcontext(),
            ):
                self._on(connection, batch)
        except Exception as error:  # noqa: BLE001  (whatever it is, the thread lives, and nobody is left waiting)
            for job in batch:
                job.error = job.error or error
        _deliver(batch)

    def _on(self, connection: sqlite3.Connection, batch: list[_Job]) -> None:
        if any(job.writes for job in batch):
            self._in_one_transaction(connection, batch)
        else:
            self._each(connection, batch)

    def _in_one_transaction(self, connection: sqlite3.Connection, batch: list[_Job]) -> None:
        try:
            self._backend.patiently(_time_left(batch), lambda: connection.execute("BEGIN IMMEDIATE"))
        except BackendUnavailable as error:
            for job in batch:
                job.error = error if job.writes else None
            self._each(connection, [job for job in batch if not job.writes])
            return
        try:
            self._each(connection, batch)
            self._backend.sweep(connection)
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    @staticmethod
    def _each(connection: sqlite3.Connection, batch: list[_Job]) -> None:
        for job in batch:
            try:
                job.result = job.run(connection)
            except BackendUnavailable as error:
                job.error = error


def _time_left(batch: list[_Job]) -> float:
    return max(0.0, min(job.deadline for job in batch) - time.monotonic())


def _deliver(batch: list[_Job]) -> None:
    """Wakes each loop once, however many of its requests are done."""
    by_loop: defaultdict[asyncio.AbstractEventLoop, list[_Job]] = defaultdict(list)
    for job in batch:
        by_loop[job.loop].append(job)
    for loop, jobs in by_loop.items():
        try:
            loop.call_soon_threadsafe(_settle, jobs)
        except RuntimeError:  # the loop was closed: nobody waits any more
            continue


def _settle(jobs: list[_Job]) -> None:
    for job in jobs:
        job.settle()
