"""Time and chance in the hands of a test, and a backend that runs on them."""

import hashlib
import itertools
from collections.abc import Callable

from sharedsession.backends.memory import MemoryBackend
from sharedsession.environment import REAL, Environment


class _Clock:
    """Seconds since a start, moved by hand."""

    def __init__(self, start: float) -> None:
        self._start = start
        self._passed = 0.0

    def time(self) -> float:
        return self._start + self._passed

    def monotonic(self) -> float:
        return self._passed

    def advance(self, seconds: float) -> None:
        if seconds < 0:
            raise ValueError("time only goes forward")
        self._passed += seconds


class ManualEnvironment(Environment):
    """An `Environment` whose clocks stand still until a test moves them. Sleeping moves them, too, and does not wait.

    Args:
        start: the time in seconds since the epoch.
        seed: makes the random bytes the same in every run; ``None``: those of the system.
    """

    __slots__ = ("advance",)

    advance: Callable[[float], None]
    """Moves both clocks forward by a number of seconds."""

    def __init__(self, start: float = 1_800_000_000.0, seed: int | None = None) -> None:
        clock = _Clock(start)
        random_bytes = REAL.random_bytes if seed is None else _seeded(seed)
        super().__init__(clock=clock.time, monotonic=clock.monotonic, random_bytes=random_bytes, sleep=clock.advance)
        object.__setattr__(self, "advance", clock.advance)  # the dataclass is frozen


def memory_backend(environment: Environment = REAL) -> MemoryBackend:
    """Makes a backend in memory whose records expire by the clock of an environment."""
    return MemoryBackend(environment)


def _seeded(seed: int) -> Callable[[int], bytes]:
    """Returns a function whose results look random, and are the same after the same seed."""
    calls = itertools.count()
    return lambda size: hashlib.shake_256(b"%d/%d" % (seed, next(calls))).digest(size)
