"""What Django's own methods work on: one `Session` of the library, loaded when it is first looked at.

Keys and values, flags and expiry are here; what stores and ends a session is in `store`.
"""

from functools import cached_property
from typing import Any, Self

from django.conf import settings as django
from django.contrib.sessions.backends.base import SessionBase
from django.utils.module_loading import import_string

from sharedsession.frameworks.django.async_twins import AsyncTwins
from sharedsession.frameworks.django.calls import StoreCalls, load_now, on_loop, opened
from sharedsession.frameworks.django.configuration import configuration
from sharedsession.frameworks.django.lock import DjangoLock
from sharedsession.frameworks.django.logins import follow_login
from sharedsession.frameworks.django.session_key import is_id, keys_are_ids
from sharedsession.session import GRACE, READ_ONLY, UNLOADED, Session, SessionState, state_of

EXPIRY = "_session_expiry"  # Django's name


class LoadedSession(AsyncTwins, SessionBase):
    """A session as far as it only lives in this process.

    Args:
        session_key: see `SessionStore`.

    Attributes:
        accessed: whether anything looked at it.
        defers: whether the commit of a response will follow.
        set_to: what `modified` was set to; ``None`` while it follows from the data.
    """

    accessed = False
    defers = False
    set_to: bool | None = None
    _core: Session | None = None
    _key: str | None = None
    _key_is_due = False
    _is_by_id = False
    _looked = 0.0

    def __init__(self, session_key: str | None = None) -> None:
        # Not Django's own: that looks up at each request what hardly one asks for.
        if session_key is not None:
            self._take_key(session_key)

    @cached_property
    def serializer(self) -> Any:
        """What `encode` and `decode` use, as Django's setting names it."""
        return import_string(django.SESSION_SERIALIZER)

    @classmethod
    def of_request(cls, core: Session, *, is_committed: bool = True) -> Self:
        """Makes the session of a request.

        Args:
            core: opened by what the request carries.
            is_committed: whether it is committed with a response, so that a new key and a flush can wait for that.
        """
        store = cls()
        store._core, store.defers, store._key_is_due = core, is_committed, True
        store._is_by_id = keys_are_ids()
        return store

    @property
    def core(self) -> Session:
        """The session behind this one, perhaps not loaded yet."""
        if self._core is None:
            self._is_by_id = is_id(self.session_key)
            self._core = opened(self.session_key)
            self.show_key()
        return self._core

    @property
    def state(self) -> SessionState:
        """The state of the session behind this one."""
        return state_of(self.core)

    async def look(self, calls: StoreCalls) -> None:
        """Asks the store, unless it was asked."""
        core = self.core
        if state_of(core).status is UNLOADED:
            await calls.load(core)
            self._begin(core)

    def _begin(self, core: Session) -> None:
        """Takes over what the store has told."""
        self._looked = configuration().settings.environment.monotonic()
        if self.is_over():
            state = state_of(core)
            state.begin(core, None, read_only=state.status is READ_ONLY)
        if self.defers:
            self._key_is_due = True  # until then it only changes where `show_key` is called
        else:
            self.show_key()

    def is_untouched(self) -> bool:
        """Returns whether the request neither looked at the session, nor changed it, nor ended it."""
        if self.accessed or self.set_to is not None:
            return False
        core = self._core
        return core is None or not (core.accessed or state_of(core).is_destroyed(core))

    def seconds_since_look(self) -> float:
        """Returns how old the store's answer is that this request works with, in seconds."""
        return configuration().settings.environment.monotonic() - self._looked

    # -- what Django's methods work on

    def _get_session(self, no_load: bool = False) -> Session:
        self.accessed = True
        core = self._core
        if core is None:
            core = self.core
        if state_of(core).status is UNLOADED:
            load_now(core)
            self._begin(core)
        return core

    async def _aget_session(self, no_load: bool = False) -> Session:
        self.accessed = True
        await self.look(on_loop())
        return self.core

    _session = property(_get_session)

    @property
    def _session_cache(self) -> Session:
        if self._core is None or not state_of(self._core).is_loaded:
            raise AttributeError("_session_cache")
        return self._core

    @property
    def modified(self) -> bool:
        """Whether there is something to save: changes inside nested values count, unless it was set to ``False``."""
        if self.set_to is not None:
            return self.set_to
        return self._core is not None and self._core.modified

    @modified.setter
    def modified(self, modified: bool) -> None:
        if modified or self.modified:  # `pop` sets False where it found nothing, which tells nothing of the rest
            self.set_to = modified

    def clear(self) -> None:
        """Removes everything; unlike after `flush` the session itself lives on."""
        session = self._session
        session.clear()
        self.state.store_anyway = self.state.record is not None
        self.modified = True

    def increment(self, key: str, by: float = 1) -> Any:
        """Same as `Session.increment`: exact, however many requests do it at the same time."""
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
        """Sets whose session it is, for `manager().list` and `revoke_all`; on an event loop ``aset_principal``."""
        session = self._session
        if session.principal != principal:
            session.principal = principal
            self.modified = True
            self._mint()

    def follow_login(self) -> None:
        """Sets the principal to the user who logged in by Django's own `login`, unless the request set it itself."""
        if follow_login(self.core):
            self.modified = True
            self._mint()

    def lock(self, timeout: float = 10.0, lease: float = 10.0) -> DjangoLock[Self]:
        """Same as `Session.lock`; in code on an event loop ``async with`` it."""
        return DjangoLock(self, timeout, lease)

    # -- expiry

    def get_session_cookie_age(self) -> int:
        """Returns the seconds that a session lives without a request, unless it was told otherwise."""
        return round(configuration().settings.timeouts.idle)

    def get_expire_at_browser_close(self) -> bool:
        """Returns whether the cookie ends with the browser."""
        expiry = dict.get(self._session, EXPIRY)
        return not configuration().settings.cookie_persistent if expiry is None else bool(expiry == 0)

    def get_expiry_age(self, **kwargs: Any) -> Any:
        """Same as Django's. The clock is asked only where the session was given an end."""
        expiry = kwargs["expiry"] if "expiry" in kwargs else dict.get(self._session, EXPIRY)
        return super().get_expiry_age(**kwargs | {"expiry": expiry}) if expiry else self.get_session_cookie_age()

    def set_expiry(self, value: Any) -> None:
        """Same as Django's. A number of seconds is the session's own idle timeout, which is part of its key."""
        super().set_expiry(value)
        expiry = self._session.get(EXPIRY)
        own = isinstance(expiry, int | float) and expiry > 0
        self._live_for(float(expiry) if own else configuration().settings.timeouts.idle)

    def _live_for(self, idle: float) -> None:
        core, state = self.core, self.state
        if core.idle_timeout != idle:
            rights_stay = state.superseded is None
            core.idle_timeout = idle
            state.grace = GRACE if rights_stay else 0.0
            if state.superseded:
                self._mint()

    def is_over(self) -> bool:
        """Returns whether the session was given an end by `set_expiry`, and that has come."""
        core = self._core
        if core is None or state_of(core).status is UNLOADED:
            return False
        expiry = dict.get(core, EXPIRY)
        return bool(expiry) and self.get_expiry_age(expiry=expiry) <= 0

    # -- the key

    def _shown_key(self) -> str | None:
        """Returns the session's ID or the signed token (see `session_key`); it is made when it is asked for."""
        if self.defers and not self.state.response_started:
            self.follow_login()  # who asks for the key at a login is told the one that the commit will store
        if self._key_is_due:
            self.show_key()
        return self._key

    def _take_key(self, key: str | None) -> None:
        self._key_is_due = False
        self._key = key if self._validate_session_key(key) else None

    session_key = property(_shown_key)
    _session_key = property(_shown_key, _take_key)

    def _mint(self) -> None:
        """Makes the new key now, though the commit will store the session under it."""
        if self.defers:
            self.state.identity_for_storing()
            self.show_key()

    def show_key(self) -> None:
        """Takes the key over from the session behind this one: ``None`` if that has none."""
        state, self._key_is_due = state_of(self.core), False
        if state.status is not READ_ONLY:  # else the cookie stays, whatever it is worth
            identity = state.identity
            self._key = (identity.name if self._is_by_id else identity.token) if identity else None
