"""The verbs over the sessions of a principal, in both colours: list them, end one, end all."""

import builtins
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Coroutine
from functools import cached_property
from typing import Any, TypeVar

from sharedsession.concurrency import driver as _drive
from sharedsession.engine.principals import Index, SessionInfo
from sharedsession.settings.settings import Settings

T = TypeVar("T")


class Oversight:
    """What a manager can do beside serving requests. A verb of the other colour asks the manager's twin.

    Attributes:
        settings: of the farm.
        index: of the principals' sessions.
        loads_on_demand: whether the manager blocks.
    """

    settings: Settings
    index: Index
    loads_on_demand: bool

    def list(self, principal: str) -> builtins.list[SessionInfo]:
        """The sessions of a principal that are alive, oldest first.

        Args:
            principal: as it was given to `Session.principal`.

        Raises:
            BackendUnavailable: the store cannot answer for all of them.
        """
        return _drive.run(self._blocking.index.listed(principal))

    async def alist(self, principal: str) -> builtins.list[SessionInfo]:
        """Same as `list`, on an event loop."""
        return await self._on_loop.do(lambda: self._on_loop.index.listed(principal))

    def revoke(self, session_id: str) -> bool:
        """Ends one session everywhere, given its public handle.

        Args:
            session_id: as `Session.id` and `SessionInfo.id` tell it.

        Returns:
            Whether there was such a session.

        Raises:
            LogoutNotConfirmed: the store did not confirm it: the session may still be alive.
            BackendUnavailable: the store cannot answer.
        """
        return _drive.run(self._blocking.index.revoke(session_id, self.settings.timeouts.idle))

    async def arevoke(self, session_id: str) -> bool:
        """Same as `revoke`, on an event loop."""
        return await self._on_loop.do(lambda: self._on_loop.index.revoke(session_id, self.settings.timeouts.idle))

    def revoke_all(self, principal: str, except_: str | None = None) -> int:
        """Ends all sessions of a principal everywhere: "log out everywhere".

        Args:
            principal: as it was given to `Session.principal`.
            except_: the handle of one that goes on, as ``session.id``.

        Returns:
            How many were ended.

        Raises:
            LogoutNotConfirmed: the store did not confirm each end.
            BackendUnavailable: the store cannot answer.
        """
        return _drive.run(self._blocking.index.revoke_all(principal, except_))

    async def arevoke_all(self, principal: str, except_: str | None = None) -> int:
        """Same as `revoke_all`, on an event loop."""
        return await self._on_loop.do(lambda: self._on_loop.index.revoke_all(principal, except_))

    @cached_property
    def _blocking(self) -> "Oversight":
        """This one, or its twin for code that blocks."""
        return self if self.loads_on_demand else self._twin()

    @cached_property
    def _on_loop(self) -> "Oversight":
        """This one, or its twin for code on an event loop."""
        return self._twin() if self.loads_on_demand else self

    @abstractmethod
    def do(self, step: Callable[[], Coroutine[Any, Any, T]]) -> Awaitable[T]:
        """Carries a step out: at once where the manager blocks, else when awaited."""

    @abstractmethod
    def _twin(self) -> "Oversight":
        """The same manager for the other colour."""
