"""Values <-> bytes: MessagePack with a closed list of tagged types. No pickle, no fallback decoder.

Each top-level value of a session is packed on its own. So a value is decoded when it is first looked at, one that
nobody touched is never encoded again, what changed is found by comparing bytes, and two requests can be merged
key by key. What that gives up: two keys that hold the same list hold two lists after the next load.
"""

import datetime as dt
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

import ormsgpack

from sharedsession.errors import SessionTooLarge

MAX_DEPTH = 256
_OPTIONS = (
    ormsgpack.OPT_NON_STR_KEYS
    | ormsgpack.OPT_PASSTHROUGH_BIG_INT
    | ormsgpack.OPT_PASSTHROUGH_DATACLASS
    | ormsgpack.OPT_PASSTHROUGH_DATETIME
    | ormsgpack.OPT_PASSTHROUGH_ENUM
    | ormsgpack.OPT_PASSTHROUGH_SUBCLASS
    | ormsgpack.OPT_PASSTHROUGH_TUPLE
    | ormsgpack.OPT_PASSTHROUGH_UUID
)
_IMMUTABLE = frozenset(
    {str, int, float, bool, type(None), bytes, dt.datetime, dt.date, dt.time, dt.timedelta, UUID, Decimal}
)


def pack(key: str, value: object) -> bytes:
    """Encodes one value of a session.

    Args:
        key: the value's key, for the error only.
        value: JSON-like, or `datetime`, `date`, `time`, `timedelta`, `UUID`, `Decimal`, `bytes`, `tuple`, `set`,
            `frozenset`; subclasses are stored as the type they extend.

    Raises:
        TypeError: anything else, text with lone surrogates, or more than 256 levels. The message names the key.
    """
    try:
        return ormsgpack.packb(value, default=_tag, option=_OPTIONS)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"session[{key!r}] cannot be stored: {_reason(error)}") from None


def unpack(packed: bytes) -> Any:
    """Decodes what `pack` made."""
    return ormsgpack.unpackb(packed, ext_hook=_untag, option=ormsgpack.OPT_NON_STR_KEYS)


def is_immutable(value: object) -> bool:
    """Whether a value cannot be changed in place, so that reading it is no reason to look for a change."""
    return type(value) in _IMMUTABLE


def check_size(items: Mapping[str, bytes], size: int, limit: int) -> None:
    """Refuses a session that is too large, before anything is sent.

    Raises:
        SessionTooLarge: more than ``limit`` bytes; the message names the three largest keys, not their values.
    """
    if size <= limit:
        return
    largest = sorted(items, key=lambda key: len(items[key]), reverse=True)[:3]
    named = ", ".join(f"{key!r} ({len(items[key])} bytes)" for key in largest)
    raise SessionTooLarge(
        f"the session takes {size} bytes, the limit is {limit}; its largest keys: {named}. "
        "Keep large things in your database and their IDs in the session, or raise max_size"
    )


def _reason(error: Exception) -> str:
    unknown = str(error).partition("Type is not msgpack serializable: ")[2]
    return f"a session keeps no {unknown}" if unknown else str(error)


def _pack(value: object) -> bytes:
    return ormsgpack.packb(value, default=_tag, option=_OPTIONS)


def _pack_all(values: Any) -> bytes:
    return _pack(list(values))


def _pack_sorted(values: Any) -> bytes:
    # In the order of their bytes: the same set is always the same bytes, else it would look changed.
    return _pack(sorted(_pack(value) for value in values))


def _unpack_sorted(packed: bytes) -> list[Any]:
    return [unpack(item) for item in unpack(packed)]


def _untag_decimal(packed: bytes) -> Decimal:
    return Decimal(packed.decode())


def _pack_datetime(value: dt.datetime) -> bytes:
    # isoformat() keeps microseconds and the offset but not `fold`, which tells the two 02:30 of an autumn night apart.
    return value.isoformat().encode() + (b"#" if value.fold else b"")


def _unpack_datetime(packed: bytes) -> dt.datetime:
    value = dt.datetime.fromisoformat(packed.rstrip(b"#").decode())
    return value.replace(fold=1) if packed.endswith(b"#") else value


def _pack_delta(value: dt.timedelta) -> bytes:
    return _pack([value.days, value.seconds, value.microseconds])


# tag: (type, value -> bytes, bytes -> value). Tags are for ever: a new type takes a new number.
_TAGS: dict[int, tuple[type, Callable[[Any], bytes], Callable[[bytes], Any]]] = {
    1: (tuple, _pack_all, lambda packed: tuple(unpack(packed))),
    2: (set, _pack_sorted, lambda packed: set(_unpack_sorted(packed))),
    3: (frozenset, _pack_sorted, lambda packed: frozenset(_unpack_sorted(packed))),
    4: (dt.datetime, _pack_datetime, _unpack_datetime),
    5: (
        dt.date,
        lambda value: value.isoformat().encode(),
        lambda packed: dt.date.fromisoformat(packed.decode()),
    ),
    6: (
        dt.time,
        lambda value: value.isoformat().encode(),
        lambda packed: dt.time.fromisoformat(packed.decode()),
    ),
    7: (dt.timedelta, _pack_delta, lambda packed: dt.timedelta(*unpack(packed))),
    8: (UUID, lambda value: value.bytes, lambda packed: UUID(bytes=packed)),
    9: (Decimal, lambda value: str(value).encode(), _untag_decimal),
    10: (int, lambda value: b"%x" % value, lambda packed: int(packed, 16)),
}
_TAG_OF = {kind: (tag, encode) for tag, (kind, encode, _) in _TAGS.items()}
# Asked of the type itself: a subclass (an Enum, say) may print as something else.
_PLAIN: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
    (list, list),
    (dict, dict),
)


def _tag(value: Any) -> Any:
    """What ormsgpack does not know: a tagged type, or a subclass, which becomes the type that it extends."""
    tagged = _TAG_OF.get(type(value))
    if tagged:
        return ormsgpack.Ext(tagged[0], tagged[1](value))
    for kind, plain in _PLAIN:
        if isinstance(value, kind):
            return plain(value)
    for kind, (tag, encode) in _TAG_OF.items():
        if isinstance(value, kind):
            return ormsgpack.Ext(tag, encode(value))
    raise TypeError


def _untag(tag: int, packed: bytes) -> Any:
    try:
        return _TAGS[tag][2](packed)
    except KeyError:
        raise ValueError(f"unknown tag {tag}") from None
