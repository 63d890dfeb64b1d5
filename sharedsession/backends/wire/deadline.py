"""The time that is left for the next of several steps. The clock is passed in."""

from collections.abc import Callable


class Deadline:
    """The end of several steps, of which each has its own limit.

    Args:
        monotonic: returns seconds on a clock that is never set back.
        step: the most seconds of one step; ``math.inf`` if only the end matters.
        end: when all steps must be over, on that clock.

    Attributes:
        step: as given.
    """

    __slots__ = ("_end", "_monotonic", "step")

    def __init__(self, monotonic: Callable[[], float], step: float, end: float) -> None:
        self._monotonic = monotonic
        self.step = step
        self._end = end

    def left(self) -> float:
        """Returns the seconds of the next step; 0 if there is no time for one."""
        return max(0.0, min(self.step, self._end - self._monotonic()))

    def require(self) -> float:
        """Returns the seconds of the next step.

        Raises:
            TimeoutError: there is no time for one.
        """
        left = self.left()
        if not left:
            raise TimeoutError("no answer in time")
        return left
