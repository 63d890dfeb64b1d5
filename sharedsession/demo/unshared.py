"""Side by side: the shared session, and one that only the process of each web node knows, as without this library.

Both middlewares are the library's; the second one keeps its sessions in the memory of the process. Every click goes to
both, and to the next web node.
"""

from collections.abc import Mapping
from html import escape
from typing import Any, NamedTuple

from sharedsession.asgi import App, Receive, Scope, Send, SessionMiddleware
from sharedsession.demo.names import UNSHARED
from sharedsession.demo.page import MAX_TEXT, framed, hue

_SHARED = "sharedsession.demo.shared"
_COOKIE = "unshared"


class Side(NamedTuple):
    """What one of the two sessions knows.

    Attributes:
        visits: how many.
        user: who is logged in, if anybody is.
        cart: how many items are in it.
    """

    visits: int
    user: str | None
    cart: int

    @classmethod
    def of(cls, session: Mapping[str, Any]) -> "Side":
        """Looks at a session."""
        return cls(session.get("visits", 0), session.get("user"), len(session.get("cart", ())))


def beside(app: App) -> App:
    """Returns an application with both sessions; it runs inside of the middleware of the shared one.

    Args:
        app: finds the unshared session where a session always is, and the shared one by `shared_session`.
    """
    inner = SessionMiddleware(
        app, development=True, backend="memory://", app_name=_COOKIE, cookie_name=_COOKIE, cookie_path=UNSHARED
    )

    async def both(scope: Scope, receive: Receive, send: Send) -> None:
        await inner({**scope, _SHARED: scope["session"]}, receive, send)

    return both


def shared_session(scope: Scope) -> Any:
    """Returns the shared session of a request to `beside`."""
    return scope[_SHARED]


def comparison(node: str, shared: Side, alone: Side, nodes_up: int) -> str:
    """Returns the page.

    Args:
        node: the web node that answers.
        shared: what the shared session knows.
        alone: what this web node alone knows.
        nodes_up: how many web nodes are up.
    """
    why = (
        "With one web node up there is nothing to share: both sides work."
        if nodes_up == 1
        else "With sharing off, each web node keeps its sessions to itself. The next one does not know your cookie: it "
        "gives you a new session, and all is gone."
    )
    sides = _side("Sharing on", "shared", shared) + _side("Sharing off", "alone", alone)
    return framed("Side by side", f'{_answered(node)}<div class="wide pair">{sides}</div>{_forms(why)}')


def _answered(node: str) -> str:
    return f"""<section class="wide hero {hue(node)}">
<div>
<h1>Every click goes to both sides</h1>
<p>Answered by <b class="node">{escape(node)}</b></p>
<a class="button" href="{UNSHARED}">Visit again</a>
</div>
</section>
"""


def _forms(why: str) -> str:
    return f"""<section class="wide">
<h2>Try it</h2>
<p>{why}</p>
<div class="forms">
<form method="post" action="{UNSHARED}/login">
<label for="name">Log in on both sides</label>
<input id="name" name="name" maxlength="{MAX_TEXT}" autocomplete="off" value="Ada" required>
<button>Log in</button>
</form>
<form method="post" action="{UNSHARED}/cart">
<label for="item">Put something into both carts</label>
<input id="item" name="item" maxlength="{MAX_TEXT}" autocomplete="off" value="Tea" required>
<button>Add</button>
</form>
</div>
<p><a class="button plain" href="/">Back to the shop</a></p>
</section>
"""


def _side(title: str, name: str, side: Side) -> str:
    unit = "visit" if side.visits == 1 else "visits"
    items = "nothing" if side.cart == 0 else "1 item" if side.cart == 1 else f"{side.cart} items"
    return f"""<section id="{name}">
<h2>{title}</h2>
<p class="count"><strong>{side.visits}</strong> {unit}</p>
<dl>
<dt>User</dt><dd>{escape(side.user) if side.user else "not logged in"}</dd>
<dt>Cart</dt><dd>{items}</dd>
</dl>
</section>
"""
