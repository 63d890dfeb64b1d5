"""``request.session.lock()``: the lock of a Django session, with ``with`` in code that blocks, else ``async with``."""

from typing import TYPE_CHECKING, Any

from django.utils.asyncio import async_unsafe

from sharedsession.engine.lock import SessionLock
from sharedsession.frameworks.django.configuration import farm
from sharedsession.session.mapping import Session

if TYPE_CHECKING:
    from sharedsession.frameworks.django.base import LoadedSession

_NOT_HERE = "waiting for a session's lock would block the event loop: use `async with request.session.lock()`"


class DjangoLock:
    """What ``request.session.lock()`` returns; see `Session.lock`.

    Args:
        store: the session.
        timeout: seconds to wait for the lock.
        lease: seconds after which a holder that gives no sign of life loses it.
    """

    def __init__(self, store: "LoadedSession", timeout: float, lease: float) -> None:
        self._store = store
        self._options = (timeout, lease)
        self._lock: SessionLock[Session]

    @async_unsafe(_NOT_HERE)
    def __enter__(self) -> "LoadedSession":
        self._lock = farm().blocking.lock(self._store.core, *self._options)
        self._lock.__enter__()
        return self._entered()

    def __exit__(self, *failure: Any) -> None:
        self._lock.__exit__(*failure)

    async def __aenter__(self) -> "LoadedSession":
        self._lock = farm().on_loop.lock(self._store.core, *self._options)
        await self._lock.__aenter__()
        return self._entered()

    async def __aexit__(self, *failure: Any) -> None:
        await self._lock.__aexit__(*failure)

    def _entered(self) -> "LoadedSession":
        self._store.accessed = True
        self._store.show_key()
        return self._store
