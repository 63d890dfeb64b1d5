"""Hints (hinted handoff): tombstones that a node missed while it was down. Pure, the clock passed in; bounded.

Other nodes hold the same tombstones, so a process that dies with its hints loses nothing by itself.
"""

import math
import threading
from itertools import islice

from sharedsession.concurrency import PerProcess

_MOST = 10_000  # tombstones for one node
_BATCH = 64


class Hints:
    """The tombstones that one node missed.

    Attributes:
        waiting: the tombstones by key, each with the time when it no longer matters, on the monotonic clock. Empty
            except during and after outages.
    """

    def __init__(self) -> None:
        self.waiting: dict[str, tuple[bytes, float]] = {}
        self._lock = PerProcess(threading.Lock)

    def add(self, key: str, tombstone: bytes, ttl: float, now: float) -> None:
        """Keeps a tombstone for later. The oldest are dropped when there are too many.

        Args:
            key: the store key.
            tombstone: its bytes.
            ttl: for how many seconds it matters.
            now: seconds on a monotonic clock.
        """
        with self._lock.mine:
            self.waiting[key] = (tombstone, now + ttl)
            while len(self.waiting) > _MOST:
                del self.waiting[next(iter(self.waiting))]

    def due(self, now: float) -> list[tuple[str, bytes, float]]:
        """Returns what must be sent before anything else: keys, tombstones and remaining seconds, one batch at most.

        Args:
            now: seconds on a monotonic clock.
        """
        if not self.waiting:
            return []
        with self._lock.mine:
            batch = list(islice(self.waiting.items(), _BATCH))
            for key, (_, end) in batch:
                if end <= now:
                    del self.waiting[key]
        return [(key, tombstone, math.ceil(end - now)) for key, (tombstone, end) in batch if end > now]

    def done(self, key: str) -> None:
        """Forgets a tombstone that the node has now."""
        with self._lock.mine:
            self.waiting.pop(key, None)

    def __len__(self) -> int:
        return len(self.waiting)
