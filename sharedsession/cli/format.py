"""How commands write: tables, numbers and times. Nothing here asks a store or prints."""

import math
from collections.abc import Sequence

_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def table(alignment: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns columns as wide as they must be.

    Args:
        alignment: ``<`` or ``>`` for each column.
        head: of each column; empty for none.
        rows: the cells.
    """
    lines = [*([head] if head else []), *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    cells = [
        [f"{cell:{side}{width}}" for cell, side, width in zip(line, alignment, widths, strict=True)] for line in lines
    ]
    return "\n".join("  ".join(line).rstrip() for line in cells)


def percent(share: float) -> str:
    """Returns a share of 1."""
    return f"{share:.1%}"


def count(number: int | None) -> str:
    """Returns a number of things; ``-`` if it is unknown."""
    return "-" if number is None else f"{number:,}"


def span(seconds: float | None) -> str:
    """Returns a time in its two largest units; ``-`` if it is unknown."""
    if seconds is None:
        return "-"
    left = math.floor(seconds)
    parts: list[str] = []
    for unit, size in _UNITS:
        number, left = divmod(left, size)
        if number or parts or unit == "s":
            parts.append(f"{number} {unit}")
    return " ".join(parts[:2])


def milliseconds(seconds: float | None) -> str:
    """Returns a short time; ``-`` if it is unknown."""
    return "-" if seconds is None else f"{seconds * 1000:.2f} ms"
