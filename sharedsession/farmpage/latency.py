"""How long the store took to answer, over the last minutes. It asks nothing: it is given the results.

However many visitors the page has, it lets the store be asked once a second at most.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from sharedsession.concurrency import PerProcess

SPAN = 300.0
"""Seconds for which samples are kept."""

_SHORTEST_INTERVAL = 1.0  # seconds between two samples


class Sample(NamedTuple):
    """One question to the store.

    Attributes:
        ago: seconds since it was asked.
        took: seconds until the store answered; ``None`` if it did not.
    """

    ago: float
    took: float | None


class Latency:
    """The latest samples.

    Args:
        monotonic: returns seconds on a clock that is never set back.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._lock = PerProcess(threading.Lock)
        self._asked = float("-inf")
        self._samples: deque[tuple[float, float | None]] = deque()

    def begin(self) -> float | None:
        """Returns the moment of a new sample; ``None`` if the last one is too recent."""
        with self._lock.mine:
            now = self._monotonic()
            if now - self._asked < _SHORTEST_INTERVAL:
                return None
            self._asked = now
            return now

    def end(self, began: float, *, answered: bool) -> None:
        """Notes the result of a sample.

        Args:
            began: what `begin` returned.
            answered: whether the store answered.
        """
        with self._lock.mine:
            now = self._monotonic()
            self._samples.append((began, now - began if answered else None))
            while now - self._samples[0][0] > SPAN:
                self._samples.popleft()

    def samples(self) -> list[Sample]:
        """Returns the samples of the last `SPAN` seconds, oldest first."""
        with self._lock.mine:
            now = self._monotonic()
            return [Sample(now - began, took) for began, took in self._samples if now - began <= SPAN]
