"""A shop in Flask: a counter, a login, a cart, a logout. Run it from this directory.

    SHAREDSESSION_DEVELOPMENT=1 SHAREDSESSION_SECRET_KEY=$(sharedsession genkey) gunicorn --workers 4 shop:app

and visit it with one cookie jar; every process knows the same visitor:

    curl -c jar -b jar http://127.0.0.1:8000/
    curl -c jar -b jar -X POST "http://127.0.0.1:8000/login?user=alice"
    curl -c jar -b jar -X POST "http://127.0.0.1:8000/cart?item=book"
    curl -c jar -b jar -X POST http://127.0.0.1:8000/logout

SHAREDSESSION_BACKEND is the URL of the store (default: a file in your data directory). Without HTTPS in front a
browser needs SHAREDSESSION_DEVELOPMENT=1; leave it out on a server.
"""

import os

from flask import Flask, request, session

from sharedsession.frameworks.flask import SharedSession

app = Flask(__name__)
SharedSession(app)  # every setting comes from the environment here; app.config["SECRET_KEY"] would count as well


@app.get("/")
def home() -> str:
    """Counts the visit. `increment` is exact even when many requests of one visitor run at the same time."""
    visit, cart = session.increment("visits"), ", ".join(session.get("cart", ["nothing"]))
    return f"{session.get('user', 'nobody')}, visit {visit}, cart: {cart}, process {os.getpid()}\n"


@app.post("/login")
def login() -> str:
    """Gives the session a new ID, so that an ID which was planted before is dead."""
    session.regenerate()
    session["user"] = request.args["user"]
    return f"hello {session['user']}\n"


@app.post("/cart")
def put() -> str:
    """Puts an item into the cart; none is lost when two requests do it at the same time."""
    session.append("cart", request.args["item"])
    return f"{len(session['cart'])} in the cart\n"


@app.post("/logout")
def logout() -> str:
    """Ends the session on every web node and clears the cookie."""
    session.destroy()
    return "goodbye\n"
