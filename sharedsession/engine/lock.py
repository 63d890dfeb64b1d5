"""An exclusive lock on one session across the farm, for what merging cannot know.

The protocol is ASP.NET's without its polling twice a second. A lock is a record beside the session's, taken by ``add``
or compare-and-swap, so that one request wins. The store measures its age, not a web node's clock; a holder that dies
delays the next by its lease at most. A live holder renews it. Readers never wait.

A holder writes the session once before it looks at it. So a holder whose lock was broken finds its save refused: what
it read is no longer what is stored. Waiting requests of one process form a queue, and only the first asks the store,
every hundredth of a second, since a memcached cannot call.
"""

from typing import Any, Generic, Protocol, TypeVar

from sharedsession.concurrency import Driver, Step
from sharedsession.errors import BackendUnavailable, Conflict, LockTimeout, SessionError
from sharedsession.keys import Identity
from sharedsession.observe import Observer
from sharedsession.records import NO_RECORD, WRITE_ID_BYTES, Record, SealedStore, StoredRecord
from sharedsession.session import Session, SessionState, state_of
from sharedsession.settings import Settings

MOST_WAITING = 50
"""How many requests of one process may wait for one session (ASP.NET's ``RequestQueueLimitPerSession``)."""
LEAST_LEASE = 2.0  # seconds: a memcached counts whole ones
_LOOK_EVERY = 0.01  # seconds
_FREE_FOR = 2.0  # seconds that a released lock is remembered
_HOLDER = "holder"
_TOKEN_BYTES = 16
S = TypeVar("S", bound=Session)


class LockHost(Protocol):
    """What a lock asks of the engine."""

    @property
    def driver(self) -> Driver:
        """Of the application's colour."""
        ...

    async def load_now(self, session: Session) -> None:
        """Loads a session, with a time budget of its own."""
        ...

    async def commit_now(self, session: Session) -> None:
        """Commits a session, with a time budget of its own."""
        ...

    async def one_at_a_time(self, state: SessionState, step: Step[None]) -> None:
        """Does one step of a session after the other, whichever task or thread of the request asks for it."""
        ...


class LockStore:
    """The locks of one farm in one store.

    Args:
        settings: of the farm.
        store: where the locks are.
        driver: of the store's colour.
        observer: told of locks that were lost.
    """

    def __init__(self, settings: Settings, store: SealedStore, driver: Driver, observer: Observer) -> None:
        self.driver = driver
        self.observer = observer
        self.queue = driver.queue()
        self.monotonic = settings.environment.monotonic
        self._store = store
        self._clock = settings.environment.clock
        self._random_bytes = settings.environment.random_bytes

    async def acquire(self, identity: Identity, lease: float) -> "Lock | None":
        """Acquires the lock of a session, if it is free, for a lease in seconds."""
        lock, token = identity.for_lock(), self._random_bytes(_TOKEN_BYTES)
        try:
            stored = await self._read(lock)
        except (
            BackendUnavailable
        ):  # one node of a ring that is down forbids "there is none"; `add` needs no such answer
            stored = None
        if stored is not None and _HOLDER in stored.record.items:
            return None
        newest = await self._put(lock, stored, self._record(stored, {_HOLDER: token}), lease)
        return Lock(self, lock, token, lease, newest) if newest and _is_held_by(token, newest) else None

    async def change(self, lock: "Lock", items: dict[str, bytes], ttl: float) -> StoredRecord | None:
        """Changes a lock that its holder still has. Returns what is stored now; ``None`` if the lock was lost."""
        stored: StoredRecord | None = lock.stored
        while stored is not None and _is_held_by(lock.token, stored):
            wanted = self._record(stored, items)
            stored = await self._put(lock.identity, stored, wanted, ttl)
            if stored is not None and stored.record.includes(wanted):
                return stored
        return None

    async def is_held(self, lock: "Lock") -> bool:
        """Returns whether its holder still has a lock."""
        stored = await self._read(lock.identity)
        return stored is not None and _is_held_by(lock.token, stored)

    async def _read(self, lock: Identity) -> StoredRecord | None:
        found = await self._store.read(lock, None, self._store.time_budget())
        return found if isinstance(found, StoredRecord) and found.record is not NO_RECORD else None

    async def _put(
        self, lock: Identity, stored: StoredRecord | None, wanted: Record, ttl: float
    ) -> StoredRecord | None:
        budget = self._store.time_budget()
        if stored is not None:
            return await self._store.swap(lock, wanted, ttl, stored.version, budget)
        version = await self._store.add_if_free(lock, wanted, ttl, budget)
        return None if version is None else StoredRecord(wanted, version)

    def _record(self, stored: StoredRecord | None, items: dict[str, bytes]) -> Record:
        """Returns the next version of a lock."""
        version = (stored.record if stored else NO_RECORD).next_number(self._clock())
        write_id = self._random_bytes(WRITE_ID_BYTES)
        return Record(version=version, created=0.0, refreshed=0.0, items=items, write_ids=write_id)


class Lock:
    """A lock that was acquired.

    Attributes:
        identity: under which it is kept.
        token: 128 random bits that name the holder.
        stored: the lock's record.
    """

    def __init__(self, store: LockStore, identity: Identity, token: bytes, lease: float, stored: StoredRecord) -> None:
        self.identity = identity
        self.token = token
        self.stored = stored
        self._store = store
        self._lease = lease
        self._stop = store.driver.repeat(lease / 3, self._renew)

    async def insist(self) -> None:
        """Checks that the lock was not broken.

        Raises:
            Conflict: it was: the holder stood still for longer than its lease.
        """
        if not await self._store.is_held(self):
            self._store.observer.event(
                "lock_lost", "session lock was broken, as its holder stood still; what it changed was not saved"
            )
            raise Conflict("the session's lock was lost meanwhile, so the changes made under it were not saved")

    async def release(self) -> None:
        """Releases the lock. If the store does not answer, the lock is free when the lease is over."""
        await self._stop()
        try:
            await self._store.change(self, {}, _FREE_FOR)
        except BackendUnavailable:
            self._store.observer.count("lock_not_released")

    async def _renew(self) -> None:
        try:
            stored = await self._store.change(self, {_HOLDER: self.token}, self._lease)
        except BackendUnavailable:
            return
        self.stored = stored or self.stored


class SessionLock(Generic[S]):
    """What ``session.lock()`` returns: a context manager, entered by ``with`` or ``async with``.

    Inside, the session is as the store has it now; it is saved before the lock is released. After an exception nothing
    is saved of what was changed inside.

    Args:
        session: to be locked.
        engine: of the session's colour.
        store: of the locks.
        timeout: seconds to wait for the lock.
        lease: seconds after which a holder that does not renew the lock loses it.

    Raises:
        ValueError: a timeout below 0, or a lease below 2 seconds.
    """

    def __init__(self, session: S, engine: LockHost, store: LockStore, timeout: float, lease: float) -> None:
        if timeout < 0:
            raise ValueError("timeout must be a number of seconds, 0 for no waiting")
        if lease < LEAST_LEASE:
            raise ValueError(f"lease must be {LEAST_LEASE:g} seconds or more: some stores count whole seconds")
        self._session = session
        self._state = state_of(session)
        self._engine = engine
        self._store = store
        self._timeout = timeout
        self._lease = lease

    def __enter__(self) -> S:
        self._session._wait(lambda: self._engine.driver.run(self._enter))
        return self._session

    def __exit__(self, *failure: Any) -> None:
        failed = failure[0] is not None
        self._session._wait(lambda: self._engine.driver.run(lambda: self._leave(failed=failed)))

    async def __aenter__(self) -> S:
        await self._engine.driver.run(self._enter)
        return self._session

    async def __aexit__(self, *failure: Any) -> None:
        failed = failure[0] is not None
        await self._engine.driver.run(lambda: self._leave(failed=failed))

    async def _enter(self) -> None:
        session, state, engine = self._session, self._state, self._engine
        if state.held_lock is not None:
            raise SessionError("this request holds the session's lock already")
        if session.modified:
            await engine.one_at_a_time(
                state, lambda: engine.commit_now(session)
            )  # what was changed before belongs to before
        identity = state.identity
        if identity is None:
            return  # new: no other request can have it
        state.held_lock = await self._acquired(identity)
        try:
            await engine.one_at_a_time(state, self._load_anew)
        except BaseException:
            await self._release()
            raise

    async def _load_anew(self) -> None:
        """Loads the session, and writes it once: from then on a writer that read it before is refused.

        If the lock was lost before that, its next holder is such a writer, and this one must not go on.
        """
        await self._engine.load_now(self._session)
        self._state.must_rewrite = self._state.record is not None
        await self._engine.commit_now(self._session)
        if self._state.held_lock is not None:
            await self._state.held_lock.insist()

    async def _acquired(self, identity: Identity) -> Lock:
        store, deadline = self._store, self._store.monotonic() + self._timeout
        key = identity.store_key
        await self._wait_in_queue(key)
        try:
            while (lock := await store.acquire(identity, self._lease)) is None:
                if store.monotonic() >= deadline:
                    raise LockTimeout(f"the session stayed locked by another request for {self._timeout:g} s")
                await store.driver.pause(_LOOK_EVERY)
            return lock
        finally:
            store.queue.release(key)

    async def _wait_in_queue(self, key: str) -> None:
        queue = self._store.queue
        if queue.acquire(key):
            return
        if queue.waiting(key) >= MOST_WAITING:
            raise LockTimeout(f"{MOST_WAITING} requests wait for this session already")
        if not await queue.wait(key, self._timeout):
            raise LockTimeout(f"the session stayed locked by other requests for {self._timeout:g} s")

    async def _leave(self, *, failed: bool) -> None:
        state = self._state
        try:
            if not failed:
                await self._engine.one_at_a_time(state, self._save_or_drop)
            elif state.is_loaded:
                state.revert(self._session)
        finally:
            await self._release()

    async def _save_or_drop(self) -> None:
        """Commits. What is refused is never saved later: the session is unloaded, and the next look loads it anew."""
        try:
            await self._engine.commit_now(self._session)
        except BaseException:
            self._state.unload(self._session)
            raise

    async def _release(self) -> None:
        lock, self._state.held_lock = self._state.held_lock, None
        if isinstance(lock, Lock):
            await lock.release()


def _is_held_by(token: bytes, stored: StoredRecord) -> bool:
    return stored.record.items.get(_HOLDER) == token
