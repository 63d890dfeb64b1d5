"""How long something took, less the time in which the machine let nobody run.

What is promised is how long a request waits for its store. A busy machine holds everybody up, and so it does a
metronome that beats meanwhile: what its beats are late by is the machine's.
"""

import threading
import time
from collections.abc import Callable
from typing import Self, TypeVar

T = TypeVar("T")

SLACK = 0.05 + 0.1
"""Seconds beyond what is configured: what is promised, and what a busy test machine adds."""
AT_ONCE = 0.06
"""Seconds of an answer that waits for nobody: far less than any timeout that these tests set."""

_BEAT = 0.005  # seconds
_LATE = 0.01  # less is the metronome's own


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """Does something; returns its result, and the seconds that it took."""
    with Stopwatch() as stopwatch:
        result = work()
    return result, stopwatch.took


class Stopwatch:
    """The same around a few lines.

    Attributes:
        took: the seconds that they took, once they are over.
        passed: the seconds that went by meanwhile, the machine's included: for what must not be too early.
    """

    took = passed = 0.0

    def __enter__(self) -> Self:
        self._metronome = _Metronome()
        self._metronome.start()
        self._began = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        ended = time.monotonic()
        held_up = self._metronome.stop(ended)
        self.passed = ended - self._began
        self.took = self.passed - held_up


class _Metronome(threading.Thread):
    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._stopped = threading.Event()
        self._last = time.monotonic()
        self._late = 0.0

    def run(self) -> None:
        while not self._stopped.wait(_BEAT):
            self._beat(time.monotonic())

    def stop(self, ended: float) -> float:
        """Ends it; returns by how many seconds all of its beats were late."""
        self._stopped.set()
        self.join()
        self._beat(ended)
        return self._late

    def _beat(self, now: float) -> None:
        late = now - self._last - _BEAT
        self._late += late if late > _LATE else 0.0
        self._last = now
