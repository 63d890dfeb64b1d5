"""Time and chance, handed in from outside: the only file that reads a clock, sleeps or asks for random bytes.

The manager takes an `Environment` and hands it to everything below. A test or a simulator gives its own, and the whole
library runs on its clock and from its seed.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass


def _sleep(seconds: float) -> None:
    time.sleep(seconds)  # looked up when it is called: gevent and eventlet replace it


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Where time and chance come from.

    Attributes:
        clock: returns the time in seconds since the epoch.
        monotonic: returns seconds on a clock that is never set back.
        random_bytes: takes a number of bytes and returns as many unpredictable ones.
        sleep: blocks the calling thread for a number of seconds. An event loop sleeps by its own timers.
    """

    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    random_bytes: Callable[[int], bytes] = os.urandom
    sleep: Callable[[float], None] = _sleep


REAL = Environment()
"""The system's clocks and the system's random bytes."""
