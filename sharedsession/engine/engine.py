"""The engine of one colour: tokens become a `Session`; a `Session` becomes verbs of the store and an `Outcome`.

It knows nothing of HTTP, of clients and of how records are sealed. What must wait is written once, as ``async def``;
the driver runs it in the application's colour. What a commit does is in `commit`.
"""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from sharedsession.backends.base import AsyncBackend
from sharedsession.concurrency import DONE, Driver
from sharedsession.engine.commit import Committer
from sharedsession.engine.lock import LockStore, SessionLock
from sharedsession.engine.principals import PrincipalIndex
from sharedsession.engine.renewal import Renewal
from sharedsession.engine.websocket_watch import WebsocketWatch
from sharedsession.errors import BackendUnavailable, FarmDisagrees
from sharedsession.farm import Monitor, ThisNode
from sharedsession.http import Outcome
from sharedsession.keys import ID_BYTES, Identity
from sharedsession.observe import Observer
from sharedsession.records import SealedStore, StoredRecord, SupersededNote, Timeouts
from sharedsession.session import READ_ONLY, UNLOADED, Session, SessionState, Tokens, Unsaved
from sharedsession.settings import Settings

S = TypeVar("S", bound=Session)


class Engine:
    """Opens, loads and commits the sessions of one farm, for applications of one colour.

    Args:
        settings: of the farm.
        store: the verbs of the backend, of the driver's colour.
        driver: of the application's colour.
        observer: told what happened.
        this_node: this web node, shared by both colours.

    Attributes:
        settings: as given.
        driver: as given.
        blocking: whether the application blocks.
        observer: as given.
        index: of the principals' sessions.
        monitor: compares this web node with the others.
        clock: returns the time in seconds since the epoch.
    """

    def __init__(
        self, settings: Settings, store: AsyncBackend, driver: Driver, observer: Observer, this_node: ThisNode
    ) -> None:
        self.settings = settings
        self.driver = driver
        self.blocking = driver.blocking
        self.observer = observer
        self.clock = settings.environment.clock
        self._random_bytes = settings.environment.random_bytes
        self._timeouts = settings.timeouts
        self._store = SealedStore(
            store,
            timeout=settings.timeout,
            encrypt=settings.encrypt,
            max_size=settings.max_size,
            compress_above=settings.compress_above,
            observer=observer,
            environment=settings.environment,
        )
        self.index = PrincipalIndex(settings, self._store, driver, observer)
        self.monitor = Monitor(settings, store, driver, observer, this_node)
        self._locks = LockStore(settings, self._store, driver, observer)
        self._renewal = Renewal(self._renew, driver, settings.environment.monotonic)
        self._committer = Committer(settings, self._store, self.index, driver, observer)

    # -- open

    def open(self, kind: Callable[[SessionState], S], tokens: Tokens) -> S:
        """Turns what a request carries into a session. Nothing is verified and the store is not asked yet.

        Args:
            kind: `Session`, or what a framework makes of it.
            tokens: what could be tokens, in the order of the request; or a function that finds it, which is called
                when the session is first looked at.
        """
        return kind(SessionState(self, tokens, self.clock()))

    def verified(self, tokens: Sequence[bytes]) -> Identity | None:
        """Returns the identity in what a request carries; ``None`` if nothing in it is genuine."""
        machine_key = self.settings.machine_key()
        genuine = {found.session_id: found for token in tokens if (found := machine_key.verify(token))}
        if len(genuine) == 1:
            return genuine.popitem()[1]
        if genuine:
            self.observer.event(
                "two_tokens", "a request carries two different genuine tokens (planted cookies?): anonymous"
            )
        elif any(tokens):
            self.observer.event("forged", "a token is signed by none of this node's secrets: anonymous")
        return None

    def new_identity(self, idle_timeout: float | None) -> Identity:
        """Makes the identity of a new session."""
        return self.settings.machine_key().new_identity(self._random_bytes(ID_BYTES), idle_timeout)

    def timeouts(self, idle_timeout: float | None) -> Timeouts:
        """Returns the farm's timeouts, with the session's own idle timeout in seconds if it has one."""
        return self._timeouts if idle_timeout is None else self._timeouts.with_idle(idle_timeout)

    # -- load

    def load(self, session: Session) -> Awaitable[None]:
        """Asks the store for a session: before it returns where the application blocks, else when awaited.

        Raises:
            BackendUnavailable: the store cannot answer and ``on_outage`` is ``"error"``.
        """
        state = session._state
        identity = state.identity
        if identity is None:
            state.begin(session, None)
            return DONE
        if state.status is not UNLOADED:
            state.budget = None  # a look of its own, with time of its own
        return self.driver.run(lambda: self._load(session, state, identity))

    async def load_now(self, session: Session) -> None:
        """Same as `load`, inside of a step."""
        state = session._state
        state.budget = None
        identity = state.identity
        if identity is None:
            state.begin(session, None)
        else:
            await self._load(session, state, identity)

    def _load(self, session: Session, state: SessionState, identity: Identity) -> Coroutine[Any, Any, None]:
        work, tracer = self._read(session, state, identity), self.observer.tracer
        return work if tracer is None else tracer.trace("load", work, lambda: _ending(state))

    async def _read(self, session: Session, state: SessionState, identity: Identity) -> None:
        if self.monitor.may_refuse:
            await self._insist(state)
        if state.budget is None:
            state.budget = self._store.time_budget()
        try:
            timeouts = self.timeouts(identity.idle_timeout)
            found = await self._store.read(identity, timeouts.idle, state.budget)
        except BackendUnavailable:
            self._out_of_reach(session, state)
        else:
            self.monitor.start()
            self._begin(session, state, identity, found, timeouts)

    def _begin(
        self,
        session: Session,
        state: SessionState,
        identity: Identity,
        found: StoredRecord | SupersededNote | None,
        timeouts: Timeouts,
    ) -> None:
        if isinstance(found, StoredRecord):
            record, now = found.record, self.clock()
            if not timeouts.is_over(record.created, record.refreshed, now):
                state.begin(session, record, found.version)
                state.must_rewrite = timeouts.wants_rewrite(record.refreshed, now)
                self._renewal.add(state, timeouts.idle)
                return
            self.observer.count("expired", identity, record.principal)
        if isinstance(found, SupersededNote):
            state.begin(session, found.record, read_only=True)
        else:
            state.begin(session, None)

    async def _renew(self, state: SessionState, idle: float) -> None:
        """Renews the session of a request that takes long, if the store answers."""
        identity = state.identity
        if identity is not None:
            with suppress(BackendUnavailable):
                await self._store.renew(identity, idle, self._store.time_budget())

    def _out_of_reach(self, session: Session, state: SessionState) -> None:
        """Handles an outage. It tells nothing about the session: its cookie stays, and nothing replaces it."""
        state.unavailable = True
        self.observer.count("unavailable", state.identity)
        if self.settings.on_outage == "error":
            raise BackendUnavailable("the session store is not answering")
        state.begin(session, None, read_only=True)

    async def _insist(self, state: SessionState) -> None:
        try:
            await self.monitor.insist()
        except FarmDisagrees:
            state.unavailable = True
            raise

    # -- commit

    def save(self, session: Session) -> Awaitable[None]:
        """Commits in the middle of a request; unlike `finish` it raises if the session ended meanwhile.

        Raises:
            SessionEnded: the session was destroyed, or given a new ID, by another request.
        """
        return self.driver.run(lambda: self.commit_now(session))

    async def commit_now(self, session: Session) -> None:
        """Same as `save`, inside of a step."""
        session._state.budget = None
        unsaved = session._state.unsaved(session)
        if unsaved is not None:
            await self._committed(session, unsaved, self._committer.commit)

    def finish(self, session: Session) -> Awaitable[None]:
        """Commits at the end of a request; afterwards `SessionState.outcome` is what the client must be told.

        Raises:
            SessionTooLarge: nothing was sent; the version saved before is untouched.
            TypeError: a value cannot be stored; the message names the key.
            Conflict: another request changed the session, and ``conflict`` is ``"raise"``.
            BackendUnavailable: the store cannot answer and ``on_outage`` is ``"error"``.
            LogoutNotConfirmed: the store did not confirm the end of the session.
        """
        state = session._state
        self._renewal.remove(state)
        unsaved = state.unsaved(session)
        if unsaved is None:
            return DONE
        return self.driver.run(lambda: self._committed(session, unsaved, self._committer.finish))

    def drop(self, session: Session, reason: str) -> None:
        """Saves nothing of a session any more, and logs it."""
        self._committer.drop(session._state, reason)

    async def _committed(
        self, session: Session, unsaved: Unsaved, commit: Callable[[Session, Unsaved], Awaitable[None]]
    ) -> None:
        state = session._state
        if self.monitor.may_refuse:
            await self._insist(state)
        await commit(session, unsaved)
        if not state.unavailable:
            self.monitor.start()

    def renewed(self, session: Session) -> Outcome:
        """Returns the outcome that sets a stored session's token once more, so that a cookie with an age lives on."""
        return self._committer.renewed(session._state)

    # -- the rest of a request

    def must_refuse(self, session: Session) -> bool:
        """Returns whether an application's answer of status 500 must give way to 503.

        A framework turns our error of an outage into its own 500. The visitor gets the 503 that it stands for.
        """
        return session._state.unavailable and self.settings.on_outage == "error"

    def lock(self, session: S, timeout: float, lease: float) -> SessionLock[S]:
        """Returns the lock of a session, not entered yet; see `Session.lock`."""
        return SessionLock(session, self, self._locks, timeout, lease)

    def watch(self, session: Session, on_end: Callable[[], Awaitable[None]]) -> WebsocketWatch:
        """Looks after the session of a websocket every ``websocket_check`` seconds, until it is stopped."""
        state = session._state

        async def is_alive(renew: bool) -> bool:
            identity = state.identity if state.accessed and state.record else None
            if identity is None:
                return True
            if not identity.is_of(self.settings.machine_key().keys):
                return False  # the secret that it began under was taken away
            idle = self.timeouts(identity.idle_timeout).idle if renew else None
            return await self.driver.run(lambda: self._store.is_alive(identity, idle, self._store.time_budget()))

        watch = WebsocketWatch(is_alive, on_end)
        if self.settings.websocket_check is not None:
            watch.start(self.settings.websocket_check)
        return watch

    async def is_ready(self) -> bool:
        """Returns whether the store answers, and this web node may serve; inside of a step."""
        return await self._store.answers(self._store.time_budget()) and await self.monitor.may_serve()


def _ending(state: SessionState) -> str:
    """Returns, in one word, what was found."""
    if state.unavailable:
        return "unavailable"
    if state.status is READ_ONLY:
        return "superseded"
    return "none" if state.record is None else "found"
