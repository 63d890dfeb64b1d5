"""Records on one side, sealed bytes in a store on the other. Secrets end here: a backend sees store keys and bytes.

What does not open is no session: another session's record, a damaged, forged or planted one. It is logged and never an
error; it stays in the store, since a wrong key that was deployed by mistake can be taken back.
"""

import math
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, NamedTuple, TypeVar, cast

from sharedsession.backends.adapters import can_supersede
from sharedsession.backends.base import (
    AsyncBackend,
    DoubtingBackend,
    Ended,
    ReplicatedBackend,
    SelfRenewingBackend,
    Stored,
    Version,
)
from sharedsession.environment import Environment
from sharedsession.errors import BackendError, SessionEnded
from sharedsession.keys import NONCE_BYTES, Identity
from sharedsession.observe import Observer
from sharedsession.records import compression
from sharedsession.records.codec import check_size
from sharedsession.records.doubts import Doubts
from sharedsession.records.record import Record, SupersededNote
from sharedsession.records.time_budget import TimeBudget
from sharedsession.records.timeouts import TouchThrottle

T = TypeVar("T")

_OVERHEAD = 128  # bytes that sealing and a backend's own fields add to a record, at most
_UNUSED_KEY = "ss:sign-of-life"  # those of sessions are longer; a server's access rules often allow no more than ss:*


class StoredRecord(NamedTuple):
    """A record as the store has it.

    Attributes:
        record: opened and decoded.
        version: stands for it in a compare-and-swap.
    """

    record: Record
    version: Version


class SealedStore:
    """The sealed records of one farm in one store.

    Args:
        store: asynchronous verbs, in the colour of the application.
        timeout: seconds that one operation may take.
        encrypt: whether records are encrypted, or only authenticated.
        max_size: the most bytes of one encoded session.
        compress_above: bytes above which a record is compressed; ``None``: never.
        observer: told of what does not open.
        environment: where clocks and random bytes come from.
    """

    def __init__(
        self,
        store: AsyncBackend,
        *,
        timeout: float,
        encrypt: bool,
        max_size: int,
        compress_above: int | None,
        observer: Observer,
        environment: Environment,
    ) -> None:
        self._store = store
        self._replicated = store if isinstance(store, ReplicatedBackend) else None
        self._can_supersede = can_supersede(store)
        self._doubting = store if isinstance(store, DoubtingBackend) else None
        self._always_renews = isinstance(store, SelfRenewingBackend) and store.renews_when_due
        self._timeout = timeout
        self._encrypt = encrypt
        self._max_size = max_size
        self._compress_above = compress_above
        self._observer = observer
        self._monotonic = environment.monotonic
        self._random_bytes = environment.random_bytes
        self._throttle = TouchThrottle()
        self._doubts = Doubts()

    def time_budget(self) -> TimeBudget:
        """Returns a full time budget."""
        return TimeBudget(self._timeout, self._monotonic)

    # -- read

    async def read(
        self, identity: Identity, idle: float | None, budget: TimeBudget
    ) -> StoredRecord | SupersededNote | None:
        """Reads a record and, where that is due, renews its life in the same round trip.

        Args:
            identity: whose record.
            idle: the idle timeout to renew with, in seconds; ``None`` leaves the record's life as it is.
            budget: of the request.

        Returns:
            The record, the note of its tombstone, or ``None`` if there is no session.

        Raises:
            BackendUnavailable: the store cannot answer.
        """
        key, found = identity.store_key, None
        renew = idle if idle is None or self._always_renews else self._throttle.due(key, idle, self._monotonic())
        if self._doubts.settled and self._doubts.are_settled(key, self._monotonic()):
            renew = None  # what does not open is nobody's session, and lives no longer than it would have
        try:
            with budget as timeout:
                found = await self._get(identity, renew, timeout)
        finally:
            if found is None:
                self._throttle.forget(key)
        opened = self._opened(identity, found, reports=self._doubting is None)
        if opened is None and isinstance(found, Stored) and self._doubting is not None:
            return await self._doubt(identity, found, budget)
        return opened

    async def _doubt(
        self, identity: Identity, found: Stored, budget: TimeBudget
    ) -> StoredRecord | SupersededNote | None:
        """Asks once more for a record that did not open, since it may be the reply to another request."""
        key, second = identity.store_key, found
        if not self._doubts.are_settled(key, self._monotonic()):
            with budget as timeout:
                second = await self._get_afresh(key, found, timeout)
        opened = self._opened(identity, second)
        if opened is None and isinstance(second, Stored):
            self._doubts.settle(key, self._monotonic())
        else:
            self._doubts.forget(key)
        return opened

    async def is_alive(self, identity: Identity, idle: float | None, budget: TimeBudget) -> bool:
        """Returns whether a session is in the store; with an idle timeout in seconds, the same round trip renews it."""
        with budget as timeout:
            return isinstance(await self._get(identity, idle, timeout), Stored)

    async def life_of_key(self, store_key: str, budget: TimeBudget) -> float | None:
        """Returns how long a session lives, for callers that know the store key only; the record stays sealed.

        Returns:
            The remaining seconds, infinity where the store does not tell; ``None`` if the session has ended.
        """
        with budget as timeout:
            found = await self._store.get(store_key, None, timeout)
        if not isinstance(found, Stored):
            return None
        return math.inf if found.ttl is None else found.ttl

    async def answers(self, budget: TimeBudget) -> bool:
        """Returns whether the store, or any node of a ring, answers. It is asked for a key that is never used."""
        try:
            with budget as timeout:
                await self._store.get(_UNUSED_KEY, None, timeout)
        except BackendError:
            nodes = self._store.health().get("nodes", ()) if self._replicated else ()
            return any(node["state"] == "up" for node in nodes)
        return True

    # -- write

    async def add(self, identity: Identity, record: Record, ttl: float, budget: TimeBudget) -> Version:
        """Stores a record under an ID that was just made.

        Args:
            identity: of the new session.
            record: to be stored.
            ttl: its time to live in seconds.
            budget: of the request.

        Raises:
            SessionTooLarge: nothing was sent.
            SessionEnded: see `add_if_free`.
        """
        version = await self.add_if_free(identity, record, ttl, budget)
        if version is None:
            raise BackendError("the store refused a new session under a fresh random key")
        return version

    async def add_if_free(self, identity: Identity, record: Record, ttl: float, budget: TimeBudget) -> Version | None:
        """Stores a record under an ID that may be taken; then the result is ``None``. Arguments as for `add`.

        Raises:
            SessionTooLarge: nothing was sent.
            SessionEnded: a request that ends all sessions of the principal was first.
        """
        sealed = self._seal(identity, record)
        with budget as timeout:
            version = await self._store.add(identity.store_key, sealed, ttl, timeout)
        if version is not None:
            return version
        # The record found may be our own, if the answer to an earlier try was lost.
        with budget as timeout:
            found = await self._get(identity, None, timeout)
        if isinstance(found, Ended):
            raise SessionEnded("the session was ended before it was stored")
        return found.version if isinstance(found, Stored) and found.value == sealed else None

    async def swap(
        self, identity: Identity, record: Record, ttl: float, expected: Version, budget: TimeBudget
    ) -> StoredRecord | None:
        """Stores a record in the place of the one that ``expected`` stands for: a compare-and-swap.

        Returns:
            What is stored now: the record, one that `Record.includes` it, or another request's; ``None`` if the
            session has ended.

        Raises:
            SessionTooLarge: nothing was sent; the version saved before is untouched.
        """
        sealed = self._seal(identity, record)
        with budget as timeout:
            version = await self._replace(identity, sealed, ttl, expected, timeout)
        if version is not None:
            return StoredRecord(record, version)
        with budget as timeout:
            found = await self._get(identity, None, timeout)
        return self._newest(identity, found, record) if isinstance(found, Stored) else None

    async def renew(self, identity: Identity, idle: float, budget: TimeBudget) -> None:
        """Renews the life of a session, to so many seconds."""
        with budget as timeout:
            await self._get(identity, idle, timeout)

    # -- end

    async def end(self, identity: Identity, idle: float, budget: TimeBudget) -> None:
        """Ends a session.

        Args:
            identity: whose.
            idle: its idle timeout in seconds: the longest life that a copy may still have.
            budget: of the request.
        """
        await self.end_key(identity.store_key, idle, budget)

    async def end_key(self, store_key: str, idle: float, budget: TimeBudget) -> None:
        """Same as `end`, for callers that know the store key only."""
        with budget as timeout:
            await self._store.end(store_key, idle, timeout)
        self._throttle.forget(store_key)

    async def supersede(
        self,
        identity: Identity,
        idle: float,
        budget: TimeBudget,
        version: Version,
        note: SupersededNote,
        note_ttl: float,
    ) -> bool:
        """Ends a session that lives on under another ID; for a while its tombstone tells requests in flight.

        Args:
            identity: the old one.
            idle: its idle timeout in seconds.
            budget: of the request.
            version: of the record as it was read.
            note: what requests with the old ID are told.
            note_ttl: for how many seconds.

        Returns:
            ``False`` if a logout was first.
        """
        packed = compression.shrunk(note.encode(), self._compress_above)
        sealed = identity.seal(packed, self._random_bytes(NONCE_BYTES), encrypt=self._encrypt)
        self._throttle.forget(identity.store_key)
        with budget as timeout:
            if self._can_supersede:
                return await self._store.supersede(identity.store_key, idle, timeout, version, sealed, note_ttl)
            await self._store.end(identity.store_key, idle, timeout)
            return True

    # -- inside

    def _get(
        self, identity: Identity, renew: float | None, timeout: float
    ) -> Coroutine[Any, Any, Stored | Ended | None]:
        if self._replicated:
            return self._replicated.get_newest(identity.store_key, renew, timeout, partial(self._revision, identity))
        return self._store.get(identity.store_key, renew, timeout)

    def _get_afresh(self, key: str, doubted: Stored, timeout: float) -> Awaitable[Stored]:
        assert self._doubting is not None  # noqa: S101
        return cast("Awaitable[Stored]", self._doubting.get_afresh(key, doubted, timeout))

    def _replace(
        self, identity: Identity, sealed: bytes, ttl: float, expected: Version, timeout: float
    ) -> Coroutine[Any, Any, Version | None]:
        key = identity.store_key
        if self._replicated:
            judges = partial(self._revision, identity), partial(self._includes, identity, sealed)
            return self._replicated.replace_older(key, sealed, ttl, expected, timeout, *judges)
        return self._store.replace(key, sealed, ttl, expected, timeout)

    def _newest(self, identity: Identity, found: Stored, ours: Record) -> StoredRecord | None:
        """Returns what is stored. Of siblings, one that does not include our write, so that it is merged, not lost."""
        values = (found.value, *found.siblings)
        records = [record for value in values if (record := self._unsealed(identity, value, Record.decode))]
        others = [record for record in records if not record.includes(ours)]
        return StoredRecord((others or records)[0], found.version) if records else None

    def _revision(self, identity: Identity, sealed: bytes) -> int | None:
        """Returns the version number of a genuine copy; only a holder of the ID and a secret can tell."""
        record = self._unsealed(identity, sealed, Record.decode)
        return record.version if record else None

    def _includes(self, identity: Identity, sealed: bytes, copy: bytes) -> bool:
        """Returns whether a copy was made from a change."""
        copied = self._unsealed(identity, copy, Record.decode)
        ours = self._unsealed(identity, sealed, Record.decode)
        return copied is not None and ours is not None and copied.includes(ours)

    def _seal(self, identity: Identity, record: Record) -> bytes:
        encoded = record.encode()
        check_size(record.items, len(encoded), self._max_size)
        packed = compression.shrunk(encoded, self._compress_above)
        check_size(record.items, len(packed), self._store.max_value - _OVERHEAD)
        return identity.seal(packed, self._random_bytes(NONCE_BYTES), encrypt=self._encrypt)

    def _opened(
        self, identity: Identity, found: Stored | Ended | None, *, reports: bool = True
    ) -> StoredRecord | SupersededNote | None:
        if isinstance(found, Stored):
            record = self._unsealed(identity, found.value, Record.decode, reports=reports)
            return StoredRecord(record, found.version) if record else None
        if isinstance(found, Ended) and found.note:  # one that does not open was left by a supersession all the same
            return self._unsealed(identity, found.note, SupersededNote.decode) or SupersededNote()
        return None

    def _unsealed(
        self, identity: Identity, sealed: bytes, decode: Callable[[bytes], T], *, reports: bool = True
    ) -> T | None:
        plain = identity.open(sealed)
        try:
            if plain is not None:
                return decode(compression.restored(plain))
        except ImportError:
            if reports:
                self._observer.event("zstd_missing", compression.MISSING)
            return None
        except (ValueError, TypeError):  # authentic, but of the other kind, or of a newer version
            pass
        if reports:
            self._report_unsealed()
        return None

    def _report_unsealed(self) -> None:
        self._observer.event(
            "unsealed",
            "a record in the store does not open: it is damaged, was swapped or planted, or another secret or "
            "app_name sealed it; the visitor is treated as anonymous and the record is kept",
        )
