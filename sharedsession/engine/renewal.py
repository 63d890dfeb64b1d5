"""Sessions stay alive while a request works with them, however long that takes.

A request that is still at work after a quarter of the idle timeout has its session renewed, and again later. Requests
that end before, which is nearly all of them, cost no more than a place in a table.
"""

from collections.abc import Callable, Coroutine
from typing import Any
from weakref import ref

from sharedsession.concurrency import Driver
from sharedsession.session import SessionState

_LOOK_AFTER = 0.125  # of the idle timeout
_RENEW_AFTER = 0.25  # of the idle timeout: a memcached that is told two seconds may mean one
Renew = Callable[[SessionState, float], Coroutine[Any, Any, None]]

_Work = tuple["ref[SessionState]", float, float]  # a session, its idle timeout, and when it was renewed


class Renewal:
    """The sessions that requests of this process are at work with.

    Args:
        renew: renews the life of a session to so many seconds; never raises.
        driver: of the application's colour.
        monotonic: returns seconds on a monotonic clock.
    """

    def __init__(self, renew: Renew, driver: Driver, monotonic: Callable[[], float]) -> None:
        self._renew = renew
        self._monotonic = monotonic
        self._timer = driver.timer(self._look)
        self._at_work: dict[int, _Work] = {}

    def add(self, state: SessionState, idle: float) -> None:
        """Adds a session that a request has just loaded, and with that renewed.

        Args:
            state: of the session.
            idle: its idle timeout in seconds.
        """
        self._at_work[id(state)] = (ref(state), idle, self._monotonic())
        self._timer.ensure(idle * _LOOK_AFTER)

    def remove(self, state: SessionState) -> None:
        """Removes a session whose request is over, or whose response is on its way."""
        self._at_work.pop(id(state), None)

    async def _look(self) -> None:
        now = self._monotonic()
        for number, (reference, idle, renewed) in list(self._at_work.items()):
            state = reference()
            if state is None:  # its request failed
                self._at_work.pop(number, None)
            elif now - renewed >= idle * _RENEW_AFTER:
                self._at_work[number] = (reference, idle, now)
                await self._renew(state, idle)
