"""Values <-> bytes: MessagePack with a closed list of tagged types. No pickle, no fallback decoder.

Each top-level value of a session is packed on its own. So what changed is found by comparing bytes, and two requests
can be merged key by key. What that gives up: two keys that hold the same list hold two lists after the next load.
"""

import datetime as dt
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

import ormsgpack

from sharedsession.errors import SessionTooLarge
from sharedsession.records.refused import TOO_DEEP, key_refused, type_refused, value_refused

_MAX_TAGS = 120  # of tuples and sets in one another
_OPTIONS = (
    ormsgpack.OPT_PASSTHROUGH_BIG_INT
    | ormsgpack.OPT_PASSTHROUGH_DATACLASS
    | ormsgpack.OPT_PASSTHROUGH_DATETIME
    | ormsgpack.OPT_PASSTHROUGH_ENUM
    | ormsgpack.OPT_PASSTHROUGH_SUBCLASS
    | ormsgpack.OPT_PASSTHROUGH_TUPLE
    | ormsgpack.OPT_PASSTHROUGH_UUID
)


_REFUSALS = (TypeError, ValueError, RecursionError)


class Unreadable:
    """Stands for a value that does not decode, because a newer version of the library wrote it. It is kept as it is."""

    def __repr__(self) -> str:
        return "<a value that a newer version of sharedsession wrote>"


IMMUTABLE = frozenset(
    {str, int, float, bool, type(None), bytes, dt.datetime, dt.date, dt.time, dt.timedelta, UUID, Decimal, Unreadable}
)
"""Types of values that cannot be changed in place: the same object means the same bytes."""


def pack(key: str, value: object) -> bytes:
    """Encodes one value of a session.

    Args:
        key: the value's key, for the error only.
        value: JSON-like, or `datetime`, `date`, `time`, `timedelta`, `UUID`, `Decimal`, `bytes`, `tuple`, `set`,
            `frozenset`; subclasses are stored as the type they extend, `bytearray` and `memoryview` as `bytes`.

    Raises:
        TypeError: anything else, text with lone surrogates, or too many levels. The message tells where it is.
    """
    try:
        key.encode()
    except ValueError:
        raise key_refused(key) from None
    try:
        return ormsgpack.packb(value, option=_OPTIONS)  # most values need no tag
    except _REFUSALS:
        pass
    try:
        return _pack(value)
    except _REFUSALS:
        raise value_refused(key, value, _problem_with) from None


def unpack(packed: bytes) -> Any:
    """Decodes what `pack` made."""
    return ormsgpack.unpackb(packed, ext_hook=_untag)


def unpack_all(items: Mapping[str, bytes]) -> dict[str, Any]:
    """Decodes all values of a session; one that does not decode becomes `Unreadable`."""
    unpackb, values = ormsgpack.unpackb, {}
    for key, packed in items.items():
        try:
            values[key] = unpackb(packed, ext_hook=_untag)
        except (TypeError, ValueError):
            values[key] = Unreadable()
    return values


def is_packed_as(values: Sequence[Any], packed: Iterable[bytes]) -> bool:
    """Returns whether values would be packed as these bytes, in one call; ``False`` also where it cannot tell."""
    try:
        head = _ARRAY_HEADS[len(values)] if len(values) < 16 else _array_head(len(values))
        return ormsgpack.packb(values, option=_OPTIONS) == head + b"".join(packed)
    except (TypeError, ValueError):  # a value that needs a tag, or cannot be stored
        return False


def check_size(items: Mapping[str, bytes], size: int, limit: int) -> None:
    """Refuses a session that is too large, before anything is sent.

    Args:
        items: the packed values.
        size: of the whole record in bytes.
        limit: the most bytes.

    Raises:
        SessionTooLarge: the message names the three largest keys, not their values.
    """
    if size <= limit:
        return
    largest = sorted(items, key=lambda key: len(items[key]), reverse=True)[:3]
    named = ", ".join(f"{key!r} ({len(items[key])} bytes)" for key in largest)
    raise SessionTooLarge(
        f"the session takes {size} bytes, the limit is {limit}; its largest keys: {named}. "
        "Keep large things in your database and their IDs in the session, or raise max_size"
    )


# What an array begins with (MessagePack specification, "array format family"); shorter than 16, and longer.
_ARRAY_HEADS = [bytes((0x90 | length,)) for length in range(16)]


def _array_head(length: int) -> bytes:
    return b"\xdc" + length.to_bytes(2, "big") if length < 1 << 16 else b"\xdd" + length.to_bytes(4, "big")


def _problem_with(value: object) -> str | None:
    """Returns why a value cannot be stored."""
    try:
        _pack(value)
    except _REFUSALS as error:
        return TOO_DEEP if "recursion" in f"{error!r}".lower() else str(error)
    return None


def _pack(value: object, depth: int = 0) -> bytes:
    if depth > _MAX_TAGS:
        raise TypeError(TOO_DEEP)
    refused: list[TypeError] = []

    def tag(item: Any) -> Any:
        try:
            return _tag(item, depth)
        except TypeError as error:
            refused.append(error)  # ormsgpack would only name the outermost type
            raise

    try:
        return ormsgpack.packb(value, default=tag, option=_OPTIONS)
    except TypeError as error:
        if "Dict key must" not in str(error):
            raise refused[0] if refused else error from None
        return ormsgpack.packb(_with_pairs(value), default=tag, option=_OPTIONS)


class _Pairs:
    """A dict whose keys are not all text, on its way to a list of pairs."""

    def __init__(self, items: list[tuple[Any, Any]]) -> None:
        self.items = items


def _with_pairs(value: Any) -> Any:
    """Returns the same value with `_Pairs` for each dict that MessagePack would not return as it was."""
    if isinstance(value, dict):
        items = [(key, _with_pairs(item)) for key, item in value.items()]
        return dict(items) if all(type(key) is str for key in value) else _Pairs(items)
    return [_with_pairs(item) for item in value] if isinstance(value, list) else value


def _pack_all(values: Any, depth: int) -> bytes:
    return _pack(list(values), depth)


def _pack_pairs(pairs: _Pairs, depth: int) -> bytes:
    return _pack([[str.__str__(key) if isinstance(key, str) else key, value] for key, value in pairs.items], depth)


def _pack_sorted(values: Any, depth: int) -> bytes:
    # In the order of their bytes: the same set is always the same bytes, else it would look changed.
    return ormsgpack.packb(sorted(_pack(value, depth) for value in values))


def _unpack_sorted(packed: bytes) -> list[Any]:
    return [unpack(item) for item in unpack(packed)]


def _pack_datetime(value: dt.datetime) -> bytes:
    # isoformat() keeps microseconds and the offset but not `fold`, which tells the two 02:30 of an autumn night apart.
    return value.isoformat().encode() + (b"#" if value.fold else b"")


def _unpack_datetime(packed: bytes) -> dt.datetime:
    value = dt.datetime.fromisoformat(packed.rstrip(b"#").decode())
    return value.replace(fold=1) if packed.endswith(b"#") else value


def _pack_delta(value: dt.timedelta) -> bytes:
    return ormsgpack.packb([value.days, value.seconds, value.microseconds])


def _flat(encode: Callable[[Any], bytes]) -> Callable[[Any, int], bytes]:
    return lambda value, _depth: encode(value)


# tag: (type, value and depth -> bytes, bytes -> value). Tags are for ever: a new type takes a new number.
_TAGS: dict[int, tuple[type, Callable[[Any, int], bytes], Callable[[bytes], Any]]] = {
    1: (tuple, _pack_all, lambda packed: tuple(unpack(packed))),
    2: (set, _pack_sorted, lambda packed: set(_unpack_sorted(packed))),
    3: (frozenset, _pack_sorted, lambda packed: frozenset(_unpack_sorted(packed))),
    4: (dt.datetime, _flat(_pack_datetime), _unpack_datetime),
    5: (dt.date, _flat(lambda day: day.isoformat().encode()), lambda packed: dt.date.fromisoformat(packed.decode())),
    6: (dt.time, _flat(lambda time: time.isoformat().encode()), lambda packed: dt.time.fromisoformat(packed.decode())),
    7: (dt.timedelta, _flat(_pack_delta), lambda packed: dt.timedelta(*unpack(packed))),
    8: (UUID, _flat(lambda uuid: uuid.bytes), lambda packed: UUID(bytes=packed)),
    9: (Decimal, _flat(lambda number: str(number).encode()), lambda packed: Decimal(packed.decode())),
    10: (int, _flat(lambda number: b"%x" % number), lambda packed: int(packed, 16)),
    11: (_Pairs, _pack_pairs, lambda packed: dict(unpack(packed))),
}
_TAG_OF = {kind: (tag, encode) for tag, (kind, encode, _) in _TAGS.items()}
_MARKUP = 12  # HTML that is marked as safe: markupsafe's, where a process has it, else text
# Asked of the type itself: a subclass (an Enum, say) may print as something else.
_PLAIN: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
    (list, list),
    (dict, lambda mapping: dict(mapping.items())),  # what a dict of several values a key shows, not what it keeps
)


def _tag(value: Any, depth: int) -> Any:
    """Packs what ormsgpack does not know: a tagged type, or a subclass, which becomes the type that it extends."""
    tagged = _TAG_OF.get(type(value))
    if tagged:
        return ormsgpack.Ext(tagged[0], tagged[1](value, depth + 1))
    if hasattr(value, "__html__"):
        return ormsgpack.Ext(_MARKUP, _html(value).encode())
    for kind, plain in _PLAIN:
        if isinstance(value, kind):
            return plain(value)
    for kind, (tag, encode) in _TAG_OF.items():
        if isinstance(value, kind):
            return ormsgpack.Ext(tag, encode(value, depth + 1))
    raise type_refused(value)


def _html(value: Any) -> str:
    """Returns the text of HTML, also of a lazy translation, which becomes text here."""
    return str.__str__(value) if isinstance(value, str) else str(value.__html__())


def _untag(tag: int, packed: bytes) -> Any:
    if tag == _MARKUP:
        return _marked_as_safe(packed.decode())
    try:
        return _TAGS[tag][2](packed)
    except KeyError:
        raise ValueError(f"unknown tag {tag}") from None


def _marked_as_safe(html: str) -> str:
    markupsafe = sys.modules.get("markupsafe")
    return markupsafe.Markup(html) if markupsafe else html
