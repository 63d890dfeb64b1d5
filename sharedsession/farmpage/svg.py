"""The two pictures, as SVG: the ring, and how long the store took. Pure; colours are the style sheet's.

What a colour says is said in words as well: in the picture, and in its title for those who do not see it.
"""

import math
from collections.abc import Sequence
from html import escape

from sharedsession.farmpage.facts import Facts
from sharedsession.farmpage.latency import SPAN

_RADIUS, _LABELS = 100.0, 134.0
_GAP = 0.012  # of the circle, between two arcs
_LEAST = 0.03  # a smaller share gets no label in the picture; the table has it
_LONGEST = 14
_LEFT, _RIGHT, _TOP, _BOTTOM = 34.0, 352.0, 12.0, 112.0


def hue(number: int) -> str:
    """The class that gives a node its colour."""
    return f"n{number % 8 + 1}"


def ring(nodes: Sequence[Facts]) -> str:
    """The ring: each node's arc is as long as its share of the keys."""
    shown = [node for node in nodes if node["share"] is not None]
    arcs, start = [], 0.0
    for number, node in enumerate(shown):
        arcs.append(_arc(node, hue(number), start))
        start += node["share"]
    up = sum(node["state"] == "up" for node in nodes)
    return (
        f'<svg class="ring" viewBox="-220 -156 440 312" role="img" aria-labelledby="ring-title">'
        f'<title id="ring-title">{_told(shown)}</title>{_HATCH}{"".join(arcs)}'
        f'<text class="big" y="6">{up} of {len(nodes)}</text><text class="small" y="28">'
        f"{'node' if len(nodes) == 1 else 'nodes'} up</text></svg>"
    )


_HATCH = (
    '<defs><pattern id="hatch" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect class="hatch-ground" width="7" height="7"/><rect class="hatch-line" width="3" height="7"/></pattern></defs>'
)


def _told(nodes: Sequence[Facts]) -> str:
    told = [f"{node['name']}: {node['share']:.1%} of the keys, {node['state']}" for node in nodes]
    return escape("; ".join(told) or "no nodes")


def _arc(node: Facts, colour: str, start: float) -> str:
    share, state = node["share"], node["state"]
    if share > 0.999:
        line = f'<circle class="arc {colour} {state}" r="{_RADIUS:g}"/>'
    else:
        begin, end = start + _GAP / 2, max(start + share - _GAP / 2, start + _GAP / 2 + 0.001)
        large = int(end - begin > 0.5)
        line = (
            f'<path class="arc {colour} {state}" '
            f'd="M{_at(begin, _RADIUS)}A{_RADIUS:g} {_RADIUS:g} 0 {large} 1 {_at(end, _RADIUS)}"/>'
        )
    return line + (_label(node, start + share / 2) if share >= _LEAST else "")


def _label(node: Facts, middle: float) -> str:
    x, y = _point(middle if node["share"] <= 0.999 else 0.25, _LABELS)
    anchor = "middle" if abs(x) < 20 else "start" if x > 0 else "end"
    name = node["name"] if len(node["name"]) <= _LONGEST else f"{node['name'][: _LONGEST - 1]}…"
    return (
        f'<text class="label {node["state"]}" text-anchor="{anchor}" x="{x:.0f}" y="{y:.0f}">{escape(name)}'
        f'<tspan class="small" x="{x:.0f}" dy="15">{node["share"]:.1%} {node["state"]}</tspan></text>'
    )


def _point(turn: float, radius: float) -> tuple[float, float]:
    angle = 2 * math.pi * (turn - 0.25)
    return radius * math.cos(angle), radius * math.sin(angle)


def _at(turn: float, radius: float) -> str:
    x, y = _point(turn, radius)
    return f"{x:.2f} {y:.2f}"


def latency(beats: Sequence[Facts]) -> str:
    """The store's latency over the last minutes; a mark where it did not answer."""
    top = _nice(max((beat["ms"] or 0.0 for beat in beats), default=0.0))
    return (
        f'<svg class="plot" viewBox="0 0 360 136" role="img" aria-labelledby="plot-title">'
        f'<title id="plot-title">{escape(summary(beats))}</title>{_axes(top)}'
        f'<path class="line" d="{_line(beats, top)}"/>{"".join(_marks(beats, top))}</svg>'
    )


def summary(beats: Sequence[Facts]) -> str:
    """The plot in one sentence."""
    took = sorted(beat["ms"] for beat in beats if beat["ms"] is not None)
    missing = len(beats) - len(took)
    if not beats:
        return "Nothing measured yet"
    silence = f"; no answer to {missing} of {len(beats)} questions" if missing else ""
    if not took:
        return f"The store did not answer{silence}"
    return f"Median {_ms(took[len(took) // 2])}, slowest {_ms(took[-1])}{silence}"


def _axes(top: float) -> str:
    lines = "".join(
        f'<path class="grid" d="M{_LEFT:g} {y:g}H{_RIGHT:g}"/><text class="axis" text-anchor="end" '
        f'x="{_LEFT - 5:g}" y="{y + 4:g}">{value:g}</text>'
        for y, value in ((_TOP, top), ((_TOP + _BOTTOM) / 2, top / 2), (_BOTTOM, 0))
    )
    return (
        f'{lines}<text class="axis" x="{_LEFT:g}" y="130">5 minutes ago</text>'
        f'<text class="axis" text-anchor="end" x="{_RIGHT:g}" y="130">now, in ms</text>'
    )


def _line(beats: Sequence[Facts], top: float) -> str:
    steps, pen = [], "M"
    for beat in beats:
        if beat["ms"] is None:
            pen = "M"
        else:
            steps.append(f"{pen}{_x(beat):.1f} {_y(beat['ms'], top):.1f}")
            pen = "L"
    return "".join(steps)


def _marks(beats: Sequence[Facts], top: float) -> list[str]:
    silent = [
        f'<path class="silent" d="M{_x(beat):.1f} {_TOP:g}V{_BOTTOM:g}"/>' for beat in beats if beat["ms"] is None
    ]
    newest = [beat for beat in beats[-1:] if beat["ms"] is not None]
    return [*silent, *(f'<circle class="dot" r="3" cx="{_x(b):.1f}" cy="{_y(b["ms"], top):.1f}"/>' for b in newest)]


def _x(beat: Facts) -> float:
    return _RIGHT - (_RIGHT - _LEFT) * float(beat["ago"]) / SPAN


def _y(milliseconds: float, top: float) -> float:
    return _BOTTOM - (_BOTTOM - _TOP) * milliseconds / top


def _nice(most: float) -> float:
    """The next 1, 2 or 5 with zeros."""
    size = 10.0 ** math.floor(math.log10(max(most, 0.1)))
    return next(step * size for step in (1, 2, 5, 10) if step * size >= most)


def _ms(milliseconds: float) -> str:
    return f"{milliseconds:.2g} ms" if milliseconds < 10 else f"{milliseconds:.0f} ms"
