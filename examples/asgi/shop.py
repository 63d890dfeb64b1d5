"""A shop in plain ASGI: a counter, a login, a cart, a logout. Run it from this directory.

    SHAREDSESSION_DEVELOPMENT=1 SHAREDSESSION_SECRET_KEY=$(sharedsession genkey) uvicorn --workers 4 shop:app

and visit it with one cookie jar; every process knows the same visitor:

    curl -c jar -b jar http://127.0.0.1:8000/
    curl -c jar -b jar -X POST "http://127.0.0.1:8000/login?user=alice"
    curl -c jar -b jar -X POST "http://127.0.0.1:8000/cart?item=book"
    curl -c jar -b jar -X POST http://127.0.0.1:8000/logout

SHAREDSESSION_BACKEND is the URL of the store (default: a file in your data directory). Without HTTPS in front a
browser needs SHAREDSESSION_DEVELOPMENT=1; leave it out on a server.
"""

import os
from typing import Any
from urllib.parse import parse_qs

from sharedsession import Session
from sharedsession.asgi import SessionMiddleware


def home(session: Session, _said: str) -> str:
    """Counts the visit. The session is loaded already, so nothing here waits."""
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


async def shop(scope: Any, receive: Any, send: Any) -> None:
    """The application: finds the page, and gives it the session and the query of the address."""
    if scope["type"] != "http":
        return  # a server goes on without lifespan events
    page = PAGES.get(f"{scope['method']} {scope['path']}")
    said = " ".join(value for values in parse_qs(scope["query_string"].decode()).values() for value in values)
    text = page(scope["session"], said) if page else "no such page"
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": 200 if page else 404, "headers": headers})
    await send({"type": "http.response.body", "body": f"{text}\n".encode()})


app = SessionMiddleware(shop)  # every setting comes from the environment here
