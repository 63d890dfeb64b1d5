"""What one Redis or Valkey holds, when it forgets it, and what its state forbids.

Its clock counts milliseconds, and stands still while a command or a script is carried out.
"""

import hashlib
from collections.abc import Callable
from typing import NamedTuple, Self

WRONG_TYPE = b"-WRONGTYPE Operation against a key holding the wrong kind of value"
_OUT_OF_MEMORY = b"-OOM command not allowed when used memory > 'maxmemory'."
_READ_ONLY = b"-READONLY You can't write against a read only replica."


class Entry(NamedTuple):
    value: bytes
    deadline: int | None = None  # milliseconds of the server's clock
    is_list: bool = False  # of one element, as a tombstone is kept


class Refused(Exception):
    """A command is refused; the reply to it, without the line end."""


class Entries:
    """The keys of a Redis 7 or a Valkey 9, with one database, by its own clock.

    Args:
        clock: returns seconds that never go back.
        version: that it reports.
        has_ifeq: whether it is a Valkey, whose ``SET`` has ``IFEQ``.

    Attributes:
        flavour: ``valkey`` or ``redis``, as it reports itself.
        now: what the server's clock shows, in milliseconds.
        is_loading: whether it still reads its data after a start.
        is_read_only: whether it is a replica.
        out_of_memory: whether its memory is full, and nothing may be evicted.
        evictions: how many.
    """

    def __init__(self, clock: Callable[[], float], *, version: str = "", has_ifeq: bool = True) -> None:
        self._clock = clock
        self.has_ifeq = has_ifeq
        self.flavour = "valkey" if has_ifeq else "redis"
        self.version = version or ("9.1.2" if has_ifeq else "7.0.15")
        self.is_loading = self.is_read_only = self.out_of_memory = False
        self.restart()

    def restart(self) -> None:
        """Forgets everything. Connections of before lead nowhere, and must be dropped."""
        self._entries: dict[bytes, Entry] = {}
        self.evictions = 0
        self.look_at_clock()

    def copy(self) -> Self:
        """Returns a server that knows the same and goes its own way. Connections stay with the first one."""
        twin = object.__new__(type(self))
        vars(twin).update(vars(self), _entries=self._entries.copy())
        return twin

    def evict(self, key: bytes) -> bool:
        """Loses a key for want of memory, whatever it holds. Returns whether it held anything."""
        self.look_at_clock()
        if self.find(key) is None:
            return False
        del self._entries[key]
        self.evictions += 1
        return True

    def keys(self) -> list[bytes]:
        """Returns the keys of what has not expired, in the order in which they were first stored."""
        self.look_at_clock()
        return [key for key in list(self._entries) if self.find(key) is not None]

    # -- what commands consist of

    def look_at_clock(self) -> None:
        """Renews the server's clock; it stands still while a command is carried out."""
        self.now = int(self._clock() * 1000)

    def find(self, key: bytes) -> Entry | None:
        """Returns what a key holds, unless that has expired: it lives through its last millisecond."""
        entry = self._entries.get(key)
        if entry is not None and entry.deadline is not None and entry.deadline < self.now:
            del self._entries[key]
            return None
        return entry

    def string(self, key: bytes) -> Entry | None:
        """Returns the string that a key holds."""
        entry = self.find(key)
        if entry is not None and entry.is_list:
            raise Refused(WRONG_TYPE)
        return entry

    def put(self, key: bytes, value: bytes, life: int | None, *, is_list: bool = False) -> None:
        """Stores under a key, whatever it holds.

        Args:
            key: to store under.
            value: of the string, or the element of the list.
            life: in milliseconds.
            is_list: whether it is a list.
        """
        self._entries[key] = Entry(value, None if life is None else self.now + life, is_list)

    def delete(self, key: bytes) -> bool:
        """Returns whether the key held anything."""
        return self.find(key) is not None and self._entries.pop(key) is not None

    def life(self, key: bytes) -> int:
        """Returns how many milliseconds a key has left; -1: it does not expire; -2: it holds nothing."""
        entry = self.find(key)
        if entry is None:
            return -2
        return -1 if entry.deadline is None else entry.deadline - self.now

    def admit(self, *, writes: bool, needs_memory: bool = False, inside: tuple[bytes, int] | None = None) -> None:
        """Refuses what the state of the server forbids.

        Args:
            writes: whether a command may change something.
            needs_memory: whether it may need memory.
            inside: the script that it stands in, and its line there.
        """
        if needs_memory and self.out_of_memory:
            raise Refused(_OUT_OF_MEMORY + (self.where(*inside) if inside else b""))
        if writes and self.is_read_only:
            raise Refused(_READ_ONLY + (self.where(*inside) if inside else b""))

    def where(self, script: bytes, line: int) -> bytes:
        """Returns what stands behind the error of a command inside of a script."""
        name = "" if self.has_ifeq else hashlib.sha1(script).hexdigest() + ", "
        return f" script: {name}on @user_script:{line}.".encode()
