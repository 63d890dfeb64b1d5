"""The replies of several nodes to one read, and what follows. Pure: the rules for reading from replicas.

memcached nodes do not know each other, forget without notice, and may come back with old data. So no single reply is
final: a tombstone beats any record, a newer record beats an older one, a copy that does not open is no answer, and
"there is nothing" is believed only of nodes that would know.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sharedsession.backends.base import Ended, Revision, Stored, Version


class NoAnswer(NamedTuple):
    """A node that gave no answer."""


NO_ANSWER = NoAnswer()
NodeReply = Stored | Ended | NoAnswer | None


class Tokens(NamedTuple):
    """The ring's version of a record: what each node that was asked holds.

    Attributes:
        by_node: the node's own version; ``None`` where the node has no copy.
    """

    by_node: dict[int, Version | None]


class ReadResult:
    """The replies to one read, by node.

    Args:
        revision: opens a copy and returns its number; ``None`` if it is not genuine.

    Attributes:
        replies: the reply of each node that was asked.
    """

    __slots__ = ("_revision", "_revisions", "replies")

    def __init__(self, revision: Revision) -> None:
        self._revision = revision
        self._revisions: dict[bytes, int | None] = {}
        self.replies: dict[int, NodeReply] = {}

    def add(self, nodes: Iterable[int], replies: Iterable[NodeReply]) -> None:
        """Takes replies, in the order of the nodes."""
        self.replies.update(zip(nodes, replies, strict=True))

    @property
    def tombstone(self) -> Ended | None:
        """A tombstone, if any node has one; of several, one with a note."""
        found = [reply for reply in self.replies.values() if isinstance(reply, Ended)]
        return max(found, key=lambda ended: len(ended.note), default=None)

    @property
    def best(self) -> Stored | None:
        """The newest copy that opens; of two of the same number, always the same one."""
        return max(self._genuine(), key=self._rank, default=None)

    @property
    def siblings(self) -> tuple[bytes, ...]:
        """Other records of the newest number, made by writers that could not see each other."""
        best = self.best
        if best is None:
            return ()
        newest = self.number(best)
        others = {copy.value for copy in self._genuine() if self.number(copy) == newest and copy.value != best.value}
        return tuple(sorted(others))

    @property
    def damaged(self) -> Stored | None:
        """A copy that does not open."""
        return next((copy for copy in self._live() if self.number(copy) is None), None)

    def agreed(self, owners: Sequence[int]) -> Stored | None:
        """Returns the record if all owners hold the same one; then no other node is asked. It is not opened."""
        first = self.replies.get(owners[0])
        if not isinstance(first, Stored):
            return None
        for node in owners:
            reply = self.replies.get(node)
            if not isinstance(reply, Stored) or reply.value != first.value:
                return None
        return first

    def silent(self) -> list[int]:
        """Returns the nodes that gave no answer."""
        return [node for node, reply in self.replies.items() if isinstance(reply, NoAnswer)]

    def missing(self) -> list[int]:
        """Returns the nodes that hold nothing."""
        return [node for node, reply in self.replies.items() if reply is None]

    def holding(self) -> list[int]:
        """Returns the nodes that hold any copy."""
        return [node for node, reply in self.replies.items() if isinstance(reply, Stored)]

    def outdated(self) -> list[int]:
        """Returns the nodes whose copy is older than the best one, or does not open."""
        best = self.best
        newest = self.number(best) if best else None
        return [
            node
            for node, reply in self.replies.items()
            if isinstance(reply, Stored) and newest is not None and self._age_of(reply) < newest
        ]

    def tokens(self) -> Tokens:
        """Returns the ring's version: a write is conditional on what each node held."""
        return Tokens(
            {
                node: reply.version if isinstance(reply, Stored) else None
                for node, reply in self.replies.items()
                if not isinstance(reply, NoAnswer)
            }
        )

    def number(self, copy: Stored) -> int | None:
        """Returns the authentic number of a copy; ``None`` if it is not genuine."""
        if copy.value not in self._revisions:
            self._revisions[copy.value] = self._revision(copy.value)
        return self._revisions[copy.value]

    def _age_of(self, copy: Stored) -> int:
        number = self.number(copy)
        return -1 if number is None else number

    def _live(self) -> list[Stored]:
        return [reply for reply in self.replies.values() if isinstance(reply, Stored)]

    def _genuine(self) -> list[Stored]:
        return [copy for copy in self._live() if self.number(copy) is not None]

    def _rank(self, copy: Stored) -> tuple[int, bytes]:
        return self.number(copy) or 0, copy.value
