"""What a request did to the data of a session: which values it set, removed, changed in place, or changed by steps.

Pure. The data are in a plain dictionary that the application works on; here is what they were. What changed is found
by comparing: an object that cannot change in place is compared by identity, every other one by its packed bytes. So a
change is found however it was made, also through dictionary calls that Python code never sees.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

from sharedsession.records import codec, key_refused
from sharedsession.session.steps import Step

_made: Any = tuple.__new__  # a named tuple of all its fields: its own constructor takes twice as long


_IMMUTABLE = codec.IMMUTABLE
_NOTHING = object()  # what a key holds that was not there


class Unsaved(NamedTuple):
    """What a commit would change.

    Attributes:
        changed: new packed bytes of each value that is not what was read.
        removed: whether a key was removed.
    """

    changed: Mapping[str, bytes]
    removed: bool


class Mark(NamedTuple):
    """How far the changes of a request were when a record was made of them.

    Attributes:
        values: the data.
        steps: by how many steps each key was changed.
        assigned: the keys that were set anew.
    """

    values: dict[str, Any]
    steps: Mapping[str, int]
    assigned: set[str]


class Changes:
    """The data of a session as they were read, and how one request changed them.

    Args:
        packed: the values as they were read, each packed by `codec`.
        values: the same values decoded; ``None``: to be decoded here.

    Attributes:
        original: the values as they were read; those that can change in place are the application's own objects.
        steps: the changes that can be repeated, by key.
        was_cleared: whether the request removed everything at once.
    """

    __slots__ = ("_assigned", "_packed", "original", "steps", "was_cleared")

    def __init__(self, packed: Mapping[str, bytes], values: dict[str, Any] | None = None) -> None:
        self._packed = packed
        self.original = codec.unpack_all(packed) if values is None else values
        self._assigned: set[str] = set()
        self.steps: dict[str, list[Step]] = {}
        self.was_cleared = False

    def mark(self, data: dict[str, Any]) -> "Mark":
        """Returns how far the changes are that are about to be stored: others may follow while the store works."""
        steps = {key: len(steps) for key, steps in self.steps.items()} if self.steps else {}
        made: Mark = _made(Mark, (dict(dict.items(data)), steps, set(self._assigned)))
        return made

    def since(self, mark: "Mark", stored: Mapping[str, bytes]) -> "Changes":
        """Returns the changes that came after a mark, now that those before it are stored as these bytes."""
        after = Changes(stored, mark.values)
        after._assigned = self._assigned - mark.assigned
        for key, steps in self.steps.items():
            done = mark.steps.get(key, 0)
            if len(steps) > done:
                after.steps[key] = steps[done:]
                after._assigned.add(key)
        return after

    # -- what the application does, as far as it is not found by comparing

    def assign(self, key: str) -> None:
        """Notes that a value is set anew."""
        self._assigned.add(key)
        if self.steps:
            self.steps.pop(key, None)

    def forget(self, key: str) -> None:
        """Notes that a key is removed."""
        self._assigned.discard(key)
        self.steps.pop(key, None)

    def clear(self) -> None:
        """Notes that everything is removed."""
        self._assigned.clear()
        self.steps.clear()
        self.was_cleared = True

    def step(self, key: str, step: Step, value: Any) -> Any:
        """Changes a value by a step. A step after an assignment is part of the assignment.

        Args:
            key: of the value.
            step: the change.
            value: the old value, or ``None``.

        Returns:
            The new value.
        """
        is_part_of_assignment = key in self._assigned and key not in self.steps
        steps = self.steps.get(key, [])
        new = step(value)
        self.assign(key)
        if not is_part_of_assignment:
            self.steps[key] = [*steps, step]
        return new

    # -- what a commit asks

    def unsaved(self, data: dict[str, Any]) -> Unsaved | None:
        """Compares the data with what was read.

        Args:
            data: as they are now.

        Returns:
            What changed; ``None`` if nothing did.

        Raises:
            TypeError: a value cannot be stored; the message names the key.
        """
        values, added = self.original, 0
        mutable: dict[str, Any] = {}
        changed: dict[str, bytes] = {}
        for key, value in dict.items(data):
            was = values.get(key, _NOTHING)
            if value is not was:
                added += was is _NOTHING
                self._repack(key, value, changed)
            elif type(value) not in _IMMUTABLE:
                mutable[key] = value
        if mutable and not codec.is_packed_as(list(mutable.values()), map(self._packed.__getitem__, mutable)):
            for key, value in mutable.items():
                self._repack(key, value, changed)
        removed = dict.__len__(data) - added < len(values)
        return _made(Unsaved, (changed, removed)) if changed or removed else None

    def keys_of(self, data: dict[str, Any]) -> list[str]:
        """Returns the keys whose values are not what was read."""
        unsaved = self.unsaved(data)
        return list(unsaved.changed) if unsaved else []

    def _repack(self, key: str, value: Any, changed: dict[str, bytes]) -> None:
        """Puts a value's bytes among those that changed, if they are not what was read."""
        if not isinstance(key, str):
            raise key_refused(key)
        packed = codec.pack(key, value)
        if packed != self._packed.get(key):
            changed[str.__str__(key)] = packed

    def items(self, data: dict[str, Any], unsaved: Unsaved) -> dict[str, bytes]:
        """Returns all the data as they shall be stored."""
        if not unsaved.removed:
            return {**self._packed, **unsaved.changed}
        kept = {key: packed for key, packed in self._packed.items() if dict.__contains__(data, key)}
        return {**kept, **unsaved.changed}

    def assigned(self, data: dict[str, Any]) -> set[str]:
        """Returns the keys that were set anew, rather than changed in place."""
        found = {key for key, value in dict.items(data) if value is not self.original.get(key, data)}
        return self._assigned | found

    def replays(
        self, data: dict[str, Any], done: Mapping[str, int] = MappingProxyType({})
    ) -> dict[str, Callable[[bytes | None], bytes]]:
        """Returns, for each key changed by steps alone, what makes the new value from another request's.

        Args:
            data: as they are now.
            done: how many steps of a key are part of the other request's value already, see `Mark`.
        """
        replays = {key: partial(_replay, key, steps) for key, steps in self.steps.items()}
        explained = {key for key, replay in replays.items() if self._explains(key, replay, data)}
        return {key: partial(_replay, key, self.steps[key][done.get(key, 0) :]) for key in explained}

    def _explains(self, key: str, replay: "partial[bytes]", data: dict[str, Any]) -> bool:
        """Returns whether the steps make the value, and it was not changed in another way as well."""
        return dict.__contains__(data, key) and replay(self._packed.get(key)) == codec.pack(
            key, dict.__getitem__(data, key)
        )


def _replay(key: str, steps: Sequence[Step], packed: bytes | None) -> bytes:
    value = None if packed is None else codec.unpack(packed)
    for step in steps:
        value = step(value)
    return codec.pack(key, value)
