"""The two drawings, as SVG: the ring, and how long the store took. Pure; colours are the style sheet's.

Whatever a colour means is written in words as well: in the drawing, and in its title for screen readers.
"""

import math
from collections.abc import Sequence
from html import escape

from sharedsession.farmpage.facts import Facts
from sharedsession.farmpage.latency import SPAN

_RADIUS, _LABELS = 100.0, 132.0
_GAP = 0.012  # of the circle, between two arcs
_LEAST = 0.03  # of the circle: a smaller share gets no number
_LEFT, _RIGHT, _TOP, _BOTTOM = 62.0, 352.0, 12.0, 112.0


def hue(number: int) -> str:
    """Returns the class that gives a node its colour."""
    return f"n{number % 8 + 1}"


def ring(nodes: Sequence[Facts]) -> str:
    """Draws the ring: each node's arc is as long as its share of the keys, with the number of the node beside it."""
    shown = [node for node in nodes if node["share"] is not None]
    arcs, turn = [], 0.0
    for number, node in enumerate(shown):
        arcs.append(_arc(number, node, turn))
        turn += node["share"]
    up = sum(node["state"] == "up" for node in nodes)
    return (
        f'<svg class="ring" viewBox="-150 -150 300 300" role="img" aria-labelledby="ring-title">'
        f'<title id="ring-title">{_ring_in_words(shown)}</title>{_HATCH}{"".join(arcs)}'
        f'<text class="big" y="6">{up} of {len(nodes)}</text><text class="small" y="28">'
        f"{'node' if len(nodes) == 1 else 'nodes'} up</text></svg>"
    )


_HATCH = (
    '<defs><pattern id="hatch" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect class="hatch-ground" width="7" height="7"/><rect class="hatch-line" width="3" height="7"/></pattern></defs>'
)


def _ring_in_words(nodes: Sequence[Facts]) -> str:
    shares = [f"{node['name']}: {node['share']:.1%} of the keys, {node['state']}" for node in nodes]
    return escape("; ".join(shares) or "no nodes")


def _arc(number: int, node: Facts, turn: float) -> str:
    """Draws the arc of a node, which starts at a part of the whole turn."""
    share, look = node["share"], f"arc {hue(number)} {node['state']}"
    if share > 0.999:
        line = f'<circle class="{look}" r="{_RADIUS:g}"/>'
    else:
        first = turn + _GAP / 2
        last = max(turn + share - _GAP / 2, first + 0.001)
        large = int(last - first > 0.5)
        line = (
            f'<path class="{look}" '
            f'd="M{_at(first, _RADIUS)}A{_RADIUS:g} {_RADIUS:g} 0 {large} 1 {_at(last, _RADIUS)}"/>'
        )
    return line + (_number(number, node["state"], turn + share / 2) if share >= _LEAST else "")


def _number(number: int, state: str, middle: float) -> str:
    """Writes the number of a node beside its arc: a name may be too long for a drawing."""
    x, y = _point(middle, _LABELS)
    return f'<text class="label {state}" x="{x:.0f}" y="{y + 6:.0f}">{number + 1}</text>'


def _point(turn: float, radius: float) -> tuple[float, float]:
    angle = 2 * math.pi * (turn - 0.25)
    return radius * math.cos(angle), radius * math.sin(angle)


def _at(turn: float, radius: float) -> str:
    x, y = _point(turn, radius)
    return f"{x:.2f} {y:.2f}"


def latency(samples: Sequence[Facts]) -> str:
    """Draws the store's latency over the last minutes, with a mark where it did not answer."""
    top = _nice(max((sample["ms"] or 0.0 for sample in samples), default=0.0))
    return (
        f'<svg class="plot" viewBox="0 0 360 136" role="img" aria-labelledby="plot-title">'
        f'<title id="plot-title">{escape(summary(samples))}</title>{_axes(top)}'
        f'<path class="line" d="{_line(samples, top)}"/>{"".join(_marks(samples, top))}</svg>'
    )


def summary(samples: Sequence[Facts]) -> str:
    """Returns the plot in one sentence."""
    took = sorted(sample["ms"] for sample in samples if sample["ms"] is not None)
    missing = len(samples) - len(took)
    if not samples:
        return "Nothing measured yet"
    failures = f"; no answer to {missing} of {len(samples)} questions" if missing else ""
    if not took:
        return f"The store did not answer{failures}"
    return f"Median {_ms(took[len(took) // 2])}, slowest {_ms(took[-1])}{failures}"


def _axes(top: float) -> str:
    lines = "".join(
        f'<path class="grid" d="M{_LEFT:g} {y:g}H{_RIGHT:g}"/><text class="axis" text-anchor="end" '
        f'x="{_LEFT - 6:g}" y="{y + 4:g}">{value:g} ms</text>'
        for y, value in ((_TOP, top), ((_TOP + _BOTTOM) / 2, top / 2), (_BOTTOM, 0))
    )
    return (
        f'{lines}<text class="axis" x="{_LEFT:g}" y="131">{SPAN / 60:g} minutes ago</text>'
        f'<text class="axis" text-anchor="end" x="{_RIGHT:g}" y="131">now</text>'
    )


def _line(samples: Sequence[Facts], top: float) -> str:
    steps, pen = [], "M"
    for sample in samples:
        if sample["ms"] is None:
            pen = "M"
        else:
            steps.append(f"{pen}{_x(sample):.1f} {_y(sample['ms'], top):.1f}")
            pen = "L"
    return "".join(steps)


def _marks(samples: Sequence[Facts], top: float) -> list[str]:
    missing = [
        f'<path class="silent" d="M{_x(sample):.1f} {_TOP:g}V{_BOTTOM:g}"/>'
        for sample in samples
        if sample["ms"] is None
    ]
    newest = [sample for sample in samples[-1:] if sample["ms"] is not None]
    return [*missing, *(f'<circle class="dot" r="3" cx="{_x(b):.1f}" cy="{_y(b["ms"], top):.1f}"/>' for b in newest)]


def _x(sample: Facts) -> float:
    return _RIGHT - (_RIGHT - _LEFT) * float(sample["ago"]) / SPAN


def _y(milliseconds: float, top: float) -> float:
    return _BOTTOM - (_BOTTOM - _TOP) * milliseconds / top


def _nice(most: float) -> float:
    """Returns the next 1, 2 or 5 with zeros."""
    size = 10.0 ** math.floor(math.log10(max(most, 0.1)))
    return next(step * size for step in (1, 2, 5, 10) if step * size >= most)


def _ms(milliseconds: float) -> str:
    return f"{milliseconds:.2g} ms" if milliseconds < 10 else f"{milliseconds:.0f} ms"
