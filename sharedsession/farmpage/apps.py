"""The two applications around the farm page, one for WSGI and one for ASGI. What they answer is in `core`."""

import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from sharedsession.asgi import Receive, Scope, Send
from sharedsession.concurrency import run
from sharedsession.errors import ConfigurationError
from sharedsession.farmpage.core import FarmPage, check, refused
from sharedsession.farmpage.exchange import Request, from_environ, from_scope
from sharedsession.http import Answer, send_answer
from sharedsession.manager import SessionManager, engines_of

AllowedByEnviron = Callable[[dict[str, Any]], bool]
AllowedByScope = Callable[[Scope], bool | Awaitable[bool]]


class WsgiFarmPage:
    """The farm page as a WSGI application; made by `wsgi`."""

    def __init__(self, page: FarmPage, allowed: AllowedByEnviron | None) -> None:
        self._page = page
        self._allowed = allowed

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serves one request."""
        request = from_environ(environ)
        is_allowed = self._allowed is None or self._allowed(environ) is True
        engine = engines_of(self._page.manager).blocking
        answer = run(self._page.respond(request, engine)) if is_allowed else refused(request)
        start_response(answer.status_line, answer.headers)
        return [answer.body]


class AsgiFarmPage:
    """The farm page as an ASGI application; made by `asgi`."""

    def __init__(self, page: FarmPage, allowed: AllowedByScope | None) -> None:
        self._page = page
        self._allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request; does nothing with what is not HTTP."""
        if scope["type"] != "http":
            return
        request = await from_scope(scope, receive)
        await send_answer(await self._answer(request) if await self._is_allowed(scope) else refused(request), send)

    async def _answer(self, request: Request) -> Answer:
        engine = engines_of(self._page.manager).on_loop
        return await engine.driver.run(lambda: self._page.respond(request, engine))

    async def _is_allowed(self, scope: Scope) -> bool:
        allowed = True if self._allowed is None else self._allowed(scope)
        return (await allowed if inspect.isawaitable(allowed) else allowed) is True


def wsgi(
    manager: SessionManager, *, secret: str | None = None, allowed: AllowedByEnviron | None = None
) -> WsgiFarmPage:
    """Makes the farm page for a WSGI server; mount it at a path of its own.

    Args:
        manager: of the application.
        secret: the password that the page asks for, of at least 32 characters. Not the farm's own secret.
        allowed: returns whether a request may see the page, given its ``environ``; only ``True`` allows it.

    Raises:
        ConfigurationError: not exactly one of ``secret`` and ``allowed`` is given, or the secret is easy to guess.
    """
    check(secret, allowed)
    if inspect.iscoroutinefunction(allowed):
        raise ConfigurationError("farmpage.wsgi cannot await its allowed=: give a plain function")
    return WsgiFarmPage(FarmPage(manager, secret), allowed)


def asgi(manager: SessionManager, *, secret: str | None = None, allowed: AllowedByScope | None = None) -> AsgiFarmPage:
    """Same as `wsgi`, for an ASGI server; ``allowed`` is given the ``scope``, and may be an ``async def``."""
    check(secret, allowed)
    return AsgiFarmPage(FarmPage(manager, secret), allowed)
