"""The demo's page: text in, HTML out. No I/O, no script, nothing from another host; it works by plain forms.

Whatever a visitor typed goes through `escape` on its way out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path

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


@dataclass(frozen=True, slots=True)
class View:
    """What one page shows.

    Attributes:
        node: the web node that answers.
        pid: its process.
        states: every web node by name, and whether it is up.
        visits: of this browser, this one included.
        trail: the web nodes that answered its latest visits, oldest first.
        user: who is logged in; ``None`` before a login.
        cart: its items.
        handle: the session's public handle.
        created: when the session began.
        expires: when it expires unless it is used.
    """

    node: str
    pid: int
    states: Mapping[str, bool]
    visits: int
    trail: Sequence[str]
    user: str | None
    cart: Sequence[str]
    handle: str
    created: datetime
    expires: datetime


def shop(view: View) -> str:
    """Returns the page of ``GET /``."""
    parts = _visits(view), _session(view), _login(view), _cart(view), _farm(view.states, view.node)
    return _document(f"Visit {view.visits}, answered by {view.node}", "".join(parts))


def outage(states: Mapping[str, bool]) -> str:
    """Returns the front's page when no web node is up."""
    text = "The session is safe in the store: start a web node, and the count continues."
    return _document("No web node is up", _message("No web node is up", text) + _farm(states, ""))


def notice(title: str, text: str) -> str:
    """Returns a page with one message."""
    return _document(title, _message(title, text))


def _document(title: str, main: str) -> str:
    body = f"""<header><b>sharedsession</b> <span>one session, shared by every node of a web farm</span></header>
<main>
{main}</main>
<footer>Each answer comes from the next web node, a process of its own. What they share is the store.
Try it in a second browser, or in a private window: it gets a session of its own.</footer>
"""
    return document(title, body, style=STYLE, icon=ICON)


def _visits(view: View) -> str:
    trail = "".join(f'<li class="{_hue(name)}" title="{escape(name)}">{_number(name)}</li>' for name in view.trail)
    unit = "visit" if view.visits == 1 else "visits"
    return f"""<section class="wide hero {_hue(view.node)}">
<h1><strong id="visits">{view.visits}</strong> {unit} by this browser</h1>
<div>
<p>Answered by <b class="node" id="node">{escape(view.node)}</b>
<span class="quiet">(process {view.pid})</span></p>
<a class="button" href="/">Visit again</a>
<ol class="trail" aria-label="Web nodes that answered your latest visits">{trail}</ol>
</div>
</section>
"""


def _session(view: View) -> str:
    return f"""<section>
<h2>Your session</h2>
<dl>
<dt>Handle</dt><dd><code id="handle">{escape(view.handle)}</code></dd>
<dt>User</dt><dd id="user">{escape(view.user) if view.user else "not logged in"}</dd>
<dt>Began</dt><dd>{_time(view.created)}</dd>
<dt>Expires</dt><dd>{_time(view.expires)} <span class="quiet">unless used</span></dd>
</dl>
</section>
"""


def _login(view: View) -> str:
    if view.user:
        return f"""<section>
<h2>Hello, {escape(view.user)}</h2>
<p class="quiet">Login gave you a new session ID and kept the data. Logout ends the session on every node.</p>
<form method="post" action="/logout"><button class="plain">Log out</button></form>
</section>
"""
    return f"""<section>
<h2>Log in</h2>
<form method="post" action="/login">
<label for="name">Any name will do</label>
<input id="name" name="name" maxlength="{MAX_TEXT}" autocomplete="off" required>
<button>Log in</button>
</form>
</section>
"""


def _cart(view: View) -> str:
    items = "".join(f"<li>{escape(item)}</li>" for item in view.cart)
    cart = f'<ul class="cart" id="cart">{items}</ul>' if items else '<p class="quiet">Nothing in it yet.</p>'
    empty = '<form method="post" action="/cart/empty"><button class="plain">Empty the cart</button></form>'
    return f"""<section>
<h2>Cart</h2>
{cart}
<form method="post" action="/cart">
<label for="item">Something to buy</label>
<input id="item" name="item" maxlength="{MAX_TEXT}" autocomplete="off" required>
<button>Add</button>
</form>
{empty if items else ""}
</section>
"""


def _farm(states: Mapping[str, bool], answering: str) -> str:
    nodes = "".join(_node(name, is_up=is_up, is_answering=name == answering) for name, is_up in states.items())
    return f"""<section class="wide">
<h2>The farm</h2>
<ul class="farm">{nodes}</ul>
<p><a class="button plain" href="{FARM_PAGE}">See the store as well</a></p>
</section>
"""


def _node(name: str, *, is_up: bool, is_answering: bool) -> str:
    verb, label, kind = ("kill", "Kill", "danger") if is_up else ("start", "Start again", "plain")
    state = "answered just now" if is_answering else "up" if is_up else "down"
    return f"""<li class="{_hue(name)}{"" if is_up else " down"}"{' aria-current="true"' if is_answering else ""}>
<span><b class="node">{escape(name)}</b><small>{state}</small></span>
<form method="post" action="{COMMANDS}{verb}/{escape(name)}">
<button class="{kind}" aria-label="{label} {escape(name)}">{label}</button>
</form>
</li>
"""


def _message(title: str, text: str) -> str:
    return f"""<section class="wide">
<h1>{escape(title)}</h1>
<p>{escape(text)}</p>
<a class="button" href="/">Back to the shop</a>
</section>
"""


def _number(name: str) -> str:
    return escape(name.rpartition("-")[2])


def _hue(name: str) -> str:
    return f"hue n{_number(name)}"


def _time(moment: datetime) -> str:
    utc = moment.astimezone(UTC)
    return f'<time datetime="{utc.isoformat(timespec="seconds")}">{utc:%H:%M:%S}</time> UTC'
