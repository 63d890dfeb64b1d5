"""The application of the demo: a tiny shop behind `SessionMiddleware`, as any ASGI server runs it.

It counts a browser's visits, has a login and a logout, and keeps a cart. It knows no other web node. Only the front
asks for its health: the front relays no request with that path.
"""

import json
import os
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import parse_qs

from sharedsession.asgi import App, Message, Receive, Scope, Send, SessionMiddleware
from sharedsession.demo import page
from sharedsession.demo.loopback import is_own_host
from sharedsession.demo.names import HEALTH, NUMBER_HEADER, STATES_HEADER, WEB_NODE_HEADER
from sharedsession.http import make_answer, page_answer, send_answer, to_asgi
from sharedsession.session import Session

MAX_CART = 20
"""Items in a cart."""

MAX_TRAIL = 12
"""Web nodes on the page: those of the latest visits."""


def log_in(session: Session, form: dict[str, str]) -> None:
    """Gives the visitor a new session ID: one that an attacker planted before is worthless."""
    if name := form.get("name"):
        session["user"] = name
        session.regenerate()


def log_out(session: Session, _form: dict[str, str]) -> None:
    """Ends the session on every web node."""
    session.destroy()


def add_to_cart(session: Session, form: dict[str, str]) -> None:
    """Changes a list inside of the session: that is saved, too."""
    item = form.get("item")
    if item and len(session.setdefault("cart", [])) < MAX_CART:
        session["cart"].append(item)


def empty_cart(session: Session, _form: dict[str, str]) -> None:
    """Empties the cart."""
    session.pop("cart", None)


ACTIONS: dict[str, Callable[[Session, dict[str, str]], None]] = {
    "/login": log_in,
    "/logout": log_out,
    "/cart": add_to_cart,
    "/cart/empty": empty_cart,
}


def shop(node: str) -> App:
    """Returns the whole application of one web node."""

    async def visit(scope: Scope, send: Send) -> None:
        session: Session = scope["session"]
        if is_new_request(scope, session):
            session.increment("visits")
            session["trail"] = [*session.get("trail", []), node][-MAX_TRAIL:]
        await respond(scope, send, HTTPStatus.OK, page.shop(view_of(session, node, states_of(scope, node))))

    async def act(scope: Scope, receive: Receive, send: Send) -> None:
        ACTIONS[scope["path"]](scope["session"], await read_form(receive))
        await respond(scope, send, HTTPStatus.SEE_OTHER, "", ("Location", "/"))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await (visit(scope, send) if scope["path"] == "/" else act(scope, receive, send))

    return named(node, only_known(SessionMiddleware(app, development=True)))


def only_known(inner: SessionMiddleware) -> App:
    """Lets known paths with their methods in, under a name of this machine; other requests never load a session."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        path, method = scope["path"], scope["method"]
        if not is_own_host(header(scope, "Host")):  # of the front or of this web node, whose ports differ
            text = page.notice("Misdirected request", "The demo answers to names of this machine only.")
            await respond(scope, send, HTTPStatus.MISDIRECTED_REQUEST, text)
        elif path == HEALTH:
            health = json.dumps(inner.manager.health()).encode()
            await send_answer(make_answer(HTTPStatus.OK, [("Content-Type", "application/json")], health), send)
        elif path != "/" and path not in ACTIONS:
            await respond(scope, send, HTTPStatus.NOT_FOUND, page.notice("Not found", "There is only one page."))
        elif method not in ({"GET", "HEAD"} if path == "/" else {"POST"}):
            text = page.notice("Method not allowed", "Use the forms of the page.")
            await respond(scope, send, HTTPStatus.METHOD_NOT_ALLOWED, text)
        else:
            await inner(scope, receive, send)

    return app


def named(node: str, inner: App) -> App:
    """Adds the web node's name to every answer."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *to_asgi([(WEB_NODE_HEADER, node)])]
            await send(message)

        await inner(scope, receive, send_named)

    return app


def view_of(session: Session, node: str, states: dict[str, bool]) -> page.View:
    """Returns what the page shows of a session."""
    return page.View(
        node=node,
        pid=os.getpid(),
        states=states,
        visits=session["visits"],
        trail=session["trail"],
        user=session.get("user"),
        cart=session.get("cart", []),
        handle=session.id,
        created=session.created_at,
        expires=session.expires_at,
    )


def states_of(scope: Scope, node: str) -> dict[str, bool]:
    """Returns which web nodes are up, as the front put it into a header of the request."""
    states = header(scope, STATES_HEADER) or f"{node}=up"
    return {name: state == "up" for name, _, state in (entry.partition("=") for entry in states.split(","))}


def is_new_request(scope: Scope, session: Session) -> bool:
    """Returns whether no web node has counted this request yet: the front may ask again when one dies."""
    number = header(scope, NUMBER_HEADER)
    if number and session.get("request") == number:
        return False
    session["request"] = number
    return True


def header(scope: Scope, name: str) -> str:
    """Returns a header of a request; empty if it has none of that name."""
    found: bytes = dict(scope["headers"]).get(name.lower().encode(), b"")
    return found.decode("latin-1")


async def read_form(receive: Receive) -> dict[str, str]:
    """Returns the fields of a form, each trimmed and cut; the front has limited the whole body."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    fields = parse_qs(body.decode(errors="replace"), errors="replace")
    return {name: " ".join(values[0].split())[: page.MAX_TEXT] for name, values in fields.items()}


async def respond(scope: Scope, send: Send, status: HTTPStatus, text: str, *headers: tuple[str, str]) -> None:
    """Answers with a page."""
    await send_answer(page_answer(status, text, [*page.HEADERS, *headers], method=scope["method"]), send)
