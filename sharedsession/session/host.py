"""What a session asks of its host, which is the engine: to load, to save, to lock, to tell the time.

A protocol, so that sessions know nothing of stores.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

from sharedsession.keys import Identity
from sharedsession.records import Timeouts

S_co = TypeVar("S_co", covariant=True)

Tokens = Sequence[bytes] | Callable[[], Sequence[bytes]]
"""What could be tokens in a request, in its order; or a function that finds it, called at the first look."""

Client = tuple[str | None, str | None]
"""The browser's user agent, and the address that a request came from."""


@runtime_checkable
class Ticket(Protocol):
    """What `SessionManager.begin_login` returns."""

    @property
    def principal(self) -> str:
        """Whose login it is."""
        ...


class HeldLock(Protocol):
    """A lock that this request holds."""

    async def insist(self) -> None:
        """Checks that the lock was not broken meanwhile.

        Raises:
            Conflict: it was.
        """
        ...


class Exclusive(Protocol[S_co]):
    """A lock to be entered, by ``with`` or ``async with``; it returns the session."""

    def __enter__(self) -> S_co: ...

    def __exit__(self, *failure: Any) -> None: ...

    async def __aenter__(self) -> S_co: ...

    async def __aexit__(self, *failure: Any) -> None: ...


class SessionHost(Protocol):
    """What a session asks of the engine, in the colour of the application."""

    @property
    def blocking(self) -> bool:
        """Whether a look at the session may wait for the store (WSGI), or must not (an event loop)."""
        ...

    @property
    def clock(self) -> Callable[[], float]:
        """Returns the time in seconds since the epoch."""
        ...

    def load(self, session: Any) -> Awaitable[None]:
        """Loads a session: before it returns where the application blocks, else when awaited."""
        ...

    def save(self, session: Any) -> Awaitable[None]:
        """Commits a session: before it returns where the application blocks, else when awaited."""
        ...

    def lock(self, session: Any, timeout: float, lease: float) -> Any:
        """Returns the lock of a session, an `Exclusive` that is not entered yet."""
        ...

    def revoke_others(self, session: Any) -> Awaitable[None]:
        """Ends the other sessions of the session's principal: as `save` waits."""
        ...

    def verified(self, tokens: Sequence[bytes]) -> Sequence[Identity]:
        """Returns the identities in what a request carries; empty if nothing in it is genuine."""
        ...

    def new_identity(self, idle_timeout: float | None, principal: str | None) -> Identity:
        """Makes the identity of a new session."""
        ...

    def timeouts(self, idle_timeout: float | None) -> Timeouts:
        """Returns the farm's timeouts, with the session's own idle timeout in seconds if it has one."""
        ...
