"""The engine of one colour: tokens become a `Session`; a `Session` becomes verbs of the store and an `Outcome`.

It knows nothing of HTTP, of clients and of how records are sealed. What must wait is written once, as ``async def``;
the driver runs it in the application's colour. What a commit does is in `commit`.
"""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from sharedsession.backends.base import AsyncBackend
from sharedsession.concurrency import DONE, Driver, Step, check_event_loop
from sharedsession.engine.commit import Committer
from sharedsession.engine.load import Loader
from sharedsession.engine.lock import LockStore, SessionLock
from sharedsession.engine.principals import PrincipalIndex
from sharedsession.engine.stamps import Stamps
from sharedsession.engine.websocket_watch import WebsocketWatch
from sharedsession.errors import SessionEnded, SessionError
from sharedsession.farm import Monitor, ThisNode
from sharedsession.http import Outcome
from sharedsession.keys import RANDOM_BYTES, Identity
from sharedsession.observe import Observer
from sharedsession.records import (
    SealedStore,
    Stamp,
    StoredRecord,
    Timeouts,
    life_of_stamps,
    spared_from,
)
from sharedsession.session import UNLOADED, Session, SessionState, Tokens, Unsaved
from sharedsession.settings import Settings

S = TypeVar("S", bound=Session)

_MOST_RIVALS = 8  # genuine tokens of one request that are looked up


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
        stamps: of the principals.
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
            stamp_renewal=life_of_stamps(settings.timeouts) if settings.timeouts.absolute is None else None,
        )
        self.stamps = Stamps(settings, self._store, driver)
        self.index = PrincipalIndex(settings, self._store, self.stamps, driver, observer)
        self.monitor = Monitor(settings, store, driver, observer, this_node)
        self._locks = LockStore(settings, self._store, driver, observer)
        self._loader = Loader(settings, self._store, self.monitor, driver, observer)
        self._renewal = self._loader.renewal
        self._committer = Committer(settings, self._store, self.index, self.stamps, driver, observer)

    # -- open

    def open(self, kind: Callable[[SessionState], S], tokens: Tokens) -> S:
        """Turns what a request carries into a session. Nothing is verified and the store is not asked yet.

        Args:
            kind: `Session`, or what a framework makes of it.
            tokens: what could be tokens, in the order of the request; or a function that finds it, which is called
                when the session is first looked at.
        """
        return kind(SessionState(self, tokens, self.clock()))

    def verified(self, tokens: Sequence[bytes]) -> Sequence[Identity]:
        """Returns the identities in what a request carries; empty if nothing in it is genuine, or if there are many."""
        machine_key = self.settings.machine_key()
        if len(tokens) == 1 and (found := machine_key.verify(tokens[0])):
            return (found,)
        genuine = {found.name: found for token in tokens if (found := machine_key.verify(token))}
        if len(genuine) > _MOST_RIVALS:
            self.observer.event(
                "two_tokens",
                f"session tokens: more than {_MOST_RIVALS} genuine ones in a request (planted cookies?): anonymous",
            )
            return ()
        if not genuine and any(tokens):
            self.observer.event("forged", "session token is signed by none of this web node's secrets: anonymous")
        return tuple(genuine.values())

    def new_identity(self, idle_timeout: float | None, principal: str | None) -> Identity:
        """Makes the identity of a new session."""
        return self.settings.machine_key().new_identity(self._random_bytes(RANDOM_BYTES), idle_timeout, principal)

    def timeouts(self, idle_timeout: float | None) -> Timeouts:
        """Returns the farm's timeouts, with the session's own idle timeout in seconds if it has one."""
        return self._timeouts if idle_timeout is None else self._timeouts.with_idle(idle_timeout)

    # -- load

    def load(self, session: Session) -> Awaitable[None]:
        """Asks the store for a session: before it returns where the application blocks, else when awaited.

        Tasks and threads of one request that look at the same time share one question.

        Raises:
            BackendUnavailable: the store cannot answer and ``on_outage`` is ``"error"``.
        """
        state = session._state
        if state.identity is None:
            state.begin(session, None)
            return DONE
        if state.status is UNLOADED:
            return self.driver.run(self._loader.load, session, state)
        if state.unsaved(session) is not None and not state.response_started:
            return DONE  # what was changed is kept
        return self.driver.run(self.one_at_a_time, state, lambda: self._loader.load_now(session))

    def load_now(self, session: Session) -> Coroutine[Any, Any, None]:
        """Same as `load`, inside of a step, with a time budget of its own."""
        return self._loader.load_now(session)

    def one_at_a_time(self, state: SessionState, step: Step[None]) -> Coroutine[Any, Any, None]:
        """Does one step of a session after the other; one that fails hands over to the next."""
        return self._loader.one_at_a_time(state, step)

    # -- commit

    def save(self, session: Session) -> Awaitable[None]:
        """Commits in the middle of a request; unlike `finish` it raises if the session ended meanwhile.

        Raises:
            SessionEnded: the session was destroyed, or given a new ID, by another request.
        """
        return self.driver.run(self.one_at_a_time, session._state, lambda: self.commit_now(session))

    async def commit_now(self, session: Session) -> None:
        """Same as `save`, inside of a step."""
        state = session._state
        state.budget, state.waited = None, 0.0
        unsaved = state.unsaved(session)
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
        if state.record is not None and not self.monitor.may_refuse:  # it was loaded, and that started the monitor
            return self.driver.run(self._committer.finish, session, unsaved)
        return self.driver.run(self._committed, session, unsaved, self._committer.finish)

    def leave(self, session: Session) -> None:
        """Notes that a request has failed: its session is renewed no more, however long its traceback is kept."""
        self._renewal.remove(session._state)

    def revoke_others(self, session: Session) -> Awaitable[None]:
        """Ends the other sessions of a session's principal; see `Session.revoke_others`."""
        state = session._state
        if state.principal is None:
            raise SessionError("the session has no principal: set session.principal at login")
        return self.driver.run(self.one_at_a_time, state, lambda: self._revoke_others(state))

    async def _revoke_others(self, state: SessionState) -> None:
        principal, record = state.principal, state.record
        assert principal is not None  # noqa: S101
        is_login = record is None or not state.stamp
        handles = () if is_login else state.handles

        def spare(stamp: Stamp) -> Mapping[str, bytes]:
            if is_login:  # it takes the new stamp at its commit
                return {}
            if record is None or not (stamp.value == state.stamp or stamp.admits(record)):
                raise SessionEnded("the session was ended meanwhile, so it ends no others")
            before = [stamp.spared.get(each, b"") for each in handles]
            return dict.fromkeys(handles, spared_from(*before, record.stamp, stamp.value))

        stored_under = state.superseded or state.identity
        own = None if is_login or stored_under is None else stored_under.stamp
        changed = await self.index.revoke_others(principal, own, handles, spare)
        if not is_login:
            state.stand_under(changed.value)

    def drop(self, session: Session, reason: str) -> None:
        """Saves nothing of a session any more, and logs it."""
        self._committer.drop(session._state, reason)

    async def _committed(
        self, session: Session, unsaved: Unsaved, commit: Callable[[Session, Unsaved], Awaitable[None]]
    ) -> None:
        state = session._state
        if self.monitor.may_refuse:
            await self._loader.insist(state)
        await commit(session, unsaved)
        if not state.unavailable:
            self.monitor.start()

    def renewed(self, session: Session) -> Outcome:
        """Returns the outcome that sets a stored session's token once more, so that a cookie with an age lives on."""
        return self._committer.renewed(session._state)

    # -- the rest of a request

    @staticmethod
    def check_event_loop(error: BaseException) -> None:
        """Looks whether an error is that of an event loop on which the library does not work.

        Raises:
            ConfigurationError: it is; the message says what to do.
            GeneratorExit: the loop was closed under a coroutine: there is nobody to tell.
        """
        check_event_loop(error)

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
            found = await self.driver.run(lambda: self._store.read(identity, idle, self._store.time_budget()))
            return isinstance(found, StoredRecord) and self._loader.is_valid(identity, found)

        watch = WebsocketWatch(is_alive, on_end)
        if self.settings.websocket_check is not None:
            watch.start(self.settings.websocket_check)
        return watch

    async def is_ready(self) -> bool:
        """Returns whether the store answers, and this web node may serve; inside of a step."""
        return await self._store.answers(self._store.time_budget()) and await self.monitor.may_serve()
