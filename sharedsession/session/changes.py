"""What a request does to the data of a session: which values it looked at, set, took out, or changed in place.

Pure. The data come and go packed, value by value; a value is decoded when it is first looked at. Whether it changed
in place is found by packing it again and comparing bytes, and only where that can be: text and numbers cannot change.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from sharedsession.records import codec

Step = Callable[[Any], Any]
"""From the old value, or ``None``, to the new one."""


class Draft:
    """The data of a session while one request works on them.

    Args:
        packed: as they were read.
    """

    __slots__ = ("_packed", "_removed", "_values", "assigned", "steps", "was_cleared")

    def __init__(self, packed: Mapping[str, bytes]) -> None:
        self._packed = packed
        self._values: dict[str, Any] = {}
        self._removed: set[str] = set()
        self.assigned: set[str] = set()
        self.steps: dict[str, list[Step]] = {}
        self.was_cleared = False

    def get(self, key: str) -> Any:
        """The value of a key; the same object each time.

        Raises:
            KeyError: there is none.
        """
        if key in self._values:
            return self._values[key]
        if key in self._removed or key not in self._packed:
            raise KeyError(key)
        value = self._values[key] = codec.unpack(self._packed[key])
        return value

    def put(self, key: str, value: Any) -> None:
        """Sets a value anew."""
        key = str.__str__(key)  # of a subclass, the text
        self._values[key] = value
        self.assigned.add(key)
        self._removed.discard(key)
        self.steps.pop(key, None)

    def take(self, key: str, step: Step) -> Any:
        """Changes a value by a step that can be repeated on another request's version of it.

        A step after an assignment is part of the assignment.
        """
        anew = key in self.assigned and key not in self.steps
        steps = self.steps.pop(key, [])
        self.put(key, step(self._values.get(key, self._unpacked(key))))
        if not anew:
            self.steps[key] = [*steps, step]
        return self._values[key]

    def _unpacked(self, key: str) -> Any:
        return self.get(key) if key in self else None

    def remove(self, key: str) -> None:
        """Takes a key out.

        Raises:
            KeyError: there is none.
        """
        if key not in self:
            raise KeyError(key)
        self._values.pop(key, None)
        self.assigned.discard(key)
        self.steps.pop(key, None)
        if key in self._packed:
            self._removed.add(key)

    def clear(self) -> None:
        """Takes everything out."""
        self._values.clear()
        self.assigned.clear()
        self.steps.clear()
        self._removed = set(self._packed)
        self.was_cleared = True

    def __contains__(self, key: object) -> bool:
        return key in self._values or (key in self._packed and key not in self._removed)

    def __iter__(self) -> Iterator[str]:
        yield from [key for key in self._packed if key not in self._removed]
        yield from [key for key in self._values if key not in self._packed]

    def __len__(self) -> int:
        return len(self._packed.keys() - self._removed | self._values.keys())

    def changes(self) -> dict[str, bytes]:
        """The new bytes of every value that is not what was read.

        Raises:
            TypeError: a value cannot be stored; the message names the key.
        """
        changed = {}
        for key, value in self._values.items():
            if key in self.assigned or type(value) not in codec.IMMUTABLE:
                packed = codec.pack(key, value)
                if packed != self._packed.get(key):
                    changed[key] = packed
        return changed

    @property
    def may_differ(self) -> bool:
        """Whether a look for changes could find any."""
        if self.assigned or self._removed or self.was_cleared:
            return True
        return any(type(value) not in codec.IMMUTABLE for value in self._values.values())

    @property
    def lost_keys(self) -> bool:
        """Whether a key was taken out."""
        return bool(self._removed)

    def with_changes(self, changes: Mapping[str, bytes]) -> dict[str, bytes]:
        """All the data as they shall be stored."""
        kept = self._packed
        if self._removed:
            kept = {key: packed for key, packed in kept.items() if key not in self._removed}
        return {**kept, **changes}

    def replays(self) -> dict[str, Callable[[bytes | None], bytes]]:
        """For each key changed by steps alone: what makes the new value from another request's."""
        replays = {key: partial(_replay, key, steps) for key, steps in self.steps.items()}
        return {key: replay for key, replay in replays.items() if self._is_all_of(key, replay)}

    def _is_all_of(self, key: str, replay: "partial[bytes]") -> bool:
        """Whether the steps explain the value, and it was not changed in place as well."""
        return replay(self._packed.get(key)) == codec.pack(key, self._values[key])

    def rebased(self, packed: Mapping[str, bytes]) -> "Draft":
        """A draft over what was just stored; values that the application holds stay the same objects."""
        draft = Draft(packed)
        draft._values = self._values
        return draft


def _replay(key: str, steps: Sequence[Step], packed: bytes | None) -> bytes:
    value = None if packed is None else codec.unpack(packed)
    for step in steps:
        value = step(value)
    return codec.pack(key, value)
