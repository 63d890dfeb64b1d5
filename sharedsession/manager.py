"""SessionManager: the face for people. It lists and ends sessions, and tells how the farm is, in both colours.

Made once, it serves any number of middlewares of both colours, the farm page, metrics and readiness.
"""

import builtins
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar, Unpack

from sharedsession.concurrency import run
from sharedsession.engine import Engine, Engines, LoginTicket, SessionInfo
from sharedsession.environment import REAL, Environment
from sharedsession.errors import ConfigurationError
from sharedsession.farm import drift
from sharedsession.settings import Keywords, Settings

T = TypeVar("T")

MANAGER_KEY = "sharedsession.manager"
"""Where a request carries its manager: in an ASGI scope, in a WSGI environ, in Django's ``request.META``."""


class SessionManager:
    """Manages the sessions of one farm in one store.

    Args:
        settings: checked settings.
    """

    __slots__ = ("__weakref__", "_engines")

    def __init__(self, settings: Settings) -> None:
        self._engines = Engines(settings)

    @classmethod
    def from_settings(
        cls, *, blocking: bool | None = None, environment: Environment = REAL, **settings: Unpack[Keywords]
    ) -> "SessionManager":
        """Makes a manager outside of any middleware.

        Args:
            blocking: not needed any more and without effect: one manager serves both colours.
            environment: where time and chance come from.
            **settings: see the table of settings; ``secret_key`` is required.

        Raises:
            ConfigurationError: a setting is wrong; the message names it and the fix.
        """
        del blocking
        return cls(Settings.load(settings, environment=environment))

    # -- the sessions of a principal

    def list(self, principal: str) -> builtins.list[SessionInfo]:
        """Returns the sessions of a principal that are alive, oldest first.

        Args:
            principal: as it was given to `Session.principal`.

        Raises:
            BackendUnavailable: the store cannot answer for all of them.
        """
        return self._run(lambda engine: engine.index.listed(principal))

    async def alist(self, principal: str) -> builtins.list[SessionInfo]:
        """Same as `list`, on an event loop."""
        return await self._arun(lambda engine: engine.index.listed(principal))

    def revoke(self, session_id: str) -> bool:
        """Ends one session everywhere, given its public handle.

        Args:
            session_id: the handle: `Session.id` or `SessionInfo.id`.

        Returns:
            Whether there was such a session.

        Raises:
            LogoutNotConfirmed: the store did not confirm it: the session may still be alive.
            BackendUnavailable: the store cannot answer.
        """
        return self._run(lambda engine: engine.index.revoke(session_id, engine.settings.timeouts.idle))

    async def arevoke(self, session_id: str) -> bool:
        """Same as `revoke`, on an event loop."""
        return await self._arun(lambda engine: engine.index.revoke(session_id, engine.settings.timeouts.idle))

    def revoke_all(self, principal: str, except_: str | None = None) -> int:
        """Ends all sessions of a principal everywhere: "log out everywhere".

        Args:
            principal: as it was given to `Session.principal`.
            except_: the handle of a session that goes on, as ``session.id``.

        Returns:
            How many of them were listed and alive. Others, that no list has, have ended as well.

        Raises:
            LogoutNotConfirmed: the store did not confirm it: sessions may still be alive.
        """
        return self._run(lambda engine: engine.index.revoke_all(principal, except_))

    async def arevoke_all(self, principal: str, except_: str | None = None) -> int:
        """Same as `revoke_all`, on an event loop."""
        return await self._arun(lambda engine: engine.index.revoke_all(principal, except_))

    def begin_login(self, principal: str) -> LoginTicket:
        """Returns a ticket, to be taken before the password is checked.

        ``session.principal = ticket`` makes the login; it is refused with `SessionEnded` at the commit if all sessions
        of the principal were ended in between: a password that was changed meanwhile lets nobody in.

        Args:
            principal: who is about to log in.

        Raises:
            BackendUnavailable: the store cannot answer.
        """
        return self._run(lambda engine: engine.stamps.ticket(principal))

    async def abegin_login(self, principal: str) -> LoginTicket:
        """Same as `begin_login`, on an event loop."""
        return await self._arun(lambda engine: engine.stamps.ticket(principal))

    # -- how the farm is

    def health(self) -> dict[str, Any]:
        """Returns JSON-able facts without I/O: the backend with its nodes and breakers, counters, fingerprint, farm.

        No secret is among them.
        """
        engines = self._engines
        facts = {
            "backend": engines.settings.backend.health(),
            "counters": dict(engines.observer.counters),
            "fingerprint": self.fingerprint(),
        }
        farm = engines.this_node.facts(may_refuse=engines.settings.farm_check == "refuse")
        return facts if farm is None else {**facts, "farm": farm}

    async def ahealth(self) -> dict[str, Any]:
        """Same as `health`."""
        return self.health()

    def fingerprint(self) -> dict[str, str]:
        """Returns what all web nodes of the farm must agree on, as short digests to be compared part by part."""
        settings = self._engines.settings
        secrets = " ".join(settings.machine_key().fingerprints())
        store = drift.of_store(settings.backend.health())
        return drift.digests({"secret_key": secrets, **store, **settings.agreed()})

    async def afingerprint(self) -> dict[str, str]:
        """Same as `fingerprint`."""
        return self.fingerprint()

    def __repr__(self) -> str:
        settings = self._engines.settings
        return f"<SessionManager of {settings.app_name!r} over {settings.backend.health().get('kind', '')}>"

    # -- inside

    def _run(self, step: Callable[[Engine], Coroutine[Any, Any, T]]) -> T:
        return run(step(self._engines.blocking))

    async def _arun(self, step: Callable[[Engine], Coroutine[Any, Any, T]]) -> T:
        engine = self._engines.on_loop
        return await engine.driver.run(lambda: step(engine))


def engines_of(manager: SessionManager) -> Engines:
    """Returns the engines behind a manager, for the library's own front doors."""
    return manager._engines


def log_if_nested(inner: SessionManager, outer: object) -> None:
    """Logs, the first time only, that two middlewares of ours serve one request with the same cookie or header.

    Args:
        inner: the manager of the middleware further in.
        outer: what the request carried as its manager before.
    """
    if not isinstance(outer, SessionManager):
        return
    ours, theirs = engines_of(inner), engines_of(outer)
    if ours.settings.transport.clashes_with(theirs.settings.transport):
        ours.observer.once(
            "nested_middlewares",
            "session middleware inside of another one with the same cookie: each of them opens the session and may set "
            f"the cookie; take one away, or give the inner one its own {ours.settings.names('cookie_name')}",
        )


def manager_for(
    manager: SessionManager | None, settings: Mapping[str, Any], load: Callable[[Mapping[str, Any]], Settings]
) -> SessionManager:
    """Returns the manager that a middleware was given as ``manager=``, or makes one from its settings.

    Args:
        manager: as given, if it was.
        settings: the other keywords of the middleware.
        load: checks them.

    Raises:
        ConfigurationError: ``manager`` is no manager, or a setting stands beside it.
    """
    if manager is None:
        return SessionManager(load(settings))
    if not isinstance(manager, SessionManager):
        raise ConfigurationError(f"manager must be a SessionManager, not {type(manager).__name__}")
    if settings:
        raise ConfigurationError(
            f"manager= has settings of its own, and {min(settings)} stands beside it: give that to "
            "SessionManager.from_settings(...)"
        )
    return manager
