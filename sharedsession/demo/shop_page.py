"""The page of ``GET /``: the count, the story, and what is in the session. Pure: a view in, HTML out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any

from sharedsession.demo import story
from sharedsession.demo.actions import SLOWLY
from sharedsession.demo.advice import Farm
from sharedsession.demo.page import MAX_TEXT, framed, hue, number, processes


@dataclass(frozen=True, slots=True)
class View:
    """What one page shows.

    Attributes:
        node: the web node that answers.
        pid: its process.
        farm: all processes.
        visits: of this browser, this one included.
        trail: the web nodes that answered its latest visits, oldest first.
        user: who is logged in; ``None`` before a login.
        logins: when each session of that user began, by its handle; ``None``: the store does not tell now.
        cart: its items.
        note: what was written slowly: ``text``, ``node``, ``meanwhile``.
        voucher: once it is spent: ``node``, and ``late``, who came second.
        handle: the session's public handle.
        created: when the session began.
        expires: when it expires unless it is used.
    """

    node: str
    pid: int
    farm: Farm
    visits: int
    trail: Sequence[str]
    user: str | None
    logins: Mapping[str, datetime] | None
    cart: Sequence[str]
    note: Mapping[str, Any] | None
    voucher: Mapping[str, Any] | None
    handle: str
    created: datetime
    expires: datetime


def shop(view: View) -> str:
    """Returns the whole page."""
    parts = (
        _visits(view),
        story.introduction(view.farm),
        story.three_things(view.farm, view.node),
        _cart(view),
        _note(view),
        _voucher(view),
        _session(view),
        processes(view.farm, view.node),
    )
    return framed(f"Visit {view.visits}, answered by {view.node}", "".join(parts))


def _visits(view: View) -> str:
    trail = "".join(f'<li class="{hue(name)}" title="{escape(name)}">{number(name)}</li>' for name in view.trail)
    unit = "visit" if view.visits == 1 else "visits"
    return f"""<section class="wide hero {hue(view.node)}">
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
    return f"""<section class="wide">
<h2>Your session{", and log out everywhere" if view.user else ""}</h2>
<div class="forms">
<dl>
<dt>Handle</dt><dd><code id="handle">{escape(view.handle)}</code></dd>
<dt>User</dt><dd id="user">{escape(view.user) if view.user else "not logged in"}</dd>
<dt>Began</dt><dd>{_time(view.created)}</dd>
<dt>Expires</dt><dd>{_time(view.expires)} <span class="quiet">unless used</span></dd>
</dl>
<div>{_logins(view) if view.user else _LOGIN}</div>
</div>
</section>
"""


_LOGIN = f"""<form method="post" action="/login">
<label for="name">Log in: any name will do</label>
<input id="name" name="name" maxlength="{MAX_TEXT}" autocomplete="off" required>
<button>Log in</button>
</form>
<p class="quiet">You get a new session ID and keep the data. Log in by the same name in a private window as well, to see
“log out everywhere”.</p>"""


def _logins(view: View) -> str:
    if view.logins is None:
        listed = '<p class="quiet">The store does not say now where else you are logged in.</p>'
    else:
        entries = "".join(
            f"<li>since {_time(began)}{' <b>(this one)</b>' if handle == view.handle else ''}</li>"
            for handle, began in view.logins.items()
        )
        listed = f'<h3>Where {escape(view.user or "")} is logged in</h3><ul class="lines" id="logins">{entries}</ul>'
    return f"""{listed}
<p class="quiet">Log in by this name in a private window: it appears here, and you can end it from here.</p>
<form method="post">
<button class="plain" formaction="/logout">Log out</button>
<button class="plain" formaction="/logout/others">Log out the others</button>
<button class="danger" formaction="/logout/everywhere">Log out everywhere</button>
</form>"""


def _cart(view: View) -> str:
    items = "".join(f"<li>{escape(item)}</li>" for item in view.cart)
    cart = f'<ul class="lines" id="cart">{items}</ul>' if items else '<p class="quiet">Nothing in it yet.</p>'
    empty = '<form method="post" action="/cart/empty"><button class="plain">Empty the cart</button></form>'
    return f"""<section>
<h2>Cart</h2>
{cart}
<form method="post" action="/cart">
<label for="item">Something to buy</label>
<input id="item" name="item" maxlength="{MAX_TEXT}" autocomplete="off" value="Tea" required>
<button>Add</button>
</form>
{empty if items else ""}
</section>
"""


def _note(view: View) -> str:
    note = view.note
    if note is None:
        text = '<p class="quiet">No note yet: it is the third thing to try.</p>'
    else:
        visits = note["meanwhile"]
        other = f"this browser visited {visits} more time{'' if visits == 1 else 's'}" if visits else "nothing happened"
        merged = "Its change and theirs were <b>merged</b>: none overwrote the other." if visits else ""
        text = f"""<blockquote id="note-text">{escape(note["text"])}</blockquote>
<p id="merged">{escape(note["node"])} held your session for {SLOWLY:g} seconds to write it.
Meanwhile {other}. {merged}</p>"""
    return f"""<section>
<h2>Merging: the note</h2>
{text}
</section>
"""


def _voucher(view: View) -> str:
    if view.voucher is None:
        return f"""<section>
<h2>A lock: the voucher</h2>
<p class="quiet">Good for one use, and redeeming takes {SLOWLY:g} seconds. Press twice: the second tab waits for the
lock of the first, then finds the voucher spent.</p>
<form method="post" action="/voucher" target="_blank"><button>Redeem it in a new tab</button></form>
</section>
"""
    late = view.voucher.get("late")
    text = f"Redeemed once, by {escape(view.voucher['node'])}."
    if late:
        text += f" {escape(late['node'])} waited {late['waited']:g} s for the lock, and was told that it is spent."
    return f"""<section>
<h2>A lock: the voucher</h2>
<p id="voucher">{text}</p>
<form method="post"><button class="plain" formaction="/voucher">Redeem it again</button>
<button class="plain" formaction="/voucher/new">New voucher</button></form>
</section>
"""


def _time(moment: datetime) -> str:
    utc = moment.astimezone(UTC)
    return f'<time datetime="{utc.isoformat(timespec="seconds")}">{utc:%H:%M:%S}</time> UTC'
