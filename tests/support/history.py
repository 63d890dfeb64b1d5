"""What clients of a farm did and saw, and whether any store could honestly have answered so.

A session is judged by what its own clients know, on one clock: each operation has a begin, an end and an outcome.
``OK`` was answered, ``FAILED`` had no effect, ``UNKNOWN`` (503, an exception) may have had one or not. Every value is
written once, and tells whose it is.

A session has one ID after another, each with its own cookie, so each ID is judged by itself: a regenerate ends the one
it was asked with, as a logout does, and begins another one with the value that it saw. Nothing else passes from one ID
to another. A write that overlaps a regenerate may be missing there: that is not promised. The rules:

- ``lost``: a session is seen as ended, and nobody had begun to log out or to regenerate.
- ``revived``: a session is seen alive after its logout was answered, or after it was seen ended.
- ``old ID``: an ID is seen alive after the answer to its regenerate, or shows what was written with another one.
- ``rolled back``: a value is seen that a later, answered write had replaced before the look began.
- ``mixed up``: a value is seen that was never written to this session.
- ``cookie``: an answer handed out or took back a cookie, and should not have.
- ``error``: the application got an exception, where 503 is the worst that a store may do to it.
"""

import itertools
import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple


class Outcome(Enum):
    """What the client knows of an operation."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Violation(NamedTuple):
    """A broken promise."""

    kind: str
    session: str
    detail: str


ENDED = None
"""What a read sees of a session that has ended."""


@dataclass(eq=False)
class Operation:
    """One operation of one client.

    Attributes:
        session: whose.
        id: a name for the session ID it was asked with, or that a login made.
        kind: ``login``, ``write``, ``read``, ``regenerate`` or ``logout``.
        value: what a login or write stores.
        begin: when the client asked.
        end: when it had its answer.
        outcome: see `Outcome`.
        seen: the value a read saw, or a write found; `ENDED` if there was no session.
        looked: whether ``seen`` says anything.
        new_id: a name for the ID that a regenerate gave.
        by: who answered.
        faults: what else was wrong with the answer: the kind of `Violation`, and the detail.
    """

    session: str
    id: str
    kind: str
    value: str | None
    begin: float
    end: float = float("inf")
    outcome: Outcome = Outcome.UNKNOWN
    seen: str | None = ENDED
    looked: bool = False
    new_id: str = ""
    by: str = ""
    faults: list[tuple[str, str]] = field(default_factory=list)

    def saw(self, value: str | None) -> None:
        """The answer told this value, or `ENDED`."""
        self.seen, self.looked = value, True

    def ok(self, by: str = "") -> None:
        """It was answered."""
        self._over(Outcome.OK, by)

    def failed(self, by: str = "") -> None:
        """It had no effect."""
        self._over(Outcome.FAILED, by)

    def unknown(self, by: str = "") -> None:
        """It may have had an effect, or not."""
        self._over(Outcome.UNKNOWN, by)

    def __str__(self) -> str:
        seen = f" saw {self.seen}" if self.looked else ""
        span = f"{self.begin:.4f}..{self.end:.4f}"
        named = f"{self.id} -> {self.new_id}" if self.new_id else self.id
        return f"{span} {self.by} {named} {self.kind} {self.value or ''} {self.outcome.value}{seen}"

    def _over(self, outcome: Outcome, by: str) -> None:
        self.end = time.monotonic()
        self.outcome, self.by = outcome, by


@dataclass
class History:
    """All operations of a run; any thread may add to it."""

    operations: list[Operation] = field(default_factory=list)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, session: str, kind: str, id: str = "") -> Operation:
        """Notes that a client asks; a login or write gets a value of its own. The first ID is named as the session."""
        value = f"{session}/{next(self._numbers)}" if kind in {"login", "write"} else None
        operation = Operation(session, id or session, kind, value, time.monotonic())
        with self._lock:
            self.operations.append(operation)
        return operation

    def has(self, kind: str, session: str) -> bool:
        """Whether anybody ever asked this of a session."""
        return any(op.kind == kind and op.session == session for op in list(self.operations))

    def count(self, *kinds: str, outcome: Outcome = Outcome.OK) -> int:
        """How many operations of these kinds, or of any, ended so."""
        return sum(op.outcome is outcome and (not kinds or op.kind in kinds) for op in list(self.operations))

    def violations(self) -> list[Violation]:
        """Everything that no honest store could have answered."""
        by_session = defaultdict(list)
        for operation in self.operations:
            by_session[operation.session].append(operation)
        return [found for session, operations in by_session.items() for found in _judge(session, operations)]

    def report(self, violations: list[Violation]) -> str:
        """The violations, and all that happened to their sessions, for a person."""
        lines = [f"{len(violations)} violations"]
        for session in dict.fromkeys(violation.session for violation in violations[:20]):
            lines += [f"{kind}: {detail}" for kind, name, detail in violations if name == session]
            lines += [f"    {operation}" for operation in self.operations if operation.session == session]
        return "\n".join(lines)


def _judge(session: str, operations: list[Operation]) -> Iterable[Violation]:
    for op in operations:
        for kind, detail in op.faults:
            yield Violation(kind, session, f"{op.kind} by {op.by} at {op.begin:.3f}: {detail}")
    for name in dict.fromkeys(op.id for op in operations):
        life = _Life(name, operations)
        for look in life.looks:
            if crime := life.crime(look):
                kind, detail = crime
                told = f"{look.kind} by {look.by} with {name} at {look.begin:.3f}..{look.end:.3f} saw {look.seen}"
                yield Violation(kind, session, told + detail)


class _Life:
    """One ID of a session.

    Args:
        id: its name.
        operations: all of the session.
    """

    def __init__(self, id: str, operations: list[Operation]) -> None:
        mine = [op for op in operations if op.id == id]
        effective = [op for op in mine if op.outcome is not Outcome.FAILED]
        self.looks = [op for op in mine if op.looked]
        self._values = {op.value: op for op in effective if op.kind in {"login", "write"}}
        self._values |= {op.seen: op for op in operations if op.new_id == id}
        self._foreign = {op.value for op in operations if op.id != id and op.value}
        self._ends = [op for op in effective if op.kind in {"logout", "regenerate"}]
        self._left = min((op.end for op in self._ends if op.new_id), default=float("inf"))
        over = [op for op in self._ends if op.kind == "logout" and op.outcome is Outcome.OK]
        over += [op for op in self.looks if op.seen is ENDED]
        self._over = min((op.end for op in over), default=float("inf"))

    def crime(self, look: Operation) -> tuple[str, str] | None:
        """What no honest store could have shown this look: the kind of `Violation`, and more about it."""
        if look.seen is ENDED:
            return None if any(end.begin < look.end for end in self._ends) else ("lost", "")
        if look.begin >= self._left:
            return "old ID", f", left since {self._left:.3f}"
        if look.begin >= self._over:
            return "revived", f", ended since {self._over:.3f}"
        origin = self._values.get(look.seen)
        if origin is None or origin.begin > look.end:
            return "old ID" if look.seen in self._foreign else "mixed up", ""
        newer = [op for op in self._values.values() if self._replaced(origin, op, look)]
        return ("rolled back", f", though {newer[-1].value} was answered before") if newer else None

    @staticmethod
    def _replaced(origin: Operation, by: Operation, look: Operation) -> bool:
        return by.outcome is Outcome.OK and by.begin >= origin.end and by.end <= look.begin
