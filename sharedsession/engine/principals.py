"""Whose sessions there are: the index of a principal's sessions, kept in the store beside them.

An index is a record like a session's, sealed and changed by compare-and-swap, under an ID that no token leads to. An
entry is written before its session is, so each session that anybody can use stands in it, and again once an idle
timeout, so an index that a store forgot is made anew by use. What is listed was seen alive.
"""

import math
from collections.abc import Awaitable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol, TypeVar

from sharedsession.concurrency.keyed_queue import Turns
from sharedsession.errors import BackendUnavailable, Conflict, LogoutNotConfirmed
from sharedsession.observe import Observer
from sharedsession.records import codec
from sharedsession.records.record import Record, marked, new_mark
from sharedsession.records.sealed_store import Allowance, Held, Vault
from sharedsession.settings.settings import Settings

T = TypeVar("T")

MOST_SESSIONS = 250
"""How many sessions of one principal can be told apart; one more ends the oldest."""
_ATTEMPTS = 1000  # the request's time mostly ends before
_AT_A_TIME = 16


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
    """What an index says of one session.

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


class Gather(Protocol):
    """Runs coroutines that never raise side by side."""

    def __call__(self, coroutines: Sequence[Coroutine[Any, Any, T]]) -> Awaitable[list[T]]:
        """Their results, in order."""
        ...


class Index:
    """The indexes of one farm in one vault.

    Args:
        settings: of the farm.
        vault: where they are.
        gather: of the colour of the vault.
        turns: of those in this process who change one index.
        observer: told what happened.
    """

    def __init__(self, settings: Settings, vault: Vault, gather: Gather, turns: Turns, observer: Observer) -> None:
        self._machine_key = settings.machine_key
        self._timeout = settings.timeout
        self._most = min(settings.max_sessions or MOST_SESSIONS, MOST_SESSIONS)
        self._vault = vault
        self._gather = gather
        self._turns = turns
        self._observer = observer

    async def enter(
        self, principal: str, handle: str, entry: Entry, allowance: Allowance, *, now: float, until: float
    ) -> None:
        """Writes an entry; a principal who has too many sessions loses the oldest.

        Args:
            principal: whose session.
            handle: of the session.
            entry: about it.
            allowance: of the request.
            now: seconds since the epoch.
            until: when the session has ended at the latest, or is entered again.

        Raises:
            BackendUnavailable: the store cannot answer.
        """
        index_id = self._machine_key().index_ids(principal)[0]
        has_turn = self._turns.take(index_id) or await self._turns.wait(index_id, 2 * self._timeout)
        try:
            await self._insert(index_id, handle, entry, allowance, now=now, until=until)
        finally:
            if has_turn:
                self._turns.leave(index_id)

    async def _insert(
        self, index_id: str, handle: str, entry: Entry, allowance: Allowance, *, now: float, until: float
    ) -> None:
        try:
            held = await self._read(index_id, allowance)
        except BackendUnavailable:  # a node of a ring that is away forbids "there is none"; `add` can do without it
            held = None
        for _ in range(_ATTEMPTS):
            record = _following(held, now, until)
            items = await self._with_room({name: item for name, item in record.items.items() if name != handle})
            record = record._replace(items={**items, handle: codec.pack(handle, list(entry))})
            stored = await self._put(index_id, held, record, record.refreshed - now, allowance)
            if stored is not None and stored.record.includes(record):
                return
            held = stored
        raise Conflict("too many sessions of one principal begin at once")

    async def listed(self, principal: str) -> list[SessionInfo]:
        """The sessions of a principal that are alive, oldest first.

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

    async def _read(self, index_id: str, allowance: Allowance) -> Held | None:
        found = await self._vault.read(index_id, None, allowance)
        return found if isinstance(found, Held) else None

    async def _put(
        self, index_id: str, held: Held | None, record: Record, ttl: float, allowance: Allowance
    ) -> Held | None:
        if held is not None:
            return await self._vault.swap(index_id, record, ttl, held.version, allowance)
        version = await self._vault.add_if_free(index_id, record, ttl, allowance)
        return await self._read(index_id, allowance) if version is None else Held(record, version)

    async def _entries(self, principal: str) -> Mapping[str, Entry]:
        """What the indexes under all secrets say."""
        if not isinstance(principal, str):
            raise TypeError(f"a principal is a str, not {type(principal).__name__}")
        entries: dict[str, Entry] = {}
        for index_id in self._machine_key().index_ids(principal):
            held = await self._read(index_id, Allowance(self._timeout))
            entries |= _unpacked(held.record.items) if held else {}
        return entries

    async def _with_room(self, items: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """The items, so few that one more has room: without those that have ended, then without the oldest."""
        if len(items) < self._most:
            return items
        alive = await self._alive(_unpacked(items))
        surplus = list(alive)[: max(0, len(alive) - self._most + 1)]
        if surplus:
            self._observer.event("too_many_sessions", "a principal began one session too many: the oldest was ended")
        await self._end([alive[handle] for handle in surplus])
        return {handle: items[handle] for handle in alive if handle not in surplus}

    # -- their sessions

    async def _alive(self, entries: Mapping[str, Entry]) -> dict[str, Entry]:
        """Those that the store has; each with the longest life that a copy of it may still have."""
        lives = await self._side_by_side(
            [self._vault.life_of_key(entry.store_key, Allowance(self._timeout)) for entry in entries.values()]
        )
        found = zip(entries.items(), lives, strict=True)
        return {
            handle: entry._replace(idle=max(entry.idle, life if life < math.inf else 0.0))
            for (handle, entry), life in found
            if life is not None
        }

    async def _end(self, entries: Collection[Entry]) -> None:
        ends = [self._vault.end_key(entry.store_key, entry.idle, Allowance(self._timeout)) for entry in entries]
        try:
            await self._side_by_side(ends)
        except BackendUnavailable:
            raise LogoutNotConfirmed("the session store did not confirm the end of each session") from None
        self._observer.count("revoked", times=len(ends))

    async def _side_by_side(self, coroutines: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
        """Carries out all, a few at a time.

        Raises:
            BackendUnavailable: some could not be; the others were all the same.
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


def _following(held: Held | None, now: float, until: float) -> Record:
    """The next version of an index; its ``refreshed`` is when the last of its sessions has ended."""
    if held is None:
        return Record(version=1, created=now, refreshed=until, marks=new_mark())
    before = held.record
    marks = marked(before.marks, new_mark(), calm=False)
    return before._replace(version=before.version + 1, refreshed=max(until, before.refreshed), marks=marks)


def _unpacked(items: Mapping[str, bytes]) -> dict[str, Entry]:
    return {handle: Entry(*codec.unpack(packed)) for handle, packed in items.items()}


def _info(handle: str, entry: Entry) -> SessionInfo:
    return SessionInfo(handle, datetime.fromtimestamp(entry.created, UTC), entry.user_agent, entry.address)
