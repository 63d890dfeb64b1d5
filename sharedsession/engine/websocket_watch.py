"""A websocket does not outlive its session: while it is open, a step looks now and then whether the session has ended.

A websocket that the visitor sends on is in use, and so is its session: it is renewed. One that the visitor does not
send on ends with the idle timeout.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress

from sharedsession.concurrency import Stop, repeat_on_loop
from sharedsession.errors import BackendUnavailable


class WebsocketWatch:
    """Looks after the session of one websocket.

    Args:
        is_alive: returns whether the session is alive; its argument tells whether to renew it.
        on_end: called when the session has ended.

    Attributes:
        is_in_use: whether the visitor sent anything since the last look.
    """

    def __init__(self, is_alive: Callable[[bool], Awaitable[bool]], on_end: Callable[[], Awaitable[None]]) -> None:
        self.is_in_use = False
        self._is_alive = is_alive
        self._on_end = on_end
        self._stop: Stop | None = None

    def start(self, seconds: float) -> None:
        """Looks every so many seconds from now on."""
        self._stop = repeat_on_loop(seconds, self._look)

    async def stop(self) -> None:
        """Looks no more."""
        if self._stop is not None:
            await self._stop()

    async def _look(self) -> None:
        renew, self.is_in_use = self.is_in_use, False
        with suppress(BackendUnavailable):
            if not await self._is_alive(renew):
                await self._on_end()
