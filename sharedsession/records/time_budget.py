"""The time that one request may wait for the store. Pure: the clock is passed in."""

from collections.abc import Callable

from sharedsession.errors import BackendUnavailable

_LEAST = 0.1  # of an operation's timeout: with less left, asking would only make a healthy node look dead


class TimeBudget:
    """The time that one request may still wait for the store: twice the timeout of one operation, in all.

    Operations that run side by side count once.

    Args:
        operation: the timeout of one operation in seconds.
        monotonic: returns seconds on a monotonic clock.
        waited: seconds that are used up.
    """

    __slots__ = ("_left", "_monotonic", "_operation", "_running", "_since")

    def __init__(self, operation: float, monotonic: Callable[[], float], waited: float = 0.0) -> None:
        self._operation = operation
        self._left = 2 * operation - waited
        self._monotonic = monotonic
        self._running = 0
        self._since = 0.0

    def __enter__(self) -> float:
        """Begins one operation. Returns the seconds that it may take.

        Raises:
            BackendUnavailable: the time is used up.
        """
        if self._left < self._operation * _LEAST:
            raise BackendUnavailable("the time that this request may wait for the store is used up")
        if not self._running:
            self._since = self._monotonic()
        self._running += 1
        return self._operation if self._left > self._operation else self._left

    def __exit__(self, *_: object) -> None:
        self._running -= 1
        if not self._running:
            self._left -= self._monotonic() - self._since
