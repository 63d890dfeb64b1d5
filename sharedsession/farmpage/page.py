"""The page as HTML. Pure: facts in, text out; whatever comes from elsewhere goes through `escape`.

It is made of parts, each with an ID. The script fetches the same parts again and puts them in place; without the script
a link loads the whole page again.
"""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from sharedsession.farmpage import svg, tables
from sharedsession.farmpage.facts import COPIES, Facts
from sharedsession.farmpage.tables import number
from sharedsession.http import document, security_headers

STYLE = Path(__file__).with_name("style.css").read_text()
SCRIPT = Path(__file__).with_name("script.js").read_text()

HEADERS = security_headers(STYLE, SCRIPT)
"""What every answer of the page carries."""

_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 9 9'%3E%3Ccircle cx='4.5' cy='4.5' "
    "r='3' fill='none' stroke='%232f5bd7' stroke-width='2'/%3E%3C/svg%3E"
)


_OF_RING = {COPIES, "layout", "replicas"}


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
    is_ring = bool(facts["replicas"])
    return [
        Part("ring", "Ring", _ring(facts)) if is_ring else Part("store", "Store", _store(facts)),
        Part("latency", "Latency of the store", _latency(facts["latency"])),
        *more,
        Part("web-nodes", "Web nodes", tables.web_nodes(facts["web_nodes"]), wide=True),
        *([Part("nodes", "Nodes of the ring", tables.ring_nodes(facts["nodes"]), wide=True)] if is_ring else ()),
        Part("totals", "Counted so far", _list(_without_ring(facts["totals"], is_ring=is_ring), "totals"), wide=True),
        Part("fingerprint", "Fingerprint", _fingerprint(_without_ring(facts["fingerprint"], is_ring=is_ring))),
        Part("counters", "All counters", _counters(facts["counters"])),
    ]


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
    down = [node["name"] for node in facts["nodes"] if node["state"] == "down"]
    odd = [node["name"] for node in facts["web_nodes"] or () if node["faults"]]
    text = "The store answers" if facts["answers"] else "The store does not answer"
    if down:
        text += f"; down: {', '.join(down)}"
    if odd:
        text += f"; disagrees with its farm: {', '.join(odd)}"
    level = "down" if not facts["answers"] else "warn" if down or odd else "up"
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


def _ring(facts: Facts) -> str:
    copies = "one copy" if facts["replicas"] == 1 else f"{facts['replicas']} copies"
    words = f"{copies.capitalize()} of each session, layout {facts['layout']}."
    entries = "".join(_legend(index, node) for index, node in enumerate(facts["nodes"]))
    return f'{svg.ring(facts["nodes"])}<ol class="legend">{entries}</ol><p class="quiet">{escape(words)}</p>'


def _legend(index: int, node: Facts) -> str:
    share = "" if node["share"] is None else f"{node['share']:.1%} of the keys, "
    return (
        f'<li><i class="spot {svg.hue(index)}"></i><b>{index + 1} {escape(node["name"])}</b> '
        f'<span class="quiet">{share}</span><span class="{node["state"]}">{node["state"]}</span></li>'
    )


def _store(facts: Facts) -> str:
    """Returns what is known of a store that is no ring."""
    entries = [("Kind", escape(facts["backend"]))]
    for node in facts["nodes"]:
        entries += [
            ("Address", escape(node["address"] or node["name"])),
            ("State", f'<b class="{node["state"]}">{node["state"]}</b>'),
            ("Failures", number(node["failures"])),
            *([("Evictions", number(node["evictions"]))] if node["evictions"] is not None else ()),
        ]
    listed = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in entries)
    return f'<dl class="pairs">{listed}</dl><p class="quiet">One store, shared by all web nodes.</p>'


def _latency(samples: Sequence[Facts]) -> str:
    return svg.latency(samples) + f'<p class="quiet">{escape(svg.summary(samples))}.</p>'


def _without_ring(entries: Facts, *, is_ring: bool) -> Facts:
    """Returns the entries without those that mean nothing where there is no ring."""
    return {name: value for name, value in entries.items() if is_ring or name not in _OF_RING}


def _list(values: Facts, kind: str) -> str:
    entries = "".join(f"<div><dt>{escape(name)}</dt><dd>{number(value)}</dd></div>" for name, value in values.items())
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
