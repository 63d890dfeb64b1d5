"""What a process has of its own. A fork copies locks as they are, also those that a thread of the parent holds.

In the child that thread does not exist, so such a lock would never open. Nothing is registered with the interpreter:
the child notices by its number when it first asks.
"""

import os
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class PerProcess(Generic[T]):
    """A value for each process, made when the process first asks for it. Any thread may ask.

    Args:
        make: makes the value, for instance `threading.Lock`.
    """

    __slots__ = ("_make", "_values")

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._values: dict[int, T] = {os.getpid(): make()}

    @property
    def mine(self) -> T:
        """The value of this process."""
        try:
            return self._values[os.getpid()]
        except KeyError:
            return self._new()

    def _new(self) -> T:
        """Makes the value of a child; of several threads that ask at a time, all get the same."""
        mine = os.getpid()
        value = self._values.setdefault(mine, self._make())
        for process in [process for process in list(self._values) if process != mine]:
            self._values.pop(process, None)
        return value
