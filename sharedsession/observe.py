"""What happened: plain counters, log records with a stable ``event`` field on the logger "sharedsession", a callback.

No token, key or value is ever passed in here, and of a session only its public handle comes out. An event that an
attacker can cause is written a few times a second at most and counted always.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

LOGGER = logging.getLogger("sharedsession")
_PER_SECOND = 5


class Event(NamedTuple):
    """Something that happened, as the callback ``on_event`` is told.

    Attributes:
        name: stable, as in the table of events.
        session: the public handle of the session, where it is about one.
        principal: whose session it is, where that is known.
    """

    name: str
    session: str | None = None
    principal: str | None = None


OnEvent = Callable[[Event], object]


class Observer:
    """Counts events and writes them to the log. One per manager or backend; safe to use from any thread.

    Args:
        on_event: called with each event, where it happens: it must be quick, and what it raises is only logged.
        handle: the public name of a session ID.
    """

    def __init__(self, on_event: OnEvent | None = None, handle: Callable[[str], str] = str) -> None:
        self.counters: Counter[str] = Counter()
        self._on_event = on_event
        self._handle = handle
        self._second = 0
        self._written: Counter[str] = Counter()

    def count(self, event: str, session_id: str | None = None, principal: str | None = None, times: int = 1) -> None:
        """Counts an event that is nothing to write about.

        Args:
            event: its stable name.
            session_id: of the session that it is about; never leaves this process.
            principal: whose session it is.
            times: how often it happened.
        """
        self.counters[event] += times
        if self._on_event is not None:
            self._tell(event, session_id, principal)

    def event(self, event: str, message: str, level: int = logging.WARNING) -> None:
        """Counts an event and writes it to the log, five times a second at most.

        Args:
            event: its stable name, also the ``event`` field of the log record.
            message: what happened, for the person who must act on it.
            level: of `logging`.
        """
        self.count(event)
        if self._may_write(event):
            LOGGER.log(level, message, extra={"event": event})

    def _tell(self, event: str, session_id: str | None, principal: str | None) -> None:
        assert self._on_event is not None  # noqa: S101
        try:
            self._on_event(Event(event, session_id and self._handle(session_id), principal))
        except Exception as error:  # noqa: BLE001  (it must not change what happens to the visitor)
            LOGGER.warning("on_event raised %s", type(error).__name__, extra={"event": "on_event_failed"})

    def _may_write(self, event: str) -> bool:
        second = int(time.monotonic())
        if second != self._second:
            self._second = second
            self._written.clear()
        self._written[event] += 1
        return self._written[event] <= _PER_SECOND
