"""Records on one side, sealed bytes in a store on the other. Secrets end here: a backend sees store keys and bytes.

What does not open is no session: another session's record, a damaged, forged or planted one. It is logged and never an
error; it stays in the store, since a wrong key that was deployed by mistake can be taken back.
"""

import math
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, cast

from sharedsession.backends.adapters import batching, can_supersede
from sharedsession.backends.base import (
    AsyncBackend,
    DoubtingBackend,
    Ended,
    Read,
    ReplicatedBackend,
    SelfRenewingBackend,
    Stored,
    Version,
)
from sharedsession.environment import Environment
from sharedsession.errors import BackendError, BackendUnavailable, SessionEnded
from sharedsession.keys import Identity
from sharedsession.observe import Observer
from sharedsession.records.doubts import Doubts
from sharedsession.records.opener import NOT_ASKED, Asked, CopyJudge, Opener, StoredRecord
from sharedsession.records.record import NO_RECORD, Record, SupersededNote
from sharedsession.records.sealer import Sealer
from sharedsession.records.time_budget import TimeBudget
from sharedsession.records.timeouts import LEEWAY, TouchThrottle

_UNUSED_KEY = "ss:sign-of-life"  # those of sessions are longer; a server's access rules often allow no more than ss:*


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
        stamp_renewal: seconds to renew a stamp with whenever it is read; ``None``: logins renew it.
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
        stamp_renewal: float | None = None,
    ) -> None:
        self._store = store
        self._batching = batching(store)
        self._stamp_renewal = stamp_renewal
        self._opener = Opener(observer)
        self._replicated = store if isinstance(store, ReplicatedBackend) else None
        self._can_supersede = can_supersede(store)
        self._doubting = store if isinstance(store, DoubtingBackend) else None
        self._always_renews = isinstance(store, SelfRenewingBackend) and store.renews_when_due
        self._timeout = timeout
        self._sealer = Sealer(
            encrypt=encrypt, max_size=max_size, compress_above=compress_above, environment=environment
        )
        self._monotonic = environment.monotonic
        self._throttle = TouchThrottle()
        self._doubts = Doubts()

    def time_budget(self, waited: float = 0.0) -> TimeBudget:
        """Returns the time budget of a request that has waited for so many seconds."""
        return TimeBudget(self._timeout, self._monotonic, waited)

    # -- read

    def ask(self, identity: Identity, idle: float | None, now: float, timeout: float) -> Awaitable[Asked]:
        """Asks for a record and, where that is due, renews its life in the same round trip.

        The stamp of a session's principal is asked for in the same packet. What the answer means, `opened` and `read`
        tell.

        Args:
            identity: whose record.
            idle: the idle timeout to renew with, in seconds; ``None`` leaves the record's life as it is.
            now: on the monotonic clock.
            timeout: seconds that the store may take.

        Raises:
            BackendUnavailable: the store cannot answer.
        """
        key, stamp = identity.store_key, identity.stamp
        renew = idle if idle is None or self._always_renews else self._throttle.due(key, idle, now)
        if self._doubts.settled and self._doubts.are_settled(key, now):
            renew = None  # what does not open is nobody's session, and lives no longer than it would have
        if stamp is None:
            return self._get(identity, renew, timeout)
        life = self._stamp_renewal
        due = life and self._throttle.due(stamp.store_key, life, now)
        reads = [Read.of(key, renew), Read.of(stamp.store_key, due)]
        if self._replicated is None:
            return cast("Awaitable[Asked]", self._batching.get_many(reads, timeout))
        return self._get_many(reads, [identity, stamp], timeout)

    def opened(self, identity: Identity, asked: Asked) -> StoredRecord | None:
        """Returns the record in an answer; ``None`` where it is not as plain as that, and `read` must judge it."""
        of_stamp, stamp, found = identity.stamp, None, asked
        if of_stamp is not None:
            found, beside = cast("Sequence[Any]", asked)
            if type(beside) is not Stored or (stamp := self._opener.stamp(of_stamp, beside.value)) is None:
                return None
        if type(found) is not Stored or (record := self._opener.record(identity, found.value, reports=False)) is None:
            return None
        if self._doubts.settled:
            self._doubts.forget(identity.store_key)
        return StoredRecord(record, found.version, stamp)

    async def read(
        self, identity: Identity, idle: float | None, budget: TimeBudget, asked: Asked = NOT_ASKED
    ) -> StoredRecord | SupersededNote | None:
        """Reads a record, renewed and with its stamp as `ask` says.

        Args:
            identity: whose record.
            idle: the idle timeout to renew with, in seconds; ``None`` leaves the record's life as it is.
            budget: of the request.
            asked: what `ask` returned, if it was awaited already.

        Returns:
            The record, the note of its tombstone, or ``None`` if there is no session. Of one that does not open, the
            record is `NO_RECORD`.

        Raises:
            BackendUnavailable: the store cannot answer.
        """
        key, found = identity.store_key, None
        try:
            if asked is NOT_ASKED:
                with budget as timeout:
                    asked = await self.ask(identity, idle, self._monotonic(), timeout)
            found, stamp = self._opener.parts(identity, asked)
        finally:
            if found is None:
                self.forget_renewal(identity)
        opened = self._opener.answer(identity, found, reports=self._doubting is None)
        if opened is None and isinstance(found, Stored):
            found = await self._doubt(key, found, budget) if self._doubting is not None else found
            opened = self._opener.answer(identity, found, reports=self._doubting is not None)
            if opened is None and isinstance(found, Stored):
                self._doubts.settle(key, self._monotonic())
                return StoredRecord(NO_RECORD, found.version)
            self._doubts.forget(key)
        return opened if stamp is None or not isinstance(opened, StoredRecord) else opened._replace(stamp=stamp)

    def forget_renewal(self, identity: Identity) -> None:
        """Has the next read renew a record, since the store may not have done it."""
        self._throttle.forget(identity.store_key)

    async def read_rivals(
        self, identities: Sequence[Identity], budget: TimeBudget
    ) -> list[StoredRecord | SupersededNote | None]:
        """Reads the records of several identities, with their stamps, in one round trip. None is renewed.

        Raises:
            BackendUnavailable: the store cannot answer for all of them.
        """
        wanted = [each for identity in identities for each in (identity, identity.stamp or identity)]
        with budget as timeout:
            found = await self._get_many([Read(each.store_key) for each in wanted], wanted, timeout)
        answers: list[Stored | Ended | None] = []
        for held in found:
            if isinstance(held, BackendUnavailable):
                raise held
            answers.append(held)
        opened: list[StoredRecord | SupersededNote | None] = []
        for identity, held, beside in zip(identities, answers[::2], answers[1::2], strict=True):
            record = self._opener.answer(identity, held)
            if isinstance(record, StoredRecord) and identity.stamp and isinstance(beside, Stored):
                record = record._replace(stamp=self._opener.stamp(identity.stamp, beside.value))
            opened.append(record)
        return opened

    async def _doubt(self, key: str, found: Stored, budget: TimeBudget) -> Stored | Ended | None:
        """Asks once more for a record that did not open, since it may be the reply to another request."""
        if self._doubts.are_settled(key, self._monotonic()):
            return found
        with budget as timeout:
            return await self._get_afresh(key, found, timeout)

    async def read_beside(
        self, reads: Sequence[tuple[Identity, float | None, Record | None]], budget: TimeBudget
    ) -> list[StoredRecord | BackendUnavailable | None]:
        """Reads several records of one principal in one round trip.

        Args:
            reads: of each record its identity; the life in seconds to renew it with, or ``None``; and a record that
                is added for so long if there is none.
            budget: of the request.

        Returns:
            Each record; ``None`` if there is none that opens; the error if it cannot be told.

        Raises:
            BackendUnavailable: the store cannot answer at all.
        """
        wanted = [
            Read(identity.store_key, life, None if default is None else self._seal(identity, default))
            for identity, life, default in reads
        ]
        identities = [identity for identity, _, _ in reads]
        with budget as timeout:
            found = await self._get_many(wanted, identities, timeout)
        return [self._opener.answer_or_error(*each) for each in zip(identities, found, strict=True)]

    async def lives_of_keys(self, store_keys: Mapping[str, float | None], budget: TimeBudget) -> list[float | None]:
        """Returns how long sessions live, for callers that know the store keys only; the records stay sealed.

        Args:
            store_keys: each with its idle timeout in seconds, where that is known.
            budget: of the request.

        Returns:
            For each its remaining seconds, infinity where they are not known; ``None`` if the session has ended.

        Raises:
            BackendUnavailable: the store cannot answer at all.
        """
        if not store_keys:
            return []
        with budget as timeout:
            reads = [Read(key, longest=idle) for key, idle in store_keys.items()]
            found = await self._get_many(reads, None, timeout)
        return [_life(held) for held in found]

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

    def replace(
        self, identity: Identity, record: Record, ttl: float, expected: Version, timeout: float
    ) -> Awaitable[Version | None]:
        """Stores a record in the place of the one that ``expected`` stands for: a compare-and-swap.

        Args:
            identity: of the session.
            record: to be stored.
            ttl: its time to live in seconds.
            expected: what the store returned for the record in whose place it comes.
            timeout: seconds that the store may take.

        Returns:
            What stands for the record now; ``None`` for a refusal, of which `stored_instead` tells more.

        Raises:
            SessionTooLarge: nothing was sent; the version saved before is untouched.
        """
        sealed = self._sealer.record(identity, record, self._store.max_value)
        if self._replicated is None:
            return self._store.replace(identity.store_key, sealed, ttl, expected, timeout)
        judge = CopyJudge(self._opener, identity)
        return self._replicated.replace_older(identity.store_key, sealed, ttl, expected, timeout, judge)

    async def swap(
        self,
        identity: Identity,
        record: Record,
        ttl: float,
        expected: Version,
        budget: TimeBudget,
        attempts: Sequence[Record] = (),
    ) -> StoredRecord | None:
        """Same as `replace`, and tells what is stored instead.

        Returns:
            What is stored now: the record, one that `Record.includes` it or another of the ``attempts`` at the same
            change, or another request's; ``None`` if the session has ended.

        Raises:
            SessionTooLarge: nothing was sent; the version saved before is untouched.
        """
        with budget as timeout:
            version = await self.replace(identity, record, ttl, expected, timeout)
        if version is not None:
            return StoredRecord(record, version)
        return await self.stored_instead(identity, attempts or (record,), budget)

    async def stored_instead(
        self, identity: Identity, ours: Sequence[Record], budget: TimeBudget
    ) -> StoredRecord | None:
        """Returns what is stored, after a refusal; ours is acknowledged only where enough nodes hold it."""
        while True:
            with budget as timeout:
                found = await self._get(identity, None, timeout)
            opened = self._opener.answer(identity, found)
            if not isinstance(found, Stored) or not isinstance(opened, StoredRecord):
                return None
            if found.settled or not opened.record.includes_any(ours):
                return opened

    async def renew(self, identity: Identity, idle: float, budget: TimeBudget) -> None:
        """Renews the life of a session, to so many seconds."""
        with budget as timeout:
            await self._get(identity, idle, timeout)

    # -- end

    async def end(self, identity: Identity, idle: float, budget: TimeBudget, successor: str = "") -> None:
        """Ends a session, and if its ID was superseded a moment ago, the one in its place.

        Args:
            identity: whose.
            idle: its idle timeout in seconds: the longest life that a copy may still have.
            budget: of the request.
            successor: the store key in its place, if known; it ends first, since its name goes with the old ID.
        """
        await self.end_keys([successor] if successor else [], idle, budget)
        with budget as timeout:
            sealed = await self._store.end(identity.store_key, _tombstone_life(idle), timeout)
        if sealed and not successor and (note := self._opener.note(identity, sealed)) and note.successor:
            await self.end_keys([note.successor], idle, budget)

    async def end_keys(self, store_keys: Sequence[str], idle: float, budget: TimeBudget) -> list[bool]:
        """Ends sessions of which only the store keys are known. Returns which of them were alive."""
        if not store_keys:
            return []
        with budget as timeout:
            return list(await self._batching.end_many(store_keys, _tombstone_life(idle), timeout))

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
        sealed = self._sealer.note(identity, note)
        self._throttle.forget(identity.store_key)
        with budget as timeout:
            if self._can_supersede:
                life = _tombstone_life(idle)
                return await self._store.supersede(identity.store_key, life, timeout, version, sealed, note_ttl)
            await self._store.end(identity.store_key, _tombstone_life(idle), timeout)
            return True

    # -- inside

    def _get(self, identity: Identity, renew: float | None, timeout: float) -> Awaitable[Stored | Ended | None]:
        if self._replicated:
            return self._replicated.get_newest(identity.store_key, renew, timeout, CopyJudge(self._opener, identity))
        return self._store.get(identity.store_key, renew, timeout)

    def _get_afresh(self, key: str, doubted: Stored, timeout: float) -> Awaitable[Stored | Ended | None]:
        assert self._doubting is not None  # noqa: S101
        return cast("Awaitable[Stored | Ended | None]", self._doubting.get_afresh(key, doubted, timeout))

    async def _get_many(
        self, reads: Sequence[Read], identities: Sequence[Identity] | None, timeout: float
    ) -> list[Stored | Ended | BackendUnavailable | None]:
        if self._replicated is None:
            return [*await self._batching.get_many(reads, timeout)]
        judges = [CopyJudge(self._opener, identity) for identity in identities] if identities else None
        return await self._replicated.get_many_newest(reads, timeout, judges)

    def _seal(self, identity: Identity, record: Record) -> bytes:
        return self._sealer.record(identity, record, self._store.max_value)


def _tombstone_life(idle: float) -> float:
    """Returns for how many seconds a tombstone is kept: a copy that comes later is over by what is sealed in it."""
    return 2 * idle + LEEWAY


def _life(held: Stored | Ended | BackendUnavailable | None) -> float | None:
    if isinstance(held, Stored):
        return math.inf if held.ttl is None else held.ttl
    return math.inf if isinstance(held, BackendUnavailable) else None
