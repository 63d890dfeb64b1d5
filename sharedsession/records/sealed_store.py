"""Records in, sealed bytes in a store out, and back: session IDs and secrets end here, a backend sees neither.

Whatever does not open is no session: another session's record, a damaged, forged or planted one. It is logged, kept
in the store (a wrong key that was deployed by mistake can be taken back), and never an error.
"""

import math
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, NamedTuple, TypeVar

from sharedsession.backends.base import AsyncBackend, Ended, ReplicatedBackend, Stored, Version
from sharedsession.errors import BackendError, BackendUnavailable, SessionEnded
from sharedsession.keys.machine_key import MachineKey
from sharedsession.observe import Observer
from sharedsession.records import compression
from sharedsession.records.codec import check_size
from sharedsession.records.record import Farewell, Record
from sharedsession.records.timeouts import TouchThrottle

T = TypeVar("T")

_OVERHEAD = 128  # bytes that sealing and a backend's own marks add to a record, at most
_NOBODYS = "ss:sign-of-life"  # those of sessions are longer; what a server lets us touch is often no more than ss:*
_LEAST = 0.1  # of an operation's time: with less left, asking would only make a healthy node look dead


class Allowance:
    """The time that one request may still wait for the store: twice that of one operation, in all."""

    __slots__ = ("_left", "_operation", "_since")

    def __init__(self, operation: float) -> None:
        self._operation = operation
        self._left = 2 * operation

    def __enter__(self) -> float:
        """Around one question to the store: the seconds it may take.

        Raises:
            BackendUnavailable: the time is used up.
        """
        if self._left < self._operation * _LEAST:
            raise BackendUnavailable("the time that this request may wait for the store is used up")
        self._since = time.monotonic()
        return self._operation if self._left > self._operation else self._left

    def __exit__(self, *_: object) -> None:
        self._left -= time.monotonic() - self._since


class Held(NamedTuple):
    """A record as the store holds it."""

    record: Record
    version: Version


class Vault:
    """The sealed records of one farm in one store.

    Args:
        store: the verbs, of the application's colour.
        machine_key: returns the machine key of now.
        encrypt: whether to seal, or only to authenticate.
        max_size: most bytes of one encoded session.
        observer: told of what does not open.
        compress_above: bytes above which a record is compressed; ``None``: never.
    """

    def __init__(
        self,
        store: AsyncBackend,
        machine_key: Callable[[], MachineKey],
        *,
        encrypt: bool,
        max_size: int,
        observer: Observer,
        compress_above: int | None = None,
    ) -> None:
        self._store = store
        self._replicated = store if isinstance(store, ReplicatedBackend) else None
        self._machine_key = machine_key
        self._encrypt = encrypt
        self._max_size = max_size
        self._compress_above = compress_above
        self._observer = observer
        self._throttle = TouchThrottle()
        self._doubts: Callable[[], bool] = getattr(store, "doubt", bool)
        self._always_renew = getattr(store, "renews_when_due", False)

    async def read(self, session_id: str, idle: float | None, allowance: Allowance) -> Held | Farewell | None:
        """Reads a record and, where it is due, renews its life in the same round trip.

        Args:
            session_id: whose record.
            idle: the idle timeout to renew with, in seconds; ``None`` leaves its life as it is.
            allowance: of the request.

        Returns:
            The record, what its tombstone says, or ``None`` if there is no session.
        """
        key, found = self._key(session_id), None
        renew = idle if idle is None or self._always_renew else self._throttle.due(key, idle, time.monotonic())
        try:
            with allowance as within:
                found = await self._get(session_id, key, renew, within)
        finally:
            if found is None:
                self._throttle.forget(key)
        held = self._opened(session_id, found)
        if held is None and isinstance(found, Stored) and self._doubts():
            with allowance as within:
                held = self._opened(session_id, await self._get(session_id, key, None, within))
        return held

    async def add(self, session_id: str, record: Record, ttl: float, allowance: Allowance) -> Version:
        """Stores a record under an ID that was just minted.

        Raises:
            SessionTooLarge: nothing was sent.
            SessionEnded: see `add_if_free`.
        """
        version = await self.add_if_free(session_id, record, ttl, allowance)
        if version is None:
            raise BackendError("the store refused a new session under a fresh random key")
        return version

    async def add_if_free(self, session_id: str, record: Record, ttl: float, allowance: Allowance) -> Version | None:
        """Stores a record under an ID that may be taken; then it returns ``None``.

        Raises:
            SessionTooLarge: nothing was sent.
            SessionEnded: somebody who ends all sessions of its principal was first.
        """
        key, sealed = self._key(session_id), self._seal(session_id, record)
        with allowance as within:
            version = await self._store.add(key, sealed, ttl, within)
        if version is not None:
            return version
        # It may have been our own write, whose answer got lost on the way.
        with allowance as within:
            found = await self._get(session_id, key, None, within)
        if isinstance(found, Ended):
            raise SessionEnded("the session was ended before it was stored")
        return found.version if isinstance(found, Stored) and found.value == sealed else None

    async def swap(
        self, session_id: str, record: Record, ttl: float, expected: Version, allowance: Allowance
    ) -> Held | None:
        """Stores a record in the place of the one that ``expected`` stands for.

        Returns:
            What is stored now: the record, one that `Record.includes` it, or another request's. ``None`` if the
            session has ended.

        Raises:
            SessionTooLarge: nothing was sent, the version saved before is untouched.
        """
        key, sealed = self._key(session_id), self._seal(session_id, record)
        with allowance as within:
            version = await self._replace(session_id, key, sealed, ttl, expected, within)
        if version is not None:
            return Held(record, version)
        with allowance as within:
            found = await self._get(session_id, key, None, within)
        return self._newest(session_id, found, record) if isinstance(found, Stored) else None

    def _newest(self, session_id: str, found: Stored, ours: Record) -> Held | None:
        """What is stored; of siblings the one that does not know of our write, so that it is merged and not lost."""
        values = (found.value, *found.siblings)
        records = [record for value in values if (record := self._unsealed(session_id, value, Record.decode))]
        strangers = [record for record in records if not record.includes(ours)]
        return Held((strangers or records)[0], found.version) if records else None

    async def end(self, session_id: str, idle: float, allowance: Allowance) -> None:
        """Ends a session."""
        await self.end_key(self._key(session_id), idle, allowance)

    async def end_key(self, store_key: str, idle: float, allowance: Allowance) -> None:
        """Same as `end`, for who knows the store key only."""
        with allowance as within:
            await self._store.end(store_key, idle, within)
        self._throttle.forget(store_key)

    async def renew(self, session_id: str, idle: float, allowance: Allowance) -> None:
        """Renews a session's life, and looks no further."""
        with allowance as within:
            await self._get(session_id, self._key(session_id), idle, within)

    async def is_alive(self, session_id: str, idle: float | None, allowance: Allowance) -> bool:
        """Whether a session is in the store; renews its life in the same round trip, if there is an idle timeout."""
        with allowance as within:
            return isinstance(await self._get(session_id, self._key(session_id), idle, within), Stored)

    async def life_of_key(self, store_key: str, allowance: Allowance) -> float | None:
        """Whether a session is alive, for who knows the store key only; its record stays sealed.

        Returns:
            The seconds that it still has, ``inf`` where the store does not tell; ``None`` if it has ended.
        """
        with allowance as within:
            found = await self._store.get(store_key, None, within)
        if not isinstance(found, Stored):
            return None
        return math.inf if found.ttl is None else found.ttl

    async def answers(self, allowance: Allowance) -> bool:
        """Whether the store, or any node of a ring, gives a sign of life: it is asked for a key that nobody uses."""
        try:
            with allowance as within:
                await self._store.get(_NOBODYS, None, within)
        except BackendError:
            nodes = self._store.health().get("nodes", ()) if self._replicated else ()
            return any(node["state"] == "up" for node in nodes)
        return True

    async def leave(
        self, session_id: str, idle: float, allowance: Allowance, version: Version, farewell: Farewell, ttl: float
    ) -> bool:
        """Ends a session that goes on under another ID; for a while its tombstone tells requests in flight.

        Returns:
            Whether nobody has ended it for good.
        """
        key = self._key(session_id)
        packed = compression.shrunk(farewell.encode(), self._compress_above)
        note = self._machine_key().seal(session_id, packed, encrypt=self._encrypt)
        self._throttle.forget(key)
        with allowance as within:
            return await self._leave(key, idle, within, version, note, ttl)

    async def _leave(self, key: str, idle: float, within: float, version: Version, note: bytes, ttl: float) -> bool:
        try:
            leave = self._store.leave
        except AttributeError:  # a backend of five verbs
            await self._store.end(key, idle, within, note, ttl)
            return True
        return await leave(key, idle, within, version, note, ttl)

    def _get(
        self, session_id: str, key: str, renew: float | None, within: float
    ) -> Coroutine[Any, Any, Stored | Ended | None]:
        if self._replicated:
            return self._replicated.get_newest(key, renew, within, partial(self._revision, session_id))
        return self._store.get(key, renew, within)

    def _replace(
        self, session_id: str, key: str, sealed: bytes, ttl: float, expected: Version, within: float
    ) -> Coroutine[Any, Any, Version | None]:
        if self._replicated:
            judges = partial(self._revision, session_id), partial(self._includes, session_id, sealed)
            return self._replicated.replace_older(key, sealed, ttl, expected, within, *judges)
        return self._store.replace(key, sealed, ttl, expected, within)

    def _revision(self, session_id: str, sealed: bytes) -> int | None:
        """The number of a genuine copy; only a holder of the ID and a secret can tell."""
        record = self._unsealed(session_id, sealed, Record.decode)
        return record.version if record else None

    def _includes(self, session_id: str, sealed: bytes, copy: bytes) -> bool:
        """Whether a copy was made from a change."""
        records = [self._unsealed(session_id, value, Record.decode) for value in (copy, sealed)]
        return all(records) and records[0].includes(records[1])  # type: ignore[union-attr, arg-type]

    def _key(self, session_id: str) -> str:
        return self._machine_key().store_key(session_id)

    def _seal(self, session_id: str, record: Record) -> bytes:
        encoded = record.encode()
        check_size(record.items, len(encoded), self._max_size)
        packed = compression.shrunk(encoded, self._compress_above)
        check_size(record.items, len(packed), self._store.max_value - _OVERHEAD)
        return self._machine_key().seal(session_id, packed, encrypt=self._encrypt)

    def _opened(self, session_id: str, found: Stored | Ended | None) -> Held | Farewell | None:
        if isinstance(found, Stored):
            record = self._unsealed(session_id, found.value, Record.decode)
            return Held(record, found.version) if record else None
        if isinstance(found, Ended) and found.note:  # one that does not open was left all the same
            return self._unsealed(session_id, found.note, Farewell.decode) or Farewell()
        return None

    def _unsealed(self, session_id: str, sealed: bytes, decode: Callable[[bytes], T]) -> T | None:
        plain = self._machine_key().open(session_id, sealed)
        try:
            if plain is not None:
                return decode(compression.restored(plain))
        except ImportError:
            self._observer.event("zstd_missing", compression.MISSING)
            return None
        except (ValueError, TypeError):  # authentic, but of the other kind, or of a newer version
            pass
        self._observer.event(
            "unsealed",
            "a record in the store does not open: it is damaged, was swapped or planted, or another secret or "
            "app_name sealed it; the visitor is treated as anonymous and the record is kept",
        )
        return None
