"""``request.session.lock()``: the lock of a Django session, by ``with`` in code that blocks, else by ``async with``."""

from typing import Any, Generic, Protocol, TypeVar

from django.utils.asyncio import async_unsafe

from sharedsession.frameworks.django.configuration import configuration
from sharedsession.session import Exclusive, Session

_NOT_HERE = "waiting for a session's lock would block the event loop: use `async with request.session.lock()`"


class Lockable(Protocol):
    """A Django session, as far as its lock is concerned."""

    accessed: bool

    @property
    def core(self) -> Session:
        """The session behind it."""
        ...

    def show_key(self) -> None:
        """Takes the key over from the session behind it."""
        ...


L = TypeVar("L", bound=Lockable)


class DjangoLock(Generic[L]):
    """What ``request.session.lock()`` returns; see `Session.lock`.

    Args:
        store: the session.
        timeout: seconds to wait for the lock.
        lease: seconds after which a holder that does not renew the lock loses it.
    """

    def __init__(self, store: L, timeout: float, lease: float) -> None:
        self._store = store
        self._options = (timeout, lease)
        self._lock: Exclusive[Session]

    @async_unsafe(_NOT_HERE)
    def __enter__(self) -> L:
        self._lock = configuration().blocking.lock(self._store.core, *self._options)
        self._lock.__enter__()
        return self._entered()

    def __exit__(self, *failure: Any) -> None:
        self._lock.__exit__(*failure)

    async def __aenter__(self) -> L:
        self._lock = configuration().on_loop.lock(self._store.core, *self._options)
        await self._lock.__aenter__()
        return self._entered()

    async def __aexit__(self, *failure: Any) -> None:
        await self._lock.__aexit__(*failure)

    def _entered(self) -> L:
        self._store.accessed = True
        self._store.show_key()
        return self._store
