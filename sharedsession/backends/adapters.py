"""A backend of one colour, as the other colour calls it.

`AsyncAdapter` puts asynchronous verbs that never suspend in front of a blocking backend. `BlockingAdapter` is the
reverse, for backends of ours whose verbs are coroutines over blocking clients.
"""

import inspect
from collections.abc import Sequence
from typing import Any, cast

from sharedsession.backends.base import (
    AsyncBackend,
    Backend,
    BatchingBackend,
    DoubtingBackend,
    Ended,
    NeverWaitingBackend,
    Read,
    SelfRenewingBackend,
    Stored,
    SupersedingBackend,
    TwoColouredBackend,
    Version,
)
from sharedsession.concurrency import run


class AsyncAdapter:
    """A blocking backend behind asynchronous verbs that never suspend.

    Args:
        backend: the blocking backend.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.renews_when_due = isinstance(backend, SelfRenewingBackend) and backend.renews_when_due

    @property
    def max_value(self) -> int:
        """Same as `Facts.max_value`."""
        return self.backend.max_value

    def health(self) -> dict[str, Any]:
        """Same as `Facts.health`."""
        return self.backend.health()

    async def get(self, key: str, touch: float | None, timeout: float) -> Stored | Ended | None:
        """Same as `Backend.get`."""
        return self.backend.get(key, touch, timeout)

    async def add(self, key: str, value: bytes, ttl: float, timeout: float) -> Version | None:
        """Same as `Backend.add`."""
        return self.backend.add(key, value, ttl, timeout)

    async def replace(self, key: str, value: bytes, ttl: float, version: Version, timeout: float) -> Version | None:
        """Same as `Backend.replace`."""
        return self.backend.replace(key, value, ttl, version, timeout)

    async def end(self, key: str, ttl: float, timeout: float) -> bytes | None:
        """Same as `Backend.end`."""
        return self.backend.end(key, ttl, timeout)

    async def get_many(self, reads: Sequence[Read], timeout: float) -> list[Stored | Ended | None]:
        """Same as `BatchingBackend.get_many`; one by one where the backend has no such operation."""
        if isinstance(self.backend, BatchingBackend):
            found: list[Stored | Ended | None] = self.backend.get_many(reads, timeout)
            return found
        return [self._get_or_add(read, timeout) for read in reads]

    def _get_or_add(self, read: Read, timeout: float) -> Stored | Ended | None:
        found = self.backend.get(read.key, read.touch, timeout)
        if found is not None or read.default is None or read.touch is None:
            return found
        self.backend.add(read.key, read.default, read.touch, timeout)
        return self.backend.get(read.key, None, timeout)

    async def end_many(self, keys: Sequence[str], ttl: float, timeout: float) -> list[bool]:
        """Same as `BatchingBackend.end_many`; one by one where the backend has no such operation."""
        if isinstance(self.backend, BatchingBackend):
            ended: list[bool] = self.backend.end_many(keys, ttl, timeout)
            return ended
        alive = [isinstance(self.backend.get(key, None, timeout), Stored) for key in keys]
        for key in keys:
            self.backend.end(key, ttl, timeout)
        return alive

    async def supersede(
        self, key: str, ttl: float, timeout: float, version: Version, note: bytes = b"", note_ttl: float = 0.0
    ) -> bool:
        """Same as `Backend.supersede`; `Backend.end` where the backend has no such verb."""
        if can_supersede(self.backend):
            return self.backend.supersede(key, ttl, timeout, version, note, note_ttl)
        self.backend.end(key, ttl, timeout)
        return True

    async def touch(self, key: str, ttl: float, timeout: float) -> bool:
        """Same as `Backend.touch`."""
        return self.backend.touch(key, ttl, timeout)

    async def get_afresh(self, key: str, doubted: Stored, timeout: float) -> Stored | Ended | None:
        """Same as `DoubtingBackend.get_afresh`; for a backend that is none, what was found stands."""
        if isinstance(self.backend, DoubtingBackend):
            return cast("Stored | Ended | None", self.backend.get_afresh(key, doubted, timeout))
        return doubted

    async def close(self) -> None:
        """Same as `Backend.close`."""
        return self.backend.close()


class BlockingAdapter:
    """Asynchronous verbs that never suspend, behind blocking verbs.

    Args:
        store: the asynchronous verbs.
    """

    def __init__(self, store: AsyncBackend) -> None:
        self.store = store

    @property
    def max_value(self) -> int:
        """Same as `Facts.max_value`."""
        return self.store.max_value

    def health(self) -> dict[str, Any]:
        """Same as `Facts.health`."""
        return self.store.health()

    def get(self, key: str, touch: float | None, timeout: float) -> Stored | Ended | None:
        """Same as `Backend.get`."""
        return run(self.store.get(key, touch, timeout))

    def add(self, key: str, value: bytes, ttl: float, timeout: float) -> Version | None:
        """Same as `Backend.add`."""
        return run(self.store.add(key, value, ttl, timeout))

    def replace(self, key: str, value: bytes, ttl: float, version: Version, timeout: float) -> Version | None:
        """Same as `Backend.replace`."""
        return run(self.store.replace(key, value, ttl, version, timeout))

    def end(self, key: str, ttl: float, timeout: float) -> bytes | None:
        """Same as `Backend.end`."""
        return run(self.store.end(key, ttl, timeout))

    def get_many(self, reads: Sequence[Read], timeout: float) -> list[Stored | Ended | None]:
        """Same as `BatchingBackend.get_many`."""
        return run(batching(self.store).get_many(reads, timeout))

    def end_many(self, keys: Sequence[str], ttl: float, timeout: float) -> list[bool]:
        """Same as `BatchingBackend.end_many`."""
        return run(batching(self.store).end_many(keys, ttl, timeout))

    def supersede(
        self, key: str, ttl: float, timeout: float, version: Version, note: bytes = b"", note_ttl: float = 0.0
    ) -> bool:
        """Same as `Backend.supersede`."""
        return run(self.store.supersede(key, ttl, timeout, version, note, note_ttl))

    def touch(self, key: str, ttl: float, timeout: float) -> bool:
        """Same as `Backend.touch`."""
        return run(self.store.touch(key, ttl, timeout))

    def close(self) -> None:
        """Same as `Backend.close`."""
        run(self.store.close())


class OneByOne:
    """`BatchingBackend` for asynchronous verbs without it.

    Args:
        store: the verbs.
    """

    def __init__(self, store: AsyncBackend) -> None:
        self._store = store

    async def get_many(self, reads: Sequence[Read], timeout: float) -> list[Stored | Ended | None]:
        """Same as `BatchingBackend.get_many`."""
        return [await self._get_or_add(read, timeout) for read in reads]

    async def _get_or_add(self, read: Read, timeout: float) -> Stored | Ended | None:
        found = await self._store.get(read.key, read.touch, timeout)
        if found is not None or read.default is None or read.touch is None:
            return found
        await self._store.add(read.key, read.default, read.touch, timeout)
        return await self._store.get(read.key, None, timeout)

    async def end_many(self, keys: Sequence[str], ttl: float, timeout: float) -> list[bool]:
        """Same as `BatchingBackend.end_many`."""
        alive = [isinstance(await self._store.get(key, None, timeout), Stored) for key in keys]
        for key in keys:
            await self._store.end(key, ttl, timeout)
        return alive


def batching(store: AsyncBackend) -> BatchingBackend:
    """Returns what asks a store for several keys: the store itself, or one that asks it one by one."""
    return store if isinstance(store, BatchingBackend) else OneByOne(store)


def can_supersede(backend: object) -> bool:
    """Returns whether a backend has the verb `supersede`."""
    return isinstance(backend, SupersedingBackend)


def is_asynchronous(backend: Backend | AsyncBackend) -> bool:
    """Returns whether a backend's verbs are coroutines."""
    return inspect.iscoroutinefunction(backend.get) or inspect.iscoroutinefunction(backend.end)


def for_blocking(backend: Backend | AsyncBackend) -> AsyncBackend | None:
    """Returns verbs that never suspend, for an application that blocks; ``None`` if the backend has none."""
    if is_asynchronous(backend):
        return None
    return backend.store if isinstance(backend, BlockingAdapter) else AsyncAdapter(cast("Backend", backend))


def for_event_loop(backend: Backend | AsyncBackend) -> tuple[AsyncBackend, bool]:
    """Returns verbs for an application on an event loop.

    Returns:
        The asynchronous verbs, and whether a step over them must run in a worker thread.
    """
    if is_asynchronous(backend):
        return cast("AsyncBackend", backend), False
    if isinstance(backend, TwoColouredBackend):
        return backend.asynchronous, False
    waits = not (isinstance(backend, NeverWaitingBackend) and backend.never_waits)
    return AsyncAdapter(cast("Backend", backend)), waits
