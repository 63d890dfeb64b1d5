"""The end of records on every node of a ring: a tombstone now, or as soon as a node can be asked again.

An end is confirmed when an owner has it, and every node that answers: a reader asks the owners first, so the two meet.
An owner that is skipped is asked all the same. What is not confirmed is kept as hints, and reported.

A record that another one supersedes is ended as well, but not if a logout came first: then every node is left with the
plain tombstone of a logout, and the caller is told.
"""

from collections.abc import Mapping, Sequence

from sharedsession.backends.base import Ended, Stored, Version
from sharedsession.backends.ring.node import RingNode
from sharedsession.backends.ring.read_result import NoAnswer
from sharedsession.backends.tombstone import KeyState, Tombstone, has_note, note_on
from sharedsession.backends.wire.deadline import Deadline
from sharedsession.concurrency import Gather
from sharedsession.errors import BackendUnavailable
from sharedsession.observe import Observer


class ReplicatedEnd:
    """The end of records that live on the same nodes.

    Args:
        nodes: the nodes of the keys, in their order.
        owners: how many of them, from the first, own the keys.
        keys: the store keys.
        ttl: seconds for which tombstones are kept.
        now: seconds since the epoch.
        deadline: of all steps.
        gather: of the nodes' colour.
        observer: counts ends that some node missed.
    """

    def __init__(
        self,
        nodes: Mapping[int, RingNode],
        owners: int,
        keys: Sequence[str],
        ttl: float,
        now: float,
        deadline: Deadline,
        gather: Gather,
        observer: Observer,
    ) -> None:
        self._nodes = nodes
        self._owners = list(nodes)[:owners]
        self._keys = keys
        self._ttl = ttl
        self._now = now
        self._deadline = deadline
        self._gather = gather
        self._observer = observer

    async def end(self) -> list[list[Stored | Ended | None]]:
        """Leaves a plain tombstone under each key on every node.

        Returns:
            For each node that has confirmed, what each key held.

        Raises:
            BackendUnavailable: no owner has confirmed.
        """
        first = [index for index, node in self._nodes.items() if index in self._owners or node.is_askable()]
        held = await self._write_tombstones(first, self._deadline.step)
        # If no owner has confirmed, failing at once is of more use than trying the others that are skipped.
        rest = [index for index in self._nodes if index not in first]
        held |= await self._write_tombstones(rest, self._deadline.left() if self._is_confirmed(held) else 0.0)
        self._report([index for index, before in held.items() if isinstance(before, NoAnswer)])
        if not self._is_confirmed(held):
            raise BackendUnavailable("no node that owns the session has confirmed its end")
        return [before for before in held.values() if not isinstance(before, NoAnswer)]

    async def supersede(self, note: bytes, note_ttl: float, versions: Mapping[int, Version | None]) -> bool:
        """Leaves a tombstone with a note on every node, unless a logout came first.

        Args:
            note: for readers.
            note_ttl: seconds for which it is shown.
            versions: what each node held when the record was read.

        Returns:
            ``False`` if a logout came first, or no node has the record any more.

        Raises:
            BackendUnavailable: no owner has confirmed.
        """
        (key,) = self._keys
        tombstone = Tombstone(self._ttl, note, note_ttl).encode(self._now)
        steps = [
            node.supersede(
                key,
                tombstone,
                self._ttl,
                self._deadline.step if index in self._owners or node.is_askable() else 0.0,
                versions.get(index),
            )
            for index, node in self._nodes.items()
        ]
        held = dict(zip(self._nodes, await self._gather(steps), strict=True))
        if KeyState.PLAIN in held.values() or not {KeyState.LIVE, KeyState.NOTE} & set(held.values()):
            if not self._is_confirmed(held):
                raise BackendUnavailable("no node that owns the session answers")
            await self._write_tombstones(list(self._nodes), self._deadline.left())
            return False
        self._report([index for index, before in held.items() if isinstance(before, NoAnswer)])
        if not self._is_confirmed(held):
            raise BackendUnavailable("no node that owns the session has confirmed its end")
        return True

    async def _write_tombstones(
        self, nodes: Sequence[int], timeout: float
    ) -> "dict[int, list[Stored | Ended | None] | NoAnswer]":
        tombstone = Tombstone(self._ttl).encode(self._now)
        steps = [self._nodes[node].write_tombstones(self._keys, tombstone, self._ttl, timeout) for node in nodes]
        return dict(zip(nodes, await self._gather(steps), strict=True))

    def _is_confirmed(self, held: Mapping[int, object]) -> bool:
        return any(not isinstance(held.get(owner), NoAnswer | None) for owner in self._owners)

    def _report(self, missing: Sequence[int]) -> None:
        if missing:
            self._observer.count("tombstones_waiting")


def note_among(held: Sequence[Stored | Ended | None]) -> bytes:
    """Returns the note that a record had before its end, if it was superseded and not ended for good."""
    ended = [before for before in held if isinstance(before, Ended)]
    if not all(has_note(before.note) for before in ended):
        return b""
    return next((note for before in ended if (note := note_on(before.note, before.ttl))), b"")


def were_alive(held: Sequence[Sequence[Stored | Ended | None]], keys: int) -> list[bool]:
    """Returns which of so many keys held a live record on any node, and no tombstone."""
    return [
        any(isinstance(node[at], Stored) for node in held) and not any(isinstance(node[at], Ended) for node in held)
        for at in range(keys)
    ]
