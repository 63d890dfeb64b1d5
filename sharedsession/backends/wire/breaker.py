"""Whether to ask a node now: a breaker for each node. Pure arithmetic, the clock passed in.

A node that failed is skipped for a window. Then one request is the probe, and its result decides for all. So a dead,
stopped or slow node costs a process one operation timeout in each window, and every other request fails at once.

Where other nodes hold the same data, a node that answers slowly is skipped as well: after three replies in a row that
took over half of the timeout. It comes back when a probe takes less than a quarter. Between the two nothing changes,
so a node near the limit does not flap.
"""

import threading

from sharedsession.concurrency import PerProcess

SLOW = 0.5
"""Share of the timeout from which on a reply is slow."""
_QUICK = 0.25  # of the timeout
_SLOW_REPLIES = 3  # in a row


class NodeHealth:
    """What this process knows of one node.

    Args:
        window: seconds for which a failed node is skipped.
        demotes_slow: whether a slow node is skipped as well; wrong for a node that alone holds the data.

    Attributes:
        failures: how many requests got no answer.
    """

    def __init__(self, window: float, *, demotes_slow: bool = False) -> None:
        self._window = window
        self._demotes_slow = demotes_slow
        self._lock = PerProcess(threading.Lock)
        self._failed = False
        self._ask_again = 0.0
        self._slow_replies = 0
        self.failures = 0

    def is_askable(self, now: float) -> bool:
        """Returns whether `may_ask` would return ``True``.

        Args:
            now: seconds on a monotonic clock.
        """
        return not self._failed or now >= self._ask_again

    def may_ask(self, now: float) -> bool:
        """Returns whether to ask the node; after the window ``True`` for one caller, the probe.

        Args:
            now: seconds on a monotonic clock.
        """
        if not self._failed:
            return True
        with self._lock.mine:
            if now < self._ask_again:
                return False
            self._ask_again = now + self._window  # a probe without a result does not block the next one
            return True

    def worked(self, now: float, took: float, timeout: float) -> bool:
        """Notes an answer.

        Args:
            now: seconds on a monotonic clock.
            took: seconds that the node took to answer.
            timeout: seconds that it had.

        Returns:
            Whether the state of the node changed.
        """
        if not self._demotes_slow:
            came_back, self._failed = self._failed, False
            return came_back
        return self._note_probe(took, timeout) if self._failed else self._note_reply(now, took, timeout)

    def failed(self, now: float) -> bool:
        """Notes that the node did not answer. Returns whether it was up before.

        Args:
            now: seconds on a monotonic clock.
        """
        with self._lock.mine:
            went_down, self._failed = not self._failed, True
            self._ask_again = now + self._window
            self.failures += 1
            return went_down

    @property
    def is_up(self) -> bool:
        """Whether every request may be sent to the node."""
        return not self._failed

    @property
    def is_calm(self) -> bool:
        """Whether the node is up and was not slow just now: then a quick answer changes nothing."""
        return not self._failed and not self._slow_replies

    def _note_probe(self, took: float, timeout: float) -> bool:
        if took >= timeout * _QUICK:
            return False
        self._failed = False
        self._slow_replies = 0
        return True

    def _note_reply(self, now: float, took: float, timeout: float) -> bool:
        self._slow_replies = self._slow_replies + 1 if took > timeout * SLOW else 0
        return self._slow_replies >= _SLOW_REPLIES and self.failed(now)
