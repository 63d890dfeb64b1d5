"""What a Django session asks of the store, in either colour, and what is asked of it by key alone."""

from collections.abc import Awaitable
from typing import Protocol

from django.utils.asyncio import async_unsafe

from sharedsession.engine import Engine
from sharedsession.errors import BackendUnavailable
from sharedsession.frameworks.django.configuration import configuration
from sharedsession.frameworks.django.session_key import tokens_of
from sharedsession.session import READ_ONLY, Session, state_of

_NOT_HERE = (
    "the session is not loaded, and loading or saving it here would block the event loop: use the methods that begin "
    "with 'a', as in `await request.session.aget(...)`"
)


class StoreCalls(Protocol):
    """What a session asks of the store, in either colour."""

    def load(self, session: Session) -> Awaitable[None]:
        """Loads it."""
        ...

    def save(self, session: Session) -> Awaitable[None]:
        """Commits it now."""
        ...

    def revoke_others(self, session: Session) -> Awaitable[None]:
        """Ends the other sessions of its principal now."""
        ...


class _Blocking:
    """The calls of the blocking engine, refused where they would stop an event loop."""

    __slots__ = ("_engine",)

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @async_unsafe(_NOT_HERE)
    def load(self, session: Session) -> Awaitable[None]:
        return self._engine.load(session)

    @async_unsafe(_NOT_HERE)
    def save(self, session: Session) -> Awaitable[None]:
        return self._engine.save(session)

    @async_unsafe(_NOT_HERE)
    def revoke_others(self, session: Session) -> Awaitable[None]:
        return self._engine.revoke_others(session)


@async_unsafe(_NOT_HERE)
def load_now(session: Session) -> None:
    """Loads a session in code that blocks."""
    configuration().blocking.load(session)


def blocking() -> StoreCalls:
    """Returns the calls for code that blocks."""
    return _Blocking(configuration().blocking)


def on_loop() -> StoreCalls:
    """Returns the calls for code on an event loop."""
    return configuration().on_loop


def opened(key: str | None) -> Session:
    """Returns the session of a key, not loaded yet; a new one if no holder of a secret made the key."""
    return configuration().blocking.open(Session, tokens_of(key))


async def exists(calls: StoreCalls, key: str | None) -> bool:
    """Returns whether the store has a session of this key.

    Raises:
        BackendUnavailable: the store cannot answer.
    """
    core = opened(key)
    state = state_of(core)
    if not state.is_loaded:
        await calls.load(core)
    if state.unavailable:
        raise BackendUnavailable("the session store is not answering")
    return state.record is not None and state.status is not READ_ONLY


async def delete(calls: StoreCalls, key: str | None) -> None:
    """Ends the session of a key, if it is one."""
    core = opened(key)
    if state_of(core).identity:
        core.destroy()
        await calls.save(core)
