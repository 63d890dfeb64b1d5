"""Which records did not open although they were asked for twice. Pure, the clock passed in; bounded.

A record that does not open may be the reply to another request, so it is asked for once more. If it is the record that
is damaged, that would be done at every visit, so for a while it is believed.
"""

_BELIEVED_FOR = 60.0  # seconds
_MOST_KEYS = 1000


class Doubts:
    """What is known of records that do not open; each key by itself, so that one of them hides no other fault.

    Attributes:
        settled: until when each key is believed, on the monotonic clock. Empty where all is well.
    """

    __slots__ = ("settled",)

    def __init__(self) -> None:
        self.settled: dict[str, float] = {}

    def are_settled(self, key: str, now: float) -> bool:
        """Returns whether it is the record that is damaged.

        Args:
            key: the store key.
            now: seconds on a monotonic clock.
        """
        return now < self.settled.get(key, now)

    def settle(self, key: str, now: float) -> None:
        """Notes that a record did not open the second time either. Arguments as for `are_settled`."""
        if len(self.settled) >= _MOST_KEYS:
            self.settled.clear()
        self.settled[key] = now + _BELIEVED_FOR

    def forget(self, key: str) -> None:
        """Notes that a record opens."""
        self.settled.pop(key, None)
