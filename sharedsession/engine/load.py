"""What the store has becomes the state of a session: the loading half of the engine.

Most requests take the plain path: they carry one token, nobody watches, and the record opens and is a session. Then a
load is one coroutine, which waits once. Whatever is different takes the general path, with the answer that is there.
"""

from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from sharedsession.concurrency import Driver, Step
from sharedsession.engine.renewal import Renewal
from sharedsession.errors import BackendUnavailable, FarmDisagrees
from sharedsession.farm import Monitor
from sharedsession.keys import Identity
from sharedsession.observe import Observer
from sharedsession.records import (
    LEEWAY,
    NO_RECORD,
    NOT_ASKED,
    Asked,
    Record,
    SealedStore,
    Stamp,
    StoredRecord,
    SupersededNote,
    TimeBudget,
    Timeouts,
)
from sharedsession.session import READ_ONLY, UNLOADED, Session, SessionState
from sharedsession.settings import Settings

_LONGEST_STEP = 100  # times the timeout: a step of a session waits for the one before, whatever it waits for


class Loader:
    """Loads sessions of one farm from one store. Its coroutines wait for the store, and for other tasks of a request.

    Args:
        settings: of the farm.
        store: where the records are.
        monitor: compares this web node with the others.
        driver: of the store's colour.
        observer: told what happened.

    Attributes:
        renewal: renews the sessions of requests that take long.
    """

    def __init__(
        self, settings: Settings, store: SealedStore, monitor: Monitor, driver: Driver, observer: Observer
    ) -> None:
        self._settings = settings
        self._store = store
        self._timeout = settings.timeout
        self._timeouts = settings.timeouts
        self._monitor = monitor
        self._observer = observer
        self._clock = settings.environment.clock
        self._monotonic = settings.environment.monotonic
        self._steps = driver.queue()
        self.renewal = Renewal(self._renew, driver, self._monotonic)

    async def load(self, session: Session, state: SessionState) -> None:
        """Loads a session with an identity, unless another task or thread of its request was first.

        Raises:
            BackendUnavailable: the store cannot answer and ``on_outage`` is ``"error"``.
        """
        key = id(state)
        if not self._steps.acquire(key):
            await self._wait_for_step(key)
        try:
            if state.status is not UNLOADED:
                return
            identity = state.identity
            if identity is None or not self._is_plain(state):
                await self._load(session, state)
                return
            timeouts, begin = self.timeouts_of(identity), self._monotonic()
            try:
                asked = await self._store.ask(identity, timeouts.idle, begin, self._timeout)
            except BackendUnavailable:
                state.waited += self._monotonic() - begin
                self._store.forget_renewal(identity)
                self._out_of_reach(session, state)
                return
            state.waited = self._monotonic() - begin
            found = self._store.opened(identity, asked)
            if found is None:
                await self._load(session, state, asked)
            else:
                self._monitor.start()
                self._begin(session, state, identity, found, timeouts)
        finally:
            self._steps.release(key)

    def _is_plain(self, state: SessionState) -> bool:
        """Returns whether a load is on the plain path: one token, all the time, and nobody who is asked or told."""
        return not (state.rivals or state.waited or self._observer.tracer is not None or self._monitor.may_refuse)

    async def load_now(self, session: Session) -> None:
        """Same as `load`, inside of a step, with a time budget of its own, whatever was loaded."""
        state = session._state
        state.budget, state.waited = None, 0.0
        if state.identity is None:
            state.begin(session, None)
        else:
            await self._load(session, state)

    async def one_at_a_time(self, state: SessionState, step: Step[None]) -> None:
        """Does one step of a session after the other; one that fails hands over to the next."""
        key = id(state)
        if not self._steps.acquire(key):
            await self._wait_for_step(key)
        try:
            await step()
        finally:
            self._steps.release(key)

    async def _wait_for_step(self, key: int) -> None:
        if not await self._steps.wait(key, _LONGEST_STEP * self._timeout):
            raise BackendUnavailable("another task or thread of this request is at work with the session")

    # -- the general path

    def _load(self, session: Session, state: SessionState, asked: Asked = NOT_ASKED) -> Coroutine[Any, Any, None]:
        """Loads a session in whatever state it and the store are; ``asked`` is the store's answer, if it is there."""
        work, tracer = self._read(session, state, asked), self._observer.tracer
        return work if tracer is None else tracer.trace("load", work, lambda: _ending(state))

    async def _read(self, session: Session, state: SessionState, asked: Asked) -> None:
        if self._monitor.may_refuse:
            await self.insist(state)
        budget = state.budget = state.budget or self._store.time_budget(state.waited)
        try:
            if state.rivals:
                await self._choose(state, budget)
            identity = state.identity
            if identity is None:
                state.begin(session, None)
                return
            timeouts = self.timeouts_of(identity)
            found = await self._store.read(identity, timeouts.idle, budget, asked)
            if isinstance(found, SupersededNote) and not await self._is_shown(found, identity, budget):
                state.withheld, found = True, None  # a logout by this ID ends the session all the same
        except BackendUnavailable:
            self._out_of_reach(session, state)
        else:
            self._monitor.start()
            self._begin(session, state, identity, found, timeouts)

    async def _choose(self, state: SessionState, budget: TimeBudget) -> None:
        """Finds out which of several identities counts: the one that is alive, if it is one."""
        found = list(zip(state.rivals, await self._store.read_rivals(state.rivals, budget), strict=True))
        alive = [one for one, held in found if isinstance(held, StoredRecord) and self.is_valid(one, held)]
        if len(alive) > 1:
            self._observer.event(
                "two_tokens",
                "session tokens: a request carries those of two living sessions (planted cookies?): anonymous",
            )
        alive = alive or [one for one, held in found if isinstance(held, SupersededNote)]
        state.choose(alive[0] if len(alive) == 1 else None)

    async def _is_shown(self, note: SupersededNote, identity: Identity, budget: TimeBudget) -> bool:
        """Returns whether a superseded ID still shows anything: while the session lives on under the new one."""
        if self._clock() > note.until + LEEWAY:
            return False
        if not note.successor:  # the note does not open, but it was left by a supersession
            return True
        (life,) = await self._store.lives_of_keys({note.successor: None}, budget)
        return life is not None and (note.record is None or await self._is_view_valid(note.record, identity, budget))

    async def _is_view_valid(self, view: Record, identity: Identity, budget: TimeBudget) -> bool:
        stamp: StoredRecord | BackendUnavailable | None = None
        if identity.stamp is not None:
            (stamp,) = await self._store.read_beside([(identity.stamp, None, None)], budget)
        if isinstance(stamp, BackendUnavailable):
            raise stamp
        beside = Stamp.of(stamp.record) if stamp is not None and stamp.record is not NO_RECORD else None
        return self.is_valid(identity, StoredRecord(view, None, beside))

    def is_valid(self, identity: Identity, found: StoredRecord) -> bool:
        """Returns whether a record is a session: neither of its clocks is over, and it stands under its stamp."""
        return self._is_valid_at(self._clock(), identity, found, self.timeouts_of(identity))

    @staticmethod
    def _is_valid_at(now: float, identity: Identity, found: StoredRecord, timeouts: Timeouts) -> bool:
        record = found.record
        if record is NO_RECORD or timeouts.is_over(record.created, record.refreshed, now):
            return False
        if identity.stamp is None:
            return record.principal is None
        return found.stamp is not None and found.stamp.admits(record)

    def _begin(
        self,
        session: Session,
        state: SessionState,
        identity: Identity,
        found: StoredRecord | SupersededNote | None,
        timeouts: Timeouts,
    ) -> None:
        if isinstance(found, SupersededNote):
            state.begin(session, found.record, read_only=True)
            state.successor = found.successor
            return
        if found is None:
            state.begin(session, None)
            return
        record, now = found.record, self._clock()
        if self._is_valid_at(now, identity, found, timeouts):
            state.begin(session, record, found.version)
            state.must_rewrite = timeouts.wants_rewrite(record.refreshed, now)
            if found.stamp is not None:
                state.stand_under(found.stamp.value)
                state.enters = now - record.entered > timeouts.idle
            self.renewal.add(state, timeouts.idle)
            return
        state.withheld = True
        if identity.stamp is not None and found.stamp is None and record is not NO_RECORD:
            self._observer.event(
                "stamp_lost",
                "session store has forgotten the security stamp of a principal: its sessions have ended, and it may "
                "log in again; give the store more memory if this goes on",
            )
        elif record is not NO_RECORD:
            self._observer.count("expired", identity, record.principal)
        state.begin(session, None)

    def timeouts_of(self, identity: Identity) -> Timeouts:
        """Returns the timeouts of a session: the farm's, with its own idle timeout if it has one."""
        idle = identity.idle_timeout
        return self._timeouts if idle is None else self._timeouts.with_idle(idle)

    async def _renew(self, state: SessionState, idle: float) -> None:
        """Renews the session of a request that takes long, if the store answers."""
        identity = state.identity
        if identity is not None:
            with suppress(BackendUnavailable):
                await self._store.renew(identity, idle, self._store.time_budget())

    def _out_of_reach(self, session: Session, state: SessionState) -> None:
        """Handles an outage. It tells nothing about the session: its cookie stays, and nothing replaces it."""
        state.unavailable = True
        self._observer.count("unavailable", state.identity)
        if self._settings.on_outage == "error":
            raise BackendUnavailable("the session store is not answering")
        state.begin(session, None, read_only=True)

    async def insist(self, state: SessionState) -> None:
        """Checks that this web node may serve sessions; see `Monitor.insist`."""
        try:
            await self._monitor.insist()
        except FarmDisagrees:
            state.unavailable = True
            raise


def _ending(state: SessionState) -> str:
    """Returns, in one word, what was found."""
    if state.unavailable:
        return "unavailable"
    if state.status is READ_ONLY:
        return "superseded"
    return "none" if state.record is None else "found"
