"""Session: the dictionary that an application sees. It has the documented names and no others, and does no I/O.

It is a real ``dict``, so that whatever takes one takes a session: ``json.dumps``, ``isinstance``, copying. What is not
loaded yet is never shown as empty: a look loads it, or raises. How it knows what changed is in `changes`; what it knows
beside its data is in `state`.
"""

import copy
from collections.abc import Awaitable, Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, Sequence, ValuesView
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, NoReturn, Self

from sharedsession import durations
from sharedsession.errors import SessionError, SessionNotLoaded
from sharedsession.records import codec, key_refused
from sharedsession.session.host import Exclusive, Ticket
from sharedsession.session.state import SessionState
from sharedsession.session.status import NOT_LOADED, READ_ONLY, UNLOADED
from sharedsession.session.steps import Step, adding, appending

GRACE = 10.0
"""Seconds for which requests with a superseded ID get a read-only answer."""
MOST_GRACE = 60.0
"""The most seconds of a read-only view."""

_MISSING = object()


class Session(dict[str, Any]):
    """The session of one visitor: a dictionary of text keys and JSON-like values, and a little more.

    Made by the middlewares, never by applications. A session that nothing was put into is not stored and sets no
    cookie.
    """

    __slots__ = ("_state",)

    _login_keys: ClassVar[Sequence[str]] = ()
    """What `regenerate_on` is where it is not set: the keys under which a framework's usual libraries keep a login."""

    def __init__(self, state: SessionState) -> None:
        self._state = state
        if state.status is UNLOADED:
            dict.__setitem__(self, "session not loaded", NOT_LOADED)

    # -- reading

    def __getitem__(self, key: str) -> Any:
        state = self._state
        if not state.accessed or state.status is UNLOADED:
            self._look()
        return dict.__getitem__(self, key)

    def __contains__(self, key: object) -> bool:
        self._look()
        return dict.__contains__(self, key)

    def __iter__(self) -> Iterator[str]:
        self._look()
        return dict.__iter__(self)

    def __len__(self) -> int:
        self._look()
        return dict.__len__(self)

    def __reversed__(self) -> Iterator[str]:
        self._look()
        return dict.__reversed__(self)

    def __eq__(self, other: object) -> bool:
        self._look()
        if isinstance(other, Session):
            other._look()
        return dict.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None

    def get(self, key: str, default: Any = None) -> Any:
        """Returns the value of a key, or a default."""
        state = self._state
        if not state.accessed or state.status is UNLOADED:
            self._look()
        return dict.get(self, key, default)

    def keys(self) -> KeysView[str]:  # type: ignore[override]  # a dict's own type has no name
        """Returns a view of the keys."""
        self._look()
        return dict.keys(self)

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        """Returns a view of the values."""
        self._look()
        return dict.values(self)

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        """Returns a view of keys and values."""
        self._look()
        return dict.items(self)

    def copy(self) -> dict[str, Any]:
        """Returns the data as a plain dictionary: what is set there is not saved."""
        self._look()
        return dict(dict.items(self))  # `dict.copy` would ask `keys` and `__getitem__` of ours

    def __or__(self, other: Any) -> dict[str, Any]:  # type: ignore[override]
        return dict.__or__(self.copy(), other)

    def __ror__(self, other: Any) -> dict[str, Any]:  # type: ignore[override]
        return dict.__ror__(self.copy(), other)

    def __copy__(self) -> dict[str, Any]:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return copy.deepcopy(self.copy(), memo)

    # -- writing

    def __setitem__(self, key: str, value: Any) -> None:
        if type(key) is not str:
            key = _checked(key)
        self._look_to_write()
        self._state.changes.assign(key)
        dict.__setitem__(self, key, value)

    def __delitem__(self, key: str) -> None:
        self._look_to_write()
        dict.__delitem__(self, key)
        self._state.changes.forget(key)

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Returns the value of a key; sets it first if there is none."""
        if key not in self:
            self[key] = default
        return dict.__getitem__(self, key)

    def pop(self, key: str, default: Any = _MISSING) -> Any:
        """Removes a key and returns its value, or a default."""
        if key not in self:
            if default is _MISSING:
                raise KeyError(key)
            return default
        value = dict.__getitem__(self, key)
        del self[key]
        return value

    def popitem(self) -> tuple[str, Any]:
        """Removes the key that was added last and returns it with its value."""
        key = next(reversed(self), None)
        if key is None:
            raise KeyError("the session is empty")
        return key, self.pop(key)

    def update(self, other: Mapping[str, Any] | Iterable[tuple[str, Any]] = (), /, **more: Any) -> None:  # type: ignore[override]
        """Sets several values."""
        for key, value in dict(other, **more).items():
            self[key] = value

    def __ior__(self, other: Any) -> Self:  # type: ignore[override]
        self.update(other)
        return self

    def clear(self) -> None:
        """Removes everything. A stored session that is left empty is ended, as by `destroy`."""
        self._look_to_write()
        self._state.changes.clear()
        dict.clear(self)

    def increment(self, key: str, by: float = 1) -> Any:
        """Adds to a number, which begins at 0. It is exact, however many requests do it at the same time.

        The sum is made in memory now and, when another request won, again on the newest version at the commit.

        Args:
            key: of the number.
            by: what is added.

        Returns:
            The new value as this request sees it.

        Raises:
            TypeError: the key has something else; also at the commit, if another request put it there.
        """
        return self._step(key, adding(key, by))

    def append(self, key: str, value: Any) -> None:
        """Appends to a list, which begins empty. It is exact, however many requests do it at the same time.

        Args:
            key: of the list.
            value: what is appended.

        Raises:
            TypeError: the key has something else; also at the commit, if another request put it there.
        """
        self._step(key, appending(key, value))

    # -- facts

    @property
    def id(self) -> str:
        """A short public handle: fit for logs and lists, useless as a cookie. It changes with the session ID."""
        self._look()
        return self._state.identity_for_storing().handle

    @property
    def is_new(self) -> bool:
        """Whether the store has nothing of this session yet."""
        self._look()
        return self._state.record is None

    @property
    def accessed(self) -> bool:
        """Whether this request looked at the session in any way."""
        return self._state.accessed

    @property
    def modified(self) -> bool:
        """Whether there is something to save; changes inside nested values count."""
        return self._state.is_modified(self)

    @property
    def created_at(self) -> datetime:
        """When the session began (UTC). A new ID does not change it."""
        self._look()
        return datetime.fromtimestamp(self._state.created, UTC)

    @property
    def expires_at(self) -> datetime:
        """When the session ends if no request comes (UTC): the earlier of the idle and the absolute end."""
        self._look()
        state = self._state
        end = state.host.timeouts(state.idle_timeout).expires_at(state.created, state.host.clock())
        return datetime.fromtimestamp(end, UTC)

    @property
    def principal(self) -> str | None:
        """Whose session it is, as ``"user:42"``. Setting another value regenerates the ID.

        A ticket of `SessionManager.begin_login` is set likewise: then the login is refused with `SessionEnded`, at the
        commit, if all sessions of the principal were ended since the ticket was taken.
        """
        self._look()
        return self._state.principal

    @principal.setter
    def principal(self, principal: str | Ticket | None) -> None:
        ticket = principal if isinstance(principal, Ticket) else None
        name = ticket.principal if ticket else principal
        if name is not None and not isinstance(name, str):
            raise TypeError(f"principal must be a str, a ticket or None, not {type(principal).__name__}")
        codec.pack("principal", name)  # text that is no Unicode is found here, not at the commit
        self._state.names_principal = True
        if name != self.principal or ticket is not None:
            self.regenerate()
            self._state.set_principal(name, ticket)

    @property
    def idle_timeout(self) -> float:
        """The idle timeout of this session in seconds. Setting another value regenerates the ID."""
        self._look()
        return self._state.host.timeouts(self._state.idle_timeout).idle

    @idle_timeout.setter
    def idle_timeout(self, duration: float | timedelta) -> None:
        try:
            seconds = durations.seconds(duration)
        except ValueError as problem:
            raise ValueError(f"idle_timeout {problem}") from None
        if seconds != self.idle_timeout:
            self.regenerate()
            self._state.idle_timeout = seconds

    @property
    def persistent(self) -> bool | None:
        """Whether the cookie outlives the browser; ``None``: as the farm's setting. A change regenerates the ID."""
        self._look()
        return self._state.persistent

    @persistent.setter
    def persistent(self, persistent: bool | None) -> None:
        if persistent is not self.persistent:
            self.regenerate()
            self._state.persistent = persistent

    # -- life cycle

    def regenerate(self, grace: float = 0.0) -> None:
        """Gives the session a new ID and keeps its data: call it at login (ASVS 5.0, 7.2.4).

        The old ID is dead at once. For ten seconds a request that still carries it gets an empty read-only session and
        never a Set-Cookie, so that it cannot overwrite the new cookie.

        Args:
            grace: with more than 0, such a request gets for so many seconds, 60 at most, a read-only view of the data
                as they were, while the session is alive. For rotating IDs, not for a change of rights.

        Raises:
            SessionError: the response has started, so the new ID could not be handed out.
        """
        self._look_to_write()
        self._state.regenerate(min(grace, MOST_GRACE))

    def destroy(self) -> None:
        """Ends the session everywhere and clears the cookie: logout.

        What is written afterwards is a new session.
        """
        self._state.destroy(self)

    def revoke_others(self) -> Awaitable[None]:
        """Ends all other sessions of its principal, now: after a change of password. In ASGI ``await`` it.

        This session goes on. The order of this and of `regenerate` does not matter.

        Raises:
            SessionEnded: this session has ended itself meanwhile; then nothing was ended.
            SessionError: the session has no principal.
            LogoutNotConfirmed: the store did not confirm it: others may still be alive.
        """
        self._look()
        return self._state.host.revoke_others(self)

    def load(self) -> Awaitable[None]:
        """Loads the session now; in ASGI ``await`` it. In a websocket: looks again."""
        self._state.accessed = True
        return self._state.host.load(self)

    def save(self) -> None:
        """Commits now, rather than with the response (applications that block).

        Raises:
            SessionEnded: the session was destroyed, or given a new ID, by another request.
            Conflict: with ``conflict="raise"``, another request changed it.
            BackendUnavailable: the store cannot answer.
        """
        self._wait(lambda: self._state.host.save(self))

    async def asave(self) -> None:
        """Same as `save`, for applications on an event loop."""
        await self._state.host.save(self)

    def lock(self, timeout: float = 10.0, lease: float = 10.0) -> Exclusive[Self]:
        """Exclusive access across the farm, where merging is not enough: ``with`` or ``async with`` it.

        Inside, the session is as the store has it now; it is saved before the lock is released. Readers do not wait,
        and writers that do not ask for the lock are merged as ever. An exception inside drops what was changed.

        Args:
            timeout: seconds to wait for the lock.
            lease: seconds, at least 2, after which a holder that died or stands still loses it. A live one keeps it.

        Returns:
            A context manager that gives the session.

        Raises:
            LockTimeout: on entry, another request held it for too long, or 50 wait already.
            Conflict: at the end, the lock was lost meanwhile; nothing was saved.
            SessionEnded: the session was destroyed meanwhile.
        """
        return self._state.host.lock(self, timeout, lease)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        state = "not loaded" if not self._state.is_loaded else "new" if self._state.record is None else "stored"
        return f"<Session {state}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Session belongs to one request and is never pickled; use dict(session)")

    # -- inside

    def _look(self) -> None:
        """Notes that the request accesses the session, and loads it where that may wait."""
        state = self._state
        state.accessed = True
        if state.status is not UNLOADED:
            return
        if not state.host.blocking and state.identity is not None:
            raise SessionNotLoaded("the session is not loaded: `await session.load()` before you look at it")
        state.host.load(self)

    def _look_to_write(self) -> None:
        state = self._state
        if not state.accessed or state.status is UNLOADED:
            self._look()
        if state.response_started and state.record is None and state.status is not READ_ONLY:
            raise SessionError(
                "the response has started, so a new session can no longer be handed to the browser: "
                "write to the session before the first byte of the response"
            )

    def _step(self, key: str, step: Step) -> Any:
        key = _checked(key)
        self._look_to_write()
        value = self._state.changes.step(key, step, dict.get(self, key))
        dict.__setitem__(self, key, value)
        return value

    def _wait(self, begin: Callable[[], Awaitable[None]]) -> None:
        """Carries something out before it returns.

        Raises:
            SessionError: the application runs on an event loop.
        """
        if not self._state.host.blocking:
            raise SessionError(
                "this application runs on an event loop: use `await session.asave()`, `async with session.lock()`"
            )
        begin()


def state_of(session: Session) -> SessionState:
    """Returns the state of a session, for the engine and the frameworks' adapters."""
    return session._state


def _checked(key: str) -> str:
    if type(key) is str:
        return key
    if not isinstance(key, str):
        raise key_refused(key)
    return str.__str__(key)  # of a subclass, the text
