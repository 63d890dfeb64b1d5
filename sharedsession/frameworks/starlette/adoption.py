"""The data in the signed cookie of Starlette's own middleware become a session of the farm.

The cookie is cleared with the answer that sets ours. Until then it is valid as it always was: a copy can be shown
again, since a signed cookie cannot be revoked.
"""

import json
from base64 import b64decode
from collections.abc import Iterable, Mapping
from typing import Any

from itsdangerous import BadSignature, TimestampSigner

from sharedsession.asgi import App, Message, Receive, Scope, Send
from sharedsession.errors import ConfigurationError
from sharedsession.http import CookiePolicy
from sharedsession.session import Session, state_of
from sharedsession.settings import Settings

_TWO_WEEKS = 14 * 24 * 3600  # Starlette's default


class Adopting:
    """Stands between our middleware and the application.

    Args:
        app: the application.
        settings: of our middleware.
        given: its arguments; Starlette's names among them tell what Starlette's cookie looks like.

    Raises:
        ConfigurationError: there is no secret that Starlette could have signed with.
    """

    def __init__(self, app: App, settings: Settings, given: Mapping[str, Any]) -> None:
        self._app = app
        self._signers = [TimestampSigner(secret) for secret in _texts(given.get("secret_key"))]
        if not self._signers:
            raise ConfigurationError("adopt needs secret_key as a keyword: it is what Starlette signed its cookie with")
        max_age = given.get("max_age")
        self._max_age = _TWO_WEEKS if max_age is None else int(getattr(max_age, "total_seconds", lambda: max_age)())
        path, domain = given.get("path", "/"), given.get("domain")
        self._cookie = CookiePolicy(name=given.get("session_cookie", "session"), path=path, domain=domain, secure=False)
        ours = settings.transport.cookie
        self._has_own_name = ours is None or ours.name != self._cookie.name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection; adopts Starlette's data where no token of ours came."""
        session = scope.get("session")
        if isinstance(session, Session) and not (state_of(session).had_token and self._has_own_name):
            data = self._read(scope)
            if data:
                await session.load()  # which asks no store: there is no token
                session.update(data)
                send = self._clearing(send)
        await self._app(scope, receive, send)

    def _read(self, scope: Scope) -> dict[str, Any]:
        raw = b"; ".join(value for name, value in scope["headers"] if name == b"cookie")
        found = self._cookie.candidates(raw)
        return self._opened(found[0]) if len(found) == 1 else {}

    def _opened(self, value: bytes) -> dict[str, Any]:
        for signer in self._signers:
            try:
                data = json.loads(b64decode(signer.unsign(value.strip(b'"'), max_age=self._max_age)))
            except (BadSignature, ValueError):
                continue
            return data if isinstance(data, dict) else {}
        return {}

    def _clearing(self, send: Send) -> Send:
        line = (b"set-cookie", self._cookie.clear().encode())

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start" and self._has_own_name:
                message = {**message, "headers": [*message.get("headers", ()), line]}
            await send(message)

        return sending


def _texts(secret: Any) -> Iterable[str]:
    for each in secret if isinstance(secret, list | tuple) else [secret]:
        if isinstance(each, str | bytes):
            yield each if isinstance(each, str) else each.decode()
