"""What a request did to its session becomes verbs of the store and an `Outcome`: the decision table.

Data is written by ``add`` and ``swap`` only, so a request that was running during a logout cannot bring the session
back:

    status      in the store   new ID   asked of the store          outcome
    clean       any            -        nothing                     KEEP
    modified    no             -        add                         SET
    modified    yes            no       swap                        KEEP
    modified    yes            yes      add new, supersede old      SET
    destroyed   yes            -        end                         CLEAR
    destroyed   no             -        nothing                     CLEAR if a token came in

A session of a principal is entered in its index while it is stored. One that was not stored under this principal before
takes its stamp then: there a login is ordered.
"""

import logging
from collections.abc import Awaitable, Mapping
from contextlib import suppress

from sharedsession.backends.base import Version
from sharedsession.concurrency import Driver
from sharedsession.engine.entry import Entry
from sharedsession.engine.principals import PrincipalIndex, Standing, tried
from sharedsession.engine.stamps import Stamps, insist
from sharedsession.errors import BackendUnavailable, Conflict, LogoutNotConfirmed, SessionEnded, SessionError
from sharedsession.http import CLEAR, KEEP, Outcome
from sharedsession.keys import Identity
from sharedsession.observe import Observer
from sharedsession.records import (
    LEEWAY,
    MOST_HANDLES,
    WRITE_ID_BYTES,
    Record,
    SealedStore,
    StoredRecord,
    SupersededNote,
    TimeBudget,
    Timeouts,
)
from sharedsession.session import GRACE, READ_ONLY, Session, SessionState, Unsaved, merge
from sharedsession.settings import Settings

_ATTEMPTS = 1000  # at each round of a conflict some writer wins; the request's time budget mostly ends before


class Committer:
    """Commits sessions of one farm to one store. Its coroutines wait for the store only.

    Args:
        settings: of the farm.
        store: where the records are.
        index: of the principals' sessions.
        stamps: of the principals.
        driver: of the store's colour.
        observer: told what happened.
    """

    def __init__(
        self,
        settings: Settings,
        store: SealedStore,
        index: PrincipalIndex,
        stamps: Stamps,
        driver: Driver,
        observer: Observer,
    ) -> None:
        self._settings = settings
        self._login_keys = settings.regenerate_on
        self._store = store
        self._index = index
        self._stamps = stamps
        self._driver = driver
        self._queue = driver.queue()
        self._observer = observer
        self._clock = settings.environment.clock
        self._monotonic = settings.environment.monotonic
        self._random_bytes = settings.environment.random_bytes

    async def finish(self, session: Session, unsaved: Unsaved) -> None:
        """Commits at the end of a request. The changes of a session that ended meanwhile are dropped; no error.

        Args:
            session: of the request.
            unsaved: what `SessionState.unsaved` returned.

        Raises:
            BackendUnavailable: the store cannot answer and ``on_outage`` is ``"error"``, or the session is written by
                too many requests at the same time.
            Conflict: another request changed the session, and ``conflict`` is ``"raise"``.
        """
        state = session._state
        try:
            if self._is_plain(session, state, unsaved):
                record = state.next_record(session, unsaved, self._clock(), self._random_bytes(WRITE_ID_BYTES))
                await self._replace(session, state, record, state.budget)
            else:
                await self.commit(session, unsaved)
        except SessionEnded:
            self.drop(state, "its session ended while the request was running")
        except Conflict as conflict:
            if self._settings.conflict == "raise":
                raise
            raise BackendUnavailable(str(conflict)) from conflict
        except BackendUnavailable:
            state.unavailable = True
            self._observer.count("unavailable", state.identity, state.owner)
            if self._settings.on_outage == "error":
                raise
            self.drop(state, "the session store is not answering")

    def _is_plain(self, session: Session, state: SessionState, unsaved: Unsaved) -> bool:
        """Returns whether a commit is on the plain path: nothing but data changed, and nobody watches."""
        login_keys = session._login_keys if self._login_keys is None else self._login_keys
        return (
            state.is_at_rest
            and state.waited < self._settings.timeout  # so there is all the time for one operation
            and self._observer.tracer is None
            and (not login_keys or unsaved.changed.keys().isdisjoint(login_keys))
        )

    def commit(self, session: Session, unsaved: Unsaved) -> Awaitable[None]:
        """Looks up the table and does what it tells. Arguments as for `finish`.

        Raises:
            SessionEnded: the session was destroyed, or given a new ID, by another request.
            SessionTooLarge: nothing was sent; the version saved before is untouched.
            TypeError: a value cannot be stored; the message names the key.
        """
        work, tracer = self._commit(session, unsaved), self._observer.tracer
        return work if tracer is None else tracer.trace("commit", work, lambda: _ending(session._state))

    async def _commit(self, session: Session, unsaved: Unsaved | None) -> None:
        state = session._state
        if state.status is READ_ONLY:
            self.drop(state, "the session is read-only in this request")
            return
        state.budget = state.budget or self._store.time_budget(state.waited)
        if state.is_destroyed(session):
            await self._destroy(state, state.budget)
            unsaved = state.unsaved(session)
        if unsaved is not None:
            await self._write(session, state, unsaved, state.budget)

    def renewed(self, state: SessionState) -> Outcome:
        """Returns the outcome that sets a stored session's token once more, so that a cookie with an age lives on."""
        identity = state.identity if state.record is not None and state.status is not READ_ONLY else None
        return self._handed_out(state, identity) if identity else KEEP

    def drop(self, state: SessionState, reason: str) -> None:
        """Saves nothing of a session any more, and logs it."""
        state.dropped = True
        self._observer.event("write_dropped", f"session change was dropped: {reason}")

    # -- the rows of the table

    async def _destroy(self, state: SessionState, budget: TimeBudget) -> None:
        principal, ended = state.owner, state.take_destroyed()
        try:
            for identity in ended:
                await self._store.end(identity, self._idle_of(identity), budget, state.successor)
                self._observer.count("destroyed", identity, principal)
        except BackendUnavailable:
            raise LogoutNotConfirmed("the session store did not confirm the end of the session") from None
        state.outcome = CLEAR if state.had_token else KEEP

    async def _write(self, session: Session, state: SessionState, unsaved: Unsaved, budget: TimeBudget) -> None:
        login_keys = session._login_keys if self._login_keys is None else self._login_keys
        if login_keys and state.record is not None and not unsaved.changed.keys().isdisjoint(login_keys):
            self._follow_login(state)
        record = state.next_record(session, unsaved, self._clock(), self._random_bytes(WRITE_ID_BYTES))
        if state.record is None or state.superseded is not None:
            await self._add(session, state, record, budget)
        else:
            await self._replace(session, state, record, budget)

    def _follow_login(self, state: SessionState) -> None:
        """A library has logged somebody in: the session gets a new ID, and stands under nobody's stamp but theirs.

        Whose session it is, only the application can say, in the same request.
        """
        is_anothers = state.principal is not None and not state.names_principal
        if state.superseded is None and (is_anothers or not state.has_own_id):
            if state.response_started:
                self._observer.event(
                    "login_kept_id",
                    "session keeps its ID and its principal: a key of regenerate_on changed after the response had "
                    "started; log in before the first byte of the response, or before a websocket is accepted",
                )
                return
            state.regenerate(0.0)
        if is_anothers:
            state.set_principal(None, None)
            self._observer.event(
                "principal_dropped",
                "session has no principal from now on: a key of regenerate_on changed in a request that sets none; "
                "set session.principal where you log in",
                logging.INFO,
            )

    async def _add(self, session: Session, state: SessionState, record: Record, budget: TimeBudget) -> None:
        identity = state.identity_for_storing()
        superseded = state.superseded
        try:
            if record.principal is None:
                version = await self._store.add(identity, record, self._ttl_of(state, record), budget)
            else:
                record, version = await self._add_of_principal(state, identity, record, record.principal, budget)
            if superseded is not None:
                await self._supersede(state, superseded, identity, budget)
        except BackendUnavailable:
            state.forget_identity()  # its record may be stored all the same, and then it is taken
            raise
        self._observer.count("created" if superseded is None else "regenerated", identity, record.principal)
        state.settle(session, record, version)
        state.outcome = self._handed_out(state, identity)
        for rival in state.take_rivals():
            await self._store.end(rival, self._idle_of(rival), budget)

    async def _add_of_principal(
        self, state: SessionState, identity: Identity, record: Record, principal: str, budget: TimeBudget
    ) -> tuple[Record, Version]:
        """Stores a principal's session under its stamp, and its entry side by side."""
        handle, standing = identity.handle, await self._index.standing(principal, budget)
        stamp = await self._stamp_of(state, identity, record, standing, budget)
        record = record._replace(stamp=stamp, handles=(*record.handles, handle)[-MOST_HANDLES:])
        add = self._store.add(identity, record, self._ttl_of(state, record), budget)
        enter = self._enter(state, identity, record, principal, budget, standing.listing)
        version, refused = await self._driver.gather([tried(add), tried(enter)])
        for result in (version, refused):
            if isinstance(result, SessionError):
                raise result
        return record, version

    async def _stamp_of(
        self, state: SessionState, identity: Identity, record: Record, standing: Standing, budget: TimeBudget
    ) -> bytes:
        """Returns the value of the stamp that a session stands under from now on.

        A session that goes on under its principal keeps what it was found valid under. A login takes the stamp as it
        is; so does a session that goes from an older secret to a newer one, and asks then whether it is still valid
        under the old one.
        """
        assert identity.stamp is not None  # noqa: S101
        before = state.superseded.stamp if state.superseded and record.stamp else None
        if before is not None and before.store_key == identity.stamp.store_key:
            return record.stamp
        found = await self._stamps.of_login(identity.stamp, standing.stamp, budget)
        if before is None:
            insist(state.ticket, found)
        elif not await self._stamps.admits(before, record, budget):
            raise SessionEnded("all sessions of the principal were ended while this request was running")
        return found.value

    async def _enter(
        self,
        state: SessionState,
        identity: Identity,
        record: Record,
        principal: str,
        budget: TimeBudget,
        listing: StoredRecord | BackendUnavailable | None = None,
    ) -> None:
        """Writes the session into its principal's index."""
        timeouts = self._timeouts(state.idle_timeout)
        agent, address = state.client or (None, None)
        entry = Entry(identity.store_key, record.created, timeouts.idle, record.stamp, agent, address)
        until = min(timeouts.ends_at(record.created), self._clock() + 3 * timeouts.idle + LEEWAY)
        await self._index.enter(principal, identity.handle, entry, budget, until=until, index=listing)

    async def _supersede(self, state: SessionState, old: Identity, new: Identity, budget: TimeBudget) -> None:
        """Ends the old ID; for a few seconds requests that still carry it are told to change nothing.

        Raises:
            SessionEnded: a logout was first; the new session is ended as well.
        """
        note_ttl, idle = state.grace or GRACE, self._idle_of(old)
        until = min(self._clock() + note_ttl, self._timeouts(state.idle_timeout).ends_at(state.created))
        view = state.record if state.grace else None
        note = SupersededNote(successor=new.store_key, until=until, record=view)
        if not await self._store.supersede(old, idle, budget, state.version, note, note_ttl):
            await self._store.end(new, self._idle_of(new), budget)
            raise SessionEnded("the session was destroyed by another request")

    async def _replace(self, session: Session, state: SessionState, ours: Record, budget: TimeBudget | None) -> None:
        """Writes a stored session: the requests of one process one after the other, so that none of a crowd starves.

        Without a budget, the request has waited on plain paths only.
        """
        identity = state.identity_for_storing()
        enters = ours.principal if state.enters else None
        key, attempts = identity.store_key, [ours]
        acquired = self._queue.acquire(key) or await self._queue.wait(key, 2 * self._settings.timeout)
        try:
            ttl = self._ttl_of(state, ours)
            if budget is None:
                begin = self._monotonic()
                version = await self._store.replace(identity, ours, ttl, state.version, self._settings.timeout)
                state.waited += self._monotonic() - begin
            else:
                with budget as timeout:
                    version = await self._store.replace(identity, ours, ttl, state.version, timeout)
            if version is None:
                budget = state.budget = budget or self._store.time_budget(state.waited)
                await self._replace_merged(session, state, identity, ours, budget, attempts)
            else:
                state.settle(session, ours, version)
        except BackendUnavailable:
            state.unconfirmed = attempts, state.mark.steps if state.mark else {}
            raise
        finally:
            if acquired:
                self._queue.release(key)
        if enters is not None and state.record is not None:
            self._enter_later(state, identity, state.record, enters)

    def _enter_later(self, state: SessionState, identity: Identity, record: Record, principal: str) -> None:
        """Renews an entry without keeping the visitor waiting. What fails now is done an idle timeout later."""

        async def enter() -> None:
            with suppress(SessionError):
                await self._enter(state, identity, record, principal, self._store.time_budget())

        self._driver.background(enter)

    async def _replace_merged(
        self,
        session: Session,
        state: SessionState,
        identity: Identity,
        ours: Record,
        budget: TimeBudget,
        attempts: list[Record],
    ) -> None:
        """Merges a refused write with what is stored, and writes that, until no other request comes between."""
        base, record = state.record, ours
        timeouts = self._timeouts(state.idle_timeout)
        stored = await self._store.stored_instead(identity, attempts, budget)
        for _ in range(_ATTEMPTS):
            if stored is None or (stored.record is not record and self._is_over(timeouts, stored.record)):
                raise SessionEnded("the session was destroyed, or given a new ID, by another request")
            if stored.record is record or stored.record.includes_any(attempts):
                state.settle(session, stored.record, stored.version, None if stored.record is ours else ours)
                return
            if state.held_lock is not None:
                await state.held_lock.insist()
            record = self._reconciled(session, state, base, ours, stored.record)
            attempts.append(record)
            ttl = self._ttl_of(state, record)
            stored = await self._store.swap(identity, record, ttl, stored.version, budget, attempts)
        raise Conflict("the session is written by too many requests at once")

    def _reconciled(
        self, session: Session, state: SessionState, base: Record | None, ours: Record, theirs: Record
    ) -> Record:
        """Returns our record merged with what another request stored meanwhile."""
        write_id = self._random_bytes(WRITE_ID_BYTES)
        if base is not None and ours.items == base.items:  # it was only to be written again
            return ours.following(theirs, theirs.items, write_id)
        if base is not None and theirs.is_same_write(base):  # nothing changed, only the backend's version was of no use
            return ours
        done: Mapping[str, int] = {}
        if state.unconfirmed is not None and theirs.includes_any(state.unconfirmed[0]):
            (base, *_), done = state.unconfirmed  # an earlier save of this request, whose answer was lost
        if self._settings.conflict == "raise" and not (base is not None and theirs.is_same_write(base)):
            self._observer.count("conflict", state.identity, ours.principal)
            raise Conflict("another request changed the session while this one was running")
        replays = state.changes.replays(session, done)
        if self._settings.conflict == "overwrite":
            self._observer.count("overwritten", state.identity, ours.principal)
            steps = {key: replay(theirs.items.get(key)) for key, replay in replays.items()}
            return ours.following(theirs, {**ours.items, **steps}, write_id)
        self._observer.count("merged", state.identity, ours.principal)
        assigned = state.changes.assigned(session)
        items = merge(base.items if base else {}, ours.items, theirs.items, assigned, replays)
        return ours.following(theirs, items, write_id)

    # -- times

    def _timeouts(self, idle_timeout: float | None) -> Timeouts:
        timeouts = self._settings.timeouts
        return timeouts if idle_timeout is None else timeouts.with_idle(idle_timeout)

    def _idle_of(self, identity: Identity) -> float:
        return self._timeouts(identity.idle_timeout).idle

    def _is_over(self, timeouts: Timeouts, record: Record) -> bool:
        return timeouts.is_over(record.created, record.refreshed, self._clock())

    def _ttl_of(self, state: SessionState, record: Record) -> float:
        ttl = self._timeouts(state.idle_timeout).time_to_live(record.created, self._clock())
        if ttl <= 0:
            raise SessionEnded("the session reached its absolute end while the request was running")
        return ttl

    def _handed_out(self, state: SessionState, identity: Identity) -> Outcome:
        """Returns the outcome that sets the token of a session that is stored."""
        return Outcome(identity.token, self._max_age(state))

    def _max_age(self, state: SessionState) -> float | None:
        record = state.record
        if record is None or not (self._settings.cookie_persistent if record.persistent is None else record.persistent):
            return None
        return self._settings.timeouts.ends_at(record.created) - self._clock()


def _ending(state: SessionState) -> str:
    """Returns, in one word, what the client is told."""
    outcome = state.outcome
    return "set" if outcome.token else "clear" if outcome.clear else "keep"
