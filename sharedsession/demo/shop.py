"""The application of the demo: a tiny shop behind `SessionMiddleware`, as any ASGI server runs it.

It counts a browser's visits, lets it log in and out, and keeps a cart. It knows of no other web node. The front alone
asks it what it counted: from outside no request with that path gets here.
"""

import json
import os
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import parse_qs

from sharedsession.asgi import App, Message, Receive, Scope, Send, SessionMiddleware
from sharedsession.demo import page
from sharedsession.session.mapping import Session

HEALTH = "/farm/health"
MAX_CART = 20
MAX_TRAIL = 12


def log_in(session: Session, form: dict[str, str]) -> None:
    """Whoever logs in gets a new session ID: one planted before is worth nothing."""
    if name := form.get("name"):
        session["user"] = name
        session.regenerate()


def log_out(session: Session, _form: dict[str, str]) -> None:
    """Ends the session on every node."""
    session.destroy()


def add_to_cart(session: Session, form: dict[str, str]) -> None:
    """Changes a list inside the session: that is kept, too."""
    item = form.get("item")
    if item and len(session.setdefault("cart", [])) < MAX_CART:
        session["cart"].append(item)


def empty_cart(session: Session, _form: dict[str, str]) -> None:
    """Forgets the cart."""
    session.pop("cart", None)


ACTIONS: dict[str, Callable[[Session, dict[str, str]], None]] = {
    "/login": log_in,
    "/logout": log_out,
    "/cart": add_to_cart,
    "/cart/empty": empty_cart,
}


def shop(node: str) -> App:
    """The whole application of one web node."""

    async def visit(scope: Scope, send: Send) -> None:
        session: Session = scope["session"]
        if is_new_request(scope, session):
            session.increment("visits")
            session["trail"] = [*session.get("trail", []), node][-MAX_TRAIL:]
        await respond(send, HTTPStatus.OK, page.shop(view_of(session, node, farm_of(scope, node))))

    async def act(scope: Scope, receive: Receive, send: Send) -> None:
        ACTIONS[scope["path"]](scope["session"], await read_form(receive))
        await respond(send, HTTPStatus.SEE_OTHER, "", ("Location", "/"))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await (visit(scope, send) if scope["path"] == "/" else act(scope, receive, send))

    return named(node, only_known(SessionMiddleware(app, development=True)))


def only_known(inner: SessionMiddleware) -> App:
    """Lets known paths with their methods in; all others never come near a session."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        path, method = scope["path"], scope["method"]
        if path == HEALTH:
            await respond(send, HTTPStatus.OK, json.dumps(inner.manager.health()))
        elif path != "/" and path not in ACTIONS:
            await respond(send, HTTPStatus.NOT_FOUND, page.notice("Not found", "There is only one page."))
        elif method not in ({"GET", "HEAD"} if path == "/" else {"POST"}):
            await respond(send, HTTPStatus.METHOD_NOT_ALLOWED, page.notice("Not so", "Use the page's forms."))
        else:
            await inner(scope, receive, send)

    return app


def named(node: str, inner: App) -> App:
    """Puts the node's name on every answer, whoever inside gives it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-web-node", node.encode())]
            await send(message)

        await inner(scope, receive, send_named)

    return app


def view_of(session: Session, node: str, farm: dict[str, bool]) -> page.View:
    """What the page shows of a session."""
    return page.View(
        node=node,
        pid=os.getpid(),
        farm=farm,
        visits=session["visits"],
        trail=session["trail"],
        user=session.get("user"),
        cart=session.get("cart", []),
        handle=session.id,
        created=session.created_at,
        expires=session.expires_at,
    )


def farm_of(scope: Scope, node: str) -> dict[str, bool]:
    """Which nodes are up: the front knows, and says so in a field of its own (``web-1=up,web-2=down``)."""
    said = dict(scope["headers"]).get(b"x-farm", f"{node}=up".encode()).decode("latin-1")
    return {name: state == "up" for name, _, state in (entry.partition("=") for entry in said.split(","))}


def is_new_request(scope: Scope, session: Session) -> bool:
    """Whether this request was not counted yet: the front asks again when a node dies before it answered."""
    number = dict(scope["headers"]).get(b"x-farm-request", b"").decode("latin-1")
    if number and session.get("request") == number:
        return False
    session["request"] = number
    return True


async def read_form(receive: Receive) -> dict[str, str]:
    """The fields of a form, each trimmed and cut; the front has limited the whole."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    fields = parse_qs(body.decode(errors="replace"), errors="replace")
    return {name: " ".join(values[0].split())[: page.MAX_TEXT] for name, values in fields.items()}


async def respond(send: Send, status: HTTPStatus, html: str, *fields: tuple[str, str]) -> None:
    """Answers with a page."""
    body = html.encode()
    own = ("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body)))
    headers = [(name.lower().encode(), value.encode()) for name, value in (*own, *page.HEADERS, *fields)]
    await send({"type": "http.response.start", "status": status.value, "headers": headers})
    await send({"type": "http.response.body", "body": body})
