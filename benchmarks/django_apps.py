"""Django contenders, WSGI and ASGI. Django has one configuration in a process, so a process measures one store.

What differs between the contenders is set by `activate` before each measurement: Django reads it at each request.
"""

# ruff: noqa: PLC0415  (Django may not be installed)

from typing import Any
from urllib.parse import urlsplit

from benchmarks.deeds import PATHS, adeed, deed

Payload = dict[str, Any]
urlpatterns: list[Any] = []
_payload: Payload = {}
_OURS = "sharedsession.frameworks.django.SessionMiddleware"
_THEIRS = "django.contrib.sessions.middleware.SessionMiddleware"


def _configure(url: str, payload: Payload) -> Any:
    import django
    from django.conf import settings
    from django.urls import path

    _payload.clear()
    _payload.update(payload)
    if not settings.configured:
        from benchmarks.wsgi_apps import SECRET

        memcached = url.startswith("memcached")
        location = f"{urlsplit(url).hostname}:{urlsplit(url).port}" if memcached else url.replace("valkey", "redis", 1)
        kinds = ("memcached.PyMemcacheCache", "memcached.PyLibMCCache") if memcached else ("redis.RedisCache",)
        backends = [f"django.core.cache.backends.{kind}" for kind in kinds]
        settings.configure(
            SECRET_KEY=SECRET,
            ROOT_URLCONF=__name__,
            ALLOWED_HOSTS=["*"],
            CACHES={
                alias: {"BACKEND": backend, "LOCATION": location}
                for alias, backend in zip(("default", "pylibmc"), backends, strict=False)
            },
            SESSION_ENGINE="django.contrib.sessions.backends.cache",
            SHAREDSESSION={"BACKEND": url, "TIMEOUT": 5.0},
            MIDDLEWARE=[],
            LOGGING_CONFIG=None,
        )
        django.setup()
        urlpatterns[:] = [path(each[1:], _view) for each in PATHS]
        urlpatterns.extend(path("a" + each[1:], _aview) for each in PATHS)
    return settings


def _view(request: Any) -> Any:
    from django.http import HttpResponse

    path = request.path
    return HttpResponse(deed(path, lambda: _found(request), _payload), content_type="text/plain")


def _found(request: Any) -> Any:
    return request.session if hasattr(request, "session") else dict(_payload, count=0)


async def _aview(request: Any) -> Any:
    from django.http import HttpResponse

    path = "/" + request.path[2:]
    if hasattr(request, "session"):
        text = await adeed(path, request.session, _payload)
    else:
        text = deed(path, lambda: dict(_payload, count=0), _payload)
    return HttpResponse(text, content_type="text/plain")


def _handler(
    url: str, payload: Payload, middleware: list[str], *, slide: bool, asynchronous: bool, alias: str = "default"
) -> Any:
    settings = _configure(url, payload)
    settings.MIDDLEWARE = middleware
    app = _asgi_handler() if asynchronous else _wsgi_handler()

    def activate() -> None:
        settings.SESSION_SAVE_EVERY_REQUEST = slide
        settings.SESSION_CACHE_ALIAS = alias

    app.activate = activate
    return app


def _wsgi_handler() -> Any:
    from django.core.handlers.wsgi import WSGIHandler

    return WSGIHandler()


def _asgi_handler() -> Any:
    from django.core.handlers.asgi import ASGIHandler

    inner = ASGIHandler()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await inner({**scope, "path": "/a" + scope["path"][1:]}, receive, send)

    return app


def bare(url: str, payload: Payload, _slide: bool, *, asynchronous: bool = False) -> Any:
    """Django without sessions."""
    return _handler(url, payload, [], slide=False, asynchronous=asynchronous)


def ours(url: str, payload: Payload, _slide: bool, *, asynchronous: bool = False) -> Any:
    """Django with ours, which renew by themselves."""
    return _handler(url, payload, [_OURS], slide=False, asynchronous=asynchronous)


def theirs(url: str, payload: Payload, slide: bool, *, asynchronous: bool = False, in_c: bool = False) -> Any:
    """Django's own sessions in its cache; sliding is ``SESSION_SAVE_EVERY_REQUEST``."""
    if in_c:
        import pylibmc  # noqa: F401  (else Django would only miss it at the first request)
    alias = "pylibmc" if in_c else "default"
    return _handler(url, payload, [_THEIRS], slide=slide, asynchronous=asynchronous, alias=alias)
