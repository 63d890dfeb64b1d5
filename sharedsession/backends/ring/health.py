"""Whom to ask now: a breaker per node. Pure arithmetic, the clock passed in.

A node that failed is left alone for a window; then one request is the probe, and its result decides for all. So a
dead, stopped or slow node costs a process one operation timeout per window, and everybody else an immediate answer.
"""

import threading


class NodeHealth:
    """What this process knows of one node.

    Args:
        window: seconds for which a failed node is left alone.
    """

    def __init__(self, window: float) -> None:
        self._window = window
        self._lock = threading.Lock()
        self._failed = False
        self._ask_again = 0.0
        self.failures = 0

    def may_ask(self, now: float) -> bool:
        """Whether to ask the node; after the window it is ``True`` for one caller, the probe.

        Args:
            now: a monotonic clock in seconds.
        """
        if not self._failed:
            return True
        with self._lock:
            if now < self._ask_again:
                return False
            self._ask_again = now + self._window  # a probe that never reports does not block the next one
            return True

    def worked(self) -> bool:
        """Notes an answer. Returns whether the node was down before."""
        came_back, self._failed = self._failed, False
        return came_back

    def failed(self, now: float) -> bool:
        """Notes that the node did not answer. Returns whether it was up before."""
        with self._lock:
            went_down, self._failed = not self._failed, True
            self._ask_again = now + self._window
            self.failures += 1
            return went_down

    @property
    def state(self) -> str:
        """``"up"`` or ``"down"``."""
        return "down" if self._failed else "up"
