"""A shop in Starlette: a counter, a login, a cart, a logout, and a websocket. Run it from this directory.

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

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from sharedsession.frameworks.starlette import SessionMiddleware


async def home(request: Request) -> PlainTextResponse:
    """Counts the visit. The session is loaded already, so nothing here waits."""
    session = request.session
    visit, cart = session.increment("visits"), ", ".join(session.get("cart", ["nothing"]))
    user = session.get("user", "nobody")
    return PlainTextResponse(f"{user}, visit {visit}, cart: {cart}, process {os.getpid()}\n")


async def login(request: Request) -> PlainTextResponse:
    """Gives the session a new ID, so that an ID which was planted before is dead."""
    request.session.regenerate()
    request.session["user"] = user = request.query_params["user"]
    return PlainTextResponse(f"hello {user}\n")


async def put(request: Request) -> PlainTextResponse:
    """Puts an item into the cart; none is lost when two requests do it at the same time."""
    request.session.append("cart", request.query_params["item"])
    return PlainTextResponse(f"{len(request.session['cart'])} in the cart\n")


async def logout(request: Request) -> PlainTextResponse:
    """Ends the session on every web node and clears the cookie."""
    request.session.destroy()
    return PlainTextResponse("goodbye\n")


async def watch(websocket: WebSocket) -> None:
    """Answers each message with the present cart; ends when the visitor logs out, on any web node."""
    await websocket.accept()
    async for _ in websocket.iter_text():
        await websocket.session.load()  # read it again
        if "user" not in websocket.session:
            break
        await websocket.send_json(websocket.session.get("cart", []))
    await websocket.close(reason="logged out")


app = Starlette(
    routes=[
        Route("/", home),
        Route("/login", login, methods=["POST"]),
        Route("/cart", put, methods=["POST"]),
        Route("/logout", logout, methods=["POST"]),
        WebSocketRoute("/watch", watch),
    ],
    middleware=[Middleware(SessionMiddleware)],  # every setting comes from the environment here
)
