"""A shop in FastAPI: a counter, a login, a cart, a logout, and pages that cost no session. Run it from this directory.

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
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import PlainTextResponse

from sharedsession.frameworks.starlette import CurrentSession, SessionMiddleware

app = FastAPI(default_response_class=PlainTextResponse)
app.add_middleware(SessionMiddleware, autoload=False)  # the other settings come from the environment here


def signed_in(session: CurrentSession) -> str:
    """A dependency of the application's own; the session is loaded once, however many ask for it."""
    if "user" not in session:
        raise HTTPException(401, "please log in")
    return str(session["user"])


User = Annotated[str, Depends(signed_in)]


@app.get("/")
def home(session: CurrentSession) -> str:
    """Counts the visit; `def` and `async def` do the same."""
    visit, cart = session.increment("visits"), ", ".join(session.get("cart", ["nothing"]))
    return f"{session.get('user', 'nobody')}, visit {visit}, cart: {cart}, process {os.getpid()}\n"


@app.post("/login")
async def login(session: CurrentSession, user: str) -> str:
    """Gives the session a new ID, so that an ID which was planted before is dead."""
    session.regenerate()
    session["user"] = user
    return f"hello {user}\n"


@app.post("/cart")
async def put(session: CurrentSession, user: User, item: str) -> str:
    """Puts an item into the cart; none is lost when two requests do it at the same time."""
    session.append("cart", item)
    return f"{len(session['cart'])} in the cart\n"


@app.post("/logout")
async def logout(session: CurrentSession) -> str:
    """Ends the session on every web node and clears the cookie."""
    session.destroy()
    return "goodbye\n"


@app.get("/alive")
async def alive() -> str:
    """Asks for no session, so the store is not asked."""
    return "yes\n"
