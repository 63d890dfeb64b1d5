"""SessionManager: where sessions meet the store. It knows nothing of HTTP, of clients and of how records are sealed.

What must wait is written once, as ``async def``; `_drive` makes it blocking. What a commit does is in `commit`.
"""

import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from sharedsession.backends.base import AsyncBackend
from sharedsession.concurrency import driver as _drive
from sharedsession.concurrency.timers import BlockingClockwork, LoopClockwork
from sharedsession.engine.commit import Committer
from sharedsession.engine.lock import Locksmith, SessionLock
from sharedsession.engine.principals import Index
from sharedsession.engine.renewal import Keepalive
from sharedsession.engine.websocket_watch import Watch
from sharedsession.errors import BackendUnavailable, ConfigurationError, SessionEnded
from sharedsession.farm.monitor import FarmCheck
from sharedsession.http.outcome import KEEP, Outcome
from sharedsession.observe import Observer
from sharedsession.oversight import Oversight
from sharedsession.records.record import Farewell
from sharedsession.records.sealed_store import Allowance, Held, Vault
from sharedsession.records.timeouts import Timeouts
from sharedsession.session.host import Tokens
from sharedsession.session.mapping import Session
from sharedsession.session.state import Kept
from sharedsession.settings.settings import Settings
from sharedsession.vitals import Vitals

K = TypeVar("K", bound=Kept)
S = TypeVar("S", bound=Session)
T = TypeVar("T")


class SessionManager(Oversight, Vitals):
    """Opens and commits sessions, for one farm, one backend and one colour of application.

    Args:
        settings: checked settings.
        blocking: whether the application blocks (WSGI) or runs on an event loop (ASGI).
        clock: seconds since the epoch.

    Raises:
        ConfigurationError: the backend cannot serve an application of this colour.
    """

    def __init__(self, settings: Settings, *, blocking: bool, clock: Callable[[], float] = time.time) -> None:
        self.settings = settings
        self.observer = Observer(settings.on_event, self.handle)
        self.loads_on_demand = blocking
        self.clock = clock
        self._timeouts = settings.timeouts
        self._store, self._in_thread = _in_colour(settings, blocking=blocking)
        self._vault = Vault(
            self._store,
            settings.machine_key,
            encrypt=settings.encrypt,
            max_size=settings.max_size,
            compress_above=settings.compress_above,
            observer=self.observer,
        )
        waits = blocking or self._in_thread
        clockwork = BlockingClockwork() if waits else LoopClockwork()
        gather = _drive.gather_blocking if waits else _drive.gather_on_loop
        turns = clockwork.turns()
        self.index = Index(settings, self._vault, gather, turns, self.observer)
        self._locksmith = Locksmith(settings, self._vault, clockwork, self.observer)
        self._keepalive = Keepalive(self._renew, clockwork.ticker)
        self.farm = FarmCheck(settings, self._store, clockwork.ticker, self.observer, clock)
        self._committer = Committer(settings, self._vault, self.index, turns, observer=self.observer, keeper=self)

    @classmethod
    def from_settings(cls, *, blocking: bool = True, **keywords: Any) -> "SessionManager":
        """Makes a manager outside of any middleware; the keywords are the settings."""
        return cls(Settings.load(keywords), blocking=blocking)

    # -- open

    def open(self, tokens: Tokens) -> Session:
        """Turns what a request carries into a session; nothing is verified and the store is not asked yet.

        Args:
            tokens: whatever could be a token, in the order of the request; or what finds it, which is then called
                when somebody looks at the session.
        """
        return self.open_as(Session, tokens)

    def open_as(self, kind: type[S], tokens: Tokens) -> S:
        """Same as `open`, for a framework whose sessions can do more."""
        return kind(self, tokens, now=self.clock())

    def verified(self, tokens: Sequence[bytes]) -> str | None:
        """Finds the session ID in what a request carries; ``None`` if nothing in it is genuine."""
        genuine = {session_id for token in tokens if (session_id := self.settings.machine_key().verify(token))}
        if len(genuine) == 1:
            return genuine.pop()
        if genuine:
            self.observer.event(
                "two_tokens", "a request carries two different genuine tokens (planted cookies?): anonymous"
            )
        elif any(tokens):
            self.observer.event("forged", "a token is signed by none of this node's secrets: anonymous")
        return None

    # -- load

    def load(self, session: Kept) -> Awaitable[None]:
        """Asks the store for a session; done on return where the application blocks, else when awaited.

        Raises:
            BackendUnavailable: the store cannot answer and ``on_outage`` is ``"error"``.
        """
        if session.stored_id is None:
            session.begin(None)
            return _drive.DONE
        step = self.load_now if session.is_loaded else self._load
        if self.loads_on_demand:
            _drive.run(step(session))
            return _drive.DONE
        return self.do(lambda: step(session)) if self._in_thread else step(session)

    def do(self, step: Callable[[], Coroutine[Any, Any, T]]) -> Awaitable[T]:
        """Carries a step out: at once where the application blocks, else when awaited."""
        if self.loads_on_demand:
            return _drive.Done(_drive.run(step()))
        return _drive.in_thread(step) if self._in_thread else step()

    async def load_now(self, session: Kept) -> None:
        """A step of `do`: asks the store, with time of its own to wait for it."""
        session.allowance = Allowance(self.settings.timeout)
        await self._load(session)

    async def commit_now(self, session: Kept) -> None:
        """A step of `do`: commits, with time of its own to wait for the store.

        Raises:
            SessionEnded: the session was destroyed, or given a new ID, by another request.
        """
        session.allowance = Allowance(self.settings.timeout)
        await self._committed(session, self._committer.commit)

    async def _load(self, session: Kept) -> None:
        session_id = session.stored_id
        assert session_id  # noqa: S101
        if self.farm.may_refuse:
            await self.farm.admit(session)
        if session.allowance is None:
            session.allowance = Allowance(self.settings.timeout)
        try:
            timeouts = self.timeouts(session.own_idle_timeout)
            found = await self._vault.read(session_id, timeouts.idle, session.allowance)
        except BackendUnavailable:
            self._out_of_reach(session)
        except SessionEnded:
            session.begin(None)
        else:
            self.farm.begin()
            self._begin(session, found, timeouts)

    def _begin(self, session: Kept, found: Held | Farewell | None, timeouts: Timeouts) -> None:
        if isinstance(found, Held):
            record, now = found.record, self.clock()
            if not timeouts.is_over(record.created, record.refreshed, now):
                session.begin(record, found.version)
                session.wants_rewrite = timeouts.wants_rewrite(record.refreshed, now)
                self._keepalive.begin(session, timeouts.idle)
                return
            self.observer.count("expired", session.stored_id, record.principal)
        if isinstance(found, Farewell):
            session.begin(found.record, read_only=True)
        else:
            session.begin(None)

    async def _renew(self, session: Kept, idle: float) -> None:
        """A request takes long: its session lives on meanwhile, if the store answers."""
        session_id = session.stored_id
        if session_id is not None:
            with suppress(BackendUnavailable, SessionEnded):
                await self._vault.renew(session_id, idle, Allowance(self.settings.timeout))

    def _out_of_reach(self, session: Kept) -> None:
        """An outage says nothing about the session: its cookie stays, and nothing is saved in its place."""
        session.unavailable = True
        self.observer.count("unavailable", session.stored_id)
        if self.settings.on_outage == "error":
            raise BackendUnavailable("the session store is not answering")
        session.begin(None, read_only=True)

    # -- commit

    def save(self, session: Kept) -> Awaitable[None]:
        """Commits in the middle of a request; unlike `commit` it reports a session that ended meanwhile.

        Raises:
            SessionEnded: the session was destroyed, or given a new ID, by another request.
        """
        return self.do(lambda: self.commit_now(session))

    def commit(self, session: Kept) -> Outcome:
        """Saves what a blocking application changed, and says what the client must be told.

        Raises:
            SessionTooLarge: nothing was sent, the version saved before is untouched.
            TypeError: a value cannot be stored; the message names the key.
            Conflict: another request changed the session, and ``conflict`` is ``"raise"``.
            BackendUnavailable: the store cannot answer and ``on_outage`` is ``"error"``.
            LogoutNotConfirmed: the store did not confirm the end of the session.
        """
        self._keepalive.end(session)
        if session.needs_no_commit:
            return session.outcome
        return _drive.run(self._committed(session, self._committer.finish))

    async def acommit(self, session: Kept) -> Outcome:
        """Same as `commit`, for an application on an event loop."""
        self._keepalive.end(session)
        if session.needs_no_commit:
            return session.outcome
        return await self.do(lambda: self._committed(session, self._committer.finish))

    def drop(self, session: Kept, reason: str) -> None:
        """Saves nothing of a session any more, and says so to the log."""
        self._committer.drop(session, reason)

    async def _committed(self, session: Kept, commit: Callable[[Kept], Awaitable[T]]) -> T:
        if self.farm.may_refuse:
            await self.farm.admit(session)
        result = await commit(session)
        if not session.unavailable:
            self.farm.begin()
        return result

    def renewed(self, session: Kept) -> Outcome:
        """The outcome that hands a stored session's token out once more, so that a cookie with an age lives on."""
        stored = session.record is not None and not session.is_read_only and session.stored_id
        return self._committer.handed_over(session, stored) if stored else KEEP

    def lock(self, session: K, timeout: float, lease: float) -> SessionLock[K]:
        """The lock of a session, not taken yet; see `Session.lock`."""
        return SessionLock(session, self, self._locksmith, timeout, lease)

    def _twin(self) -> "SessionManager":
        twin = SessionManager(self.settings, blocking=not self.loads_on_demand, clock=self.clock)
        twin.observer.counters = self.observer.counters  # one count, whoever asks
        return twin

    def watch(self, session: Kept, when_ended: Callable[[], Awaitable[None]]) -> Watch:
        """Looks after the session of a websocket, each ``websocket_check`` seconds, until it is told to stop."""

        async def lives(renew: bool) -> bool:
            session_id = session.stored_id if session.accessed and session.record else None
            idle = self.timeouts(session.own_idle_timeout).idle if renew else None
            allowance = Allowance(self.settings.timeout)
            return session_id is None or await self.do(lambda: self._vault.is_alive(session_id, idle, allowance))

        watch = Watch(lives, when_ended)
        if self.settings.websocket_check is not None:
            watch.begin(LoopClockwork(), self.settings.websocket_check)
        return watch

    # -- for the session

    def new_id(self, idle_timeout: float | None) -> str:
        """Mints a session ID."""
        return self.settings.machine_key().new_id(idle_timeout)

    def handle(self, session_id: str) -> str:
        """The public name of a session ID."""
        return self.settings.machine_key().handle(session_id)

    def timeouts(self, idle_timeout: float | None) -> Timeouts:
        """The farm's timeouts, with the session's own idle timeout if it has one."""
        return self._timeouts if idle_timeout is None else self._timeouts.with_idle(idle_timeout)


def _in_colour(settings: Settings, *, blocking: bool) -> tuple[AsyncBackend, bool]:
    if not blocking:
        return _drive.for_event_loop(settings.backend)
    store = _drive.for_blocking(settings.backend)
    if store is None:
        raise ConfigurationError(
            "backend has only asynchronous verbs, and this application blocks (WSGI): "
            "give a backend with blocking verbs, or a URL"
        )
    return store, False
