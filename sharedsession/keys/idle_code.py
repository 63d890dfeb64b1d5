"""A session's own idle timeout as two characters of its ID: twelve bits. Pure.

It stands in the ID because a read renews the record before it has seen it. Three bits choose a unit, nine bits count:
what people choose is exact, whatever lies between is rounded up to the next step. The longest is 511 days.
"""

import math

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"  # RFC 4648, section 5
_UNITS = (0.02, 1.0, 10.0, 60.0, 600.0, 3600.0, 86400.0)  # seconds
_MOST = 511
FARM = "AA"
"""Stands for the idle timeout of the farm."""


def encode_idle(seconds: float | None) -> str:
    """Returns the two characters of an idle timeout in seconds; ``None`` for that of the farm."""
    if seconds is None:
        return FARM
    # Each unit is a whole number of those before it, so the first one that fits is the most exact.
    unit = next((unit for unit in _UNITS if _count(seconds, unit) <= _MOST), _UNITS[-1])
    code = (_UNITS.index(unit) << 9) + min(_MOST, _count(seconds, unit))
    return _ALPHABET[code >> 6] + _ALPHABET[code & 63]


def decode_idle(characters: str) -> float | None:
    """Returns the idle timeout in seconds; ``None`` for that of the farm."""
    if characters == FARM:
        return None
    code = _code(characters)
    return round(_UNITS[code >> 9] * (code & _MOST), 2)


def is_idle_code(characters: str) -> bool:
    """Returns whether two characters of the alphabet stand for an idle timeout: of an ID that nobody signed."""
    code = _code(characters)
    return characters == FARM or (code >> 9 < len(_UNITS) and code & _MOST > 0)


def _code(characters: str) -> int:
    return (_ALPHABET.index(characters[0]) << 6) + _ALPHABET.index(characters[1])


def _count(seconds: float, unit: float) -> int:
    return max(1, math.ceil(round(seconds / unit, 6)))
