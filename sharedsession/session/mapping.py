"""Session: the mapping that an application sees. It remembers what was looked at and changed; it does no I/O.

A value is decoded when it is first looked at. Whether something changed in place is found at the end by comparing
its bytes, so ``session["cart"].append(x)`` is kept, and reading alone is never a change. Its state, and what is done
with it from outside, is in `kept`.
"""

from collections.abc import Awaitable, Iterator, Mapping, MutableMapping
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn, Self

from sharedsession.errors import SessionError, SessionNotLoaded
from sharedsession.records import codec
from sharedsession.session.changes import Step
from sharedsession.session.host import Exclusive
from sharedsession.session.state import Kept
from sharedsession.settings import converters as convert

GRACE = 10.0
"""Seconds for which the old ID of a regenerated session still gets a read-only answer."""


class Session(Kept, MutableMapping[str, Any]):
    """The session of one visitor: a mapping of text keys to JSON-like values, and a little more.

    Made by the middlewares, never by applications. A session that nothing was put into is not stored and sets no
    cookie.
    """

    __slots__ = ()

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

    def __reversed__(self) -> Iterator[str]:
        return reversed(list(self))

    def __or__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return {**self, **other}

    def __ror__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return {**other, **self}

    def __ior__(self, other: Any) -> Self:  # type: ignore[misc]  # as with a dict, pairs will do here
        self.update(other)
        return self

    def copy(self) -> dict[str, Any]:
        """The data as a dict, as `dict.copy` makes it: what is set there is not saved."""
        return dict(self)

    def clear(self) -> None:
        """Takes everything out. A stored session that is left empty is ended, as by `destroy`."""
        self._look_to_write()
        self._draft.clear()

    def popitem(self) -> tuple[str, Any]:
        """Takes out what was put in last, as a dict does."""
        key = next(reversed(self), None)
        if key is None:
            raise KeyError("the session is empty")
        return key, self.pop(key)

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
    def idle_timeout(self, duration: float | timedelta) -> None:
        try:
            seconds = convert.seconds(duration)
        except ValueError as problem:
            raise ValueError(f"idle_timeout {problem}") from None
        if seconds != self.idle_timeout:
            self.regenerate()
            self._idle_timeout = seconds

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
        self.at_once(lambda: self._keeper.commit_now(self))

    async def asave(self) -> None:
        """Same as `save`, for applications on an event loop."""
        await self._keeper.do(lambda: self._keeper.commit_now(self))

    def lock(self, timeout: float = 10.0, lease: float = 10.0) -> Exclusive[Self]:
        """Exclusive access across the farm, where merging is not enough: ``with`` or ``async with`` it.

        Inside, the session is as the store has it now; it is saved before the lock is released. Readers are not held
        up, and writers that do not ask for the lock are merged as ever. An exception inside drops what was changed.

        Args:
            timeout: seconds to wait for the lock.
            lease: seconds, at least 2, after which a holder that died or stands still loses it. One that lives
                keeps it.

        Returns:
            A context manager that gives the session.

        Raises:
            LockTimeout: on entry, another request held it for too long, or 50 wait already.
            Conflict: at the end, the lock was lost meanwhile; nothing was saved.
            SessionEnded: the session was destroyed meanwhile.
        """
        return self._keeper.lock(self, timeout, lease)

    def __repr__(self) -> str:
        state = "not loaded" if not self._loaded else "new" if self.record is None else "stored"
        return f"<Session {state}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Session belongs to one request and is never pickled; use dict(session)")

    # -- inside

    def _look(self) -> None:
        self._accessed = True
        if self._loaded:
            return
        if not self._keeper.loads_on_demand and self.stored_id is not None:
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


def _appended(values: Any, value: Any) -> list[Any]:
    if values is None:
        return [value]
    if not isinstance(values, list):
        raise TypeError(f"append needs a list, and the key holds a {type(values).__name__}")
    values.append(value)
    return values
