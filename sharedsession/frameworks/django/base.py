"""What Django's own methods work on: one `Session` of the library, loaded when it is first looked at.

Keys and values, flags and expiry are here; what stores and ends a session is in `store`.
"""

import time
from typing import Any, Self

from django.contrib.sessions.backends.base import SessionBase

from sharedsession.concurrency.driver import run
from sharedsession.frameworks.django.async_twins import Twins
from sharedsession.frameworks.django.calls import Verbs, blocking, on_loop, opened
from sharedsession.frameworks.django.configuration import farm
from sharedsession.frameworks.django.lock import DjangoLock
from sharedsession.session.mapping import GRACE, Session

EXPIRY = "_session_expiry"  # Django's name


class LoadedSession(Twins, SessionBase):
    """A session as far as it only lives in this process."""

    _core: Session | None = None
    _defers = False
    _key_is_due = False
    _told: bool | None = None
    _looked = 0.0

    @classmethod
    def of_request(cls, core: Session) -> Self:
        """The session of a request, which is committed with its response."""
        store = cls()
        store._core, store._defers, store._key_is_due = core, True, True
        return store

    @property
    def core(self) -> Session:
        """The session behind this one, perhaps not loaded yet."""
        if self._core is None:
            self._core = opened(self.session_key)
            self.show_key()
        return self._core

    async def look(self, verbs: Verbs) -> None:
        """Asks the store, unless it was asked."""
        core = self.core
        if core.is_loaded:
            return
        await verbs.load(core)
        self._looked = time.monotonic()
        if self.is_over():
            core.begin(None, read_only=core.is_read_only)
        self.show_key()

    def is_untouched(self) -> bool:
        """Whether nobody looked at it, changed it or ended it."""
        core = self._core
        return not self.accessed and self._told is None and (core is None or not (core.accessed or core.is_destroyed))

    @property
    def defers(self) -> bool:
        """Whether the commit of a response will follow."""
        return self._defers

    def seconds_since_look(self) -> float:
        """How old the answer of the store is that this request works with."""
        return time.monotonic() - self._looked

    # -- what Django's methods work on

    def _get_session(self, no_load: bool = False) -> Session:
        self.accessed = True
        if not self.core.is_loaded:
            run(self.look(blocking()))
        return self.core

    async def _aget_session(self, no_load: bool = False) -> Session:
        self.accessed = True
        await self.look(on_loop())
        return self.core

    _session = property(_get_session)

    @property
    def _session_cache(self) -> Session:
        if self._core is None or not self._core.is_loaded:
            raise AttributeError("_session_cache")
        return self._core

    @property
    def modified(self) -> bool:
        """Whether there is something to save: changes inside nested values count, unless it was set to ``False``."""
        if self._told is not None:
            return self._told
        return self._core is not None and self._core.modified

    @modified.setter
    def modified(self, modified: bool) -> None:
        if modified or self.modified:  # `pop` says False of what it did not find: no word about the rest
            self._told = modified

    @property
    def told(self) -> bool | None:
        """What `modified` was set to; ``None`` while it follows from the data."""
        return self._told

    def clear(self) -> None:
        """Takes everything out; unlike `flush` the session itself lives on."""
        session = self._session
        session.clear()
        session.keep_anyway = session.record is not None
        self.modified = True

    def increment(self, key: str, by: float = 1) -> Any:
        """Same as `Session.increment`: exact, however many requests do it at a time."""
        value = self._session.increment(key, by)
        self.modified = True
        return value

    def append(self, key: str, value: Any) -> None:
        """Same as `Session.append`."""
        self._session.append(key, value)
        self.modified = True

    @property
    def id(self) -> str:
        """Same as `Session.id`: a public handle, fit for logs and lists."""
        return str(self._session.id)

    @property
    def principal(self) -> str | None:
        """Same as `Session.principal`: whose session it is. Setting another value gives the session a new key."""
        principal: str | None = self._session.principal
        return principal

    @principal.setter
    def principal(self, principal: str | None) -> None:
        self.set_principal(principal)

    def set_principal(self, principal: str | None) -> None:
        """Says whose session it is, for `manager().list` and `revoke_all`; on an event loop ``aset_principal``."""
        session = self._session
        if session.principal != principal:
            session.principal = principal
            self.modified = True
            self._mint()

    def lock(self, timeout: float = 10.0, lease: float = 10.0) -> DjangoLock:
        """Same as `Session.lock`; in code on an event loop ``async with`` it."""
        return DjangoLock(self, timeout, lease)

    # -- expiry

    def get_session_cookie_age(self) -> int:
        """Seconds that a session lives without a request, if it was not told anything else."""
        return round(farm().settings.timeouts.idle)

    def get_expire_at_browser_close(self) -> bool:
        """Whether the cookie ends with the browser."""
        expiry = self.get(EXPIRY)
        return not farm().settings.cookie_persistent if expiry is None else bool(expiry == 0)

    def set_expiry(self, value: Any) -> None:
        """Same as Django's. A number of seconds is the session's own idle timeout, which is part of its key."""
        super().set_expiry(value)
        expiry = self._session.get(EXPIRY)
        own = isinstance(expiry, int | float) and expiry > 0
        self._live_for(float(expiry) if own else farm().settings.timeouts.idle)

    def _live_for(self, idle: float) -> None:
        core = self.core
        if core.idle_timeout != idle:
            rights_stay = core.left_id is None
            core.idle_timeout = idle
            core.grace = GRACE if rights_stay else 0.0
            self._mint()

    def is_over(self) -> bool:
        """Whether the session was given an end by `set_expiry`, and that has come."""
        core = self._core
        if core is None or not core.is_loaded or not (core.accessed or core.record):
            return False
        expiry = core.get(EXPIRY)
        return bool(expiry) and self.get_expiry_age(expiry=expiry) <= 0

    # -- the key

    def _shown_key(self) -> str | None:
        """The signed token; worked out when somebody asks for it."""
        if self._key_is_due:
            self.show_key()
        key: str | None = self._get_session_key()
        return key

    def _take_key(self, key: str | None) -> None:
        self._key_is_due = False
        self._set_session_key(key)

    session_key = property(_shown_key)
    _session_key = property(_shown_key, _take_key)

    def _mint(self) -> None:
        """Has the new key now, though the commit will store the session under it."""
        if self._defers and self.core.left_id:
            self.core.id_for_storing()
            self.show_key()

    def show_key(self) -> None:
        """Takes the key over from the session behind this one: ``None`` if that has none."""
        core, self._key_is_due = self.core, False
        if not core.is_read_only:  # else the cookie stays, whatever it is worth
            session_id = core.stored_id
            self._session_key = farm().settings.machine_key().sign(session_id) if session_id else None
