"""The table of contenders. A new peer is a function in `wsgi_apps`, `asgi_apps` or `django_apps`, and one row here."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from benchmarks import asgi_apps, django_apps, wsgi_apps

Build = Callable[..., Any]
REDISES = ("redis", "valkey")
NETWORK = ("memcached", *REDISES)
SHARED = ("memcached", "redis")  # by those that are not measured a third time on Valkey
EVERYWHERE = (*NETWORK, "sqlite")
BARE, FLOOR, STRAIGHT = "no session", "floor", "straight-line floor"
OURS, LAZY = "sharedsession", "sharedsession, autoload=False"
OWNED = "sharedsession, with a principal"
HOUSE = {BARE, FLOOR, STRAIGHT, OURS, LAZY, OWNED}


class Contender(NamedTuple):
    """One row.

    Attributes:
        frame: the framework; what a session costs is counted from its bare application.
        name: of the session library.
        stores: that it works on.
        build: ``(url, payload, slide) -> application``.
        slowness: so many times fewer visitors are enough.
        rival: which of ours works like it, so that it is compared with that one.
    """

    frame: str
    name: str
    stores: tuple[str, ...]
    build: Build
    slowness: int = 1
    rival: str = OURS

    @property
    def told_to_slide(self) -> tuple[bool, ...]:
        """Whether there is a second application that slides, for a peer with a switch; ours renew when it is due."""
        return () if self.name in HOUSE else (True,)

    @property
    def label(self) -> str:
        """As it stands in tables."""
        return f"{self.frame}: {self.name}"


WSGI = [
    Contender("WSGI", BARE, EVERYWHERE, wsgi_apps.bare),
    Contender("WSGI", FLOOR, NETWORK, wsgi_apps.floor),
    Contender("WSGI", STRAIGHT, NETWORK, wsgi_apps.straight),
    Contender("WSGI", OURS, EVERYWHERE, wsgi_apps.ours),
    Contender("WSGI", OWNED, EVERYWHERE, wsgi_apps.ours_with_principal),
    Contender("WSGI", "Beaker", NETWORK, wsgi_apps.beaker),
    Contender("Flask", BARE, EVERYWHERE, wsgi_apps.flask_bare),
    Contender("Flask", OURS, EVERYWHERE, wsgi_apps.flask_ours),
    Contender("Flask", "Flask-Session", NETWORK, wsgi_apps.flask_session),
    Contender("Flask", "Flask-Session, pylibmc", ("memcached",), partial(wsgi_apps.flask_session, in_c=True)),
    Contender("Django", BARE, EVERYWHERE, django_apps.bare),
    Contender("Django", OURS, EVERYWHERE, django_apps.ours),
    Contender("Django", "Django cache", NETWORK, django_apps.theirs),
    Contender("Django", "Django cache, pylibmc", ("memcached",), partial(django_apps.theirs, in_c=True)),
    Contender("Pyramid", BARE, REDISES, wsgi_apps.pyramid_bare),
    Contender("Pyramid", "pyramid_session_redis", REDISES, wsgi_apps.pyramid_redis),
]
ASGI = [
    Contender("ASGI", BARE, EVERYWHERE, asgi_apps.bare),
    Contender("ASGI", FLOOR, NETWORK, asgi_apps.floor),
    Contender("ASGI", STRAIGHT, NETWORK, asgi_apps.straight),
    Contender("ASGI", OURS, EVERYWHERE, asgi_apps.ours),
    Contender("ASGI", LAZY, EVERYWHERE, asgi_apps.ours_lazy),
    Contender("ASGI", OWNED, EVERYWHERE, asgi_apps.ours_with_principal),
    Contender("Starlette", BARE, SHARED, asgi_apps.starlette_bare),
    Contender("Starlette", OURS, SHARED, asgi_apps.starlette_ours),
    Contender("Starlette", LAZY, SHARED, asgi_apps.starlette_lazy),
    Contender("Starlette", "starsessions", ("redis",), asgi_apps.starsessions, rival=LAZY),
    Contender("Starlette", "starsessions, autoload", ("redis",), partial(asgi_apps.starsessions, autoload=True)),
    Contender("FastAPI", BARE, ("valkey",), asgi_apps.fastapi_bare),
    Contender("FastAPI", OURS, ("valkey",), asgi_apps.fastapi_ours),
    Contender("FastAPI", "fastapi-redis-sdk", ("valkey",), asgi_apps.fastapi_redis_sdk),
    Contender("Litestar", BARE, ("redis",), asgi_apps.litestar_bare),
    Contender("Litestar", "Litestar sessions", ("redis",), asgi_apps.litestar),
    Contender("Django", BARE, SHARED, partial(django_apps.bare, asynchronous=True), 4),
    Contender("Django", OURS, SHARED, partial(django_apps.ours, asynchronous=True), 4),
    Contender("Django", "Django cache", SHARED, partial(django_apps.theirs, asynchronous=True), 4),
]
TABLE = {"wsgi": WSGI, "asgi": ASGI}


def chosen(part: str, store: str, names: tuple[str, ...] = ()) -> list[Contender]:
    """The rows of a part that work on a store, and of these, if names are given, those named."""
    rows = [row for row in TABLE[part] if store in row.stores]
    return [row for row in rows if not names or any(name.lower() in row.label.lower() for name in names)]
