"""Which records did not open although they were asked for twice. Pure, the clock passed in; bounded.

A record that does not open may be the reply to another request, so it is asked for once more. If it is the record that
is damaged, that would be done at every visit, so for a while it is believed.
"""

_BELIEVED_FOR = 60.0  # seconds
_MOST_KEYS = 1000


class Doubts:
    """What is known of records that do not open; each key by itself, so that one of them hides no other fault."""

    __slots__ = ("_settled",)

    def __init__(self) -> None:
        self._settled: dict[str, float] = {}  # key: until when, on the monotonic clock

    def __bool__(self) -> bool:
        return bool(self._settled)

    def are_settled(self, key: str, now: float) -> bool:
        """Returns whether it is the record that is damaged.

        Args:
            key: the store key.
            now: seconds on a monotonic clock.
        """
        return now < self._settled.get(key, now)

    def settle(self, key: str, now: float) -> None:
        """Notes that a record did not open the second time either. Arguments as for `are_settled`."""
        if len(self._settled) >= _MOST_KEYS:
            self._settled.clear()
        self._settled[key] = now + _BELIEVED_FOR

    def forget(self, key: str) -> None:
        """Notes that a record opens."""
        self._settled.pop(key, None)
