"""What a request did to its session becomes verbs of the store and an `Outcome`: the decision table.

Data is written by ``add`` and ``swap`` only, so a request that was running during a logout cannot bring the session
back:

    status      in the store   new ID   asked of the store     outcome
    clean       any            -        nothing                KEEP
    modified    no             -        add                    SET
    modified    yes            no       swap                   KEEP
    modified    yes            yes      add new, end old       SET
    destroyed   yes            -        end                    CLEAR
    destroyed   no             -        nothing                CLEAR if a token came in
"""

from sharedsession.concurrency.keyed_queue import Turns
from sharedsession.engine.principals import Entry, Index
from sharedsession.errors import BackendUnavailable, Conflict, LogoutNotConfirmed, SessionEnded
from sharedsession.http.outcome import CLEAR, KEEP, Outcome
from sharedsession.keys.machine_key import idle_timeout_of
from sharedsession.observe import Observer
from sharedsession.records.record import Farewell, Record
from sharedsession.records.sealed_store import Allowance, Vault
from sharedsession.records.timeouts import LEEWAY, Timeouts
from sharedsession.session.host import Keeper
from sharedsession.session.mapping import GRACE
from sharedsession.session.merge import merge
from sharedsession.session.state import Kept
from sharedsession.settings.settings import Settings

_ATTEMPTS = 1000  # at each round of a conflict some writer wins; the request's time mostly ends before
_DAY = 86400.0  # seconds


class Committer:
    """Commits sessions of one farm to one vault; its coroutines wait for nothing but the vault.

    Args:
        settings: of the farm.
        vault: where the records are.
        index: of the principals' sessions.
        turns: of those in this process who write one session.
        observer: told what happened.
        keeper: tells the time, and how long a session lives.
    """

    def __init__(
        self, settings: Settings, vault: Vault, index: Index, turns: Turns, *, observer: Observer, keeper: Keeper
    ) -> None:
        self._settings = settings
        self._vault = vault
        self._index = index
        self._turns = turns
        self._observer = observer
        self._keeper = keeper

    async def finish(self, session: Kept) -> Outcome:
        """Commits at the end of a request: one whose session ended meanwhile has its changes dropped, and no error.

        Raises:
            BackendUnavailable: the store cannot answer and ``on_outage`` is ``"error"``.
        """
        try:
            await self.commit(session)
        except SessionEnded:
            self.drop(session, "its session ended while the request was running")
        except BackendUnavailable:
            session.unavailable = True
            self._observer.count("unavailable", session.stored_id, session.owner)
            if self._settings.on_outage == "error":
                raise
            self.drop(session, "the session store is not answering")
        return session.outcome

    async def commit(self, session: Kept) -> None:
        """Looks up the table and does what it says.

        Raises:
            SessionEnded: the session was destroyed, or given a new ID, by another request.
        """
        if session.is_read_only:
            self._refuse_changes(session)
            return
        if session.allowance is None:
            session.allowance = Allowance(self._settings.timeout)
        if session.is_destroyed:
            await self._destroy(session)
        record = session.next_record(self._keeper.clock())
        if record is None:
            return
        if session.record is None or session.left_id:
            await self._add(session, record)
        else:
            await self._replace(session, record)

    def handed_over(self, session: Kept, session_id: str) -> Outcome:
        """The outcome that gives a client the token of a session that is stored."""
        return Outcome(self._settings.machine_key().sign(session_id), self._max_age(session))

    def drop(self, session: Kept, reason: str) -> None:
        """Saves nothing of a session any more, and says so to the log."""
        session.give_up_saving()
        self._observer.event("write_dropped", f"a change was dropped: {reason}")

    def _refuse_changes(self, session: Kept) -> None:
        if session.unavailable and session.is_destroyed:
            raise LogoutNotConfirmed("the session store is not answering: the session may still be alive")
        if session.modified:
            self.drop(session, "the session is read-only in this request")

    async def _destroy(self, session: Kept) -> None:
        principal, session_id = session.owner, session.give_up()
        if session_id:
            try:
                await self._vault.end(session_id, self._idle_of(session_id), session.allowance)
            except BackendUnavailable:
                raise LogoutNotConfirmed("the session store did not confirm the end of the session") from None
            except SessionEnded:  # with the secret that it began under
                pass
            self._observer.count("destroyed", session_id, principal)
        session.outcome = CLEAR if session.had_token else KEEP

    async def _add(self, session: Kept, record: Record) -> None:
        session_id = session.id_for_storing()
        ttl = self._time_to_live(self._keeper.timeouts(session.own_idle_timeout), record)
        if record.principal is not None:
            await self._enter(session, session_id, record.principal)
        version = await self._vault.add(session_id, record, ttl, session.allowance)
        if session.left_id:
            await self._take_leave(session, session.left_id, session_id)
        self._observer.count("regenerated" if session.left_id else "created", session_id, record.principal)
        session.settle(record, version)
        session.outcome = self.handed_over(session, session_id)

    async def _enter(self, session: Kept, session_id: str, principal: str) -> None:
        """Has the session in its principal's index, before anybody can use it."""
        timeouts, now = self._keeper.timeouts(session.own_idle_timeout), self._keeper.clock()
        store_key = self._settings.machine_key().store_key(session_id)
        agent, address = session.client or (None, None)
        entry = Entry(store_key, session.began, timeouts.idle, agent, address)
        until = min(timeouts.ends_at(session.began), now + _DAY + 2 * timeouts.idle + LEEWAY)
        handle = self._keeper.handle(session_id)
        await self._index.enter(principal, handle, entry, session.allowance, now=now, until=until)

    async def _take_leave(self, session: Kept, left_id: str, new_id: str) -> None:
        """Ends the old ID; for a few seconds requests in flight that still carry it are told to change nothing.

        Raises:
            SessionEnded: a logout was first; the new session is ended as well.
        """
        farewell = Farewell(record=session.record if session.grace else None)
        ttl, idle = session.grace or GRACE, self._idle_of(left_id)
        if not await self._vault.leave(left_id, idle, session.allowance, session.version, farewell, ttl):
            await self._vault.end(new_id, self._idle_of(new_id), session.allowance)
            raise SessionEnded("the session was destroyed by another request")

    async def _replace(self, session: Kept, ours: Record) -> None:
        """Writes a stored session: those of one process one after the other, so that none of a crowd starves."""
        session_id = session.id_for_storing()
        if ours.principal is not None and (session.wants_rewrite or _is_another_day(session.record, ours)):
            await self._enter(session, session_id, ours.principal)
        has_turn = self._turns.take(session_id) or await self._turns.wait(session_id, 2 * self._settings.timeout)
        try:
            await self._swap(session, ours)
        finally:
            if has_turn:
                self._turns.leave(session_id)

    async def _swap(self, session: Kept, ours: Record) -> None:
        session_id, base, record, expected = session.id_for_storing(), session.record, ours, session.version
        timeouts = self._keeper.timeouts(session.own_idle_timeout)
        for _ in range(_ATTEMPTS):
            ttl = self._time_to_live(timeouts, record)
            stored = await self._vault.swap(session_id, record, ttl, expected, session.allowance)
            if stored is None or (stored.record is not record and self._is_over(timeouts, stored.record)):
                raise SessionEnded("the session was destroyed, or given a new ID, by another request")
            if stored.record.includes(record):
                session.settle(stored.record, stored.version, merged=stored.record is not ours)
                return
            if session.held_lock is not None:
                await session.held_lock.insist()
            record, expected = self._reconciled(session, base, ours, stored.record), stored.version
        raise Conflict("the session is written by too many requests at once")

    def _reconciled(self, session: Kept, base: Record | None, ours: Record, theirs: Record) -> Record:
        if base is not None and ours.items == base.items:  # it was only to be written again
            return ours.following(theirs, theirs.items)
        if self._settings.conflict == "raise":
            self._observer.count("conflict", session.stored_id, ours.principal)
            raise Conflict("another request changed the session while this one was running")
        replays = session.draft.replays()
        if self._settings.conflict == "overwrite":
            self._observer.count("overwritten", session.stored_id, ours.principal)
            steps = {key: replay(theirs.items.get(key)) for key, replay in replays.items()}
            return ours.following(theirs, {**ours.items, **steps})
        self._observer.count("merged", session.stored_id, ours.principal)
        items = merge(base.items if base else {}, ours.items, theirs.items, session.draft.assigned, replays)
        return ours.following(theirs, items)

    def _idle_of(self, session_id: str) -> float:
        return self._keeper.timeouts(idle_timeout_of(session_id)).idle

    def _is_over(self, timeouts: Timeouts, record: Record) -> bool:
        return timeouts.is_over(record.created, record.refreshed, self._keeper.clock())

    def _time_to_live(self, timeouts: Timeouts, record: Record) -> float:
        ttl = timeouts.time_to_live(record.created, self._keeper.clock())
        if ttl <= 0:
            raise SessionEnded("the session reached its absolute end while the request was running")
        return ttl

    def _max_age(self, session: Kept) -> float | None:
        record = session.record
        if record is None or not (self._settings.cookie_persistent if record.persistent is None else record.persistent):
            return None
        return self._keeper.timeouts(None).ends_at(record.created) - self._keeper.clock()


def _is_another_day(base: Record | None, ours: Record) -> bool:
    """Whether the last write was on another day; so a session that is written all the time is entered once a day."""
    return base is not None and base.refreshed // _DAY != ours.refreshed // _DAY
