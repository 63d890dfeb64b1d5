"""The state of a session in one request: what is stored, what the request did, and its status. No I/O.

The application sees the `Session` over it; the engine and the frameworks' adapters work on the state. The data
themselves are in the session, which is a dictionary: who calls a method here hands them in. (Were the session known to
its state, each request would leave a reference cycle behind.)
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sharedsession.errors import SessionError
from sharedsession.http import KEEP, Outcome
from sharedsession.keys import Identity
from sharedsession.records import Record, TimeBudget, with_write_id
from sharedsession.session.changes import Changes, Mark, Unsaved
from sharedsession.session.host import Client, HeldLock, SessionHost, Ticket, Tokens
from sharedsession.session.status import DESTROYED, NOT_LOADED, OPEN, READ_ONLY, UNLOADED

_CALM = 5.0  # seconds after which no writer waits for its answer any more
_NOTHING: Mapping[str, bytes] = {}
_NO_CHANGE = Unsaved(_NOTHING, removed=False)


class SessionState:
    """The state of a session in one request.

    Args:
        host: the engine.
        tokens: what could be tokens in the request.
        now: when the request began, in seconds since the epoch.

    Attributes:
        host: as given.
        status: how far the session is.
        dropped: whether nothing is saved any more, though the application still sees what it wrote.
        accessed: whether the request looked at the session in any way.
        response_started: whether the response's head has left, so that no cookie can be set any more.
        unavailable: whether the store did not answer in this request.
        unconfirmed: a write of this request whose answer was lost: the attempts at it, and the steps in it by key.
        withheld: whether the store has a record that is no session here: it does not open, or is not valid (any more).
        successor: the store key in the place of a superseded ID; empty if it is none.
        was_stored: whether this request stored the session.
        must_rewrite: whether the record must be written again though nothing changed.
        store_anyway: whether a framework stores the session though it is empty, or did not change.
        record: as it is stored; ``None``: the store has nothing.
        version: what the backend returned for the record.
        changes: what the request did to the data; only where the session is loaded.
        mark: how far they were when a record was made of them.
        created: when the session began, in seconds since the epoch.
        principal: whose session it is.
        names_principal: whether this request said whose session it is, be it that it stays the same.
        ticket: of a login that began before this request set the principal.
        stamp: the value of the principal's stamp under which the session was found valid; empty before a login.
        handles: the handles that the session has had under its principal.
        rivals: the identities in a request that carries several, of which at most one counts.
        enters: whether the session's entry in the principal's index is due.
        persistent: whether the cookie outlives the browser; ``None`` for the farm's setting.
        superseded: the identity that the commit must end: after a new ID, or a logout.
        grace: seconds for which requests with the superseded ID get a read-only view.
        client: user agent and address, where the settings ask to remember them.
        waited: seconds that the request has waited for the store on plain paths.
        budget: the time that it may still wait, as soon as it has left them.
        outcome: what the client must be told.
        held_lock: the session's lock, while the request holds it.
    """

    __slots__ = (
        "__weakref__",
        "_had_token",
        "_identity",
        "_idle_timeout",
        "_owner_before",
        "_presented",
        "_tokens",
        "accessed",
        "budget",
        "changes",
        "client",
        "created",
        "dropped",
        "enters",
        "grace",
        "handles",
        "held_lock",
        "host",
        "mark",
        "must_rewrite",
        "names_principal",
        "opened",
        "outcome",
        "persistent",
        "principal",
        "record",
        "response_started",
        "rivals",
        "stamp",
        "status",
        "store_anyway",
        "successor",
        "superseded",
        "ticket",
        "unavailable",
        "unconfirmed",
        "version",
        "waited",
        "was_stored",
        "withheld",
    )

    changes: Changes
    created: float
    stamp: bytes
    handles: Sequence[str]

    def __init__(self, host: SessionHost, tokens: Tokens, now: float) -> None:
        self.host = host
        self._tokens = tokens  # searched for and verified when the identity in them is needed
        self._identity: Identity | None = None
        self._presented: Identity | None = None  # by the request, whatever became of it
        self._idle_timeout: float | None = None
        self._owner_before: str | None = None
        self._had_token = False
        self.opened = now
        self.status = UNLOADED
        self.accessed = self.response_started = self.unavailable = self.withheld = self.dropped = False
        self.must_rewrite = self.store_anyway = self.was_stored = self.enters = self.names_principal = False
        self.principal: str | None = None
        self.persistent: bool | None = None
        self.ticket: Ticket | None = None
        self.rivals: Sequence[Identity] = ()
        self.record: Record | None = None
        self.version: object = None
        self.mark: Mark | None = None
        self.unconfirmed: tuple[Sequence[Record], Mapping[str, int]] | None = None
        self.superseded: Identity | None = None
        self.successor = ""
        self.grace = self.waited = 0.0
        self.client: Client | None = None
        self.budget: TimeBudget | None = None
        self.outcome: Outcome = KEEP
        self.held_lock: HeldLock | None = None
        if not tokens:
            self._adopt(None, None, Changes(_NOTHING))

    # -- who it is

    @property
    def identity(self) -> Identity | None:
        """The identity that came with the request, or under which the session was stored since."""
        if self._tokens:
            self._identify()
        return self._identity

    @property
    def idle_timeout(self) -> float | None:
        """The session's own idle timeout in seconds; ``None`` for the farm's."""
        if self._tokens:
            self._identify()
        return self._idle_timeout

    @idle_timeout.setter
    def idle_timeout(self, seconds: float | None) -> None:
        self._idle_timeout = seconds

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
    def owner(self) -> str | None:
        """Whose session it is in the store, as far as this request knows."""
        return self.record.principal if self.record else self._owner_before

    @property
    def has_own_id(self) -> bool:
        """Whether the ID was made in this request, so that nobody can have planted it."""
        return self._identity is not self._presented

    def identity_for_storing(self) -> Identity:
        """Returns the identity under which the session is stored; a new one where there is none."""
        if self._identity is None:
            self._identity = self.host.new_identity(self._idle_timeout, self.principal)
        return self._identity

    def forget_identity(self) -> None:
        """Has the next attempt to store the session make another identity."""
        self._identity = None

    # -- what the request did

    @property
    def is_loaded(self) -> bool:
        """Whether the store was asked, or need not be."""
        return self.status is not UNLOADED

    def is_destroyed(self, data: dict[str, Any]) -> bool:
        """Returns whether this request destroyed the session, or emptied it by `clear`."""
        if self.status is not OPEN or self.record is None or self.store_anyway or dict.__len__(data):
            return self.status is DESTROYED
        return self.changes.was_cleared and self.principal == self.record.principal

    def unsaved(self, data: dict[str, Any]) -> Unsaved | None:
        """Returns what a commit has to do: the changes of the data; ``None`` if there is nothing to do.

        This is the one question behind `Session.modified`, behind the commit at the end of a request, and behind the
        next record.

        Raises:
            TypeError: a value cannot be stored; the message names the key.
        """
        if self.status is UNLOADED or self.dropped:
            return None
        unsaved = self.changes.unsaved(data)
        if unsaved is not None:
            return unsaved
        ends = self.status is DESTROYED or (self.changes.was_cleared and self.is_destroyed(data))
        return _NO_CHANGE if ends or self.must_rewrite or self._must_be_stored() else None

    def is_modified(self, data: dict[str, Any]) -> bool:
        """Returns whether the application changed anything; a record that is only written again is no change."""
        unsaved = self.unsaved(data)
        return unsaved is not None and (unsaved is not _NO_CHANGE or self.status is DESTROYED or self._must_be_stored())

    def wants_token(self, data: dict[str, Any]) -> bool:
        """Returns whether the commit would hand out a token."""
        if self.unsaved(data) is None or self.is_destroyed(data):
            return False
        return self.record is None or self.superseded is not None

    @property
    def is_at_rest(self) -> bool:
        """Whether this is a stored session of which nothing but data can have changed."""
        return (
            self.status is OPEN
            and self.record is not None
            and self.superseded is None
            and not (self.changes.was_cleared or self.store_anyway)
        )

    def next_record(self, data: dict[str, Any], unsaved: Unsaved, now: float, write_id: bytes) -> Record:
        """Returns the record to be stored.

        Args:
            data: of the session.
            unsaved: what `unsaved` returned.
            now: seconds since the epoch.
            write_id: random bytes that name this write.
        """
        before, self.mark = self.record, self.changes.mark(data)
        write_ids, refreshed = (before.write_ids, before.refreshed) if before else (b"", now)
        entered = before.entered if before and self.principal == before.principal and not self.enters else now
        return Record.of(
            (
                before.version + 1 if before else 1,
                self.created,
                now,
                self.principal,
                self.persistent,
                self.changes.items(data, unsaved),
                with_write_id(write_ids, write_id, calm=abs(now - refreshed) > _CALM),
                self.stamp,
                self.handles,
                entered,
            )
        )

    def _must_be_stored(self) -> bool:
        """Returns whether there is a reason beyond the data: a new ID, a principal, or a framework's habit."""
        if self.store_anyway or (self.superseded is not None and self.status is not DESTROYED):
            return True
        return self.record is None and self.principal is not None

    # -- what becomes of it

    def begin(
        self, data: dict[str, Any], record: Record | None, version: object = None, *, read_only: bool = False
    ) -> None:
        """Takes over what the store has; without a record the ID that came with the request is never adopted.

        Args:
            data: of the session; replaced.
            record: as it is stored, or ``None``.
            version: what the backend returned for it.
            read_only: whether changes will be dropped.
        """
        if record is None:
            self._identity = self._idle_timeout = None
        self._adopt(record, version, Changes(record.items if record else _NOTHING))
        if read_only:
            self.status = READ_ONLY
        dict.clear(data)
        dict.update(data, self.changes.original)

    def revert(self, data: dict[str, Any]) -> None:
        """Drops what was changed since the session was read or stored."""
        self.begin(data, self.record, self.version, read_only=self.status is READ_ONLY)

    def settle(self, data: dict[str, Any], record: Record, version: object, merged: Record | None = None) -> None:
        """Takes over what was just stored. What another task or thread of the request changed meanwhile is kept.

        Args:
            data: of the session.
            record: what was stored.
            version: what the backend returned for it.
            merged: what this request wanted to store, if another request's changes are in the record as well; then
                the data are replaced.
        """
        mark, before = self.mark, self.changes
        assert mark is not None  # noqa: S101
        if merged is None:
            self._adopt(record, version, before.since(mark, record.items))
        else:
            later = before.since(mark, merged.items)
            unsaved = later.unsaved(data)
            self._adopt(record, version, Changes(record.items))
            self._replace(data, later if unsaved else None)
        self.store_anyway = False
        self.superseded = self.unconfirmed = None
        self.was_stored = True

    def set_principal(self, principal: str | None, ticket: Ticket | None) -> None:
        """Makes it another principal's session: it stands under that one's stamp from the commit on."""
        self.principal = principal
        self.ticket = ticket
        self.stamp, self.handles = b"", ()

    def stand_under(self, stamp: bytes) -> None:
        """Notes the value of the stamp under which the session is valid; it is written to the record."""
        self.must_rewrite = self.must_rewrite or stamp != self.stamp
        self.stamp = stamp

    def regenerate(self, grace: float) -> None:
        """Gives the session a new identity; the commit ends the old one.

        Raises:
            SessionError: the response has started.
        """
        if self.response_started:
            raise SessionError("the response has started, so a new session ID can no longer be handed to the browser")
        if self.record is not None and self.superseded is None:
            self.superseded = self._identity
        self.grace = grace
        if self.status is not READ_ONLY:  # what is read-only keeps its ID, since no other one will be stored
            self._identity = None

    def destroy(self, data: dict[str, Any]) -> None:
        """Begins anew with an empty session; the commit ends the old one."""
        self.accessed = True
        self.dropped = False
        self._leave()
        dict.clear(data)
        self.status = DESTROYED

    def take_destroyed(self) -> Sequence[Identity]:
        """Turns a destroyed session into a new one. Returns the identities to be ended."""
        if self.status is not DESTROYED:  # emptied by `clear`
            self._leave()
        self.status = OPEN
        ended, self.superseded = self.superseded, None
        return self.take_rivals() or ((ended,) if ended else ())

    def take_rivals(self) -> Sequence[Identity]:
        """Returns the identities that came beside each other, none of which is the session: they are to be ended."""
        rivals, self.rivals = self.rivals, ()
        return rivals

    def unload(self, data: dict[str, Any]) -> None:
        """Forgets what was loaded and what was changed: the next look asks the store again."""
        dict.clear(data)
        dict.__setitem__(data, "session not loaded", NOT_LOADED)
        self._adopt(None, None, Changes(_NOTHING))
        self._identity = self._presented
        self.superseded = None
        self.status = UNLOADED

    # -- inside

    def _replace(self, data: dict[str, Any], later: Changes | None) -> None:
        """Replaces the data by what is stored, and makes the later changes once more on top of that."""
        current = dict(dict.items(data))
        dict.clear(data)
        dict.update(data, self.changes.original)
        if later is None:
            return
        for key in later.original.keys() - current.keys():
            self.changes.forget(key)
            dict.pop(data, key, None)
        for key in later.keys_of(current):
            value = current[key]
            for step in later.steps.get(key, ()):
                value = self.changes.step(key, step, dict.get(data, key))
                dict.__setitem__(data, key, value)
            if key not in later.steps:
                self.changes.assign(key)
                dict.__setitem__(data, key, value)

    def _adopt(self, record: Record | None, version: object, changes: Changes) -> None:
        self.record = record
        self.version = version
        self.changes = changes
        self.status = OPEN
        self.must_rewrite = self.enters = False
        if record is None:
            self.created = self.opened
            self.principal = self.persistent = None
            self.stamp, self.handles = b"", ()
        else:
            _, self.created, _, self.principal, self.persistent, _, _, self.stamp, self.handles, _ = record

    def _identify(self) -> None:
        tokens = self._tokens() if callable(self._tokens) else self._tokens
        self._tokens, self._had_token = (), bool(tokens)
        genuine = self.host.verified(tokens)
        if genuine:
            self._identity = self._presented = genuine[0]
            self._idle_timeout = genuine[0].idle_timeout
            self.rivals = genuine if len(genuine) > 1 else ()

    def choose(self, identity: Identity | None) -> None:
        """Takes one of the rivals for the session; ``None``: it is none of them."""
        self._identity = self._presented = identity
        self._idle_timeout = identity.idle_timeout if identity else None
        if identity is not None:
            self.rivals = ()

    def _leave(self) -> None:
        """Starts anew; an identity under which the store may have something is left, without grace."""
        if self.record is not None or self.status is UNLOADED:
            self.superseded = self.superseded or self.identity
            self._owner_before = self.owner
        elif self.unavailable or self.withheld or self.status is READ_ONLY:
            # It may still be there, or live on under another ID: its tombstone tells which. One that is not valid now
            # is again when the request commits that spared it from the end of all others.
            self.superseded = self.superseded or self._presented
        self._identity = self._idle_timeout = None
        self.grace = 0.0
        self._adopt(None, None, Changes(_NOTHING))
