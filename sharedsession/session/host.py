"""What a session asks of whoever keeps it, which is the manager: to load, to save, to lock, to tell the time.

A protocol, so that sessions know nothing of stores.
"""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from sharedsession.records.timeouts import Timeouts

if TYPE_CHECKING:
    from sharedsession.session.state import Kept

T = TypeVar("T")
S = TypeVar("S", bound="Kept")
S_co = TypeVar("S_co", covariant=True)
Tokens = Sequence[bytes] | Callable[[], Sequence[bytes]]
"""Whatever could be a token in a request, in its order; or what finds it once somebody looks at the session."""
Client = tuple[str | None, str | None]
"""The browser's name for itself, and the address that a request came from."""


class HeldLock(Protocol):
    """A lock that this request holds."""

    async def insist(self) -> None:
        """Sees that it was not broken meanwhile.

        Raises:
            Conflict: it was.
        """
        ...


class Exclusive(Protocol[S_co]):
    """A lock to be entered, with ``with`` or ``async with``; it gives the session."""

    def __enter__(self) -> S_co: ...

    def __exit__(self, *failure: Any) -> None: ...

    async def __aenter__(self) -> S_co: ...

    async def __aexit__(self, *failure: Any) -> None: ...


class Keeper(Protocol):
    """What a session asks of the manager, in the colour of the application."""

    @property
    def loads_on_demand(self) -> bool:
        """Whether a look at the session may wait for the store (WSGI), or must not (an event loop)."""
        ...

    def load(self, session: "Kept") -> Awaitable[None]:
        """Loads it: at once where `loads_on_demand`, else when awaited."""
        ...

    def save(self, session: "Kept") -> Awaitable[None]:
        """Commits it: at once where `loads_on_demand`, else when awaited."""
        ...

    def do(self, step: Callable[[], Coroutine[Any, Any, T]]) -> Awaitable[T]:
        """Carries a step out: at once where `loads_on_demand`, else when awaited."""
        ...

    async def load_now(self, session: "Kept") -> None:
        """A step of `do`: loads it, with time of its own to wait for the store."""
        ...

    async def commit_now(self, session: "Kept") -> None:
        """A step of `do`: commits it, with time of its own to wait for the store."""
        ...

    def lock(self, session: S, timeout: float, lease: float) -> "Exclusive[S]":
        """The lock of a session, not taken yet."""
        ...

    def clock(self) -> float:
        """Now, in seconds since the epoch."""
        ...

    def verified(self, tokens: Sequence[bytes]) -> str | None:
        """Finds the session ID in what a request carries; ``None`` if nothing in it is genuine."""
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
