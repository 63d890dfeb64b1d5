"""What clients of a farm did and saw, and whether any store could honestly have answered so.

A session is judged by what its own clients know, on one clock: each operation has a begin, an end and an outcome.
``OK`` was answered, ``FAILED`` had no effect, ``UNKNOWN`` (503, an exception) may have had one or not. Every value is
written once, and tells whose it is. The rules:

- ``lost``: a session is seen as ended, and nobody had begun to log out.
- ``revived``: a session is seen alive after its logout was answered, or after it was seen ended.
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
        kind: ``login``, ``write``, ``read`` or ``logout``.
        value: what a login or write stores.
        begin: when the client asked.
        end: when it had its answer.
        outcome: see `Outcome`.
        seen: the value a read saw, or a write found; `ENDED` if there was no session.
        looked: whether ``seen`` says anything.
        by: who answered.
        faults: what else was wrong with the answer: the kind of `Violation`, and the detail.
    """

    session: str
    kind: str
    value: str | None
    begin: float
    end: float = float("inf")
    outcome: Outcome = Outcome.UNKNOWN
    seen: str | None = ENDED
    looked: bool = False
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
        return f"{span} {self.by} {self.kind} {self.value or ''} {self.outcome.value}{seen}"

    def _over(self, outcome: Outcome, by: str) -> None:
        self.end = time.monotonic()
        self.outcome, self.by = outcome, by


@dataclass
class History:
    """All operations of a run; any thread may add to it."""

    operations: list[Operation] = field(default_factory=list)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, session: str, kind: str) -> Operation:
        """Notes that a client asks; a login or write gets a value of its own."""
        value = f"{session}/{next(self._numbers)}" if kind in {"login", "write"} else None
        operation = Operation(session, kind, value, time.monotonic())
        with self._lock:
            self.operations.append(operation)
        return operation

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
    writes = {op.value: op for op in operations if op.kind in {"login", "write"} and op.outcome is not Outcome.FAILED}
    logouts = [op for op in operations if op.kind == "logout" and op.outcome is not Outcome.FAILED]
    looks = [op for op in operations if op.looked]
    for op in operations:
        for kind, detail in op.faults:
            yield Violation(kind, session, f"{op.kind} by {op.by} at {op.begin:.3f}: {detail}")
    for look in looks:
        told = f"{look.kind} by {look.by} at {look.begin:.3f}..{look.end:.3f} saw {look.seen}"
        if look.seen is ENDED:
            if not any(logout.begin < look.end for logout in logouts):
                yield Violation("lost", session, told)
            continue
        ended = [op for op in logouts if op.outcome is Outcome.OK] + [op for op in looks if op.seen is ENDED]
        since = min((op.end for op in ended), default=float("inf"))
        if look.begin >= since:
            yield Violation("revived", session, f"{told}, ended since {since:.3f}")
        origin = writes.get(look.seen)
        if origin is None or origin.begin > look.end:
            yield Violation("mixed up", session, told)
            continue
        newer = [
            op for op in writes.values() if op.outcome is Outcome.OK and op.begin >= origin.end and op.end <= look.begin
        ]
        if newer:
            yield Violation("rolled back", session, f"{told}, though {newer[-1].value} was answered before")
