"""What a session asks of the store, in either colour, and what is asked of it by key alone."""

from collections.abc import Awaitable
from typing import Protocol

from django.utils.asyncio import async_unsafe

from sharedsession.errors import BackendUnavailable
from sharedsession.frameworks.django.configuration import farm
from sharedsession.manager import SessionManager
from sharedsession.session.mapping import Session

_NOT_HERE = (
    "the session is not loaded, and loading or saving it here would block the event loop: use the methods that begin "
    "with 'a', as in `await request.session.aget(...)`"
)


class Verbs(Protocol):
    """What a session asks of the store, in either colour."""

    def load(self, session: Session) -> Awaitable[None]:
        """Loads it."""
        ...

    def save(self, session: Session) -> Awaitable[None]:
        """Commits it now."""
        ...


class _Blocking:
    """The verbs of the blocking manager, refused where they would stop an event loop."""

    __slots__ = ("_manager",)

    def __init__(self, manager: SessionManager) -> None:
        self._manager = manager

    @async_unsafe(_NOT_HERE)
    def load(self, session: Session) -> Awaitable[None]:
        return self._manager.load(session)

    @async_unsafe(_NOT_HERE)
    def save(self, session: Session) -> Awaitable[None]:
        return self._manager.save(session)


def blocking() -> Verbs:
    """The verbs for code that blocks."""
    return _Blocking(farm().blocking)


def on_loop() -> Verbs:
    """The verbs for code on an event loop."""
    return farm().on_loop


def opened(key: str | None) -> Session:
    """The session of a key, not loaded yet; a new one if nobody who holds a secret made the key."""
    return farm().blocking.open([key.encode("utf-8", "replace")] if key else [])


async def exists(verbs: Verbs, key: str | None) -> bool:
    """Whether the store has a session of this key.

    Raises:
        BackendUnavailable: it cannot answer.
    """
    core = opened(key)
    if not core.is_loaded:
        await verbs.load(core)
    if core.unavailable:
        raise BackendUnavailable("the session store is not answering")
    return core.record is not None and not core.is_read_only


async def delete(verbs: Verbs, key: str | None) -> None:
    """Ends the session of a key, if it is one."""
    core = opened(key)
    if core.stored_id:
        core.destroy()
        await verbs.save(core)
