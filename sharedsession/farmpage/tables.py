"""The two tables of the page: the web nodes, and the nodes of a ring. Pure: facts in, HTML out.

Roles are explicit: a table that CSS lays out as blocks, as on a phone, is no table to some screen readers.
"""

from collections.abc import Sequence
from html import escape

from sharedsession.farmpage import svg
from sharedsession.farmpage.facts import Facts

_RING = ("Node", "State", "Keys", "Failures", "Evictions", "Tombstones waiting")
_WEB = ("Web node", "With its farm", "Version", "Up for", "Announced")

_NONE = 'No web node has announced itself. Set farm_check="warn" on all of them: then each is listed here.'
_UNKNOWN = "Not known: the store, where they announce themselves, does not answer."
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def ring_nodes(nodes: Sequence[Facts]) -> str:
    """Returns the table of the nodes of a ring."""
    return _table("nodes", _RING, [_ring_row(number, node) for number, node in enumerate(nodes)])


def web_nodes(nodes: Sequence[Facts] | None) -> str:
    """Returns the table of the web nodes, or why there is none.

    Args:
        nodes: the facts about each; ``None``: they are not known.
    """
    if not nodes:
        return f'<p class="quiet">{escape(_UNKNOWN if nodes is None else _NONE)}</p>'
    is_shared = len({node["application"] for node in nodes}) > 1
    return _table("web-nodes", _WEB, [_web_row(node, is_shared=is_shared) for node in nodes])


def number(value: object) -> str:
    """Returns a number as text; a dash for what is none."""
    return f"{value:,}" if isinstance(value, int) else "-"


def span(seconds: float) -> str:
    """Returns a time span in its largest whole unit."""
    size, unit = next((entry for entry in _UNITS if seconds >= entry[0]), _UNITS[-1])
    return f"{seconds // size:.0f} {unit}"


def _ring_row(index: int, node: Facts) -> str:
    name, address = escape(node["name"]), escape(node["address"])
    place = "" if address == name else f"<small>{address}</small>"
    share = "-" if node["share"] is None else f"{node['share']:.1%}"
    numbers = (share, *(number(node[fact]) for fact in ("failures", "evictions", "tombstones_waiting")))
    state = f'<b class="{node["state"]}">{node["state"]}</b>'
    return _row(_RING, f'<i class="spot {svg.hue(index)}"></i>{name} {place}', [state, *numbers])


def _web_row(node: Facts, *, is_shared: bool) -> str:
    application = f"<small>application {escape(node['application'])}</small>" if is_shared else ""
    ago = f"{span(node['announced_ago'])} ago"
    cells = [_with_its_farm(node), escape(node["version"]), span(node["up_for"]), ago]
    return _row(_WEB, f"{escape(node['name'])} {application}", cells)


def _with_its_farm(node: Facts) -> str:
    faults = [_difference("down", "disagrees on", fault) for fault in node["faults"]]
    notes = [_difference("warn", "differs in", note) for note in node["notes"]]
    return "".join(faults + notes) or '<b class="up">agrees</b>'


def _difference(level: str, verb: str, found: Facts) -> str:
    return (
        f'<span class="difference"><b class="{level}">{verb} {escape(found["what"])}</b>: {escape(found["fix"])}</span>'
    )


def _table(name: str, columns: Sequence[str], rows: Sequence[str]) -> str:
    head = "".join(f'<th role="columnheader" scope="col">{column}</th>' for column in columns)
    return (
        f'<table role="table" aria-labelledby="{name}-title"><thead role="rowgroup"><tr role="row">{head}</tr></thead>'
        f'<tbody role="rowgroup">{"".join(rows)}</tbody></table>'
    )


def _row(columns: Sequence[str], heading: str, values: Sequence[str]) -> str:
    cells = "".join(
        f'<td role="cell" data-label="{column}">{value}</td>' for column, value in zip(columns[1:], values, strict=True)
    )
    return f'<tr role="row"><th role="rowheader" scope="row">{heading}</th>{cells}</tr>'
