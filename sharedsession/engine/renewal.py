"""Sessions stay alive while a request works with them, however long that takes.

Whoever is still at work when a quarter of the idle timeout has gone by gets its session renewed, and again later.
Requests that are over before, which is nearly all of them, cost nothing but a place in a table.
"""

import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol
from weakref import ref

from sharedsession.session.state import Kept

_LOOK_AFTER = 0.125  # of the idle timeout
_RENEW_AFTER = 0.25  # a memcached that is told two seconds may mean one
Renew = Callable[[Kept, float], Coroutine[Any, Any, None]]
Step = Callable[[], Coroutine[Any, Any, None]]


class Ticker(Protocol):
    """Does a step again and again."""

    def ensure(self, seconds: float) -> None:
        """Sees that it is done each so many seconds, or more often, in this process and on this event loop."""
        ...


_Work = tuple["ref[Kept]", float, float]  # a session, its idle timeout, and when it was renewed


class Keepalive:
    """The sessions that requests of this process are at work with.

    Args:
        renew: gives a session so many seconds to live; never raises.
        ticker: takes what is to be done again and again.
    """

    def __init__(self, renew: Renew, ticker: Callable[[Step], Ticker]) -> None:
        self._renew = renew
        self._ticker = ticker(self._look)
        self._at_work: dict[int, _Work] = {}

    def begin(self, session: Kept, idle: float) -> None:
        """A request has loaded its session, and with that renewed it.

        Args:
            session: of the request.
            idle: its idle timeout in seconds.
        """
        self._at_work[id(session)] = (ref(session), idle, time.monotonic())
        self._ticker.ensure(idle * _LOOK_AFTER)

    def end(self, session: Kept) -> None:
        """The request is over, or its response is on its way."""
        self._at_work.pop(id(session), None)

    async def _look(self) -> None:
        now = time.monotonic()
        for number, (known, idle, renewed) in list(self._at_work.items()):
            session = known()
            if session is None:  # its request failed
                self._at_work.pop(number, None)
            elif now - renewed >= idle * _RENEW_AFTER:
                self._at_work[number] = (known, idle, now)
                await self._renew(session, idle)
