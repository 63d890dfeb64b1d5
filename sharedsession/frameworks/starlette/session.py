"""The session under Starlette: it waits for the store where it may, in a ``def`` endpoint's worker thread."""

from collections.abc import Awaitable, Callable

import anyio.from_thread

from sharedsession.session import Session


class StarletteSession(Session):
    """A `Session` that loads and saves also in a ``def`` endpoint, which runs in a worker thread."""

    __slots__ = ()

    def mark_accessed(self) -> None:
        """Notes that the response depends on the session; Starlette calls it for ``request.session``."""
        self._state.accessed = True

    def mark_modified(self) -> None:
        """Has the session saved even if nothing changed. Changes inside values are found without it."""
        self._look_to_write()
        self._state.store_anyway = bool(self)

    def _look(self) -> None:
        if self._state.is_loaded or not _done_from_thread(self.load):
            super()._look()

    def _wait(self, begin: Callable[[], Awaitable[None]]) -> None:
        if not _done_from_thread(begin):
            super()._wait(begin)


def _done_from_thread(begin: Callable[[], Awaitable[None]]) -> bool:
    """Has the event loop do something while this worker thread waits; ``False`` where there is no loop to wait for."""
    has_begun = False

    async def work() -> None:
        nonlocal has_begun
        has_begun = True
        await begin()

    try:
        anyio.from_thread.run(work)
    except RuntimeError:  # not a worker thread: that of the event loop itself, or one of the application's own
        if has_begun:
            raise
    return has_begun
