"""What one memcached holds, and when it forgets it. Pure: it knows no bytes of the protocol but those of its refusals.

Its clock counts whole seconds since it was started, and a little more. A life is a second of that clock: what is stored
for one second lives until the next tick.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple, Self

VERSION = "1.6.18"
SET, ADD, REPLACE, CAS = range(4)
TOO_LARGE = b"SERVER_ERROR object too large for cache\r\n"
NO_MEMORY = b"SERVER_ERROR out of memory storing object\r\n"
_BORN = 62  # seconds: what memcached's own clock shows when it starts
_UPTIME_BEGINS = 60  # at this second; so `uptime` is 2 when it starts
_IN_THE_PAST = 1  # the exptime of what has expired before it was stored
_LONGEST_LIFE = 2_592_000  # seconds; what is larger is a date
_HEADER = 48 + 8 + 1 + 2  # bytes of an item: header, CAS number, the end of the key and that of the value


class Item(NamedTuple):
    value: bytes
    flags: int
    exptime: int  # a second of the server's clock; 0: it never expires
    cas: int
    is_stale: bool = False  # by `md I`
    has_winner: bool = False  # some reader was told to make the stale item anew


class Items:
    """The items of a memcached, by its own clock.

    Args:
        clock: returns seconds that never go back. It is the server's date as well.
        item_size_max: as ``-I`` sets it, in bytes.

    Attributes:
        second: what the server's own clock shows. It is renewed once a second, and that is when items expire.
        is_held: whether that clock stands still, as while the process is stopped; the first commands after it is
            continued may still see the old second. `tick` goes on.
        out_of_memory: whether there is no memory for one item more, as on a full node with ``-M``.
        evictions: how many.
    """

    def __init__(self, clock: Callable[[], float], *, item_size_max: int = 1_048_576) -> None:
        self._clock = clock
        self.item_size_max = item_size_max
        self.is_held = False
        self.out_of_memory = False
        self.restart()

    def restart(self) -> None:
        """Forgets everything: items, CAS numbers, uptime. Connections of before lead nowhere, and must be dropped."""
        self._items: dict[bytes, Item] = {}
        self._newest_cas = 0
        self.evictions = 0
        self._started = self._clock()
        self.tick()

    @property
    def writes(self) -> int:
        """How many writes there were since the start: the newest CAS number."""
        return self._newest_cas

    def serve_others(self, writes: int) -> None:
        """Takes so many writes of other applications."""
        self._newest_cas += writes

    def copy(self) -> Self:
        """Returns a server that knows the same and goes its own way. Connections stay with the first one."""
        twin = object.__new__(type(self))
        vars(twin).update(vars(self), _items=self._items.copy())
        return twin

    def evict(self, key: bytes) -> bool:
        """Loses an item for want of memory, whatever it is. Returns whether there was one."""
        self.look_at_clock()
        if self.find(key) is None:
            return False
        del self._items[key]
        self.evictions += 1
        return True

    def keys(self) -> list[bytes]:
        """Returns the keys of what has not expired, in the order in which they were first stored."""
        self.look_at_clock()
        return [key for key in list(self._items) if self.find(key) is not None]

    def tick(self) -> None:
        """Renews the server's clock."""
        self.second = _BORN + int(self._clock() - self._started)

    # -- what commands consist of

    def look_at_clock(self) -> None:
        """Renews the server's clock, unless that is held."""
        if not self.is_held:
            self.tick()

    def find(self, key: bytes) -> Item | None:
        """Returns the item under a key, unless it has expired."""
        item = self._items.get(key)
        if item is not None and item.exptime and item.exptime <= self.second:
            del self._items[key]
            return None
        return item

    def store(self, mode: int, key: bytes, value: bytes, flags: int, exptime: int, cas: int) -> tuple[bytes, int]:
        """Stores if the mode allows it. Returns the status as the meta commands tell it, and the new CAS number."""
        if mode != SET:
            item = self.find(key)
            if mode == ADD:
                if item is not None:
                    return b"NS", 0
            elif item is None:
                return b"NS" if mode == REPLACE else b"NF", 0
            elif mode == CAS and item.cas != cas:
                return b"EX", 0
        self._newest_cas += 1
        self._items[key] = Item(value, flags, exptime, self._newest_cas)
        return b"HD", self._newest_cas

    def renew(self, key: bytes, item: Item, exptime: int) -> None:
        """Gives an item another life; its CAS number stays."""
        value, flags, _, cas, is_stale, has_winner = item
        self._items[key] = Item(value, flags, exptime, cas, is_stale, has_winner)

    def mark_stale(self, key: bytes, item: Item, exptime: int) -> None:
        """Marks an item as stale, under a new CAS number. The next reader is to make it anew."""
        self._newest_cas += 1
        self._items[key] = Item(item.value, item.flags, exptime, self._newest_cas, is_stale=True)

    def promise(self, key: bytes) -> None:
        """Notes that a reader was told to make a stale item anew."""
        self._items[key] = self._items[key]._replace(has_winner=True)

    def delete(self, key: bytes) -> bool:
        """Returns whether there was an item."""
        return self.find(key) is not None and self._items.pop(key) is not None

    def refusal(self, key: bytes, flags: int, size: int) -> bytes | None:
        """Returns why an item cannot be held; ``None`` if it can."""
        if _HEADER + len(key) + (4 if flags else 0) + size > self.item_size_max:
            return TOO_LARGE
        return NO_MEMORY if self.out_of_memory else None

    def exptime(self, seconds: int) -> int:
        """Returns the second of the server's clock that a time to live stands for."""
        if 0 < seconds <= _LONGEST_LIFE:
            return self.second + seconds
        if seconds == 0:
            return 0
        return max(_IN_THE_PAST, seconds - self._epoch()) if seconds > 0 else _IN_THE_PAST

    def flush(self) -> None:
        """Deletes everything. That takes a CAS number."""
        self._items.clear()
        self._newest_cas += 1

    def statistics(self) -> Iterator[tuple[str, object]]:
        """Yields of ``stats`` what anyone asks for."""
        yield "uptime", self.second - _UPTIME_BEGINS
        yield "time", self.second + self._epoch()
        yield "version", VERSION
        yield "curr_items", len(self.keys())
        yield "evictions", self.evictions

    def settings(self) -> Iterator[tuple[str, object]]:
        """Yields of ``stats settings`` what anyone asks for."""
        yield "evictions", "on"
        yield "cas_enabled", "yes"
        yield "item_size_max", self.item_size_max

    def _epoch(self) -> int:
        """Returns the date at which the server's clock would have shown 0."""
        return int(self._started) - _BORN
