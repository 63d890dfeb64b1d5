"""The sessions of each principal: an index in the store, beside the sessions.

An index is a record like a session's, sealed and changed by compare-and-swap, under an ID that no token leads to. An
entry is written before its session is, so each session that can be used stands in it, and again once an idle timeout.
So an index that the store forgot is made anew by use. What is listed was seen alive.
"""

import math
from collections.abc import Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

from sharedsession.concurrency import Driver
from sharedsession.environment import Environment
from sharedsession.errors import BackendUnavailable, Conflict, LogoutNotConfirmed
from sharedsession.keys import Identity
from sharedsession.observe import Observer
from sharedsession.records import (
    WRITE_ID_BYTES,
    Record,
    SealedStore,
    StoredRecord,
    TimeBudget,
    codec,
    with_write_id,
)
from sharedsession.settings import Settings

T = TypeVar("T")

MOST_SESSIONS = 250
"""The most sessions of one principal; one more ends the oldest."""
_ATTEMPTS = 1000  # the request's time budget mostly ends before
_AT_A_TIME = 16  # questions to the store side by side


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """One session of a principal, seen alive.

    Attributes:
        id: its public handle, as `Session.id`.
        created_at: when it began (UTC).
        user_agent: of the browser at login; ``None`` unless ``remember_client`` is set.
        address: of the client at login, likewise.
    """

    id: str
    created_at: datetime
    user_agent: str | None = field(default=None, repr=False)
    address: str | None = field(default=None, repr=False)


class Entry(NamedTuple):
    """What an index has of one session.

    Attributes:
        store_key: of its record.
        created: when it began, in seconds since the epoch.
        idle: its idle timeout in seconds.
        user_agent: of the browser, if it is kept.
        address: of the client, if it is kept.
    """

    store_key: str
    created: float
    idle: float
    user_agent: str | None = None
    address: str | None = None


class PrincipalIndex:
    """The indexes of one farm in one store.

    Args:
        settings: of the farm.
        store: where the indexes are.
        driver: of the store's colour.
        observer: told what happened.
    """

    def __init__(self, settings: Settings, store: SealedStore, driver: Driver, observer: Observer) -> None:
        self._machine_key = settings.machine_key
        self._timeout = settings.timeout
        self._most = min(settings.max_sessions or MOST_SESSIONS, MOST_SESSIONS)
        self._store = store
        self._gather = driver.gather
        self._queue = driver.queue()
        self._observer = observer
        self._environment: Environment = settings.environment

    async def enter(
        self, principal: str, handle: str, entry: Entry, budget: TimeBudget, *, now: float, until: float
    ) -> None:
        """Writes an entry. A principal that has too many sessions loses the oldest.

        Args:
            principal: whose session.
            handle: of the session.
            entry: of the session.
            budget: of the request.
            now: seconds since the epoch.
            until: when the session has ended at the latest, or is entered again, in seconds since the epoch.

        Raises:
            BackendUnavailable: the store cannot answer.
        """
        index = self._machine_key().index_identities(principal)[0]
        key = index.store_key
        acquired = self._queue.acquire(key) or await self._queue.wait(key, 2 * self._timeout)
        try:
            await self._insert(index, handle, entry, budget, now=now, until=until)
        finally:
            if acquired:
                self._queue.release(key)

    async def _insert(
        self, index: Identity, handle: str, entry: Entry, budget: TimeBudget, *, now: float, until: float
    ) -> None:
        try:
            stored = await self._read(index, budget)
        except (
            BackendUnavailable
        ):  # one node of a ring that is down forbids "there is none"; `add` needs no such answer
            stored = None
        for _ in range(_ATTEMPTS):
            record = self._following(stored, now, until)
            items = await self._with_room({name: item for name, item in record.items.items() if name != handle})
            record = record._replace(items={**items, handle: codec.pack(handle, list(entry))})
            newest = await self._put(index, stored, record, record.refreshed - now, budget)
            if newest is not None and newest.record.includes(record):
                return
            stored = newest
        raise Conflict("too many sessions of one principal begin at once")

    async def listed(self, principal: str) -> list[SessionInfo]:
        """Returns the sessions of a principal that are alive, oldest first.

        Raises:
            BackendUnavailable: the store cannot answer for all of them.
        """
        alive = await self._alive(await self._entries(principal))
        return sorted((_info(handle, entry) for handle, entry in alive.items()), key=lambda info: info.created_at)

    async def revoke(self, handle: str, idle: float) -> bool:
        """Ends the session of a handle. Returns whether there was one.

        Args:
            handle: `Session.id`.
            idle: the farm's idle timeout in seconds.
        """
        candidates = {key: Entry(key, 0.0, idle) for key in self._machine_key().store_keys_of(handle)}
        alive = await self._alive(candidates)
        await self._end(alive.values())
        return bool(alive)

    async def revoke_all(self, principal: str, except_: str | None) -> int:
        """Ends the sessions of a principal, all but one. Returns how many there were."""
        entries = await self._entries(principal)
        alive = await self._alive({handle: entry for handle, entry in entries.items() if handle != except_})
        await self._end(alive.values())
        return len(alive)

    # -- one index

    async def _read(self, index: Identity, budget: TimeBudget) -> StoredRecord | None:
        found = await self._store.read(index, None, budget)
        return found if isinstance(found, StoredRecord) else None

    async def _put(
        self, index: Identity, stored: StoredRecord | None, record: Record, ttl: float, budget: TimeBudget
    ) -> StoredRecord | None:
        if stored is not None:
            return await self._store.swap(index, record, ttl, stored.version, budget)
        version = await self._store.add_if_free(index, record, ttl, budget)
        return await self._read(index, budget) if version is None else StoredRecord(record, version)

    async def _entries(self, principal: str) -> Mapping[str, Entry]:
        """Returns the entries of a principal under all secrets."""
        if not isinstance(principal, str):
            raise TypeError(f"a principal is a str, not {type(principal).__name__}")
        entries: dict[str, Entry] = {}
        for index in self._machine_key().index_identities(principal):
            stored = await self._read(index, self._store.time_budget())
            entries |= _unpacked(stored.record.items) if stored else {}
        return entries

    async def _with_room(self, items: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """Returns so many items that one more has room: without those that have ended, then without the oldest."""
        if len(items) < self._most:
            return items
        alive = await self._alive(_unpacked(items))
        surplus = list(alive)[: max(0, len(alive) - self._most + 1)]
        if surplus:
            self._observer.event("too_many_sessions", "a principal began one session too many: the oldest was ended")
        await self._end([alive[handle] for handle in surplus])
        return {handle: items[handle] for handle in alive if handle not in surplus}

    def _following(self, stored: StoredRecord | None, now: float, until: float) -> Record:
        """Returns the next version of an index; its ``refreshed`` is when the last of its sessions has ended."""
        write_id = self._environment.random_bytes(WRITE_ID_BYTES)
        if stored is None:
            return Record(version=1, created=now, refreshed=until, write_ids=write_id)
        before = stored.record
        write_ids = with_write_id(before.write_ids, write_id, calm=False)
        return before._replace(version=before.version + 1, refreshed=max(until, before.refreshed), write_ids=write_ids)

    # -- their sessions

    async def _alive(self, entries: Mapping[str, Entry]) -> dict[str, Entry]:
        """Returns the sessions that the store has, each with the longest life that a copy may still have."""
        lives = await self._side_by_side(
            [self._store.life_of_key(entry.store_key, self._store.time_budget()) for entry in entries.values()]
        )
        found = zip(entries.items(), lives, strict=True)
        return {
            handle: entry._replace(idle=max(entry.idle, life if life < math.inf else 0.0))
            for (handle, entry), life in found
            if life is not None
        }

    async def _end(self, entries: Collection[Entry]) -> None:
        ends = [self._store.end_key(entry.store_key, entry.idle, self._store.time_budget()) for entry in entries]
        try:
            await self._side_by_side(ends)
        except BackendUnavailable:
            raise LogoutNotConfirmed("the session store did not confirm the end of each session") from None
        self._observer.count("revoked", times=len(ends))

    async def _side_by_side(self, coroutines: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
        """Runs all, a few at a time.

        Raises:
            BackendUnavailable: some failed so; the others were run all the same.
        """
        results: list[T | BackendUnavailable] = []
        for first in range(0, len(coroutines), _AT_A_TIME):
            results += await self._gather([_tried(each) for each in coroutines[first : first + _AT_A_TIME]])
        for result in results:
            if isinstance(result, BackendUnavailable):
                raise result
        return results  # type: ignore[return-value]  # none of them is an error


async def _tried(coroutine: Coroutine[Any, Any, T]) -> "T | BackendUnavailable":
    try:
        return await coroutine
    except BackendUnavailable as error:
        return error


def _unpacked(items: Mapping[str, bytes]) -> dict[str, Entry]:
    return {handle: Entry(*codec.unpack(packed)) for handle, packed in items.items()}


def _info(handle: str, entry: Entry) -> SessionInfo:
    return SessionInfo(handle, datetime.fromtimestamp(entry.created, UTC), entry.user_agent, entry.address)
