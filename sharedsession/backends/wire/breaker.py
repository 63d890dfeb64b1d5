"""Whom to ask now: a breaker per node. Pure arithmetic, the clock passed in.

A node that failed is left alone for a window; then one request is the probe, and its result decides for all. So a
dead, stopped or slow node costs a process one operation timeout per window, and everybody else an immediate answer.

Where other nodes hold the same data, a node that answers, but slowly, is demoted as well: after three answers in a
row that took over half the time there is. It comes back when a probe takes less than a quarter: between the two
nothing changes, so a node near the limit does not flap.
"""

import threading

_SLOW, _QUICK = 0.5, 0.25  # of the time there is
_STRIKES = 3


class NodeHealth:
    """What this process knows of one node.

    Args:
        window: seconds for which a failed node is left alone.
        demotes_slow: whether a slow node is left alone as well; wrong for the only one.
    """

    def __init__(self, window: float, *, demotes_slow: bool = False) -> None:
        self._window = window
        self._demotes_slow = demotes_slow
        self._lock = threading.Lock()
        self._failed = False
        self._ask_again = 0.0
        self._strikes = 0
        self.failures = 0

    def is_askable(self, now: float) -> bool:
        """Whether `may_ask` would say yes to somebody.

        Args:
            now: a monotonic clock in seconds.
        """
        return not self._failed or now >= self._ask_again

    def may_ask(self, now: float) -> bool:
        """Whether to ask the node; after the window it is ``True`` for one caller, the probe."""
        if not self._failed:
            return True
        with self._lock:
            if now < self._ask_again:
                return False
            self._ask_again = now + self._window  # a probe that never reports does not block the next one
            return True

    def worked(self, now: float, took: float, timeout: float) -> bool:
        """Notes an answer.

        Args:
            now: a monotonic clock in seconds.
            took: seconds the node took to answer.
            timeout: seconds there were.

        Returns:
            Whether the state of the node changed by it.
        """
        if not self._demotes_slow:
            came_back, self._failed = self._failed, False
            return came_back
        return self._come_back(took, timeout) if self._failed else self._strike(now, took, timeout)

    def failed(self, now: float) -> bool:
        """Notes that the node did not answer. Returns whether it was up before."""
        with self._lock:
            went_down, self._failed = not self._failed, True
            self._ask_again = now + self._window
            self.failures += 1
            return went_down

    @property
    def is_up(self) -> bool:
        """Whether the node is asked without further ado."""
        return not self._failed

    def _come_back(self, took: float, timeout: float) -> bool:
        if took >= timeout * _QUICK:
            return False
        self._failed = False
        self._strikes = 0
        return True

    def _strike(self, now: float, took: float, timeout: float) -> bool:
        self._strikes = self._strikes + 1 if took > timeout * _SLOW else 0
        return self._strikes >= _STRIKES and self.failed(now)
