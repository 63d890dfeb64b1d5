"""Durations as users write them: a number of seconds, a `timedelta`, or the same as text from the environment.

Each function returns seconds, or raises `ValueError` with the end of a sentence that begins with the setting's name.
"""

import math
from datetime import timedelta
from typing import Any

_CENTURY = 3_155_760_000  # seconds
_DAY = 86_400  # seconds


def seconds(value: Any) -> float:
    """Checks a duration.

    Args:
        value: a positive number of seconds or a `timedelta`, at most a hundred years.

    Returns:
        Seconds.

    Raises:
        ValueError: the value is no such duration.
    """
    duration = value.total_seconds() if isinstance(value, timedelta) else number(value)
    if duration is None or not 0 < duration < math.inf:
        raise ValueError("must be a positive number of seconds or a timedelta")
    if duration > _CENTURY:
        raise ValueError("must be a hundred years at most")
    return duration


def waiting_time(value: Any) -> float:
    """Checks a duration that a request may wait; at most a day. Otherwise the same as `seconds`."""
    duration = seconds(value)
    if duration > _DAY:
        raise ValueError("must be a day at most")
    return duration


def seconds_or_none(value: Any) -> float | None:
    """Checks a duration, or ``None`` (also as the text "none") for no such duration."""
    return None if value is None or (isinstance(value, str) and value.lower() == "none") else seconds(value)


def number(value: Any) -> float | None:
    """Returns a number, also one written as text; ``None`` for everything else, ``True`` and ``False`` included."""
    try:
        return None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
