"""The replies of several nodes to one read, and what follows. Pure: the rules for reading from replicas.

memcached nodes do not know each other, forget without notice, and may come back with old data. So no single reply is
final: a tombstone beats any record, a plain tombstone beats one with a note, a record beats those that it was made
from, a copy that does not open is no answer, and "there is nothing" is believed only of nodes that would know.

Two records of which neither was made from the other are there while a write is under way: one web node writes to the
first owner, and another one, which cannot reach it, to those behind. Then of the owners' copies the one that is later
in the ring's order wins, or what was made from it: a write is acknowledged only when it has passed that owner, so what
stands earlier is not acknowledged yet. Its writer finds out, and merges.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sharedsession.backends.base import Ended, Judge, Stored, Version
from sharedsession.backends.tombstone import has_note
from sharedsession.backends.wire.protocol import made


class NoAnswer(NamedTuple):
    """A node that gave no answer."""


NO_ANSWER = NoAnswer()


class Changed(NamedTuple):
    """A node that has changed after it answered; what it holds now is not known."""


CHANGED = Changed()
NodeReply = Stored | Ended | NoAnswer | Changed | None


NO_NODES: frozenset[int] = frozenset()


class Tokens(NamedTuple):
    """The ring's version of a record: what each node that was asked holds.

    Attributes:
        by_node: the node's own version; ``None`` where the node has no copy.
        changed: the nodes that have changed since.
    """

    by_node: dict[int, Version | None]
    changed: frozenset[int] = NO_NODES

    def cover(self, first: int, second: int) -> bool:
        """Returns whether both nodes held a copy, and no node has changed since."""
        held = self.by_node
        return not self.changed and held.get(first) is not None and held.get(second) is not None

    def without(self, node: int) -> "Tokens":
        """Returns the same for a change that first reads what a node holds, since it is no longer what it was."""
        return Tokens({other: token for other, token in self.by_node.items() if other != node}, self.changed)


class ReadResult:
    """The replies to one read, by node.

    Args:
        order: the nodes in the order in which the key prefers them.
        owners: how many of them, from the first, own the key.
        judge: knows what is inside of the copies.

    Attributes:
        judge: as given.
        replies: the reply of each node that was asked.
    """

    __slots__ = ("_genuine", "_order", "_owners", "judge", "replies")

    def __init__(self, order: Sequence[int], owners: int, judge: Judge) -> None:
        self._order = order
        self._owners = owners
        self.judge = judge
        self._genuine: dict[bytes, bool] = {}
        self.replies: dict[int, NodeReply] = {}

    def add(self, nodes: Iterable[int], replies: Iterable[NodeReply]) -> None:
        """Takes replies, in the order of the nodes."""
        self.replies.update(zip(nodes, replies, strict=True))

    def add_repairs(
        self, nodes: Sequence[int], versions: "Sequence[Version | NoAnswer | None]", copy: Stored, ttl: float
    ) -> int:
        """Takes what nodes answered that were given a copy, with its time to live. Returns how many have it now."""
        taken = 0
        for node, version in zip(nodes, versions, strict=True):
            if version is None or isinstance(version, NoAnswer):
                self.replies[node] = CHANGED if version is None else NO_ANSWER
            else:
                self.replies[node] = Stored(copy.value, version, ttl)
                taken += 1
        return taken

    @property
    def tombstone(self) -> Ended | None:
        """A tombstone, if any node has one: of several a plain one, which is final."""
        found = [reply for reply in self.replies.values() if isinstance(reply, Ended)]
        return min(found, key=lambda ended: has_note(ended.note), default=None)

    @property
    def best(self) -> Stored | None:
        """The newest copy that opens: of those that no other one was made from, what the last owner's copy became."""
        return self._newest_of(self._opening(self._order), self._opening(self._order[: self._owners]))

    @property
    def damaged(self) -> Stored | None:
        """A copy that does not open."""
        return next((copy for copy in self._live(self._order) if not self.is_genuine(copy)), None)

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

    def outdated(self, best: Stored) -> list[int]:
        """Returns the nodes whose copy the best one takes the place of: any other one."""
        return [node for node, reply in self.replies.items() if isinstance(reply, Stored) and reply.value != best.value]

    def copies(self, best: Stored) -> int:
        """Returns how many nodes hold the best copy."""
        return sum(isinstance(reply, Stored) and reply.value == best.value for reply in self.replies.values())

    def has_changed(self, nodes: Iterable[int]) -> bool:
        """Returns whether another request has changed what one of these nodes held before it could be repaired."""
        return any(isinstance(self.replies.get(node), Changed) for node in nodes)

    def tokens(self) -> Tokens:
        """Returns the ring's version: a write is conditional on what each node held."""
        return Tokens(
            {
                node: reply.version if isinstance(reply, Stored) else None
                for node, reply in self.replies.items()
                if not isinstance(reply, NoAnswer | Changed)
            },
            frozenset([node for node, reply in self.replies.items() if isinstance(reply, Changed)]),
        )

    def is_genuine(self, copy: Stored) -> bool:
        """Returns whether a copy opens."""
        if copy.value not in self._genuine:
            self._genuine[copy.value] = self.judge.is_genuine(copy.value)
        return self._genuine[copy.value]

    def _newest_of(self, genuine: list[Stored], owned: list[Stored]) -> Stored | None:
        newest = [copy for copy in genuine if not any(self._is_behind(copy, other) for other in genuine)] or genuine
        last = owned[-1] if owned else None
        made = [copy for copy in newest if last and (copy.value == last.value or self._is_behind(last, copy))] or newest
        # What only another node has may never have been acknowledged.
        found = [copy for copy in made if copy in owned] or made
        return found[-1] if found else None

    def _opening(self, nodes: Sequence[int]) -> list[Stored]:
        """Returns the copies of some nodes that open, in the ring's order."""
        return [copy for copy in self._live(nodes) if self.is_genuine(copy)]

    def _is_behind(self, copy: Stored, other: Stored) -> bool:
        """Returns whether the other copy was made from this one."""
        return copy.value != other.value and self.judge.replaces(other.value, copy.value)

    def _live(self, nodes: Sequence[int]) -> list[Stored]:
        """Returns the copies of some nodes, in the ring's order."""
        replies = [self.replies.get(node) for node in nodes]
        return [reply for reply in replies if isinstance(reply, Stored)]


def agreed_copy(order: Sequence[int], found: Sequence[object]) -> Stored | None:
    """Returns the record with its `Tokens` if all owners hold the same one: what `ReadResult` would come to.

    Args:
        order: the nodes in the order in which the key prefers them.
        found: what the first of them hold, its owners.
    """
    first = found[0]
    if type(first) is not Stored:
        return None
    value, _, ttl, _ = first
    versions: dict[int, Version | None] = {}
    for node, copy in zip(order, found, strict=False):
        if type(copy) is not Stored or copy.value != value:
            return None
        versions[node] = copy.version
    return made(Stored, (value, made(Tokens, (versions, NO_NODES)), ttl, True))


def agreed_copies(
    order: Sequence[int], found: Sequence[Sequence[object] | Exception], count: int
) -> list[Stored] | None:
    """Same as `agreed_copy` for several records that live on the same nodes; ``None`` unless there are all of them.

    Args:
        order: the nodes in the order in which the keys prefer them.
        found: what the first of them hold, by node; an error where one did not answer.
        count: of the records.
    """
    if not found or any(isinstance(each, Exception) for each in found):
        return None
    copies = []
    for at in range(count):
        copy = agreed_copy(order, [each[at] for each in found])  # type: ignore[index]  # none of them is an error
        if copy is None:
            return None
        copies.append(copy)
    return copies


class _NoJudge:
    """Judges copies whose inside is not known: each opens, and none was made from another."""

    def is_genuine(self, _value: bytes) -> bool:
        return True

    def includes(self, value: bytes, other: bytes) -> bool:
        return value == other

    def replaces(self, value: bytes, other: bytes) -> bool:
        return value == other


NO_JUDGE = _NoJudge()
