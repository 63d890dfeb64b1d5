"""Session: the mapping that an application sees. It remembers what was looked at and changed; it does no I/O.

A value is decoded when it is first looked at. Whether something changed in place is found at the end by comparing
its bytes, so ``session["cart"].append(x)`` is kept, and reading alone is never a change. Whoever loads and saves it
(the `Keeper`) is handed in; the methods after "For the keeper" are the keeper's.
"""

from collections.abc import Awaitable, Iterator, MutableMapping
from datetime import UTC, datetime
from typing import Any, NoReturn, Protocol, Self

from sharedsession import codec
from sharedsession.draft import Draft, Step
from sharedsession.errors import SessionError, SessionNotLoaded
from sharedsession.outcome import KEEP
from sharedsession.record import Record, marked, new_mark
from sharedsession.timeouts import Timeouts

GRACE = 10.0
"""Seconds for which the old ID of a regenerated session still gets a read-only answer."""


class Keeper(Protocol):
    """What a session asks of the manager, in the colour of the application."""

    @property
    def loads_on_demand(self) -> bool:
        """Whether a look at the session may wait for the store (WSGI), or must not (an event loop)."""
        ...

    def load(self, session: "Session") -> Awaitable[None]:
        """Loads it: at once where `loads_on_demand`, else when awaited."""
        ...

    def save(self, session: "Session") -> Awaitable[None]:
        """Commits it: at once where `loads_on_demand`, else when awaited."""
        ...

    def clock(self) -> float:
        """Now, in seconds since the epoch."""
        ...

    def new_id(self, idle_timeout: float | None) -> str:
        """Mints a session ID."""
        ...

    def handle(self, session_id: str) -> str:
        """The public name of a session ID."""
        ...

    def timeouts(self, idle_timeout: float | None) -> Timeouts:
        """The farm's timeouts, with the session's own idle timeout if it has one."""
        ...


class Session(MutableMapping[str, Any]):
    """The session of one visitor: a mapping of text keys to JSON-like values, and a little more.

    Made by the middlewares, never by applications. A session that nothing was put into is not stored and sets no
    cookie.
    """

    __slots__ = (
        "_abandoned",
        "_accessed",
        "_created",
        "_destroyed",
        "_draft",
        "_id",
        "_idle_timeout",
        "_keeper",
        "_loaded",
        "_opened",
        "_persistent",
        "_principal",
        "_response_started",
        "allowance",
        "grace",
        "had_token",
        "is_read_only",
        "left_id",
        "outcome",
        "record",
        "unavailable",
        "version",
    )

    def __init__(
        self,
        keeper: Keeper,
        session_id: str | None,
        *,
        now: float,
        idle_timeout: float | None,
        had_token: bool,
        allowance: Any,
    ) -> None:
        self._keeper = keeper
        self._id = session_id
        self._idle_timeout = idle_timeout
        self._opened = self._created = now
        self._draft: Draft
        self._accessed = self._destroyed = self._response_started = self._abandoned = False
        # The rest is the keeper's: it reads these, and sets the first three.
        self.allowance = allowance
        self.outcome = KEEP
        self.unavailable = False
        self.had_token = had_token
        self.is_read_only = False
        self.left_id: str | None = None
        self.grace = 0.0
        self._adopt(None, None)
        self._loaded = session_id is None

    # -- the mapping

    def __getitem__(self, key: str) -> Any:
        self._look()
        return self._draft.get(key)

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise TypeError(f"a session's keys are str, not {type(key).__name__}")
        self._look_to_write()
        self._draft.put(key, value)

    def __delitem__(self, key: str) -> None:
        self._look_to_write()
        self._draft.remove(key)

    def __contains__(self, key: object) -> bool:
        self._look()
        return key in self._draft

    def __iter__(self) -> Iterator[str]:
        self._look()
        return iter(self._draft)

    def __len__(self) -> int:
        self._look()
        return len(self._draft)

    def __ior__(self, other: Any) -> Self:
        self.update(other)
        return self

    def clear(self) -> None:
        """Takes everything out. A stored session that is left empty is ended, as by `destroy`."""
        self._look_to_write()
        self._draft.clear()

    def increment(self, key: str, by: float = 1) -> Any:
        """Adds to a number, which begins at 0: exact, however many requests do it at a time.

        Done in memory now and, when another request won, again on the newest version at the commit.

        Returns:
            The new value as this request sees it.
        """
        return self._take(key, lambda value: (0 if value is None else value) + by)

    def append(self, key: str, value: Any) -> None:
        """Appends to a list, which begins empty: exact, however many requests do it at a time.

        Raises:
            TypeError: the key holds something else.
        """
        self._take(key, lambda values: _appended(values, value))

    # -- facts

    @property
    def id(self) -> str:
        """A short public handle: fit for logs and lists, useless as a cookie. It changes with the session ID."""
        self._look()
        return self._keeper.handle(self.id_for_storing())

    @property
    def is_new(self) -> bool:
        """Whether the store holds nothing of this session yet."""
        self._look()
        return self.record is None

    @property
    def accessed(self) -> bool:
        """Whether this request looked at the session in any way."""
        return self._accessed

    @property
    def modified(self) -> bool:
        """Whether there is something to save; changes inside nested values count."""
        return self._destroyed or self._must_be_stored() or self._draft.lost_keys or bool(self._draft.changes())

    @property
    def created_at(self) -> datetime:
        """When the session began (UTC). A new ID does not change it."""
        self._look()
        return datetime.fromtimestamp(self._created, UTC)

    @property
    def expires_at(self) -> datetime:
        """When the session ends if nobody comes back (UTC): the earlier of the idle and the absolute end."""
        self._look()
        end = self._keeper.timeouts(self._idle_timeout).expires_at(self._created, self._keeper.clock())
        return datetime.fromtimestamp(end, UTC)

    @property
    def principal(self) -> str | None:
        """Whose session it is, as ``"user:42"``. Setting another value regenerates the ID."""
        self._look()
        return self._principal

    @principal.setter
    def principal(self, principal: str | None) -> None:
        if principal is not None and not isinstance(principal, str):
            raise TypeError(f"principal must be a str or None, not {type(principal).__name__}")
        codec.pack("principal", principal)  # text that is no Unicode is found here, not at the commit
        if principal != self.principal:
            self.regenerate()
            self._principal = principal

    @property
    def idle_timeout(self) -> float:
        """The idle timeout of this session in seconds. Setting another value regenerates the ID."""
        self._look()
        return self._keeper.timeouts(self._idle_timeout).idle

    @idle_timeout.setter
    def idle_timeout(self, seconds: float) -> None:
        if not 0 < seconds < float("inf"):
            raise ValueError("idle_timeout must be a positive number of seconds")
        if seconds != self.idle_timeout:
            self.regenerate()
            self._idle_timeout = float(seconds)

    @property
    def persistent(self) -> bool | None:
        """Whether the cookie outlives the browser; ``None``: as the farm's setting. A change regenerates the ID."""
        self._look()
        return self._persistent

    @persistent.setter
    def persistent(self, persistent: bool | None) -> None:
        if persistent is not self.persistent:
            self.regenerate()
            self._persistent = persistent

    # -- life cycle

    def regenerate(self, grace: float = 0.0) -> None:
        """Gives the session a new ID and keeps its data: call it at login (ASVS 5.0, 7.2.4).

        The old ID is dead at once. For ten seconds a request that still carries it gets an empty read-only session
        and never a Set-Cookie, so that it cannot overwrite the new cookie.

        Args:
            grace: with more than 0, for so many seconds such a request gets a read-only view of the data as they
                were instead. For rotating IDs, not for a change of rights.
        """
        self._look_to_write()
        if self._response_started:
            raise SessionError("the response has started, so a new session ID can no longer be handed to the browser")
        if self.record is not None and self.left_id is None:
            self.left_id = self._id
        self.grace = grace
        self._id = None

    def destroy(self) -> None:
        """Ends the session everywhere and takes the cookie back: logout.

        What is written afterwards is a new session.
        """
        self._accessed = True
        self._destroyed = True
        self._leave_for_good()

    def load(self) -> Awaitable[None]:
        """Loads the session now; in ASGI ``await`` it. In a websocket: looks again."""
        self._accessed = True
        return self._keeper.load(self)

    def save(self) -> None:
        """Commits now, rather than with the response (blocking applications).

        Raises:
            SessionEnded: the session was destroyed, or given a new ID, by another request.
            Conflict: with ``conflict="raise"``, another request changed it.
            BackendUnavailable: the store cannot answer.
        """
        if not self._keeper.loads_on_demand:
            raise SessionError("this application runs on an event loop: use `await session.asave()`")
        self._keeper.save(self)

    async def asave(self) -> None:
        """Same as `save`, for applications on an event loop."""
        await self._keeper.save(self)

    def __repr__(self) -> str:
        state = "not loaded" if not self._loaded else "new" if self.record is None else "stored"
        return f"<Session {state}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Session belongs to one request and is never pickled; use dict(session)")

    # -- for the keeper, beside the attributes without an underscore

    @property
    def stored_id(self) -> str | None:
        """The ID that came with the request, or under which it was stored since; ``None`` once it was given up."""
        return self._id

    @property
    def own_idle_timeout(self) -> float | None:
        """The session's own idle timeout in seconds, if it has one."""
        return self._idle_timeout

    @property
    def is_loaded(self) -> bool:
        """Whether the store was asked, or need not be."""
        return self._loaded

    @property
    def needs_no_commit(self) -> bool:
        """Whether nobody looked at it, and there is nothing to prove to the store either."""
        return not self._loaded or self._abandoned or (not self._accessed and self.record is None)

    @property
    def is_destroyed(self) -> bool:
        """Whether it was destroyed, or emptied by `clear`, in this request."""
        if self._destroyed or self.record is None:
            return self._destroyed
        return self._draft.was_cleared and not self._draft and self._principal == self.record.principal

    @property
    def draft(self) -> Draft:
        """What this request did to the data."""
        return self._draft

    def begin(self, record: Record | None, version: object = None, *, read_only: bool = False) -> None:
        """Takes over what the store said; without a record the ID it came with is never adopted."""
        self.is_read_only = read_only
        if record is None:
            self._id = self._idle_timeout = None
        self._adopt(record, version)

    def next_record(self, now: float, *, rewrite: bool = False) -> Record | None:
        """The session as it shall be stored.

        Args:
            now: seconds since the epoch.
            rewrite: store it even if nothing changed.

        Returns:
            The record, or ``None`` if there is nothing to store: nothing changed, or a new session is empty.

        Raises:
            TypeError: a value cannot be stored; the message names the key.
        """
        changes = self._draft.changes()
        if not (changes or self._draft.lost_keys or rewrite or self._must_be_stored()):
            return None
        return Record(
            version=self.record.version + 1 if self.record else 1,
            created=self._created,
            refreshed=now,
            principal=self._principal,
            persistent=self._persistent,
            items=self._draft.with_changes(changes),
            marks=marked(self.record.marks if self.record else b"", new_mark()),
        )

    def id_for_storing(self) -> str:
        """The ID under which it is stored; minted when there is none."""
        if self._id is None:
            self._id = self._keeper.new_id(self._idle_timeout)
        return self._id

    def settle(self, record: Record, version: object, *, merged: bool = False) -> None:
        """Takes over what was just stored.

        Args:
            record: what was stored.
            version: what the backend said stands for it.
            merged: whether another request's changes are in it: then values are decoded anew.
        """
        draft = self._draft
        self._adopt(record, version)
        if not merged:
            self._draft = draft.rebased(record.items)
        self.left_id = None

    def give_up(self) -> str | None:
        """Turns a destroyed session into a new one, empty or with what was written after `destroy`.

        Returns:
            The ID to be ended, if the store may hold anything under it.
        """
        if not self._destroyed:  # emptied by clear()
            self._leave_for_good()
        self._destroyed = False
        left, self.left_id = self.left_id, None
        return left

    def give_up_saving(self) -> None:
        """From now on nothing of it is saved; the application still sees what it wrote."""
        self._abandoned = True

    def response_started(self) -> None:
        """From now on no cookie can be set: what would need one is an error where it is asked for."""
        self._response_started = True

    # -- inside

    def _adopt(self, record: Record | None, version: object) -> None:
        self.record: Record | None = record
        self.version = version
        self._created = record.created if record else self._opened
        self._principal = record.principal if record else None
        self._persistent = record.persistent if record else None
        self._draft = Draft(record.items if record else {})
        self._loaded = True

    def _look(self) -> None:
        self._accessed = True
        if self._loaded:
            return
        if not self._keeper.loads_on_demand:
            raise SessionNotLoaded("the session is not loaded: `await session.load()` before you look at it")
        self._keeper.load(self)

    def _look_to_write(self) -> None:
        self._look()
        if self._response_started and self.record is None and not self.is_read_only:
            raise SessionError(
                "the response has started, so a new session can no longer be handed to the browser: "
                "write to the session before the first byte of the response"
            )

    def _take(self, key: str, step: Step) -> Any:
        if not isinstance(key, str):
            raise TypeError(f"a session's keys are str, not {type(key).__name__}")
        self._look_to_write()
        return self._draft.take(key, step)

    def _must_be_stored(self) -> bool:
        """Whether there is a reason to store it beyond its data: a new ID, or an owner."""
        return self.left_id is not None or (self.record is None and self._principal is not None)

    def _leave_for_good(self) -> None:
        """Starts anew; an ID under which the store may hold something is left, without grace."""
        if self.record is not None or not self._loaded:
            self.left_id = self.left_id or self._id
        self._id = None
        self.grace = 0.0
        self._adopt(None, None)


def _appended(values: Any, value: Any) -> list[Any]:
    if values is None:
        return [value]
    if not isinstance(values, list):
        raise TypeError(f"append needs a list, and the key holds a {type(values).__name__}")
    values.append(value)
    return values
