"""What happened: plain counters, and log records with a stable ``event`` field on the logger "sharedsession".

No ID, token, key or value is ever passed in here. An event that an attacker can cause is written a few times a second
at most and counted always.
"""

import logging
import time
from collections import Counter

LOGGER = logging.getLogger("sharedsession")
_PER_SECOND = 5


class Observer:
    """Counts events and writes them to the log. One per manager or backend; safe to use from any thread."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self._second = 0
        self._written: Counter[str] = Counter()

    def count(self, event: str) -> None:
        """Counts an event that is nothing to write about."""
        self.counters[event] += 1

    def event(self, event: str, message: str, level: int = logging.WARNING) -> None:
        """Counts an event and writes it to the log, five times a second at most.

        Args:
            event: its stable name, also the ``event`` field of the log record.
            message: what happened, for the person who must act on it.
            level: of `logging`.
        """
        self.counters[event] += 1
        if self._may_write(event):
            LOGGER.log(level, message, extra={"event": event})

    def _may_write(self, event: str) -> bool:
        second = int(time.monotonic())
        if second != self._second:
            self._second = second
            self._written.clear()
        self._written[event] += 1
        return self._written[event] <= _PER_SECOND
