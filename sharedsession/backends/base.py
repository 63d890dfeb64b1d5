"""THE contract between the library and a store. Each promise is a sentence here and a test of the contract suite.

A backend moves sealed bytes. It knows keys, bytes, versions and seconds; never a cookie, a session ID or a dictionary.

- Keys are 1 to 64 characters of ``A-Z a-z 0-9 _ - : { }``. Values are opaque bytes, at most ``max_value`` of them.
  Where a store spreads keys over servers, it places a key by the part in braces, if it has one (as Redis Cluster does).
- Every verb takes ``timeout``: the seconds that the caller waits at most. After that, and whenever the store cannot
  be asked, the verb raises `BackendUnavailable`. "Don't know" is never reported as "no session".
- A verb that raises `BackendUnavailable` may still take effect later. The verbs are chosen so that this does no harm:
  a late ``add`` or ``replace`` loses against whatever came in between, and ``end`` may be repeated. So each verb may
  also be sent twice.
- What was ended leaves a tombstone, for as long as the library asks. It refuses a late ``add``, and no read changes
  its life. A plain one, left by ``end``, is final; one with a note was left by ``supersede``.
- A time to live is in seconds, at least 1 and never for ever. The store measures it, not a web node.
- Blocking verbs may be called from any thread, asynchronous verbs from any event loop, both also after a fork.

The library passes the arguments of the six verbs by position.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from sharedsession.errors import BackendUnavailable

Version = object
"""What ``get`` returns and ``replace`` takes. Only the backend that made it can read it."""


class Judge(Protocol):
    """Knows what is inside of the copies of one record. Only a holder of its ID and of a secret does."""

    def is_genuine(self, value: bytes) -> bool:
        """Returns whether a copy opens."""
        ...

    def includes(self, value: bytes, other: bytes) -> bool:
        """Returns whether one copy was made from another one, or is the same. Only what is certain counts."""
        ...

    def replaces(self, value: bytes, other: bytes) -> bool:
        """Returns whether one copy may take the place of another one: it includes it, or is newer by very much."""
        ...


class Stored(NamedTuple):
    """A live record.

    Attributes:
        value: the bytes that were given to ``add`` or ``replace``.
        version: stands for exactly these bytes; any later change of the record gives another version.
        ttl: the remaining time to live in seconds, where the store tells it.
        settled: ``False`` while fewer nodes hold it than should and could.
    """

    value: bytes
    version: Version
    ttl: float | None = None
    settled: bool = True


class Ended(NamedTuple):
    """A tombstone: the record was ended, and the store still remembers it.

    Attributes:
        note: the bytes that were given to ``supersede``, while they are shown; else empty.
        ttl: the remaining time to live in seconds, where the store tells it.
    """

    note: bytes
    ttl: float | None = None


class Facts(Protocol):
    """What a backend of either colour tells about itself without any I/O."""

    @property
    def max_value(self) -> int:
        """The most bytes of one value; the store refuses more."""
        ...

    def health(self) -> dict[str, Any]:
        """Returns JSON-able facts: kind, nodes, breaker states, counters. No password and no key; no I/O."""
        ...


@runtime_checkable
class Backend(Facts, Protocol):
    """The blocking colour.

    A backend of your own needs these verbs and no more. Under ASGI, a whole step over it (a load, a commit) runs in one
    worker thread; `TwoColouredBackend` and `NeverWaitingBackend` do better.
    """

    def get(self, key: str, touch: float | None, timeout: float) -> Stored | Ended | None:
        """Reads a record and renews its time to live, in one round trip.

        Args:
            key: the store key.
            touch: the new time to live in seconds; ``None`` leaves it as it is. A renewal changes no version.
            timeout: seconds to wait at most.

        Returns:
            The record; `Ended` if there is a tombstone; ``None`` if the store is sure that there is nothing.

        Raises:
            BackendUnavailable: the store cannot be asked.
        """
        ...

    def add(self, key: str, value: bytes, ttl: float, timeout: float) -> Version | None:
        """Stores a record under a key that holds nothing: no record, no tombstone.

        Args:
            key: the store key.
            value: the record, at most ``max_value`` bytes.
            ttl: its time to live in seconds.
            timeout: seconds to wait at most.

        Returns:
            The record's version, or ``None`` if the key was taken. Of several that add one key at the same time, at
            most one succeeds.

        Raises:
            BackendUnavailable: the store cannot be asked; the record may be stored all the same.
        """
        ...

    def replace(self, key: str, value: bytes, ttl: float, version: Version, timeout: float) -> Version | None:
        """Stores a new value if the record is still the one that ``version`` stands for, in one step.

        Args:
            key: the store key.
            value: the new record, at most ``max_value`` bytes.
            ttl: its time to live in seconds.
            version: of the record as it was read.
            timeout: seconds to wait at most.

        Returns:
            The new version; or ``None`` if the record was changed, ended or forgotten meanwhile, or if the backend can
            no longer tell. Then nothing was stored.

        Raises:
            BackendUnavailable: the store cannot be asked; the value may be stored all the same.
        """
        ...

    def end(self, key: str, ttl: float, timeout: float) -> bytes | None:
        """Ends a record for good, whatever its version, and leaves a plain tombstone. What is not there is ended, too.

        Afterwards ``add`` is refused as long as the tombstone lives, ``replace`` with an earlier version for ever, and
        ``get`` returns no record.

        Args:
            key: the store key.
            ttl: seconds for which the tombstone is kept. A store without memory for it deletes instead.
            timeout: seconds to wait at most.

        Returns:
            The note of a tombstone that was there before, while it is shown; else empty bytes or ``None``.

        Raises:
            BackendUnavailable: the store has not confirmed it; on several nodes, those that matter have not.
        """
        ...

    def supersede(
        self, key: str, ttl: float, timeout: float, version: Version, note: bytes = b"", note_ttl: float = 0.0
    ) -> bool:
        """Ends a record that lives on under another key, unless the record was ended for good.

        A backend may do without this verb: then `end` is asked, and a logout at the same moment as a new ID goes
        unnoticed.

        Args:
            key: the store key.
            ttl: as for `end`.
            timeout: seconds to wait for each step; there are more steps where others change the record meanwhile.
            version: of the record as it was read. It does not matter that it was changed since.
            note: what `Ended` tells to readers.
            note_ttl: seconds for which readers are told; then `Ended` has no note.

        Returns:
            ``False`` if the record was ended for good, or the store has forgotten it; then a plain tombstone is left.
            If another request has superseded it, the result is ``True``: of two logins at the same time, one may never
            hear the answer to its first try.

        Raises:
            BackendUnavailable: the store cannot be asked.
        """
        ...

    def touch(self, key: str, ttl: float, timeout: float) -> bool:
        """Renews the time to live without reading. Returns whether there was a live record.

        Args:
            key: the store key.
            ttl: the new time to live in seconds.
            timeout: seconds to wait at most.

        Raises:
            BackendUnavailable: the store cannot be asked.
        """
        ...

    def close(self) -> None:
        """Closes connections and ends threads. The backend may be used again; then it opens them anew."""
        ...


class AsyncBackend(Facts, Protocol):
    """The asynchronous colour: the same verbs, the same promises."""

    def get(self, key: str, touch: float | None, timeout: float) -> Awaitable[Stored | Ended | None]:
        """Same as `Backend.get`."""
        ...

    def add(self, key: str, value: bytes, ttl: float, timeout: float) -> Awaitable[Version | None]:
        """Same as `Backend.add`."""
        ...

    def replace(
        self, key: str, value: bytes, ttl: float, version: Version, timeout: float
    ) -> Awaitable[Version | None]:
        """Same as `Backend.replace`."""
        ...

    async def end(self, key: str, ttl: float, timeout: float) -> bytes | None:
        """Same as `Backend.end`."""
        ...

    async def supersede(
        self, key: str, ttl: float, timeout: float, version: Version, note: bytes = b"", note_ttl: float = 0.0
    ) -> bool:
        """Same as `Backend.supersede`."""
        ...

    async def touch(self, key: str, ttl: float, timeout: float) -> bool:
        """Same as `Backend.touch`."""
        ...

    async def close(self) -> None:
        """Same as `Backend.close`, for the connections of the running event loop."""
        ...


# -- optional powers, each a protocol of its own


@runtime_checkable
class SupersedingBackend(Protocol):
    """A backend of either colour that has the verb `Backend.supersede`."""

    @property
    def supersede(self) -> Callable[..., object]:
        """Same as `Backend.supersede`, or `AsyncBackend.supersede`."""
        ...


class Read(NamedTuple):
    """One of several reads that travel together.

    Attributes:
        key: the store key.
        touch: the new time to live in seconds; ``None`` leaves it as it is.
        default: a value that is added first, for ``touch`` seconds, if the key holds nothing.
        longest: the longest life in seconds that the record was given, where the caller knows it.
    """

    key: str
    touch: float | None = None
    default: bytes | None = None
    longest: float | None = None

    @classmethod
    def of(cls, key: str, touch: float | None) -> "Read":
        """Returns a plain read. The constructor takes twice as long."""
        return tuple.__new__(cls, (key, touch, None, None))


@runtime_checkable
class BatchingBackend(Protocol):
    """A backend of either colour that does the same to several keys in one round trip. Others are asked one by one."""

    @property
    def get_many(self) -> Callable[..., Any]:
        """`Backend.get` of several keys: takes a sequence of `Read`, and ``timeout`` for all.

        Returns what each key holds, in the same order.
        """
        ...

    @property
    def end_many(self) -> Callable[..., Any]:
        """`Backend.end` of several keys: takes a sequence of keys, ``ttl``, and ``timeout`` for all.

        Returns, in the same order, whether each held a live record.
        """
        ...


@runtime_checkable
class TwoColouredBackend(Protocol):
    """A blocking backend that offers the same verbs as coroutines, for applications on an event loop."""

    @property
    def asynchronous(self) -> AsyncBackend:
        """The same store for event loops."""
        ...


@runtime_checkable
class NeverWaitingBackend(Protocol):
    """A blocking backend whose verbs may never have to wait: then an event loop calls them without a thread."""

    @property
    def never_waits(self) -> bool:
        """Whether that is so."""
        ...


@runtime_checkable
class SelfRenewingBackend(Protocol):
    """A backend whose ``get`` leaves a renewal out where it gains less than a tenth. For others the library does."""

    @property
    def renews_when_due(self) -> bool:
        """Whether that is so."""
        ...


@runtime_checkable
class DoubtingBackend(Protocol):
    """A backend whose replies name no request, so that a reply too many could be taken for the next one."""

    @property
    def get_afresh(self) -> Callable[..., object]:
        """Reads a record that did not open once more: ``get_afresh(key, doubted, timeout)``, in the backend's colour.

        It asks over a connection that is opened for this question, and renews no life. If it finds something else than
        ``doubted``, the `Stored` that did not open, the other connections may be out of step, and are closed. It
        returns and raises what `Backend.get` does.
        """
        ...


@runtime_checkable
class ManyNodesBackend(Protocol):
    """A backend over several nodes, each of which can be asked by itself."""

    @property
    def node_stores(self) -> Sequence[AsyncBackend]:
        """The verbs of each node."""
        ...


@runtime_checkable
class ReplicatedBackend(AsyncBackend, Protocol):
    """A backend that keeps copies on several nodes. It must be told which are genuine, and which was made from which.

    A step may take ``timeout`` twice: once for the owners of a record, once for the other nodes.
    """

    async def get_newest(self, key: str, touch: float | None, timeout: float, judge: Judge) -> Stored | Ended | None:
        """Same as `Backend.get`.

        Args:
            key: the store key.
            touch: the new time to live in seconds, or ``None``.
            timeout: seconds to wait for one step.
            judge: of the record.
        """
        ...

    async def get_many_newest(
        self, reads: Sequence[Read], timeout: float, judges: Sequence[Judge] | None
    ) -> list[Stored | Ended | BackendUnavailable | None]:
        """Same as `BatchingBackend.get_many`, with a judge for each key; ``None``: what is inside does not matter.

        Returns:
            What each key holds; for one that cannot be told, the error instead of raising it.
        """
        ...

    async def replace_older(
        self, key: str, value: bytes, ttl: float, version: Version, timeout: float, judge: Judge
    ) -> Version | None:
        """Same as `Backend.replace`.

        Args:
            key: the store key.
            value: the new bytes.
            ttl: their time to live in seconds.
            version: of the record as it was read.
            timeout: seconds to wait for one step.
            judge: of the record.
        """
        ...
