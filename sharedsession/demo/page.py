"""The frame of the demo's pages, and those that are one message. Text in, HTML out.

No I/O, no script, nothing from another host: the pages work by plain forms. Whatever a visitor typed goes through
`escape` on its way out.
"""

from html import escape
from pathlib import Path

from sharedsession.demo import advice
from sharedsession.demo.advice import Farm
from sharedsession.demo.names import COMMANDS, FARM_PAGE
from sharedsession.http import document, security_headers

STYLE = Path(__file__).with_name("style.css").read_text()

HEADERS = security_headers(STYLE)
"""What every answer of the demo carries."""

MAX_TEXT = 40
"""Characters of a name or an item."""

ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 9 9'%3E"
    + "".join(
        f"%3Ccircle cx='{x}' cy='{y}' r='2' fill='%23{colour}'/%3E"
        for x, y, colour in ((4.5, 2, "4a6fdc"), (2, 6.5, "a14bd1"), (7, 6.5, "1b9f6b"))
    )
    + "%3C/svg%3E"
)


def outage(farm: Farm) -> str:
    """Returns the front's page when no web node is up."""
    message = _message("No web node is up", advice.without_web_nodes(farm))
    return framed("No web node is up", message + processes(farm))


def store_down(node: str, farm: Farm) -> str:
    """Returns the page in the place of a web node's 503: the store does not answer for this session.

    Args:
        node: the web node.
        farm: the farm as it is now.
    """
    text = f"{node} is up and answered with 503: it cannot read your session now. {advice.after_outage(farm)}"
    return framed("The store does not answer", _message("The store does not answer", text) + processes(farm))


def notice(title: str, text: str) -> str:
    """Returns a page with one message."""
    return framed(title, _message(title, text))


def framed(title: str, main: str) -> str:
    """Returns a whole page.

    Args:
        title: as text.
        main: its sections, as HTML.
    """
    body = f"""<header><b>sharedsession</b> <span>one session, shared by every node of a web farm</span></header>
<main>
{main}</main>
<footer>Each answer comes from the next web node, a process of its own. What they share is the store.
Try it in a second browser, or in a private window: it gets a session of its own.</footer>
"""
    return document(title, body, style=STYLE, icon=ICON)


def processes(farm: Farm, answering: str = "") -> str:
    """Returns the section with all processes and their buttons.

    Args:
        farm: as it is now.
        answering: the web node that makes the page.
    """
    web = "".join(_process(name, hue(name), is_up=up, is_now=name == answering) for name, up in farm.nodes.items())
    servers = "".join(_process(name, "server", is_up=up) for name, up in farm.servers.items())
    level, text = advice.on_store(farm)
    store = f'<ul class="farm">{servers}</ul>' if servers else ""
    return f"""<section class="wide">
<h2>The farm</h2>
<h3>Web nodes</h3>
<ul class="farm">{web}</ul>
<p class="quiet">{advice.WEB_NODES}</p>
<h3>Store</h3>
{store}<p class="advice {level}">{text}</p>
<p><a class="button plain" href="{FARM_PAGE}">Farm page: everything live, and load</a></p>
</section>
"""


def command(verb: str, name: str, label: str, kind: str) -> str:
    """Returns the form that kills or starts a process.

    Args:
        verb: ``kill`` or ``start``.
        name: of the process.
        label: of the button.
        kind: how it looks.
    """
    spoken = label if name in label else f"{label} {name}"
    return (
        f'<form method="post" action="{COMMANDS}{verb}/{escape(name)}">'
        f'<button class="{kind}" aria-label="{escape(spoken)}">{escape(label)}</button></form>'
    )


def hue(name: str) -> str:
    """Returns the classes that give a web node its colour."""
    return f"hue n{number(name)}"


def number(name: str) -> str:
    """Returns the number in the name of a process, as HTML."""
    return escape(name.rpartition("-")[2])


def _process(name: str, look: str, *, is_up: bool, is_now: bool = False) -> str:
    button = command("kill", name, "Kill", "danger") if is_up else command("start", name, "Start again", "plain")
    state = "answered just now" if is_now else "up" if is_up else "down"
    return f"""<li class="{look}{"" if is_up else " down"}"{' aria-current="true"' if is_now else ""}>
<span><b class="node">{escape(name)}</b><small>{state}</small></span>
{button}</li>
"""


def _message(title: str, text: str) -> str:
    return f"""<section class="wide">
<h1>{escape(title)}</h1>
<p>{escape(text)}</p>
<a class="button" href="/">Visit the shop</a>
</section>
"""
