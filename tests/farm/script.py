"""Histories written by hand, to be judged: the operations of one session."""

from tests.support.history import History, Operation, Outcome

NEVER = float("inf")


class Script:
    """Operations of one session, each with times of its own."""

    def __init__(self) -> None:
        self.history = History()

    def add(
        self, kind: str, begin: float, end: float, outcome: Outcome = Outcome.OK, value: str = "", id: str = "s"
    ) -> Operation:
        operation = Operation("s", id, kind, value or None, begin, end, outcome)
        self.history.operations.append(operation)
        return operation

    def read(self, begin: float, end: float, seen: str | None, id: str = "s") -> None:
        self.add("read", begin, end, id=id).saw(seen)

    def regenerate(self, begin: float, end: float, seen: str, id: str = "s") -> None:
        """It was answered, and gave the ID with one more prime."""
        operation = self.add("regenerate", begin, end, id=id)
        operation.saw(seen)
        operation.new_id = f"{id}'"

    @property
    def verdict(self) -> list[str]:
        return [violation.kind for violation in self.history.violations()]
