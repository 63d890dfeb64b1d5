"""``flask.session``: a `Session` with the names that Flask's users know, and the session of a path that has none."""

from typing import Any, NoReturn

from flask import Flask
from flask.sessions import NullSession, SessionMixin

from sharedsession.http.token_transport import Transport
from sharedsession.records.record import Record
from sharedsession.session.mapping import Session


class FlaskSession(Session, SessionMixin):
    """A `Session` with what Flask's users expect of theirs."""

    __slots__ = ("_changed", "app", "is_adopted", "opened", "permanent_by_default", "transport", "was_permanent")

    app: Flask
    opened: float
    permanent_by_default: bool
    transport: Transport
    was_permanent: bool

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._changed = self.is_adopted = False

    @property
    def permanent(self) -> bool:
        """Whether it outlives the browser, for ``PERMANENT_SESSION_LIFETIME`` since it was last used."""
        return self.permanent_by_default if self.persistent is None else self.persistent

    @permanent.setter
    def permanent(self, permanent: bool) -> None:
        if permanent and self.was_permanent and not self._loaded:
            return  # many applications say so before each request: no reason to ask the store
        if bool(permanent) != self.permanent:
            self.persistent = bool(permanent)
            self._idle_timeout = self.app.permanent_session_lifetime.total_seconds() if permanent else None

    @property
    def was_used(self) -> bool:
        """Whether this request looked at it, and the store holds it."""
        return self._accessed and self._loaded and self.record is not None

    def end_if_emptied(self) -> None:
        """Ends a stored session that this request emptied, as Flask takes its cookie back then."""
        if self.was_used and not self and self.modified and self.principal is None and not self.is_read_only:
            self.destroy()

    @property
    def new(self) -> bool:  # type: ignore[override]  # the mixin has an attribute
        """Whether the store holds nothing of this session yet."""
        return self.is_new

    @property
    def accessed(self) -> bool:
        """Whether this request looked at the session in any way."""
        return self._accessed

    @accessed.setter
    def accessed(self, accessed: bool) -> None:
        self._accessed = accessed

    @property
    def modified(self) -> bool:
        """Whether this request changed it. Changes inside values are noticed; there is no need to set it."""
        return self._changed or super().modified

    @modified.setter
    def modified(self, modified: bool) -> None:
        self.keep_anyway = bool(modified and self)

    def settle(self, record: Record, version: object, *, merged: bool = False) -> None:
        """Same as `Kept.settle`; Flask's users still see that it was modified."""
        super().settle(record, version, merged=merged)
        self._changed = True


class ExcludedSession(NullSession):
    """The session of a path that never has one: it can be looked at and stays empty."""

    def _fail(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise RuntimeError("The session is unavailable because the setting `exclude` covers this path.")

    __setitem__ = __delitem__ = clear = pop = popitem = update = setdefault = _fail
