"""The security stamps of principals: a login stands under one, "log out everywhere" changes it.

A stamp is a record of its own kind beside the sessions. It is read in the same packet as a session of its principal,
and changed by compare-and-swap. There is one under each secret, since the secret that signed a session decides where
its stamp is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sharedsession.concurrency import Driver
from sharedsession.environment import Environment
from sharedsession.errors import BackendUnavailable, LogoutNotConfirmed, SessionEnded
from sharedsession.keys import STAMP, Identity
from sharedsession.records import (
    NO_RECORD,
    STAMP_BYTES,
    WRITE_ID_BYTES,
    Record,
    SealedStore,
    Stamp,
    StoredRecord,
    TimeBudget,
    life_of_stamps,
    stamp_record,
)
from sharedsession.settings import Settings

_ATTEMPTS = 1000  # the time budget mostly ends before


@dataclass(frozen=True, slots=True)
class LoginTicket:
    """Taken before a password is checked: a login by it is refused if everything was revoked in between.

    Attributes:
        principal: whose login it is.
    """

    principal: str
    _stamp: bytes = field(repr=False)


Spare = Callable[[Stamp], Mapping[str, bytes]]
"""Takes the stamp as it is, and returns the sessions that are spared from its change."""


class Stamps:
    """The stamps of one farm in one store.

    Args:
        settings: of the farm.
        store: where the stamps are.
        driver: of the store's colour.
    """

    def __init__(self, settings: Settings, store: SealedStore, driver: Driver) -> None:
        self._machine_key = settings.machine_key
        self._store = store
        self._gather = driver.gather
        self._environment: Environment = settings.environment
        self._life = life_of_stamps(settings.timeouts)

    def question(self, identity: Identity) -> tuple[Identity, float, Record]:
        """Returns what `SealedStore.read_beside` is asked at a login: the stamp, or else a new one."""
        return identity, self._life, self._new(NO_RECORD)

    async def of_login(
        self, identity: Identity, found: StoredRecord | BackendUnavailable | None, budget: TimeBudget
    ) -> Stamp:
        """Returns the stamp under which a login stands.

        Args:
            identity: of the stamp.
            found: the answer to `question`. A stamp that does not open is replaced: a planted one locks nobody out.
            budget: of the request.

        Raises:
            BackendUnavailable: the store cannot answer.
        """
        if isinstance(found, StoredRecord) and found.record is not NO_RECORD:
            return Stamp.of(found.record)
        stored = found if isinstance(found, StoredRecord) else None
        for _ in range(_ATTEMPTS):
            stored = await self._put(identity, stored, self._new(NO_RECORD), budget)
            if stored is not None and stored.record is not NO_RECORD:
                return Stamp.of(stored.record)
        raise BackendUnavailable("a security stamp is changed by too many requests at once")

    async def admits(self, identity: Identity, record: Record, budget: TimeBudget) -> bool:
        """Returns whether a session is valid under a stamp as the store has it now.

        Raises:
            BackendUnavailable: the store cannot answer.
        """
        (found,) = await self._store.read_beside([(identity, None, None)], budget)
        if isinstance(found, BackendUnavailable):
            raise found
        return found is not None and found.record is not NO_RECORD and Stamp.of(found.record).admits(record)

    async def ticket(self, principal: str) -> LoginTicket:
        """Returns a ticket for a login that is about to begin.

        Raises:
            BackendUnavailable: the store cannot answer.
        """
        identity = self._machine_key().of_principal(principal, STAMP)[0]
        budget = self._store.time_budget()
        (found,) = await self._store.read_beside([self.question(identity)], budget)
        return LoginTicket(principal, (await self.of_login(identity, found, budget)).value)

    async def change(
        self, identity: Identity, found: StoredRecord | BackendUnavailable | None, spare: Spare, budget: TimeBudget
    ) -> Stamp:
        """Gives a principal a new stamp, so that its sessions end.

        Args:
            identity: of the stamp.
            found: as it was read.
            spare: asked for the sessions that go on, of the stamp in whose place the new one comes. What it raises
                leaves everything as it is.
            budget: of the request.

        Raises:
            LogoutNotConfirmed: too few nodes of the store confirmed it: sessions may still be alive.
        """
        stored = found if isinstance(found, StoredRecord) else None
        try:
            for _ in range(_ATTEMPTS):
                before = stored.record if stored else NO_RECORD
                spared = spare(Stamp.of(before)) if before is not NO_RECORD else {}
                wanted = self._new(before, spared)
                is_there = stored is not None
                stored = await self._put(identity, stored, wanted, budget)
                # What was added may stand on any node; a swap is acknowledged by those that readers ask.
                if is_there and stored is not None and stored.record.includes(wanted):
                    return Stamp.of(stored.record)
        except BackendUnavailable:
            raise LogoutNotConfirmed("the session store did not confirm the end of the sessions") from None
        raise LogoutNotConfirmed("a security stamp is changed by too many requests at once")

    async def _put(
        self, identity: Identity, stored: StoredRecord | None, wanted: Record, budget: TimeBudget
    ) -> StoredRecord | None:
        """Writes a stamp in the place of what was read. Returns what is stored now; ``None`` if there is nothing."""
        if stored is not None:
            return await self._store.swap(identity, wanted, self._life, stored.version, budget)
        try:
            version = await self._store.add_if_free(identity, wanted, self._life, budget)
        except SessionEnded:
            raise BackendUnavailable("a tombstone stands where a security stamp belongs") from None
        if version is not None:
            return StoredRecord(wanted, version)
        (found,) = await self._store.read_beside([(identity, None, None)], budget)
        if isinstance(found, BackendUnavailable):
            raise found
        return found

    def _new(self, before: Record, spared: Mapping[str, bytes] | None = None) -> Record:
        random_bytes = self._environment.random_bytes
        now, value, write_id = self._environment.clock(), random_bytes(STAMP_BYTES), random_bytes(WRITE_ID_BYTES)
        return stamp_record(before, value, now, write_id, spared)


def insist(ticket: object, stamp: Stamp) -> None:
    """Checks that nothing was revoked since a ticket was taken, if a login has one.

    Raises:
        SessionEnded: it was.
    """
    if isinstance(ticket, LoginTicket) and ticket._stamp != stamp.value:
        raise SessionEnded("all sessions of the principal were ended while this login was under way")
