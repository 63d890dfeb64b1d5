"""What a session does not keep, and where in it that is: ``session['cart'][0]``. For errors; no value is ever shown."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

_KEPT = (
    "str, int, float, bool, None, bytes, list, tuple, dict, set, frozenset, "
    "datetime, date, time, timedelta, UUID and Decimal"
)
TOO_DEEP = "it is nested too deeply, or contains itself"
_LONGEST_KEY = 40  # characters of a key as it is shown
_MOST_STEPS = 100  # of a path; what is nested more deeply has no use for one
_SHOWN = (str, int, float, bool, bytes, type(None))  # types of keys whose text tells something


def type_refused(value: object) -> TypeError:
    """Returns the error for a value of a type that a session does not keep."""
    return TypeError(f"a session keeps no {type(value).__name__}, only {_KEPT}")


def key_refused(key: object) -> TypeError:
    """Returns the error for a key of a session that is no text, or none that UTF-8 has bytes for."""
    kind = "text with lone surrogates" if isinstance(key, str) else type(key).__name__
    return TypeError(f"session{_step(key)} cannot be stored: a session's keys are str, not {kind}")


def value_refused(key: str, value: object, problem_with: Callable[[object], str | None]) -> TypeError:
    """Returns the error for a value that cannot be stored.

    Args:
        key: of the value in the session.
        value: that was refused.
        problem_with: returns why a value, or a part of one, cannot be stored.
    """
    path, problem, part = _step(key), problem_with(value), value
    for _ in range(0 if problem == TOO_DEEP else _MOST_STEPS):
        refused = next(_refused_parts(part, problem_with), None)
        if refused is None:
            return TypeError(f"session{path} cannot be stored: {problem}")
        path, problem, part = path + refused[0], refused[1], refused[2]
    return TypeError(f"session{_step(key)} cannot be stored: {TOO_DEEP}")


def _refused_parts(value: object, problem_with: Callable[[object], str | None]) -> Iterator[tuple[str, str, object]]:
    for step, part in _parts(value):
        problem = problem_with(part)
        if problem is not None:
            yield step, problem, part


def _parts(value: Any) -> Iterator[tuple[str, object]]:
    """Returns what a value consists of, with the way to it; the elements of a set have no place in it."""
    if isinstance(value, Mapping):
        yield from ((" (a key)", key) for key in value)
        yield from ((_step(key), item) for key, item in value.items())
    elif isinstance(value, list | tuple):
        yield from ((f"[{index}]", item) for index, item in enumerate(value))
    elif isinstance(value, set | frozenset):
        yield from ((" (an element)", item) for item in value)


def _step(key: object) -> str:
    shown = repr(key) if type(key) in _SHOWN else f"<{type(key).__name__}>"
    return f"[{shown if len(shown) <= _LONGEST_KEY else shown[:_LONGEST_KEY] + '…'}]"
