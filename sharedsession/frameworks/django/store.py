"""SessionStore: Django's session, stored in the farm.

A store of its own does what it is told at once, as Django's do. One that the middleware made puts a new key and a flush
off until the commit, before the first byte of the response. What waits is written once, as ``async def``.
"""

from typing import Any

from django.contrib.sessions.backends.base import CreateError, UpdateError

from sharedsession.concurrency import run
from sharedsession.errors import BackendUnavailable, SessionEnded
from sharedsession.frameworks.django.base import LoadedSession
from sharedsession.frameworks.django.calls import StoreCalls, blocking, delete, exists, on_loop, opened
from sharedsession.session import READ_ONLY, state_of


class SessionStore(LoadedSession):
    """One session, as Django's applications know it.

    Args:
        session_key: the signed token, as it stands in the cookie; with our middleware also a session's ID. Anything
            else is no session, and asks no store.
    """

    # -- life cycle, in both colours

    def load(self) -> dict[str, Any]:
        """Returns the data as the store has them now."""
        return run(self._read(blocking()))

    async def aload(self) -> dict[str, Any]:
        """Same as `load`."""
        return await self._read(on_loop())

    def exists(self, session_key: str | None) -> bool:
        """Returns whether the store has a session of this key."""
        return run(exists(blocking(), session_key))

    async def aexists(self, session_key: str | None) -> bool:
        """Same as `exists`."""
        return await exists(on_loop(), session_key)

    def create(self) -> None:
        """Stores a new session with the data that are here, under a new key; the old one stays."""
        run(self._create(blocking()))

    async def acreate(self) -> None:
        """Same as `create`."""
        await self._create(on_loop())

    def save(self, must_create: bool = False) -> None:
        """Stores the session now.

        Raises:
            UpdateError: it was ended, or given a new key, meanwhile.
            CreateError: it shall be new, and is not.
            BackendUnavailable: the store cannot answer.
        """
        run(self._save(blocking(), must_create))

    async def asave(self, must_create: bool = False) -> None:
        """Same as `save`."""
        await self._save(on_loop(), must_create)

    def delete(self, session_key: str | None = None) -> None:
        """Ends the session of a key, or this one; what is here stays."""
        run(delete(blocking(), session_key or self.session_key))

    async def adelete(self, session_key: str | None = None) -> None:
        """Same as `delete`."""
        await delete(on_loop(), session_key or self.session_key)

    def cycle_key(self) -> None:
        """Gives the session a new key and keeps its data; `login` does it."""
        run(self._cycle_key(blocking()))

    async def acycle_key(self) -> None:
        """Same as `cycle_key`."""
        await self._cycle_key(on_loop())

    def flush(self) -> None:
        """Ends the session and begins a new, empty one; `logout` does it."""
        run(self._flush(blocking()))

    async def aflush(self) -> None:
        """Same as `flush`."""
        await self._flush(on_loop())

    def revoke_others(self) -> None:
        """Ends all other sessions of its principal, now; see `Session.revoke_others`.

        Raises:
            SessionError: nobody is logged in.
            SessionEnded: this session has ended itself meanwhile.
            LogoutNotConfirmed: the store did not confirm it: others may still be alive.
        """
        run(self._revoke_others(blocking()))

    async def arevoke_others(self) -> None:
        """Same as `revoke_others`."""
        await self._revoke_others(on_loop())

    @classmethod
    def clear_expired(cls) -> None:
        """Does nothing: every backend forgets expired sessions by itself."""

    @classmethod
    async def aclear_expired(cls) -> None:
        """Same as `clear_expired`."""

    # -- the same, written once

    async def _read(self, calls: StoreCalls) -> dict[str, Any]:
        found = SessionStore(self.session_key)
        await found.look(calls)
        if found.state.status is not READ_ONLY:
            self._session_key = found.session_key
        return dict(found.core)

    async def _create(self, calls: StoreCalls) -> None:
        core, state = self.core, self.state
        if state.superseded is None:  # else a flush is put off, and the new session is stored with it
            self._core = opened(None)
            state_of(self._core).had_token = state.had_token
            self._core.update(core if state.is_loaded else {})
        self.state.store_anyway = True
        await self._store(calls)
        self.modified = True

    async def _save(self, calls: StoreCalls, must_create: bool) -> None:
        self.accessed = True
        key = self.session_key
        await self.look(calls)
        core, state = self.core, self.state
        if must_create and state.record is not None:
            raise CreateError
        is_superseded = state.status is READ_ONLY and not state.unavailable
        if (key and not self.session_key and not must_create) or is_superseded:
            raise UpdateError
        if self.is_over():
            core.destroy()
        else:
            self.modified = state.store_anyway = state.record is None or self.modified
        await self._store(calls)

    async def _cycle_key(self, calls: StoreCalls) -> None:
        self.accessed = self.modified = True
        await self.look(calls)
        self.core.regenerate()
        self.state.store_anyway = True
        await self._now_or_later(calls)

    async def _flush(self, calls: StoreCalls) -> None:
        self.accessed = self.modified = True
        self.core.destroy()
        self._session_key = None
        if not self.defers:
            await self._store(calls)

    async def _revoke_others(self, calls: StoreCalls) -> None:
        self.accessed = True
        await self.look(calls)
        self.follow_login()
        await calls.revoke_others(self.core)
        self.modified = True
        if not self.defers:
            await self._store(calls)

    async def _now_or_later(self, calls: StoreCalls) -> None:
        if self.defers:
            self._mint()
        else:
            await self._store(calls)

    async def _store(self, calls: StoreCalls) -> None:
        self.follow_login()
        try:
            await calls.save(self.core)
        except SessionEnded:
            raise UpdateError from None
        except BackendUnavailable:
            self.state.unavailable = True
            raise
        self.show_key()
