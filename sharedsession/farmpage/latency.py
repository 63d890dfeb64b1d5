"""How long the store took for a sign of life, over the last minutes. It does not ask the store: it is told.

However many look at the page, the store is asked once a second at most.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

SPAN = 300.0
"""Seconds that are remembered."""

_AT_MOST_EVERY = 1.0


class Beat(NamedTuple):
    """One sign of life, or none.

    Attributes:
        ago: seconds since it was asked for.
        took: seconds the store took; ``None`` if it did not answer.
    """

    ago: float
    took: float | None


class Pulse:
    """The latest signs of life.

    Args:
        clock: a monotonic clock in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._asked = float("-inf")
        self._beats: deque[tuple[float, float | None]] = deque()

    def begin(self) -> float | None:
        """The moment if it is time to ask the store; ``None`` if somebody just did."""
        with self._lock:
            now = self._clock()
            if now - self._asked < _AT_MOST_EVERY:
                return None
            self._asked = now
            return now

    def end(self, began: float, *, answered: bool) -> None:
        """Notes what came of it."""
        with self._lock:
            now = self._clock()
            self._beats.append((began, now - began if answered else None))
            while now - self._beats[0][0] > SPAN:
                self._beats.popleft()

    def beats(self) -> list[Beat]:
        """What is remembered, oldest first."""
        with self._lock:
            now = self._clock()
            return [Beat(now - began, took) for began, took in self._beats if now - began <= SPAN]
