"""What is kept of a session from request to request, and what this request did to it: the keeper's side of a Session.

What it cannot do itself, it asks its `Keeper` for. No I/O here.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from sharedsession.errors import SessionError
from sharedsession.http.outcome import KEEP
from sharedsession.keys.machine_key import idle_timeout_of
from sharedsession.records.record import Record, marked, new_mark
from sharedsession.session.changes import Draft
from sharedsession.session.host import Client, HeldLock, Keeper, Tokens

_CALM = 5.0  # seconds


class Kept:
    """The state of a session in one request."""

    __slots__ = (
        "__weakref__",
        "_abandoned",
        "_accessed",
        "_created",
        "_destroyed",
        "_draft",
        "_had_token",
        "_id",
        "_idle_timeout",
        "_keeper",
        "_left_owner",
        "_loaded",
        "_opened",
        "_persistent",
        "_principal",
        "_response_started",
        "_tokens",
        "allowance",
        "client",
        "grace",
        "held_lock",
        "is_read_only",
        "keep_anyway",
        "left_id",
        "outcome",
        "record",
        "unavailable",
        "version",
        "wants_rewrite",
    )

    def __init__(self, keeper: Keeper, tokens: Tokens, *, now: float) -> None:
        self._keeper = keeper
        self._tokens = tokens  # found and verified when the ID in them is needed
        self._id: str | None = None
        self._idle_timeout: float | None = None
        self._left_owner: str | None = None
        self._opened = now
        self._draft: Draft
        self._accessed = self._destroyed = self._response_started = self._abandoned = self._loaded = False
        # The rest is the keeper's: it reads these, and sets the first four.
        self.allowance: Any = None
        self.outcome = KEEP
        self.unavailable = self.wants_rewrite = False  # the latter to prove to the store that it is in use
        self._had_token = False
        self.is_read_only = False
        self.keep_anyway = False  # set by frameworks that store a session though it is empty, or did not change
        self.left_id: str | None = None
        self.grace = 0.0
        self.client: Client | None = None  # set by middlewares that are told to remember it
        self.held_lock: HeldLock | None = None
        self.record: Record | None = None
        self.version: object = None
        if not tokens:
            self._adopt(None, None)

    @property
    def modified(self) -> bool:
        """Whether there is something to save; changes inside nested values count."""
        if self._destroyed or not self._loaded:
            return self._destroyed
        return self._must_be_stored() or self._draft.lost_keys or bool(self._draft.changes())

    @property
    def stored_id(self) -> str | None:
        """The ID that came with the request, or under which it was stored since; ``None`` once it was given up."""
        if self._tokens:
            self._identify()
        return self._id

    @property
    def own_idle_timeout(self) -> float | None:
        """The session's own idle timeout in seconds, if it has one."""
        if self._tokens:
            self._identify()
        return self._idle_timeout

    @property
    def had_token(self) -> bool:
        """Whether the request carries anything that could be a token, genuine or not."""
        if self._tokens:
            self._identify()
        return self._had_token

    @had_token.setter
    def had_token(self, had_token: bool) -> None:
        self._had_token = had_token

    @property
    def accessed(self) -> bool:
        """Whether this request looked at the session in any way."""
        return self._accessed

    @property
    def is_abandoned(self) -> bool:
        """Whether nothing of it is saved any more."""
        return self._abandoned

    @property
    def is_loaded(self) -> bool:
        """Whether the store was asked, or need not be."""
        return self._loaded

    @property
    def needs_no_commit(self) -> bool:
        """Whether nothing can have changed, and there is nothing to prove to the store either."""
        if not self._loaded or self._abandoned:
            return True
        return not (self._draft.may_differ or self._destroyed or self.wants_rewrite or self._must_be_stored())

    @property
    def wants_token(self) -> bool:
        """Whether its commit would hand out a token."""
        return not (self.needs_no_commit or self.is_destroyed) and (self.record is None or self.left_id is not None)

    @property
    def is_destroyed(self) -> bool:
        """Whether it was destroyed, or emptied by `clear`, in this request."""
        if self._destroyed or self.record is None or self.keep_anyway:
            return self._destroyed
        return self._draft.was_cleared and not self._draft and self._principal == self.record.principal

    @property
    def began(self) -> float:
        """When the session began, in seconds since the epoch."""
        return self._created

    @property
    def owner(self) -> str | None:
        """Whose session it is in the store, as far as this request knows."""
        return self.record.principal if self.record else self._left_owner

    @property
    def draft(self) -> Draft:
        """What this request did to the data."""
        return self._draft

    def begin(self, record: Record | None, version: object = None, *, read_only: bool = False) -> None:
        """Takes over what the store said; without a record the ID it came with is never adopted."""
        self.is_read_only = read_only
        if record is None:
            self._id = self._idle_timeout = None
        self._adopt(record, version)

    def next_record(self, now: float) -> Record | None:
        """The session as it shall be stored.

        Args:
            now: seconds since the epoch.

        Returns:
            The record, or ``None`` if there is nothing to store: nothing changed, or a new session is empty.

        Raises:
            TypeError: a value cannot be stored; the message names the key.
        """
        changes = self._draft.changes()
        if not (changes or self._draft.lost_keys or self.wants_rewrite or self._must_be_stored()):
            return None
        return Record(
            version=self.record.version + 1 if self.record else 1,
            created=self._created,
            refreshed=now,
            principal=self._principal,
            persistent=self._persistent,
            items=self._draft.with_changes(changes),
            marks=self._marked(now),
        )

    def _marked(self, now: float) -> bytes:
        marks, refreshed = (self.record.marks, self.record.refreshed) if self.record else (b"", now)
        return marked(marks, new_mark(), calm=abs(now - refreshed) > _CALM)

    def id_for_storing(self) -> str:
        """The ID under which it is stored; minted when there is none."""
        if self._id is None:
            self._id = self._keeper.new_id(self._idle_timeout)
        return self._id

    def settle(self, record: Record, version: object, *, merged: bool = False) -> None:
        """Takes over what was just stored.

        Args:
            record: what was stored.
            version: what the backend said stands for it.
            merged: whether another request's changes are in it: then values are decoded anew.
        """
        self._adopt(record, version, None if merged else self._draft.rebased(record.items))
        self.keep_anyway = False
        self.left_id = None

    def give_up(self) -> str | None:
        """Turns a destroyed session into a new one, empty or with what was written after `destroy`.

        Returns:
            The ID to be ended, if the store may hold anything under it.
        """
        if not self._destroyed:  # emptied by clear()
            self._leave_for_good()
        self._destroyed = False
        left, self.left_id = self.left_id, None
        return left

    def give_up_saving(self) -> None:
        """From now on nothing of it is saved; the application still sees what it wrote."""
        self._abandoned = True

    def at_once(self, step: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Carries a step out before it returns.

        Raises:
            SessionError: the application runs on an event loop.
        """
        if not self._keeper.loads_on_demand:
            raise SessionError(
                "this application runs on an event loop: use `await session.asave()`, `async with session.lock()`"
            )
        self._keeper.do(step)

    def response_started(self) -> None:
        """From now on no cookie can be set: what would need one is an error where it is asked for."""
        self._response_started = True

    # -- inside

    def _adopt(self, record: Record | None, version: object, draft: Draft | None = None) -> None:
        self.record = record
        self.version = version
        self.wants_rewrite = False
        self._created = record.created if record else self._opened
        self._principal = record.principal if record else None
        self._persistent = record.persistent if record else None
        self._draft = Draft(record.items if record else {}) if draft is None else draft
        self._loaded = True

    def _identify(self) -> None:
        tokens = self._tokens() if callable(self._tokens) else self._tokens
        self._tokens, self._had_token = (), bool(tokens)
        self._id = self._keeper.verified(tokens)
        self._idle_timeout = idle_timeout_of(self._id) if self._id else None

    def _must_be_stored(self) -> bool:
        """Whether there is a reason to store it beyond its data: a new ID, an owner, or a framework's habit."""
        return self.keep_anyway or self.left_id is not None or (self.record is None and self._principal is not None)

    def _leave_for_good(self) -> None:
        """Starts anew; an ID under which the store may hold something is left, without grace."""
        if self.record is not None or not self._loaded:
            self.left_id = self.left_id or self.stored_id
            self._left_owner = self.owner
        self._id = self._idle_timeout = None
        self.grace = 0.0
        self._adopt(None, None)
