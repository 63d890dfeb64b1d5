"""SessionManager: where sessions meet the store. It knows nothing of HTTP, of clients and of how records are sealed.

What must wait is written once, as ``async def``; `_drive` makes it blocking. Data is written by ``add`` and ``swap``
only, so a request that was running during a logout cannot bring the session back:

    status      in the store   new ID   asked of the store     outcome
    clean       any            -        nothing                KEEP
    modified    no             -        add                    SET
    modified    yes            no       swap                   KEEP
    modified    yes            yes      add new, end old       SET
    destroyed   yes            -        end                    CLEAR
    destroyed   no             -        nothing                CLEAR if a token came in
"""

import hashlib
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from sharedsession import _drive
from sharedsession.backends.base import AsyncBackend
from sharedsession.errors import (
    BackendUnavailable,
    ConfigurationError,
    Conflict,
    LogoutNotConfirmed,
    SessionEnded,
)
from sharedsession.kept import Kept
from sharedsession.machinekey import idle_timeout_of
from sharedsession.merge import merge
from sharedsession.observe import Observer
from sharedsession.outcome import CLEAR, Outcome
from sharedsession.record import Farewell, Record
from sharedsession.session import GRACE, Session
from sharedsession.settings import Settings
from sharedsession.timeouts import Timeouts
from sharedsession.vault import Allowance, Held, Vault

# At each round of a conflict at least one writer wins, so so many writers to one session all get through.
_ATTEMPTS = 64


class SessionManager:
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
        self.observer = Observer()
        self.loads_on_demand = blocking
        self.clock = clock
        self._store, self._in_thread = _in_colour(settings, blocking=blocking)
        self._vault = Vault(
            self._store,
            settings.machine_key,
            encrypt=settings.encrypt,
            max_size=settings.max_size,
            observer=self.observer,
        )

    @classmethod
    def from_settings(cls, *, blocking: bool = True, **keywords: Any) -> "SessionManager":
        """Makes a manager outside of any middleware; the keywords are the settings."""
        return cls(Settings.load(keywords), blocking=blocking)

    # -- open

    def open(self, tokens: Sequence[bytes]) -> Session:
        """Turns what a request carries into a session; the store is not asked yet.

        Args:
            tokens: whatever could be a token, in the order of the request.
        """
        session_id = self._verified(tokens) if tokens else None
        return Session(
            self,
            session_id,
            now=self.clock(),
            idle_timeout=idle_timeout_of(session_id) if session_id else None,
            had_token=bool(tokens),
            allowance=Allowance(self.settings.timeout),
        )

    def _verified(self, tokens: Sequence[bytes]) -> str | None:
        genuine = set(filter(None, map(self.settings.machine_key().verify, tokens)))
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
        if session.is_loaded:
            session.allowance = Allowance(self.settings.timeout)
        return self._driven(lambda: self._load(session))

    async def _load(self, session: Kept) -> None:
        session_id = session.stored_id
        if session_id is None:
            session.begin(None)
            return
        try:
            found = await self._vault.read(session_id, self._timeouts_of(session).idle, session.allowance)
        except BackendUnavailable:
            self._out_of_reach(session)
        except SessionEnded:
            session.begin(None)
        else:
            self._begin(session, found)

    def _begin(self, session: Kept, found: Held | Farewell | None) -> None:
        if isinstance(found, Held) and self._is_over(session, found.record):
            self.observer.count("expired")
            session.begin(None)
        elif isinstance(found, Held):
            session.begin(found.record, found.version)
        elif isinstance(found, Farewell) and found.until > self.clock():
            session.begin(found.record, read_only=True)
        else:
            session.begin(None)

    def _is_over(self, session: Kept, record: Record) -> bool:
        return self._timeouts_of(session).is_over(record.created, record.refreshed, self.clock())

    def _out_of_reach(self, session: Kept) -> None:
        """An outage says nothing about the session: its cookie stays, and nothing is saved in its place."""
        self._note_outage(session)
        if self.settings.on_outage == "error":
            raise BackendUnavailable("the session store is not answering")
        session.begin(None, read_only=True)

    def _note_outage(self, session: Kept) -> None:
        session.unavailable = True
        self.observer.count("unavailable")

    # -- commit

    def save(self, session: Kept) -> Awaitable[None]:
        """Commits in the middle of a request; unlike `commit` it reports a session that ended meanwhile.

        Raises:
            SessionEnded: the session was destroyed, or given a new ID, by another request.
        """
        session.allowance = Allowance(self.settings.timeout)
        return self._driven(lambda: self._commit(session))

    def commit(self, session: Kept) -> Outcome:
        """Saves what a blocking application changed, and says what the client must be told.

        Raises:
            SessionTooLarge: nothing was sent, the version saved before is untouched.
            TypeError: a value cannot be stored; the message names the key.
            Conflict: another request changed the session, and ``conflict`` is ``"raise"``.
            BackendUnavailable: the store cannot answer and ``on_outage`` is ``"error"``.
            LogoutNotConfirmed: the store did not confirm the end of the session.
        """
        if session.needs_no_commit:
            return session.outcome
        return _drive.run(self._finish(session))

    async def acommit(self, session: Kept) -> Outcome:
        """Same as `commit`, for an application on an event loop."""
        if session.needs_no_commit:
            return session.outcome
        if self._in_thread:
            return await _drive.in_thread(lambda: self._finish(session))
        return await self._finish(session)

    async def _finish(self, session: Kept) -> Outcome:
        try:
            await self._commit(session)
        except SessionEnded:
            self._dropped(session, "its session ended while the request was running")
        except BackendUnavailable:
            self._note_outage(session)
            if self.settings.on_outage == "error":
                raise
            self._dropped(session, "the session store is not answering")
        return session.outcome

    def _dropped(self, session: Kept, reason: str) -> None:
        session.give_up_saving()
        self.observer.event("write_dropped", f"a change was dropped: {reason}")

    async def _commit(self, session: Kept) -> None:
        if session.is_read_only:
            self._refuse_changes(session)
            return
        if session.is_destroyed:
            await self._destroy(session)
        record = session.next_record(self.clock(), rewrite=self._wants_rewrite(session))
        if record is None:
            return
        if session.record is None or session.left_id:
            await self._add(session, record)
        else:
            await self._replace(session, record)

    def _refuse_changes(self, session: Kept) -> None:
        if session.unavailable and session.is_destroyed:
            raise LogoutNotConfirmed("the session store is not answering: the session may still be alive")
        if session.modified:
            self._dropped(session, "the session is read-only in this request")

    def _wants_rewrite(self, session: Kept) -> bool:
        record = session.record
        return record is not None and self._timeouts_of(session).wants_rewrite(record.refreshed, self.clock())

    async def _destroy(self, session: Kept) -> None:
        session_id = session.give_up()
        if session_id:
            idle = self.timeouts(idle_timeout_of(session_id)).idle
            try:
                await self._vault.end(session_id, idle, session.allowance)
            except BackendUnavailable:
                raise LogoutNotConfirmed("the session store did not confirm the end of the session") from None
            except SessionEnded:  # with the secret that it began under
                pass
            self.observer.count("destroyed")
        if session.had_token:
            session.outcome = CLEAR

    async def _add(self, session: Kept, record: Record) -> None:
        session_id = session.id_for_storing()
        ttl = self._time_to_live(session, record)
        version = await self._vault.add(session_id, record, ttl, session.allowance)
        if session.left_id:
            await self._take_leave(session, session.left_id)
        self.observer.count("regenerated" if session.left_id else "created")
        session.settle(record, version)
        session.outcome = Outcome(self.settings.machine_key().sign(session_id), self._max_age(record))

    async def _take_leave(self, session: Kept, left_id: str) -> None:
        """Ends the old ID; for a few seconds requests in flight that still carry it are told to change nothing."""
        ttl = session.grace or GRACE
        farewell = Farewell(until=self.clock() + ttl, record=session.record if session.grace else None)
        idle = self.timeouts(idle_timeout_of(left_id)).idle
        await self._vault.end(left_id, idle, session.allowance, farewell, ttl)

    async def _replace(self, session: Kept, ours: Record) -> None:
        session_id, base, record, expected = session.id_for_storing(), session.record, ours, session.version
        for _ in range(_ATTEMPTS):
            ttl = self._time_to_live(session, record)
            stored = await self._vault.swap(session_id, record, ttl, expected, session.allowance)
            if stored is None or self._is_over(session, stored.record):
                raise SessionEnded("the session was destroyed, or given a new ID, by another request")
            if stored.record.includes(record):
                session.settle(stored.record, stored.version, merged=stored.record is not ours)
                return
            record, expected = self._reconciled(session, base, ours, stored.record), stored.version
        raise Conflict("the session is written by too many requests at once")

    def _reconciled(self, session: Kept, base: Record | None, ours: Record, theirs: Record) -> Record:
        if self.settings.conflict == "raise":
            self.observer.count("conflict")
            raise Conflict("another request changed the session while this one was running")
        replays = session.draft.replays()
        if self.settings.conflict == "overwrite":
            self.observer.count("overwritten")
            steps = {key: replay(theirs.items.get(key)) for key, replay in replays.items()}
            return ours.following(theirs, {**ours.items, **steps})
        self.observer.count("merged")
        items = merge(base.items if base else {}, ours.items, theirs.items, session.draft.assigned, replays)
        return ours.following(theirs, items)

    # -- facts

    def health(self) -> dict[str, Any]:
        """JSON-able: the backend, its nodes and breakers, and the counters. No I/O, no secret."""
        return {
            "backend": self._store.health(),
            "counters": dict(self.observer.counters),
            "fingerprint": self.fingerprint(),
        }

    async def ahealth(self) -> dict[str, Any]:
        """Same as `health`."""
        return self.health()

    def fingerprint(self) -> dict[str, str]:
        """What all nodes of the farm must agree on, as short digests: compare them part by part."""
        secrets = " ".join(self.settings.machine_key().fingerprints())
        backend = self._store.health()
        layout = str(backend.get("fingerprint", backend.get("kind", "")))
        parts = {"secret_key": secrets, "backend": layout, **self.settings.agreed()}
        return {name: hashlib.sha256(f"{name}={part}".encode()).hexdigest()[:12] for name, part in parts.items()}

    async def afingerprint(self) -> dict[str, str]:
        """Same as `fingerprint`."""
        return self.fingerprint()

    # -- for the session

    def new_id(self, idle_timeout: float | None) -> str:
        """Mints a session ID."""
        return self.settings.machine_key().new_id(idle_timeout)

    def handle(self, session_id: str) -> str:
        """The public name of a session ID."""
        return self.settings.machine_key().handle(session_id)

    def timeouts(self, idle_timeout: float | None) -> Timeouts:
        """The farm's timeouts, with the session's own idle timeout if it has one."""
        farm = self.settings.timeouts
        return farm if idle_timeout is None else Timeouts(idle_timeout, farm.absolute)

    # -- inside

    def _timeouts_of(self, session: Kept) -> Timeouts:
        return self.timeouts(session.own_idle_timeout)

    def _time_to_live(self, session: Kept, record: Record) -> float:
        ttl = self._timeouts_of(session).time_to_live(record.created, self.clock())
        if ttl <= 0:
            raise SessionEnded("the session reached its absolute end while the request was running")
        return ttl

    def _max_age(self, record: Record) -> float | None:
        persistent = self.settings.cookie_persistent if record.persistent is None else record.persistent
        return self.settings.timeouts.ends_at(record.created) - self.clock() if persistent else None

    def _driven(self, step: Callable[[], Coroutine[Any, Any, None]]) -> Awaitable[None]:
        if self.loads_on_demand:
            _drive.run(step())
            return _drive.DONE
        return _drive.in_thread(step) if self._in_thread else step()


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
