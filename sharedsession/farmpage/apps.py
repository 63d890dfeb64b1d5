"""The two applications around the farm page: the one for WSGI, the one for ASGI. What they answer is in `core`."""

import inspect
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from typing import Any

from sharedsession.asgi import Receive, Scope, Send
from sharedsession.errors import ConfigurationError
from sharedsession.farmpage.core import FarmPage, check, refused
from sharedsession.farmpage.exchange import of_environ, of_scope
from sharedsession.manager import SessionManager

AllowedByEnviron = Callable[[dict[str, Any]], bool]
AllowedByScope = Callable[[Scope], bool | Awaitable[bool]]


class WsgiFarmPage:
    """The farm page as a WSGI application; made by `wsgi`."""

    def __init__(self, page: FarmPage, allowed: AllowedByEnviron | None) -> None:
        self._page = page
        self._allowed = allowed

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serves one request."""
        request = of_environ(environ)
        may_look = self._allowed is None or self._allowed(environ) is True
        answer = self._page.admit(request) if may_look else refused()
        if answer is None:
            began = self._page.pulse.begin()
            if began is not None:
                self._page.pulse.end(began, answered=self._page.manager.ready())
            answer = self._page.show(request)
        start_response(_line(answer.status), answer.sized_fields)
        return [answer.to(request)]


class AsgiFarmPage:
    """The farm page as an ASGI application; made by `asgi`."""

    def __init__(self, page: FarmPage, allowed: AllowedByScope | None) -> None:
        self._page = page
        self._allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request; what is not HTTP is none of its business."""
        if scope["type"] != "http":
            return
        request = await of_scope(scope, receive)
        answer = self._page.admit(request) if await self._may_look(scope) else refused()
        if answer is None:
            began = self._page.pulse.begin()
            if began is not None:
                self._page.pulse.end(began, answered=await self._page.manager.aready())
            answer = self._page.show(request)
        headers = [(name.lower().encode(), value.encode()) for name, value in answer.sized_fields]
        await send({"type": "http.response.start", "status": answer.status.value, "headers": headers})
        await send({"type": "http.response.body", "body": answer.to(request)})

    async def _may_look(self, scope: Scope) -> bool:
        said = True if self._allowed is None else self._allowed(scope)
        return (await said if inspect.isawaitable(said) else said) is True


def wsgi(
    manager: SessionManager, *, secret: str | None = None, allowed: AllowedByEnviron | None = None
) -> WsgiFarmPage:
    """Makes the farm page for a WSGI server; mount it at a path of its own.

    Args:
        manager: of the application; or one of its own, from the same settings.
        secret: the password that the page asks for, of at least 32 characters. Not the farm's own secret.
        allowed: says whether a request may see the page, given its ``environ``; nothing but ``True`` is a yes.

    Raises:
        ConfigurationError: not exactly one of ``secret`` and ``allowed`` is given, the secret is easy to guess,
            or the manager is of the other colour.
    """
    check(secret, allowed)
    if not manager.loads_on_demand:
        raise ConfigurationError("farmpage.wsgi needs the manager of a WSGI application: use farmpage.asgi")
    if inspect.iscoroutinefunction(allowed):
        raise ConfigurationError("farmpage.wsgi cannot await its allowed=: give a plain function")
    return WsgiFarmPage(FarmPage(manager, secret), allowed)


def asgi(manager: SessionManager, *, secret: str | None = None, allowed: AllowedByScope | None = None) -> AsgiFarmPage:
    """Same as `wsgi`, for an ASGI server; ``allowed`` is given the ``scope``, and may be an ``async def``."""
    check(secret, allowed)
    if manager.loads_on_demand:
        raise ConfigurationError("farmpage.asgi needs the manager of an ASGI application: use farmpage.wsgi")
    return AsgiFarmPage(FarmPage(manager, secret), allowed)


def _line(status: HTTPStatus) -> str:
    return f"{status.value} {status.phrase}"
