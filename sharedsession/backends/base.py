"""THE contract between the library and a store. Every promise is a sentence here and a test in `tests/contract`.

A backend moves sealed bytes. It knows keys, bytes, versions and seconds; never a cookie, a session ID, a dict.

- Keys are 1 to 64 characters of ``A-Z a-z 0-9 _ - :``. Values are opaque bytes of at most ``max_value``.
- Every verb takes ``within``: the seconds the caller is willing to wait. After that, and whenever the store
  cannot be asked, it raises `BackendUnavailable`. "Don't know" is never reported as "no session".
- A verb that raises `BackendUnavailable` may still take effect later. The verbs are chosen so that a late
  one does no harm: ``add`` and ``replace`` lose against whatever came in between, ``end`` may be repeated.
- A time to live is in seconds, at least 1 and never for ever. It is measured by the store, not by web nodes.
- Blocking verbs may be called from any thread, asynchronous ones from any event loop, both after a fork.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

Version = object
"""What ``get`` hands out and ``replace`` takes: only its own backend can read it."""


class Stored(NamedTuple):
    """A live record.

    Attributes:
        value: the bytes as they were given to ``add`` or ``replace``.
        version: stands for exactly these bytes; any later change of the record gives another version.
        ttl: the remaining time to live in seconds, where the store tells.
        siblings: other records that writers made at the same time on nodes that could not see each other.
    """

    value: bytes
    version: Version
    ttl: float | None = None
    siblings: tuple[bytes, ...] = ()


class Ended(NamedTuple):
    """A tombstone: the record was ended, and the store still remembers it.

    Attributes:
        note: the bytes given to ``end``.
        ttl: the remaining time to live in seconds, where the store tells.
    """

    note: bytes
    ttl: float | None = None


class Facts(Protocol):
    """What a backend of either colour says of itself without any I/O."""

    @property
    def max_value(self) -> int:
        """The most bytes of one value; more would be refused by the store."""
        ...

    def health(self) -> dict[str, Any]:
        """JSON-able facts: kind, nodes, breaker states, counters. No password, no key, no I/O."""
        ...


@runtime_checkable
class Backend(Facts, Protocol):
    """The blocking colour.

    A backend of your own needs just these verbs. Under ASGI a whole step (load, commit) of it then runs in one
    worker thread. To do better, offer the same verbs as coroutines in an attribute ``asynchronous``.
    """

    def get(self, key: str, touch: float | None, within: float) -> Stored | Ended | None:
        """Reads a record and renews its time to live in the same round trip.

        Args:
            key: the store key.
            touch: the new time to live in seconds; ``None`` leaves it. A touch changes no version. A backend
                with an attribute ``renews_when_due`` leaves it out where it would gain less than a tenth; for
                others the library sees to that.
            within: seconds to wait at most.

        Returns:
            The record; `Ended` if a tombstone is there; ``None`` if the store is sure that there is nothing.
        """
        ...

    def add(self, key: str, value: bytes, ttl: float, within: float) -> Version | None:
        """Stores a record under a key that holds nothing: no record, no tombstone.

        Returns:
            Its version, or ``None`` if the key was taken. Of several that add one key at a time at most one succeeds.
        """
        ...

    def replace(self, key: str, value: bytes, ttl: float, version: Version, within: float) -> Version | None:
        """Stores a new value if the record is still the one that ``version`` stands for, in one step.

        Returns:
            The new version, or ``None`` if the record was changed, ended or forgotten meanwhile, or if the
            backend can no longer tell. Then nothing was stored.
        """
        ...

    def end(self, key: str, ttl: float, within: float, note: bytes = b"", note_ttl: float = 0.0) -> None:
        """Ends a record, whatever its version. To end what is not there is no error.

        After it, no ``replace`` with an earlier version succeeds, ever, and ``get`` returns no record.

        Args:
            key: the store key.
            ttl: the longest life that any copy of the record may still have, in seconds: for so long a store that
                could forget the deletion must remember it. One that cannot may simply delete.
            within: seconds to wait at most.
            note: what `Ended` shall say to readers; empty: nothing.
            note_ttl: for how many seconds the note is of use; then a store that remembers for longer keeps it back.
        """
        ...

    def leave(
        self, key: str, ttl: float, within: float, version: Version, note: bytes = b"", note_ttl: float = 0.0
    ) -> bool:
        """Ends a record that another one takes the place of, unless it was ended for good.

        A backend may do without: then `end` is asked, and a logout at the same moment as a new ID is not noticed.

        Args:
            key: the store key.
            ttl: as for `end`.
            within: seconds to wait for each step; there are more where others are at the record at the same time.
            version: of the record as it was read. That it was changed since does not matter.
            note: as for `end`.
            note_ttl: as for `end`.

        Returns:
            ``False`` if somebody has ended it without a note, or the store has forgotten it. That somebody else has
            left it is no reason to say no: of two who log in at a time, one may never hear the answer to the first.
        """
        ...

    def touch(self, key: str, ttl: float, within: float) -> bool:
        """Renews the time to live without reading.

        Returns:
            Whether there was a live record.
        """
        ...

    def close(self) -> None:
        """Lets go of connections and threads. The backend may be used again and opens them anew."""
        ...


class AsyncBackend(Facts, Protocol):
    """The asynchronous colour: the same verbs, the same promises."""

    async def get(self, key: str, touch: float | None, within: float) -> Stored | Ended | None:
        """Same as `Backend.get`."""
        ...

    async def add(self, key: str, value: bytes, ttl: float, within: float) -> Version | None:
        """Same as `Backend.add`."""
        ...

    async def replace(self, key: str, value: bytes, ttl: float, version: Version, within: float) -> Version | None:
        """Same as `Backend.replace`."""
        ...

    async def end(self, key: str, ttl: float, within: float, note: bytes = b"", note_ttl: float = 0.0) -> None:
        """Same as `Backend.end`."""
        ...

    async def leave(
        self, key: str, ttl: float, within: float, version: Version, note: bytes = b"", note_ttl: float = 0.0
    ) -> bool:
        """Same as `Backend.leave`."""
        ...

    async def touch(self, key: str, ttl: float, within: float) -> bool:
        """Same as `Backend.touch`."""
        ...

    async def close(self) -> None:
        """Same as `Backend.close`, for the connections of the running event loop."""
        ...


@runtime_checkable
class ReplicatedBackend(AsyncBackend, Protocol):
    """One that keeps copies on several nodes, and needs to be told which are genuine and which is the newest.

    A step may take ``within`` twice: once for the owners of a record, once for the other nodes.
    """

    async def get_newest(
        self, key: str, touch: float | None, within: float, revision: Callable[[bytes], int | None]
    ) -> Stored | Ended | None:
        """Same as `Backend.get`.

        Args:
            key: the store key.
            touch: the new time to live in seconds, or ``None``.
            within: seconds to wait for one step.
            revision: opens a copy and tells its number; ``None``: it is not genuine.
        """
        ...

    async def replace_older(
        self,
        key: str,
        value: bytes,
        ttl: float,
        version: Version,
        within: float,
        revision: Callable[[bytes], int | None],
        includes: Callable[[bytes], bool],
    ) -> Version | None:
        """Same as `Backend.replace`.

        Args:
            key: the store key.
            value: the new bytes.
            ttl: their time to live in seconds.
            version: of the record as it was read.
            within: seconds to wait for one step.
            revision: as for `get_newest`.
            includes: tells whether another's copy was made from this change.
        """
        ...
