"""The two clocks of a session, idle and absolute: arithmetic on seconds since the epoch, the clock passed in.

The store keeps the idle end: every read renews the time to live. The sealed record keeps the absolute end, and a guard
against a store whose clock stood still. The clocks of web nodes may differ by the leeway.
"""

import math
from dataclasses import dataclass

LEEWAY = 1260.0  # one clock ten minutes ahead, one ten minutes behind
_RENEW_AFTER = 0.1  # of the idle timeout: a renewal that gains less is not worth a write
_MOST_KEYS = 10_000


@dataclass(frozen=True)
class Timeouts:
    """How long a session lives.

    Args:
        idle: seconds without a request.
        absolute: seconds since the session began, whatever happens; ``None`` for no such end.
    """

    idle: float
    absolute: float | None

    def with_idle(self, idle: float | None) -> "Timeouts":
        """Returns the same with a session's own idle timeout, if it has one."""
        return self if idle is None else Timeouts(idle, self.absolute)

    def time_to_live(self, created: float, now: float) -> float:
        """Returns how many seconds the store shall keep a record written now: never past the absolute end."""
        return self.idle if self.absolute is None else min(self.idle, created + self.absolute - now)

    def expires_at(self, created: float, now: float) -> float:
        """Returns when the session ends if no request comes: the earlier of the two ends, seconds since the epoch."""
        return min(now + self.idle, self.ends_at(created))

    def ends_at(self, created: float) -> float:
        """Returns the absolute end in seconds since the epoch; infinity if there is none."""
        return math.inf if self.absolute is None else created + self.absolute

    def is_over(self, created: float, refreshed: float, now: float) -> bool:
        """Returns whether a record that a store still has is past its absolute end, or was written too long ago.

        A store forgets an idle session by itself. The second test is for a store whose clock stood still, as a paused
        virtual machine's does: a record in use is rewritten once an idle timeout (`wants_rewrite`), so one that is
        older than two has not been in use.
        """
        ended = self.absolute is not None and now >= created + self.absolute
        return ended or now > refreshed + 2 * self.idle + LEEWAY

    def wants_rewrite(self, refreshed: float, now: float) -> bool:
        """Returns whether the record must be written again, to prove that the session is in use."""
        return now > refreshed + self.idle


class TouchThrottle:
    """Remembers what this process renewed lately, so that a busy session is not renewed at every read.

    Renewing changes a store's expiry table, its log and its replicas. The price of a renewal left out is a tenth of the
    idle timeout. The memory is bounded: when it is full it is emptied, which costs a few renewals.
    """

    __slots__ = ("_renewed",)

    def __init__(self) -> None:
        self._renewed: dict[str, float] = {}

    def due(self, key: str, idle: float, now: float) -> float | None:
        """Returns the time to live to renew with, or ``None`` if a renewal is not due.

        Args:
            key: the store key.
            idle: the idle timeout in seconds.
            now: a monotonic clock in seconds.
        """
        if now < self._renewed.get(key, -math.inf) + idle * _RENEW_AFTER:
            return None
        if len(self._renewed) >= _MOST_KEYS:
            self._renewed.clear()
        self._renewed[key] = now
        return idle

    def forget(self, key: str) -> None:
        """Makes the next read renew, since the store may not have done the last renewal."""
        self._renewed.pop(key, None)
