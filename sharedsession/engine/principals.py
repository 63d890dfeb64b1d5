"""The sessions of each principal: an index in the store, beside the sessions. It lists them, and nothing more.

An index is a record like a session's, sealed and changed by compare-and-swap, under a name that no token leads to. An
entry is renewed once an idle timeout, so an index that the store forgot is made anew by use. Whether a session is valid
does not depend on it: that is what the principal's stamp says (`stamps`).
"""

import math
from collections.abc import Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple, TypeVar

from sharedsession.concurrency import Driver
from sharedsession.engine.entry import Entry, entries_in
from sharedsession.engine.stamps import Spare, Stamps
from sharedsession.environment import Environment
from sharedsession.errors import BackendUnavailable, Conflict, LogoutNotConfirmed, SessionError
from sharedsession.keys import INDEX, STAMP, Identity
from sharedsession.observe import Observer
from sharedsession.records import (
    NO_RECORD,
    WRITE_ID_BYTES,
    Record,
    SealedStore,
    Stamp,
    StoredRecord,
    TimeBudget,
    codec,
    spared_from,
    with_write_id,
)
from sharedsession.settings import Settings

T = TypeVar("T")

MOST_SESSIONS = 250
"""The most sessions of one principal; one more ends the oldest."""
_ATTEMPTS = 1000  # the request's time budget mostly ends before
_LONGEST_AGENT = 200  # characters of a browser's name
_LONGEST_ADDRESS = 64


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """One session of a principal, seen alive.

    Attributes:
        id: its public handle, as `Session.id`.
        created_at: when it began (UTC).
        user_agent: of the browser at login, at most 200 characters; ``None`` unless ``remember_client`` is set.
        address: of the client at login, likewise.
    """

    id: str
    created_at: datetime
    user_agent: str | None = field(default=None, repr=False)
    address: str | None = field(default=None, repr=False)


class Standing(NamedTuple):
    """What the store has of a principal, under one secret.

    Attributes:
        stamp: as it was read.
        listing: the index, as it was read.
    """

    stamp: StoredRecord | BackendUnavailable | None
    listing: StoredRecord | BackendUnavailable | None


class PrincipalIndex:
    """The indexes of one farm in one store.

    Args:
        settings: of the farm.
        store: where the indexes are.
        stamps: of the principals.
        driver: of the store's colour.
        observer: told what happened.
    """

    def __init__(
        self, settings: Settings, store: SealedStore, stamps: Stamps, driver: Driver, observer: Observer
    ) -> None:
        self._machine_key = settings.machine_key
        self._timeout = settings.timeout
        self._most = min(settings.max_sessions or MOST_SESSIONS, MOST_SESSIONS)
        self._store = store
        self._stamps = stamps
        self._gather = driver.gather
        self._queue = driver.queue()
        self._observer = observer
        self._environment: Environment = settings.environment

    # -- reading and entering

    async def standing(self, principal: str, budget: TimeBudget) -> Standing:
        """Reads the stamp and the index of a principal under the first secret, in one round trip: a login's question.

        Where there is no stamp, the store may have added one. What cannot be told forbids no login.
        """
        stamp, index = self._of(principal)[0]
        try:
            return Standing(*await self._store.read_beside([self._stamps.question(stamp), (index, None, None)], budget))
        except BackendUnavailable as error:
            return Standing(error, error)

    async def enter(
        self,
        principal: str,
        handle: str,
        entry: Entry,
        budget: TimeBudget,
        *,
        until: float,
        index: StoredRecord | BackendUnavailable | None = None,
    ) -> None:
        """Writes an entry. A principal that has too many sessions loses the oldest.

        Args:
            principal: whose session.
            handle: of the session.
            entry: of the session.
            budget: of the request.
            until: when the session has ended at the latest, or is entered again, in seconds since the epoch.
            index: as it was read.

        Raises:
            BackendUnavailable: the store cannot answer.
        """
        identity = self._of(principal)[0][1]
        key = identity.store_key
        acquired = self._queue.acquire(key) or await self._queue.wait(key, 2 * self._timeout)
        try:
            await self._insert(identity, handle, entry, budget, until, index)
        finally:
            if acquired:
                self._queue.release(key)

    async def _insert(
        self,
        identity: Identity,
        handle: str,
        entry: Entry,
        budget: TimeBudget,
        until: float,
        index: StoredRecord | BackendUnavailable | None,
    ) -> None:
        # One node of a ring that is down forbids "there is none"; `add` needs no such answer.
        stored = index if isinstance(index, StoredRecord) else None
        agent, address = entry.user_agent, entry.address
        entry = entry._replace(
            user_agent=agent and agent[:_LONGEST_AGENT], address=address and address[:_LONGEST_ADDRESS]
        )
        for _ in range(_ATTEMPTS):
            record = self._following(stored, until)
            others = {name: item for name, item in record.items.items() if name != handle}
            items = await self._with_room(others, entry.stamp, budget)
            record = record._replace(items={**items, handle: codec.pack(handle, list(entry))})
            newest = await self._put(identity, stored, record, budget)
            if newest is not None and newest.record.includes(record):
                return
            stored = newest
        raise Conflict("too many sessions of one principal begin at once")

    async def _with_room(self, items: Mapping[str, bytes], stamp: bytes, budget: TimeBudget) -> Mapping[str, bytes]:
        """Returns so many items that one more has room: without those that have ended, then without the oldest.

        What loses its entry is ended first: so a login that is under way finds that out when it stores its session.
        """
        if len(items) < self._most:
            return items
        entries = {handle: entry for handle, entry in entries_in(items).items() if entry.stamp == stamp}
        alive = await self._alive(entries, budget)
        surplus = sorted(alive, key=lambda handle: alive[handle].created)[: max(0, len(alive) - self._most + 1)]
        if surplus:
            self._observer.event(
                "too_many_sessions",
                "session limit (max_sessions): a principal began one too many, its oldest was ended",
            )
            await self._end([alive[handle] for handle in surplus], budget)
        return {handle: items[handle] for handle in alive if handle not in surplus}

    # -- the manager's verbs

    async def listed(self, principal: str) -> list[SessionInfo]:
        """Returns the sessions of a principal that are alive, oldest first. What is not known counts as alive.

        Raises:
            BackendUnavailable: the store cannot answer.
        """
        entries: dict[str, Entry] = {}
        standings, budget = await self._standings(principal)
        for _, standing in standings:
            entries |= _valid_entries(standing)
        failures = [
            answer for _, standing in standings for answer in standing if isinstance(answer, BackendUnavailable)
        ]
        if failures and not entries:
            raise failures[0]
        alive = await self._alive(entries, budget)
        return sorted((_info(handle, entry) for handle, entry in alive.items()), key=lambda info: info.created_at)

    async def revoke(self, handle: str, idle: float) -> bool:
        """Ends the session of a handle. Returns whether there was one.

        Args:
            handle: `Session.id`.
            idle: the farm's idle timeout in seconds.
        """
        budget = self._store.time_budget()
        candidates = {key: Entry(key, 0.0, 0.0, b"") for key in self._machine_key().store_keys_of(handle)}
        alive = await self._alive(candidates, budget)
        await self._end([entry._replace(idle=max(idle, entry.idle)) for entry in alive.values()], budget)
        return bool(alive)

    async def revoke_all(self, principal: str, except_: str | None) -> int:
        """Ends the sessions of a principal, all but one. Returns how many were listed and alive.

        Args:
            principal: whose.
            except_: the handle of the one that goes on.

        Raises:
            LogoutNotConfirmed: the store did not confirm it.
        """
        standings, budget = await self._standings(principal)
        spare = partial(_sparing, except_, _own_handles(except_, standings))
        change = self._change(standings, dict.fromkeys(range(len(standings)), spare), budget)
        # Their end is what is asked for, so it need not wait for the stamps.
        changed, ended = await self._gather([tried(change), self._ended(standings, {except_}, budget)])
        if isinstance(changed, SessionError):
            raise changed
        return ended if isinstance(ended, int) else 0

    async def revoke_others(self, principal: str, own: Identity | None, handles: Sequence[str], spare: Spare) -> Stamp:
        """Ends the sessions of a principal, all but the one that asks.

        Args:
            principal: whose.
            own: of the stamp that the session stands under; ``None``: under none yet.
            handles: of the session that asks.
            spare: returns what is spared; raises if the session that asks has ended itself: then nothing is changed.

        Returns:
            The new stamp that the session stands under; that under the first secret if it stands under none yet.

        Raises:
            LogoutNotConfirmed: the store did not confirm it.
        """
        standings, budget = await self._standings(principal)
        at = next((n for n, (of, _) in enumerate(standings) if own is not None and of.store_key == own.store_key), 0)
        found = standings[at][1].stamp
        if isinstance(found, StoredRecord) and found.record is not NO_RECORD:
            spare(Stamp.of(found.record))
        stamps = await self._change(standings, {at: spare}, budget)
        await self._ended(standings, set(handles), budget)
        return stamps[at]

    async def _change(
        self, standings: "Sequence[tuple[Identity, Standing]]", spares: Mapping[int, Spare], budget: TimeBudget
    ) -> list[Stamp]:
        """Changes the stamp under each secret, the oldest first.

        So a session that gets a new ID under a newer secret meanwhile is found out: it asks for its older stamp last.
        """
        stamps: dict[int, Stamp] = {}
        for at, (identity, standing) in reversed(list(enumerate(standings))):
            stamps[at] = await self._stamps.change(identity, standing.stamp, spares.get(at, _sparing_none), budget)
        return [stamps[at] for at in range(len(standings))]

    async def _ended(
        self, standings: "Sequence[tuple[Identity, Standing]]", kept: Collection[str | None], budget: TimeBudget
    ) -> int:
        """Ends the sessions that are listed, as far as the store answers. Returns how many of them were alive.

        If the one that is kept is not listed, it has a new ID that is not stored yet. Then the list does not tell which
        it is, and the end of the others is left to their stamp. So is the end of those that began when it did: these
        are its own IDs, before and after a change that is under way.
        """
        entries: dict[str, Entry] = {}
        for _, standing in standings:
            entries |= _valid_entries(standing)
        try:
            if not all(handle is None or handle in entries for handle in kept):
                return max(0, len(await self._alive(entries, budget)) - 1)
            began = {entries[handle].created for handle in kept if handle is not None}
            ended = await self._end([entry for entry in entries.values() if entry.created not in began], budget)
        except (LogoutNotConfirmed, BackendUnavailable):  # their stamp has ended them
            return 0
        return sum(ended)

    # -- one index

    def _of(self, principal: str) -> list[tuple[Identity, Identity]]:
        """Returns the identities of stamp and index under each secret, newest first."""
        if not isinstance(principal, str):
            raise TypeError(f"a principal is a str, not {type(principal).__name__}")
        key = self._machine_key()
        return list(zip(key.of_principal(principal, STAMP), key.of_principal(principal, INDEX), strict=True))

    async def _standings(self, principal: str) -> tuple[list[tuple[Identity, Standing]], TimeBudget]:
        """Reads stamp and index under each secret, in one round trip. Returns them with the identity of the stamp."""
        pairs, budget = self._of(principal), self._store.time_budget()
        try:
            found = await self._store.read_beside([(each, None, None) for pair in pairs for each in pair], budget)
        except BackendUnavailable as error:
            found = [error] * (2 * len(pairs))
        standings = zip(pairs, found[::2], found[1::2], strict=True)
        return [(stamp, Standing(*answers)) for (stamp, _), *answers in standings], budget

    async def _put(
        self, index: Identity, stored: StoredRecord | None, record: Record, budget: TimeBudget
    ) -> StoredRecord | None:
        ttl = record.refreshed - self._environment.clock()
        if stored is not None:
            return await self._store.swap(index, record, ttl, stored.version, budget)
        version = await self._store.add_if_free(index, record, ttl, budget)
        if version is not None:
            return StoredRecord(record, version)
        (found,) = await self._store.read_beside([(index, None, None)], budget)
        return None if isinstance(found, BackendUnavailable) else found

    def _following(self, stored: StoredRecord | None, until: float) -> Record:
        """Returns the next version of an index; its ``refreshed`` is when the last of its sessions has ended."""
        now, write_id = self._environment.clock(), self._environment.random_bytes(WRITE_ID_BYTES)
        before = stored.record if stored else NO_RECORD
        return Record(
            version=before.next_number(now),
            created=before.created or now,
            refreshed=max(until, before.refreshed),
            items=before.items,
            write_ids=with_write_id(before.write_ids, write_id, calm=False),
        )

    # -- their sessions

    async def _alive(self, entries: Mapping[str, Entry], budget: TimeBudget) -> dict[str, Entry]:
        """Returns the sessions that the store has, each with the longest life that a copy may still have."""
        lives = await self._store.lives_of_keys(
            {entry.store_key: entry.idle or None for entry in entries.values()}, budget
        )
        found = zip(entries.items(), lives, strict=True)
        return {
            handle: entry._replace(idle=max(entry.idle, life if life < math.inf else 0.0))
            for (handle, entry), life in found
            if life is not None
        }

    async def _end(self, entries: Sequence[Entry], budget: TimeBudget) -> list[bool]:
        if not entries:
            return []
        idle = max(entry.idle for entry in entries)
        try:
            ended = await self._store.end_keys([entry.store_key for entry in entries], idle, budget)
        except BackendUnavailable:
            raise LogoutNotConfirmed("the session store did not confirm the end of each session") from None
        self._observer.count("revoked", times=len(ended))
        return ended


def _sparing_none(_stamp: Stamp) -> Mapping[str, bytes]:
    return {}


def _own_handles(handle: str | None, standings: "Sequence[tuple[Identity, Standing]]") -> Collection[str]:
    """Returns the handles of one session: of all its IDs that are listed. They began when it did."""
    if handle is None:
        return ()
    listings = [standing.listing for _, standing in standings]
    entries = [entries_in(listing.record.items) for listing in listings if isinstance(listing, StoredRecord)]
    began = {each[handle].created for each in entries if handle in each}
    return {handle, *(other for each in entries for other, entry in each.items() if entry.created in began)}


def _sparing(handle: str | None, own: Collection[str], stamp: Stamp) -> Mapping[str, bytes]:
    """Returns what spares one session from a change of its stamp: by the value that it stands under.

    That is the stamp's, or an older one: the same session was spared before, maybe under an earlier ID, and has not
    been written since.
    """
    if handle is None:
        return {}
    return {handle: spared_from(*[stamp.spared.get(each, b"") for each in own], stamp.value)}


def _valid_entries(standing: Standing) -> dict[str, Entry]:
    """Returns the entries whose sessions stand under the stamp as it is, or are spared from its last change.

    Under a stamp that is not known they count.
    """
    if not isinstance(standing.listing, StoredRecord):
        return {}
    entries = entries_in(standing.listing.record.items)
    if isinstance(standing.stamp, BackendUnavailable):
        return entries
    if standing.stamp is None or standing.stamp.record is NO_RECORD:
        return {}
    stamp = Stamp.of(standing.stamp.record)
    return {
        handle: entry
        for handle, entry in entries.items()
        if entry.stamp == stamp.value or stamp.spares(handle, entry.stamp)
    }


async def tried(coroutine: Coroutine[Any, Any, T]) -> "T | SessionError":
    """Returns what a coroutine returns, or the error that it raises: what runs side by side must not raise."""
    try:
        return await coroutine
    except SessionError as error:
        return error


def _info(handle: str, entry: Entry) -> SessionInfo:
    return SessionInfo(handle, datetime.fromtimestamp(entry.created, UTC), entry.user_agent, entry.address)
