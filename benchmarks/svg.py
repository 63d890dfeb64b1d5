"""Plots as small SVG files, written by hand: lines over a logarithmic x, and bars. Nothing but strings."""

import math
from collections.abc import Mapping, Sequence
from html import escape

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM, _RIGHT = 720, 340, 60, 34, 46, 190
_COLOURS = ("#1f6feb", "#d1242f", "#1a7f37", "#9a6700", "#8250df", "#57606a")
_GREY = "#afb8c1"
Points = Sequence[tuple[float, float]]


def lines(title: str, x_name: str, curves: Mapping[str, Points], y_name: str = "us") -> str:
    """Curves over a logarithmic x; y begins at 0."""
    xs = sorted({x for points in curves.values() for x, _ in points})
    top = _nice(max(y for points in curves.values() for _, y in points))
    low, high = math.log10(xs[0]), math.log10(xs[-1])

    def at(x: float, y: float) -> tuple[float, float]:
        share = (math.log10(x) - low) / ((high - low) or 1)
        inner = _HEIGHT - _TOP - _BOTTOM
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT), _HEIGHT - _BOTTOM - y / top * inner

    parts = [_grid(y, at(xs[0], y)[1]) for y in (top * step / 4 for step in range(5))]
    parts += [_text(at(x, 0)[0], _HEIGHT - _BOTTOM + 16, f"{x:,g}", "middle") for x in xs]
    for number, (name, points) in enumerate(curves.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*point) for point in points))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in (at(*p) for p in points)]
        parts.append(_text(_WIDTH - _RIGHT + 14, _TOP + 8 + 17 * number, name, colour=colour))
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(_text(middle, _HEIGHT - 10, x_name, "middle"))
    parts.append(_text(8, _TOP - 12, y_name))
    return _drawing(title, parts, _HEIGHT)


def bars(title: str, groups: Mapping[str, Mapping[str, float]], ours: str = "") -> str:
    """Groups of horizontal bars; those whose name begins with ``ours`` stand out."""
    most = max(value for group in groups.values() for value in group.values())
    parts, y = [], float(_TOP)
    for label, group in groups.items():
        y += 22
        parts.append(_text(8, y - 4, label))
        for name, value in group.items():
            width = max(1.0, value / most * (_WIDTH - 300))
            colour = _COLOURS[0] if name.startswith(ours) else _GREY
            parts.append(f'<rect x="230" y="{y:.1f}" width="{width:.1f}" height="13" fill="{colour}"/>')
            parts.append(_text(224, y + 11, name, "end"))
            parts.append(_text(236 + width, y + 11, f"{value:.0f}"))
            y += 17
    return _drawing(title, parts, y + 16)


def _nice(value: float) -> float:
    """The next round number."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * step for step in (1, 2, 4, 6, 8, 10) if power * step >= value)


def _grid(value: float, y: float) -> str:
    line = f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#d0d7de"/>'
    return line + _text(_LEFT - 6, y + 4, f"{value:,g}", "end")


def _text(x: float, y: float, text: str, anchor: str = "start", colour: str = "#24292f") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'


def _drawing(title: str, parts: Sequence[str], height: float) -> str:
    size = f'viewBox="0 0 {_WIDTH} {height:.0f}" width="{_WIDTH}" height="{height:.0f}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11">'
    white = f'<rect width="{_WIDTH}" height="{height:.0f}" fill="#ffffff"/>'
    heading = f'<text x="8" y="14" font-size="13" font-weight="bold" fill="#24292f">{escape(title)}</text>'
    return "\n".join([head, f"<title>{escape(title)}</title>", white, heading, *parts, "</svg>", ""])
