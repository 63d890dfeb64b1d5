"""A websocket does not outlive its session: while it is open, somebody looks now and then whether that has ended.

A websocket that the visitor talks on is in use, and so is its session: that lives on. One that nobody talks on ends
with the idle timeout.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress

from sharedsession.engine.lock import Clockwork, Stop
from sharedsession.errors import BackendUnavailable, SessionEnded


class Watch:
    """Looks after the session of one websocket.

    Args:
        lives: tells whether the session lives; told to, it renews it.
        when_ended: called when it has ended.

    Attributes:
        is_in_use: whether the visitor said anything since the last look.
    """

    def __init__(self, lives: Callable[[bool], Awaitable[bool]], when_ended: Callable[[], Awaitable[None]]) -> None:
        self.is_in_use = False
        self._lives = lives
        self._when_ended = when_ended
        self._stop: Stop | None = None

    def begin(self, clockwork: Clockwork, seconds: float) -> None:
        """Looks each so many seconds."""
        self._stop = clockwork.repeat(seconds, self._look)

    async def stop(self) -> None:
        """Looks no more."""
        if self._stop is not None:
            await self._stop()

    async def _look(self) -> None:
        renew, self.is_in_use = self.is_in_use, False
        with suppress(BackendUnavailable):
            if not await self._alive(renew=renew):
                await self._when_ended()

    async def _alive(self, *, renew: bool) -> bool:
        try:
            return await self._lives(renew)
        except SessionEnded:  # with the secret that it began under
            return False
