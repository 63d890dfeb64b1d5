"""An exclusive lock on one session across the farm, for what merging cannot know.

ASP.NET's protocol without its half-second polling. A lock is a record beside the session's, taken by ``add`` or
compare-and-swap, so that one request wins. Its age is the store's: nobody's clock is asked, and a holder that dies
delays the next by its lease at most. A holder that lives renews it. Readers are never held up.

Whoever enters writes the session once before looking at it. So a holder whose lock was broken finds its save refused:
what it read is no longer what is stored. Waiting requests of one process stand in a line, and only the first asks the
store: each hundredth of a second, since a memcached cannot call.
"""

import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, Protocol, TypeVar

from sharedsession.concurrency.keyed_queue import Turns
from sharedsession.errors import BackendUnavailable, Conflict, LockTimeout, SessionError
from sharedsession.observe import Observer
from sharedsession.records.record import Record, new_mark
from sharedsession.records.sealed_store import Allowance, Held, Vault
from sharedsession.session.host import Keeper
from sharedsession.session.state import Kept
from sharedsession.settings.settings import Settings

MOST_WAITING = 50
"""How many requests of one process may stand in line for one session (ASP.NET's ``RequestQueueLimitPerSession``)."""
LEAST_LEASE = 2.0  # seconds: a memcached counts whole ones
_LOOK_EVERY = 0.01  # seconds
_FREE_FOR = 2.0  # seconds that a released lock is remembered
_HOLDER = "holder"
Step = Callable[[], Coroutine[Any, Any, None]]
Stop = Callable[[], Awaitable[None]]
S = TypeVar("S", bound=Kept)


class Clockwork(Protocol):
    """How one colour lets time pass."""

    def pause(self, seconds: float) -> Awaitable[None]:
        """Waits for so many seconds."""
        ...

    def turns(self) -> Turns:
        """Makes lines for those who want the same thing."""
        ...

    def repeat(self, seconds: float, step: Step) -> Stop:
        """Does a step each so many seconds, until what it returns is awaited."""
        ...


class Locksmith:
    """Makes and breaks the locks of one farm in one vault.

    Args:
        settings: of the farm.
        vault: where they are.
        clockwork: of the colour of the vault.
        observer: told of locks that were lost.
    """

    def __init__(self, settings: Settings, vault: Vault, clockwork: Clockwork, observer: Observer) -> None:
        self.clockwork = clockwork
        self.observer = observer
        self.turns = clockwork.turns()
        self._vault = vault
        self._machine_key = settings.machine_key
        self._timeout = settings.timeout

    async def taken(self, session_id: str, lease: float) -> "Lock | None":
        """Takes the lock of a session, if it is free."""
        lock_id, token = self._machine_key().lock_id(session_id), secrets.token_bytes(16)
        try:
            held = await self._read(lock_id)
        except BackendUnavailable:  # one node of a ring is enough to forbid "there is none"; `add` can do without
            held = None
        if held is not None and _HOLDER in held.record.items:
            return None
        wanted = _record(held, {_HOLDER: token})
        stored = await self._put(lock_id, held, wanted, lease)
        return Lock(self, lock_id, token, lease, stored) if stored and _is_by(token, stored) else None

    async def put(self, lock: "Lock", items: dict[str, bytes], ttl: float) -> Held | None:
        """Changes a lock that is still its holder's. Returns what is stored now; ``None`` if it was lost."""
        held: Held | None = lock.held
        while held is not None and _is_by(lock.token, held):
            wanted = _record(held, items)
            held = await self._put(lock.lock_id, held, wanted, ttl)
            if held is not None and held.record.includes(wanted):
                return held
        return None

    async def is_held(self, lock: "Lock") -> bool:
        """Whether a lock is still its holder's."""
        held = await self._read(lock.lock_id)
        return held is not None and _is_by(lock.token, held)

    async def _read(self, lock_id: str) -> Held | None:
        found = await self._vault.read(lock_id, None, Allowance(self._timeout))
        return found if isinstance(found, Held) else None

    async def _put(self, lock_id: str, held: Held | None, wanted: Record, ttl: float) -> Held | None:
        allowance = Allowance(self._timeout)
        if held is not None:
            return await self._vault.swap(lock_id, wanted, ttl, held.version, allowance)
        version = await self._vault.add_if_free(lock_id, wanted, ttl, allowance)
        return None if version is None else Held(wanted, version)


class Lock:
    """A lock that was taken.

    Attributes:
        lock_id: the ID under which it is kept.
        token: 128 random bits, whose it is.
        held: as it is stored.
    """

    def __init__(self, locksmith: Locksmith, lock_id: str, token: bytes, lease: float, held: Held) -> None:
        self.lock_id = lock_id
        self.token = token
        self.held = held
        self._locksmith = locksmith
        self._lease = lease
        self._stop = locksmith.clockwork.repeat(lease / 3, self._renew)

    async def insist(self) -> None:
        """Sees that it was not broken.

        Raises:
            Conflict: it was: the holder stood still for longer than its lease.
        """
        if not await self._locksmith.is_held(self):
            self._locksmith.observer.event(
                "lock_lost", "a lock on a session was broken, as its holder stood still; what it changed was not saved"
            )
            raise Conflict("the session's lock was lost meanwhile, so the changes made under it were not saved")

    async def release(self) -> None:
        """Lets the next one in. A store that does not answer lets it in when the lease is over."""
        await self._stop()
        try:
            await self._locksmith.put(self, {}, _FREE_FOR)
        except BackendUnavailable:
            self._locksmith.observer.count("lock_not_released")

    async def _renew(self) -> None:
        try:
            held = await self._locksmith.put(self, {_HOLDER: self.token}, self._lease)
        except BackendUnavailable:
            return
        self.held = held or self.held


class SessionLock(Generic[S]):
    """What ``session.lock()`` returns: a context manager, entered with ``with`` or ``async with``.

    Inside, the session is as the store has it now; it is saved before the lock is released. After an exception
    nothing is saved of what was changed inside.

    Args:
        session: to be locked.
        keeper: of the session, in the colour of the application.
        locksmith: of the farm.
        timeout: seconds to wait for the lock.
        lease: seconds for which a holder that no longer gives a sign of life still has it.
    """

    def __init__(self, session: S, keeper: Keeper, locksmith: Locksmith, timeout: float, lease: float) -> None:
        if timeout < 0:
            raise ValueError("timeout must be a number of seconds, 0 for no waiting")
        if lease < LEAST_LEASE:
            raise ValueError(f"lease must be {LEAST_LEASE:g} seconds or more: some stores count whole seconds")
        self._session = session
        self._keeper = keeper
        self._locksmith = locksmith
        self._timeout = timeout
        self._lease = lease

    def __enter__(self) -> S:
        self._session.at_once(self._enter)
        return self._session

    def __exit__(self, *failure: Any) -> None:
        self._session.at_once(lambda: self._leave(failed=failure[0] is not None))

    async def __aenter__(self) -> S:
        await self._keeper.do(self._enter)
        return self._session

    async def __aexit__(self, *failure: Any) -> None:
        await self._keeper.do(lambda: self._leave(failed=failure[0] is not None))

    async def _enter(self) -> None:
        session, keeper = self._session, self._keeper
        if session.held_lock is not None:
            raise SessionError("this request holds the session's lock already")
        if session.is_loaded and session.modified:
            await keeper.commit_now(session)  # what was changed before belongs to before
        session_id = session.stored_id
        if session_id is None:
            return  # new: nobody else can have it
        session.held_lock = await self._taken(session_id)
        try:
            await keeper.load_now(session)
            session.wants_rewrite = session.record is not None
            await keeper.commit_now(session)
        except BaseException:
            await self._release()
            raise

    async def _taken(self, session_id: str) -> "Lock":
        deadline, locksmith = time.monotonic() + self._timeout, self._locksmith
        await self._stand_in_line(session_id)
        try:
            while (lock := await locksmith.taken(session_id, self._lease)) is None:
                if time.monotonic() >= deadline:
                    raise LockTimeout(f"the session stayed locked by another request for {self._timeout:g} s")
                await locksmith.clockwork.pause(_LOOK_EVERY)
            return lock
        finally:
            locksmith.turns.leave(session_id)

    async def _stand_in_line(self, session_id: str) -> None:
        turns = self._locksmith.turns
        if turns.take(session_id):
            return
        if turns.waiting(session_id) >= MOST_WAITING:
            raise LockTimeout(f"{MOST_WAITING} requests wait for this session already")
        if not await turns.wait(session_id, self._timeout):
            raise LockTimeout(f"the session stayed locked by other requests for {self._timeout:g} s")

    async def _leave(self, *, failed: bool) -> None:
        session = self._session
        try:
            if not failed:
                await self._keeper.commit_now(session)
            elif session.is_loaded:
                session.begin(session.record, session.version, read_only=session.is_read_only)
        finally:
            await self._release()

    async def _release(self) -> None:
        lock, self._session.held_lock = self._session.held_lock, None
        if isinstance(lock, Lock):
            await lock.release()


def _record(held: Held | None, items: dict[str, bytes]) -> Record:
    """The next version of a lock."""
    version = held.record.version + 1 if held else 1
    return Record(version=version, created=0.0, refreshed=0.0, items=items, marks=new_mark())


def _is_by(token: bytes, held: Held) -> bool:
    return held.record.items.get(_HOLDER) == token
