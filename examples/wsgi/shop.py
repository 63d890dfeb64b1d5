"""A shop in plain WSGI: a counter, a login, a cart, a logout. Run it from this directory.

    SHAREDSESSION_DEVELOPMENT=1 SHAREDSESSION_SECRET_KEY=$(sharedsession genkey) gunicorn --workers 4 shop

and visit it with one cookie jar; every process knows the same visitor:

    curl -c jar -b jar http://127.0.0.1:8000/
    curl -c jar -b jar -X POST "http://127.0.0.1:8000/login?user=alice"
    curl -c jar -b jar -X POST "http://127.0.0.1:8000/cart?item=book"
    curl -c jar -b jar -X POST http://127.0.0.1:8000/logout

SHAREDSESSION_BACKEND is the URL of the store (default: a file in your data directory). Without HTTPS in front a
browser needs SHAREDSESSION_DEVELOPMENT=1; leave it out on a server.
"""

import os
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

from sharedsession import Session
from sharedsession.wsgi import SessionMiddleware


def home(session: Session, _said: str) -> str:
    """Counts the visit. `increment` is exact even when many requests of one visitor run at the same time."""
    visit, cart = session.increment("visits"), ", ".join(session.get("cart", ["nothing"]))
    return f"{session.get('user', 'nobody')}, visit {visit}, cart: {cart}, process {os.getpid()}"


def login(session: Session, user: str) -> str:
    """Gives the session a new ID, so that an ID which was planted before is dead."""
    session.regenerate()
    session["user"] = user
    return f"hello {user}"


def put(session: Session, item: str) -> str:
    """Puts an item into the cart; none is lost when two requests do it at the same time."""
    session.append("cart", item)
    return f"{len(session['cart'])} in the cart"


def logout(session: Session, _said: str) -> str:
    """Ends the session on every web node and clears the cookie."""
    session.destroy()
    return "goodbye"


PAGES = {"GET /": home, "POST /login": login, "POST /cart": put, "POST /logout": logout}


def shop(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The application: finds the page, and gives it the session and the query of the address."""
    page = PAGES.get(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
    if page is None:
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"no such page\n"]
    said = " ".join(value for values in parse_qs(environ.get("QUERY_STRING", "")).values() for value in values)
    text = page(environ["sharedsession.session"], said)
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [f"{text}\n".encode()]


application = SessionMiddleware(shop)  # every setting comes from the environment here
