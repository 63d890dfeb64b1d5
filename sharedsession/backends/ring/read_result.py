"""What several nodes said of one key, and what follows from it. Pure: the rules for reading from replicas.

memcached nodes do not know each other, forget without notice, and may come back with old data. So no single answer is
final: a tombstone beats any record, a newer record beats an older one, a copy that does not open is no answer, and
"there is nothing" is believed only of nodes that would know.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from sharedsession.backends.base import Ended, Stored, Version

Revision = Callable[[bytes], int | None]
"""The authentic version number inside a sealed record, or ``None`` if it does not open."""


class NoAnswer(NamedTuple):
    """A node that gave no answer."""


NO_ANSWER = NoAnswer()
NodeReply = Stored | Ended | NoAnswer | None


class Tokens(NamedTuple):
    """The ring's version of a record: what each node that was asked holds.

    Attributes:
        by_node: the node's own version, or ``None`` where the node has no copy.
    """

    by_node: dict[int, Version | None]


class ReadResult:
    """The answers to one read, node by node.

    Args:
        revision: opens a copy and tells its number.
    """

    __slots__ = ("_revision", "_revisions", "said")

    def __init__(self, revision: Revision) -> None:
        self._revision = revision
        self._revisions: dict[bytes, int | None] = {}
        self.said: dict[int, NodeReply] = {}

    def add(self, nodes: Iterable[int], answers: Iterable[NodeReply]) -> None:
        """Takes answers in the order of the nodes."""
        self.said.update(zip(nodes, answers, strict=True))

    @property
    def tombstone(self) -> Ended | None:
        """What a tombstone says, if any node has one; one with a note is the better witness."""
        found = [said for said in self.said.values() if isinstance(said, Ended)]
        return max(found, key=lambda ended: len(ended.note), default=None)

    @property
    def best(self) -> Stored | None:
        """The newest copy that opens; of two of the same number, always the same one."""
        return max(self._genuine(), key=self._rank, default=None)

    @property
    def siblings(self) -> tuple[bytes, ...]:
        """Other records of the newest number: two writers who could not see each other both made one."""
        best = self.best
        if best is None:
            return ()
        newest = self.number(best)
        others = {copy.value for copy in self._genuine() if self.number(copy) == newest and copy.value != best.value}
        return tuple(sorted(others))

    @property
    def damaged(self) -> Stored | None:
        """A copy that does not open."""
        return next((said for said in self._live() if self.number(said) is None), None)

    def agreed(self, owners: Sequence[int]) -> Stored | None:
        """The record, if all owners gave the same one, so that nobody else needs to be asked; it is not opened."""
        first = self.said.get(owners[0])
        if not isinstance(first, Stored):
            return None
        for node in owners:
            said = self.said.get(node)
            if not isinstance(said, Stored) or said.value != first.value:
                return None
        return first

    def has_silence(self) -> bool:
        """Whether a node gave no answer."""
        return any(isinstance(said, NoAnswer) for said in self.said.values())

    def silent(self) -> int:
        """How many nodes gave no answer."""
        return len(self.silent_nodes())

    def silent_nodes(self) -> list[int]:
        """The nodes that gave no answer."""
        return [node for node, said in self.said.items() if isinstance(said, NoAnswer)]

    def missing(self) -> list[int]:
        """The nodes that hold nothing."""
        return [node for node, said in self.said.items() if said is None]

    def holding(self) -> list[int]:
        """The nodes that hold any copy."""
        return [node for node, said in self.said.items() if isinstance(said, Stored)]

    def outdated(self) -> list[int]:
        """The nodes whose copy is older than the best, or does not open."""
        best = self.best
        newest = self.number(best) if best else None
        return [
            node
            for node, said in self.said.items()
            if isinstance(said, Stored) and newest is not None and self._age_of(said) < newest
        ]

    def tokens(self) -> Tokens:
        """The version: a write is conditional on what each node held."""
        return Tokens(
            {
                node: said.version if isinstance(said, Stored) else None
                for node, said in self.said.items()
                if not isinstance(said, NoAnswer)
            }
        )

    def number(self, copy: Stored) -> int | None:
        """The authentic number of a copy."""
        if copy.value not in self._revisions:
            self._revisions[copy.value] = self._revision(copy.value)
        return self._revisions[copy.value]

    def _age_of(self, copy: Stored) -> int:
        number = self.number(copy)
        return -1 if number is None else number

    def _live(self) -> list[Stored]:
        return [said for said in self.said.values() if isinstance(said, Stored)]

    def _genuine(self) -> list[Stored]:
        return [said for said in self._live() if self.number(said) is not None]

    def _rank(self, copy: Stored) -> tuple[int, bytes]:
        return self.number(copy) or 0, copy.value
