"""For Channels: a consumer's session, opened by the signed cookie as our middleware does it.

Channels' own session middleware takes the cookie for a ``session_key``. Where that may be an ID (see `session_key`),
who has read an ID would need no signature. Channels leaves a session alone that is in the scope already.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from sharedsession.frameworks.django.configuration import configuration
from sharedsession.frameworks.django.store import SessionStore
from sharedsession.session import Session

Scope = MutableMapping[str, Any]
Application = Callable[[Scope, Any, Any], Awaitable[Any]]


class SignedSessions:
    """Goes around Channels' stack: ``SignedSessions(AuthMiddlewareStack(URLRouter([...])))``.

    Args:
        inner: the application with Channels' middleware.
    """

    def __init__(self, inner: Application) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> Any:
        """Serves one connection. The session is loaded when it is first looked at, and saved when the consumer says."""
        if "headers" not in scope:
            return await self._inner(scope, receive, send)
        here = configuration()
        transport, headers = here.settings.transport, scope["headers"]
        cookies = b"; ".join(value for name, value in headers if name == b"cookie")
        wanted = (transport.header_name or "").lower().encode()
        token = next((value for name, value in headers if name == wanted), b"")
        core = here.on_loop.open(Session, transport.tokens(cookies, token))
        session = SessionStore.of_request(core, is_committed=False)
        return await self._inner({**scope, "session": session}, receive, send)
