"""The application of the demo: a tiny shop behind `SessionMiddleware`, as any ASGI server runs it.

It counts a browser's visits, has a login and a logout, and keeps a cart. It knows no other web node. Only the front
asks for its health: the front relays no request with that path.
"""

import json
import os
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from urllib.parse import parse_qs

from sharedsession.asgi import App, Message, Receive, Scope, Send, SessionMiddleware
from sharedsession.demo import page, shop_page
from sharedsession.demo.actions import ACTIONS, Act, add_to_cart, log_in
from sharedsession.demo.advice import Farm
from sharedsession.demo.loopback import is_own_host
from sharedsession.demo.names import HEALTH, NUMBER_HEADER, STATES_HEADER, STORE_HEADER, UNSHARED, WEB_NODE_HEADER
from sharedsession.demo.unshared import Side, beside, comparison, shared_session
from sharedsession.errors import BackendUnavailable
from sharedsession.http import make_answer, page_answer, send_answer, to_asgi
from sharedsession.manager import MANAGER_KEY, SessionManager
from sharedsession.session import Session

MAX_TRAIL = 12
"""Web nodes on the page: those of the latest visits."""

FORMS = {**dict.fromkeys(ACTIONS, "/"), f"{UNSHARED}/login": UNSHARED, f"{UNSHARED}/cart": UNSHARED}
"""The paths to which forms are sent, and the page that follows."""

_PAGES = ("/", UNSHARED)
_ON_BOTH = {f"{UNSHARED}/login": log_in, f"{UNSHARED}/cart": add_to_cart}


def shop(node: str) -> App:
    """Returns the whole application of one web node."""

    async def visit(scope: Scope, send: Send) -> None:
        session: Session = scope["session"]
        count(scope, session, node)
        logins = await logins_of(scope[MANAGER_KEY], session)
        await respond(scope, send, HTTPStatus.OK, shop_page.shop(view_of(session, node, farm_of(scope, node), logins)))

    async def act(scope: Scope, receive: Receive, send: Send) -> None:
        form = await read_form(receive)
        await ACTIONS[scope["path"]](Act(scope["session"], form, node, scope[MANAGER_KEY]))
        await respond(scope, send, HTTPStatus.SEE_OTHER, "", ("Location", "/"))

    both = beside(side_by_side(node))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].startswith(UNSHARED):
            await both(scope, receive, send)
        else:
            await (visit(scope, send) if scope["path"] == "/" else act(scope, receive, send))

    return named(node, only_known(SessionMiddleware(app, development=True)))


def side_by_side(node: str) -> App:
    """Returns the application that does everything to the shared session, and to one of this web node alone."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        shared, alone = shared_session(scope), scope["session"]
        if do := _ON_BOTH.get(scope["path"]):
            form = await read_form(receive)
            for session in (shared, alone):
                await do(Act(session, form, node, scope[MANAGER_KEY]))
            await respond(scope, send, HTTPStatus.SEE_OTHER, "", ("Location", UNSHARED))
            return
        for session in (shared, alone):
            count(scope, session, node)
        up = sum(farm_of(scope, node).nodes.values())
        text = comparison(node, Side.of(shared), Side.of(alone), up)
        await respond(scope, send, HTTPStatus.OK, text)

    return app


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
        elif path not in _PAGES and path not in FORMS:
            await respond(scope, send, HTTPStatus.NOT_FOUND, page.notice("Not found", "There is no such page."))
        elif method not in ({"GET", "HEAD"} if path in _PAGES else {"POST"}):
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


def count(scope: Scope, session: Session, node: str) -> None:
    """Counts a visit, unless another web node has counted this request already."""
    if is_new_request(scope, session):
        session.increment("visits")
        session["trail"] = [*session.get("trail", []), node][-MAX_TRAIL:]


async def logins_of(manager: SessionManager, session: Session) -> dict[str, datetime] | None:
    """Returns when each session of the visitor began; ``None`` if the store does not tell."""
    if not session.principal:
        return {}
    try:
        return {info.id: info.created_at for info in await manager.alist(session.principal)}
    except BackendUnavailable:
        return None


def view_of(session: Session, node: str, farm: Farm, logins: Mapping[str, datetime] | None) -> shop_page.View:
    """Returns what the page shows of a session."""
    return shop_page.View(
        node=node,
        pid=os.getpid(),
        farm=farm,
        visits=session["visits"],
        trail=session["trail"],
        user=session.get("user"),
        logins=logins,
        cart=session.get("cart", []),
        note=session.get("note"),
        voucher=session.get("voucher"),
        handle=session.id,
        created=session.created_at,
        expires=session.expires_at,
    )


def farm_of(scope: Scope, node: str) -> Farm:
    """Returns which processes are up, as the front put it into headers of the request."""
    backend, _, servers = header(scope, STORE_HEADER).partition(" ")
    return Farm(states_in(header(scope, STATES_HEADER) or f"{node}=up"), states_in(servers), backend)


def states_in(text: str) -> dict[str, bool]:
    """Reads ``a=up,b=down``."""
    entries = (entry.partition("=") for entry in text.split(",") if entry)
    return {name: state == "up" for name, _, state in entries}


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
