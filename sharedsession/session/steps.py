"""The changes of a value that can be repeated on another request's: add to a number, append to a list. Pure."""

from collections.abc import Callable
from contextlib import suppress
from numbers import Number
from typing import Any

Step = Callable[[Any], Any]
"""Takes the old value, or ``None``, and returns the new one. It can be repeated on another request's value."""


def adding(key: str, number: Any) -> Step:
    """Returns the step that adds to the number of a key. It raises `TypeError` where there is no number."""

    def step(value: Any) -> Any:
        old = 0 if value is None else value
        if isinstance(old, Number) and isinstance(number, Number):
            with suppress(TypeError):  # a float and a Decimal have no sum
                return old + number  # type: ignore[operator]
        raise TypeError(
            f"session[{key!r}] holds {type(old).__name__}, and increment was to add {type(number).__name__}: "
            "both must be numbers, of types that have a sum"
        )

    return step


def appending(key: str, item: Any) -> Step:
    """Returns the step that appends to the list of a key. It raises `TypeError` where there is no list."""

    def step(values: Any) -> list[Any]:
        if values is None:
            return [item]
        if not isinstance(values, list):
            raise TypeError(f"session[{key!r}] holds {type(values).__name__}: append needs a list")
        values.append(item)
        return values

    return step
