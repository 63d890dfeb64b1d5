"""Whether what requests saw of a session's keys can be explained by some order of them: linearizability, key by key.

Each ID has a life of its own. It begins with what the request that made it had in hand, since a new session is made of
what that request had read and changed. A request looks at one moment and saves at a later one, both between the moments
at which its client asked and was answered. What was acknowledged has happened; a request without an answer may have
saved at any time after it began, also much later, or never.

The search is that of Wing and Gong (Testing and verifying concurrent objects, 1993), with the memory of Lowe's: a set
of operations that are done, with the value after them, is looked at once.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.support.ends import NEVER, Span, Token

LOCKED = "locked"
"""The key that counts what was done under a lock."""

ABSENT = "(nothing)"


class Change(NamedTuple):
    """What a request does to a key.

    Attributes:
        kind: ``set``, ``increment``, ``append`` or ``step``: set to one more than was seen under a lock, at once.
        key: which.
        value: to set, add or append.
    """

    kind: str
    key: str
    value: Any


class Access(NamedTuple):
    """A request with an ID.

    Attributes:
        span: from when to when its client waited for it.
        seen: what the session held; ``None``: that is not known.
        changes: what it did.
        acked: whether that was acknowledged.
        by: the web node.
    """

    span: Span
    seen: dict[str, Any] | None
    changes: tuple[Change, ...]
    acked: bool
    by: str


@dataclass(eq=False)
class Life:
    """What happened with one ID.

    Attributes:
        name: of the ID.
        token: the ID.
        first: what the session held when it was made.
        troubles: from when to when a web node may reach none of the nodes that hold what was acknowledged.
        accesses: by requests with it.
    """

    name: str
    token: Token
    first: dict[str, Any]
    troubles: Sequence[tuple[float, float]] = ()
    accesses: list[Access] = field(default_factory=list)

    def violations(self, exempt: Collection[str] = ()) -> Iterator[str]:
        """Yields each key whose values no order of the requests explains; some keys are exempt."""
        keys = set(self.first)
        for access in self.accesses:
            keys.update(access.seen or (), (change.key for change in access.changes))
        for key in sorted(keys.difference(exempt)):
            events = list(self._events(key))
            if any(event.kind == "see" for event in events) and not _is_explained(self.first.get(key, ABSENT), events):
                yield f"unexplained: {self.name} {key!r} first {self.first.get(key, ABSENT)!r}: " + "; ".join(
                    map(str, events)
                )

    def _events(self, key: str) -> Iterator["_Event"]:
        for span, seen, changes, acked, by in self.accesses:
            mine = [change for change in changes if change.key == key]
            # It may have seen a view of what was, or an older copy, and have saved nothing.
            if span.end >= self.token.leaving or any(
                begin < span.end and span.begin < end for begin, end in self.troubles
            ):
                seen, acked = None, False
            value = ABSENT if seen is None else seen.get(key, ABSENT)
            if mine and mine[0].kind == "step" and seen is not None:
                yield _Event(span, "step", (value, mine[0].value), acked, by)
                continue
            if seen is not None:
                yield _Event(span, "see", value, is_sure=True, by=by)
            for change in mine:
                kind = "set" if change.kind == "step" else change.kind  # from a value that is not known
                yield _Event(span, kind, change.value, acked, by)


class _Event(NamedTuple):
    span: Span
    kind: str
    value: Any
    is_sure: bool
    by: str

    def __str__(self) -> str:
        end = f"{self.span.end:.4f}" if self.is_sure else "?"
        return f"{self.span.begin:.4f}..{end} {self.by} {self.kind} {self.value!r}"


def _is_explained(first: Any, events: list[_Event]) -> bool:
    """Returns whether there is an order of the events in which each one fits the value at its time."""
    events = sorted(events)
    ends = [event.span.end if event.is_sure else NEVER for event in events]
    sure = sum(1 << at for at, event in enumerate(events) if event.is_sure)
    seen: set[tuple[int, Any]] = set()
    todo = [(0, _frozen(first))]
    while todo:
        done, value = todo.pop()
        if done & sure == sure:
            return True
        if (done, value) in seen:
            continue
        seen.add((done, value))
        earliest = min(end for at, end in enumerate(ends) if not done >> at & 1)
        for at, event in enumerate(events):
            if event.span.begin > earliest:
                break
            if not done >> at & 1 and (after := _after(event, value)) is not _NO:
                todo.append((done | 1 << at, after))
    return False


_NO = object()


def _after(event: _Event, value: Any) -> Any:
    """Returns the value after an event, or `_NO` if it cannot happen at this value."""
    kind, arg = event.kind, event.value
    if kind == "see":
        return value if _frozen(arg) == value else _NO
    if kind == "set":
        return _frozen(arg)
    if kind == "step":
        return arg[1] if _frozen(arg[0]) == value else _NO
    if kind == "increment":
        return (0 if value == ABSENT else value) + arg
    return (*(() if value == ABSENT else value), arg)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
