"""The page as HTML. Pure: facts in, text out; whatever comes from elsewhere goes through `escape`.

It is made of parts, each with an ID. The script fetches the same parts again and puts them in place; without the script
a link loads the whole page again.
"""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from sharedsession.farmpage import svg
from sharedsession.farmpage.facts import Facts
from sharedsession.http import document, security_headers

STYLE = Path(__file__).with_name("style.css").read_text()
SCRIPT = Path(__file__).with_name("script.js").read_text()

HEADERS = security_headers(STYLE, SCRIPT)
"""What every answer of the page carries."""

_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 9 9'%3E%3Ccircle cx='4.5' cy='4.5' "
    "r='3' fill='none' stroke='%232f5bd7' stroke-width='2'/%3E%3C/svg%3E"
)


class Part(NamedTuple):
    """One part of the page.

    Attributes:
        name: of its element.
        title: its heading.
        html: its content.
        wide: whether it takes the whole width.
    """

    name: str
    title: str
    html: str
    wide: bool = False


def parts_of(facts: Facts, more: Sequence[Part] = ()) -> list[Part]:
    """Returns the parts of the page, in their order; those of the caller stand below the drawings."""
    parts = [
        Part("ring", "Ring", svg.ring(facts["nodes"]) + _layout(facts)),
        Part("latency", "Latency of the store", _latency(facts["latency"])),
        *more,
        Part("nodes", "Nodes", _nodes(facts["nodes"]), wide=True),
        Part("totals", "Counted so far", _list(facts["totals"], "totals"), wide=True),
        Part("fingerprint", "Fingerprint", _fingerprint(facts["fingerprint"])),
        Part("counters", "All counters", _counters(facts["counters"])),
    ]
    return parts if facts["nodes"] else [part for part in parts if part.name not in {"ring", "nodes"}]


def farm_document(facts: Facts, parts: Sequence[Part], navigation: str) -> str:
    """Returns the whole page.

    Args:
        facts: for the line on top.
        parts: of the page.
        navigation: HTML of the form to log out, or of another link for the top of the page.
    """
    main = "".join(_section(part) for part in parts)
    return _document(
        "Farm",
        f"""<header>
<h1>Farm</h1>
<p class="state" id="state" role="status">{state(facts)}</p>
<nav aria-label="Page">
<a class="button plain" href="?">Refresh</a>
<button type="button" class="plain" id="pause" aria-pressed="false" hidden>Pause</button>
{navigation}</nav>
</header>
<main id="parts">
{main}</main>
""",
        script=SCRIPT,
    )


def state(facts: Facts) -> str:
    """Returns the state of the farm, in one line of HTML."""
    nodes = facts["nodes"]
    down = [node["name"] for node in nodes if node["state"] == "down"]
    text = "The store answers" if facts["answers"] else "The store does not answer"
    if down:
        text += f"; down: {', '.join(down)}"
    level = "down" if not facts["answers"] else "warn" if down else "up"
    return f'<span class="{level}">{escape(text)}</span>'


def login_document(token: str, problem: str = "") -> str:
    """Returns the page with the form to log in.

    Args:
        token: for the form.
        problem: why an earlier form was refused, as text.
    """
    alert = f'<p class="down" role="alert">{escape(problem)}</p>' if problem else ""
    return _document(
        "Farm: log in",
        f"""<main class="narrow"><section>
<h1>Farm</h1>
{alert}<form method="post" action="?">
<input type="hidden" name="token" value="{escape(token)}">
<label for="password">Password of the farm page</label>
<input id="password" type="password" name="password" autocomplete="current-password" required autofocus>
<button name="do" value="login">Log in</button>
</form>
</section></main>
""",
    )


def logout_form(token: str) -> str:
    """Returns the form to log out."""
    return f"""<form method="post" action="?">
<input type="hidden" name="token" value="{escape(token)}">
<button class="plain" name="do" value="logout">Log out</button>
</form>
"""


def notice(title: str, text: str) -> str:
    """Returns a page with one message."""
    return _document(
        title,
        f"""<main class="narrow"><section>
<h1>{escape(title)}</h1>
<p>{escape(text)}</p>
<a class="button" href="?">Back</a>
</section></main>
""",
    )


def _document(title: str, body: str, script: str = "") -> str:
    return document(title, body, style=STYLE, icon=_ICON, script=script)


def _section(part: Part) -> str:
    return f"""<section{' class="wide"' if part.wide else ""} aria-labelledby="{part.name}-title">
<h2 id="{part.name}-title">{escape(part.title)}</h2>
<div id="{part.name}">{part.html}</div>
</section>
"""


def _layout(facts: Facts) -> str:
    if not facts["replicas"]:
        return f'<p class="quiet">One store: {escape(facts["backend"])}.</p>'
    copies = "one copy" if facts["replicas"] == 1 else f"{facts['replicas']} copies"
    return f'<p class="quiet">{copies.capitalize()} of each session, layout {escape(str(facts["layout"]))}.</p>'


def _latency(samples: Sequence[Facts]) -> str:
    return svg.latency(samples) + f'<p class="quiet">{escape(svg.summary(samples))}.</p>'


_COLUMNS = ("Node", "State", "Keys", "Failures", "Evictions", "Tombstones waiting")


def _nodes(nodes: Sequence[Facts]) -> str:
    # The roles are explicit: a table that CSS lays out as blocks, as on a phone, is no table to some screen readers.
    head = "".join(f'<th role="columnheader" scope="col">{column}</th>' for column in _COLUMNS)
    rows = "".join(_row(number, node) for number, node in enumerate(nodes))
    return (
        f'<table role="table" aria-labelledby="nodes-title"><thead role="rowgroup"><tr role="row">{head}</tr></thead>'
        f'<tbody role="rowgroup">{rows}</tbody></table>'
    )


def _row(number: int, node: Facts) -> str:
    share = "-" if node["share"] is None else f"{node['share']:.1%}"
    numbers = (share, *(_number(node[name]) for name in ("failures", "evictions", "tombstones_waiting")))
    cells = "".join(
        f'<td role="cell" data-label="{column}">{value}</td>'
        for column, value in zip(_COLUMNS[2:], numbers, strict=True)
    )
    address = "" if node["address"] == node["name"] else f"<small>{escape(node['address'])}</small>"
    return (
        f'<tr role="row"><th role="rowheader" scope="row"><i class="spot {svg.hue(number)}"></i>'
        f'{escape(node["name"])} {address}</th><td role="cell" data-label="State">'
        f'<b class="{node["state"]}">{node["state"]}</b></td>{cells}</tr>'
    )


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else "-"


def _list(values: Facts, kind: str) -> str:
    entries = "".join(f"<div><dt>{escape(name)}</dt><dd>{_number(value)}</dd></div>" for name, value in values.items())
    return f'<dl class="{kind}">{entries}</dl>'


def _fingerprint(parts: Facts) -> str:
    entries = "".join(
        f"<div><dt>{escape(name)}</dt><dd><code>{escape(value)}</code></dd></div>" for name, value in parts.items()
    )
    return (
        f'<dl class="pairs">{entries}</dl><p class="quiet">The same on every web node, or they share no sessions.</p>'
    )


def _counters(counters: Facts) -> str:
    return _list(counters, "pairs") if counters else '<p class="quiet">No events yet.</p>'
