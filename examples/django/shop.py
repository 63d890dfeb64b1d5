"""A shop in Django: a counter, a login, a cart, a logout. Run it from this directory.

    SHAREDSESSION_DEVELOPMENT=1 SHAREDSESSION_SECRET_KEY=$(sharedsession genkey) gunicorn --workers 4 shop:application
    SHAREDSESSION_DEVELOPMENT=1 SHAREDSESSION_SECRET_KEY=$(sharedsession genkey) uvicorn --workers 4 shop:app

(one of them), and visit it with one cookie jar; every process knows the same visitor:

    curl -c jar -b jar http://127.0.0.1:8000/
    curl -c jar -b jar -X POST "http://127.0.0.1:8000/login?user=alice"
    curl -c jar -b jar -X POST "http://127.0.0.1:8000/cart?item=book"
    curl -c jar -b jar -X POST http://127.0.0.1:8000/logout

SHAREDSESSION_BACKEND is the URL of the store (default: a file in your data directory). Without HTTPS in front a
browser needs SHAREDSESSION_DEVELOPMENT=1; leave it out on a server.
"""

import os
import secrets

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    MIDDLEWARE=["sharedsession.frameworks.django.SessionMiddleware"],  # no CSRF check here: curl has no form
    ROOT_URLCONF=__name__,
    SECRET_KEY=os.environ.get("SHAREDSESSION_SECRET_KEY") or secrets.token_urlsafe(48),
    SESSION_ENGINE="sharedsession.frameworks.django",
    SHAREDSESSION={},  # {"BACKEND": "redis://…"}; here it comes from the environment
)
django.setup()


def home(request: HttpRequest) -> HttpResponse:
    """Counts the visit. `increment` is exact even when many requests of one visitor run at the same time."""
    session = request.session
    visit, cart = session.increment("visits"), ", ".join(session.get("cart", ["nothing"]))
    return HttpResponse(f"{session.get('user', 'nobody')}, visit {visit}, cart: {cart}, process {os.getpid()}\n")


def login(request: HttpRequest) -> HttpResponse:
    """Gives the session a new key, so that a key which was planted before is dead."""
    request.session.cycle_key()  # django.contrib.auth.login does it, too
    request.session["user"] = request.GET["user"]
    return HttpResponse(f"hello {request.session['user']}\n")


async def put(request: HttpRequest) -> HttpResponse:
    """Puts something into the cart; an asynchronous view awaits what may wait for the store."""
    await request.session.aappend("cart", request.GET["item"])
    return HttpResponse(f"{len(request.session['cart'])} in the cart\n")


def logout(request: HttpRequest) -> HttpResponse:
    """Ends the session on every web node and clears the cookie."""
    request.session.flush()
    return HttpResponse("goodbye\n")


urlpatterns = [path("", home), path("login", login), path("cart", put), path("logout", logout)]
application = get_wsgi_application()
app = get_asgi_application()
