"""SessionMiddleware for Starlette and FastAPI: that of `sharedsession.asgi`, also with Starlette's argument names."""

from typing import Any, Unpack

from starlette.applications import Starlette
from starlette.datastructures import Secret

from sharedsession import asgi
from sharedsession.errors import NOT_NOW
from sharedsession.frameworks.starlette.adoption import Adopting
from sharedsession.frameworks.starlette.arguments import StarletteKeywords, revealed, settings_from
from sharedsession.frameworks.starlette.outage import SessionOutOfReach, store_unavailable
from sharedsession.frameworks.starlette.session import StarletteSession
from sharedsession.keys import SecretKey
from sharedsession.manager import SessionManager, engines_of, manager_for
from sharedsession.session import Session, state_of


class SessionMiddleware(asgi.SessionMiddleware):
    """Gives a Starlette or FastAPI application its sessions.

    Args:
        app: the application.
        *key: the `secret_key` may be given by position, as with Starlette's.
        manager: a `SessionManager` that several middlewares share; then no setting may stand beside it.
        **settings: see the table of settings; ``secret_key`` is required. Or by Starlette's names: ``max_age`` is the
            idle timeout, of a cookie that outlives the browser unless it is ``None``; ``session_cookie``, ``path``,
            ``same_site``, ``https_only``, ``domain``, ``partitioned``.

    Raises:
        ConfigurationError: a setting is wrong, or two names of one setting contradict each other.
    """

    _kind = StarletteSession

    def __init__(
        self,
        app: asgi.App,
        *key: SecretKey | Secret,
        manager: SessionManager | None = None,
        **settings: Unpack[StarletteKeywords],
    ) -> None:
        given = {**settings, "secret_key": key[0]} if key else {**settings}
        self._serve_with(app, manager_for(manager, given, settings_from))
        used = engines_of(self.manager).settings
        if used.adopt:
            self.app = Adopting(app, used, given | {"secret_key": revealed(given.get("secret_key"))})

    async def _load(self, session: Session, scope: asgi.Scope) -> None:
        """Same as that of any ASGI application; an outage waits for the first look, if there is one."""
        try:
            await super()._load(session, scope)
        except NOT_NOW:
            if scope["type"] != "http":
                raise
            scope["session"] = SessionOutOfReach(state_of(session), store_unavailable(self._engine.settings))


def manager_in(found: object) -> SessionManager | None:
    """Returns the manager of a Starlette or FastAPI application to which our middleware was added; else ``None``.

    The application makes its middlewares at its first request. Ours is made here alone, and no other.
    """
    added = found.user_middleware if isinstance(found, Starlette) else []
    for each in added:
        kind: Any = each.cls
        if isinstance(kind, type) and issubclass(kind, asgi.SessionMiddleware):
            arguments: Any = each.kwargs  # checked where the middleware was added
            return kind(_nothing, *each.args, **arguments).manager
    return None


async def _nothing(_scope: asgi.Scope, _receive: asgi.Receive, _send: asgi.Send) -> None:
    """An application without pages."""
