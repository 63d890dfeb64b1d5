"""Tickets that ended before their time, by a logout: kept in the store until they would have expired.

On a ring they are kept on every node, as the registry is: any node that answers knows. A store that does not answer
leaves the operators in, who look at this page when it is down; but a logout that it did not confirm is not called one.
"""

from collections.abc import Sequence

from sharedsession.backends.adapters import for_blocking, for_event_loop
from sharedsession.backends.base import AsyncBackend, ManyNodesBackend, Stored
from sharedsession.errors import BackendUnavailable
from sharedsession.settings import Settings


class RevokedTickets:
    """The tickets that were revoked, as every web node sees them.

    Args:
        settings: of the farm.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._monotonic = settings.environment.monotonic
        self._here: dict[str, float] = {}

    async def has(self, name: str, *, blocking: bool) -> bool:
        """Returns whether a ticket was revoked, as far as this web node and the store know.

        Args:
            name: of the ticket in the store.
            blocking: whether the application blocks.
        """
        if name in self._here:
            return True
        return any([await self._is_on(store, name) for store in self._stores(blocking=blocking)])

    async def add(self, name: str, ttl: float, *, blocking: bool) -> bool:
        """Revokes a ticket.

        Args:
            name: of the ticket in the store.
            ttl: seconds until it expires by itself.
            blocking: whether the application blocks.

        Returns:
            Whether the store confirmed it; if not, it is as good as before.
        """
        confirmed = [await self._put_on(store, name, ttl) for store in self._stores(blocking=blocking)]
        if any(confirmed):
            self._remember(name, ttl)
        return any(confirmed)

    def _stores(self, *, blocking: bool) -> Sequence[AsyncBackend]:
        backend = self._settings.backend
        store = for_blocking(backend) if blocking else for_event_loop(backend)[0]
        if store is None:  # an asynchronous backend behind a page for WSGI, which asks it nothing else either
            return ()
        return store.node_stores if isinstance(store, ManyNodesBackend) else (store,)

    async def _is_on(self, store: AsyncBackend, name: str) -> bool:
        try:
            return isinstance(await store.get(name, None, self._settings.timeout), Stored)
        except BackendUnavailable:
            return False

    async def _put_on(self, store: AsyncBackend, name: str, ttl: float) -> bool:
        try:
            await store.add(name, b"revoked", ttl, self._settings.timeout)
        except BackendUnavailable:
            return False
        return True

    def _remember(self, name: str, ttl: float) -> None:
        now = self._monotonic()
        self._here = {other: end for other, end in self._here.items() if end > now} | {name: now + ttl}
