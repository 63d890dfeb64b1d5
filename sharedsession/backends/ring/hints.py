"""The tombstones that a node did not hear of, kept until it does. Pure, the clock passed in; bounded.

Other nodes hold the same tombstones, so a process that dies with its hints loses nothing by itself.
"""

import math
import threading
from itertools import islice

_MOST = 10_000
_BATCH = 64


class Hints:
    """What one node missed.

    Attributes:
        waiting: the tombstones by key, each with the moment when it no longer matters; empty but for outages.
    """

    def __init__(self) -> None:
        self.waiting: dict[str, tuple[bytes, float]] = {}
        self._lock = threading.Lock()

    def add(self, key: str, note: bytes, ttl: float, now: float) -> None:
        """Keeps a tombstone for later; the oldest give way when there are too many.

        Args:
            key: the store key.
            note: of the tombstone.
            ttl: for how long it matters, in seconds.
            now: a monotonic clock in seconds.
        """
        with self._lock:
            self.waiting[key] = (note, now + ttl)
            while len(self.waiting) > _MOST:
                del self.waiting[next(iter(self.waiting))]

    def due(self, now: float) -> list[tuple[str, bytes, float]]:
        """What to send before anything else: keys, notes and remaining times to live; a batch at most."""
        if not self.waiting:
            return []
        with self._lock:
            batch = list(islice(self.waiting.items(), _BATCH))
            for key, (_, end) in batch:
                if end <= now:
                    del self.waiting[key]
        return [(key, note, math.ceil(end - now)) for key, (note, end) in batch if end > now]

    def done(self, key: str) -> None:
        """The node has heard of it."""
        with self._lock:
            self.waiting.pop(key, None)

    def __len__(self) -> int:
        return len(self.waiting)
