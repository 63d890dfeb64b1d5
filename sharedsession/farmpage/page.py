"""The page as HTML. Pure: facts in, text out; whatever is not ours goes through `escape`.

It is made of parts, each with an ID. The script asks for the same parts again and puts them in place; without it the
whole page is asked for again. The style sheet and the script stand in the page, and the content security policy names
their hashes: nothing else is styled, loaded or run.
"""

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from sharedsession.farmpage import svg as picture
from sharedsession.farmpage.facts import Facts

STYLE = Path(__file__).with_name("style.css").read_text()
SCRIPT = Path(__file__).with_name("script.js").read_text()


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


POLICY = (
    f"default-src 'none'; style-src {_hash(STYLE)}; script-src {_hash(SCRIPT)}; img-src data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

HEADERS = (
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
)
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
        html: what is in it.
        wide: whether it takes the whole width.
    """

    name: str
    title: str
    html: str
    wide: bool = False


def parts_of(facts: Facts, more: Sequence[Part] = ()) -> list[Part]:
    """The parts of the page, in their order; those of the caller stand below the pictures."""
    parts = [
        Part("ring", "Ring", picture.ring(facts["nodes"]) + _layout(facts)),
        Part("latency", "Latency of the store", _latency(facts["latency"])),
        *more,
        Part("nodes", "Nodes", _nodes(facts["nodes"]), wide=True),
        Part("totals", "Counted so far", _list(facts["totals"], "totals"), wide=True),
        Part("fingerprint", "Fingerprint", _fingerprint(facts["fingerprint"])),
        Part("counters", "All counters", _counters(facts["counters"])),
    ]
    return parts if facts["nodes"] else [part for part in parts if part.name not in {"ring", "nodes"}]


def document(facts: Facts, parts: Sequence[Part], way_out: str) -> str:
    """The whole page.

    Args:
        facts: for the line on top.
        parts: of the page.
        way_out: HTML of the form to log out, or of whatever else belongs on top.
    """
    main = "".join(_section(part) for part in parts)
    return _html(
        "Farm",
        f"""<header>
<h1>Farm</h1>
<p class="state" id="state" role="status">{state(facts)}</p>
<nav aria-label="Page">
<a class="button plain" href="?">Refresh</a>
<button type="button" class="plain" id="pause" aria-pressed="false" hidden>Pause</button>
{way_out}</nav>
</header>
<main id="parts">
{main}</main>
<script>{SCRIPT}</script>
""",
    )


def state(facts: Facts) -> str:
    """How the farm is, in one line."""
    nodes = facts["nodes"]
    down = [node["name"] for node in nodes if node["state"] == "down"]
    said = "The store answers" if facts["answers"] else "The store does not answer"
    if down:
        said += f"; down: {', '.join(down)}"
    mood = "down" if not facts["answers"] else "warn" if down else "up"
    return f'<span class="{mood}">{escape(said)}</span>'


def door(token: str, problem: str = "") -> str:
    """The form to log in."""
    told = f'<p class="down" role="alert">{escape(problem)}</p>' if problem else ""
    return _html(
        "Farm: log in",
        f"""<main class="door"><section>
<h1>Farm</h1>
{told}<form method="post" action="?">
<input type="hidden" name="token" value="{escape(token)}">
<label for="password">Password of the farm page</label>
<input id="password" type="password" name="password" autocomplete="current-password" required autofocus>
<button name="do" value="login">Log in</button>
</form>
</section></main>
""",
    )


def way_out(token: str) -> str:
    """The form to log out."""
    return f"""<form method="post" action="?">
<input type="hidden" name="token" value="{escape(token)}">
<button class="plain" name="do" value="logout">Log out</button>
</form>
"""


def notice(title: str, text: str) -> str:
    """A page that says one thing."""
    return _html(
        title,
        f"""<main class="door"><section>
<h1>{escape(title)}</h1>
<p>{escape(text)}</p>
<a class="button" href="?">Back</a>
</section></main>
""",
    )


def _html(title: str, body: str) -> str:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{escape(title)}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="{_ICON}">
<style>{STYLE}</style>
</head>
<body>
{body}</body>
</html>
"""


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


def _latency(beats: Sequence[Facts]) -> str:
    return picture.latency(beats) + f'<p class="quiet">{escape(picture.summary(beats))}.</p>'


_COLUMNS = ("Node", "State", "Keys", "Failures", "Evictions", "Tombstones waiting")


def _nodes(nodes: Sequence[Facts]) -> str:
    # The roles are said, since a table that is laid out as blocks on a phone is no table to some readers.
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
        f'<tr role="row"><th role="rowheader" scope="row"><i class="spot {picture.hue(number)}"></i>'
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
    return f'<dl class="pairs">{entries}</dl><p class="quiet">The same on every web node, or they do not share.</p>'


def _counters(counters: Facts) -> str:
    return _list(counters, "pairs") if counters else '<p class="quiet">Nothing happened yet.</p>'
