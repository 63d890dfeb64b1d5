"""The end of a record on every node of a ring: a tombstone now, or as soon as a node can be asked again.

A record that another one supersedes is ended as well, but not if a logout came first: then the tombstone of the logout
stays, on whichever node it is found, and the caller is told.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType

from sharedsession.backends.base import Ended, Version
from sharedsession.backends.ring.node import RingNode
from sharedsession.backends.ring.read_result import ReadResult, Tokens
from sharedsession.backends.ring.replicated_write import get_copy
from sharedsession.backends.ring.tombstone import has_note
from sharedsession.backends.wire.deadline import Deadline
from sharedsession.concurrency import Gather
from sharedsession.errors import BackendUnavailable
from sharedsession.observe import Observer

_NO_VERSIONS: Mapping[int, Version | None] = MappingProxyType({})


class ReplicatedEnd:
    """The end of one record.

    Args:
        nodes: the nodes of the key, in its order.
        key: the store key.
        tombstone: its bytes.
        ttl: seconds for which the tombstone is kept.
        deadline: of all steps.
        gather: of the nodes' colour.
        observer: counts ends that some node missed.
    """

    def __init__(
        self,
        nodes: Mapping[int, RingNode],
        key: str,
        tombstone: bytes,
        ttl: float,
        deadline: Deadline,
        gather: Gather,
        observer: Observer,
    ) -> None:
        self._nodes = nodes
        self._key = key
        self._tombstone = tombstone
        self._ttl = ttl
        self._deadline = deadline
        self._gather = gather
        self._observer = observer
        self._confirmed: dict[int, bool] = {}

    async def carry_out(self, unless_ended: Tokens | None = None) -> bool:
        """Writes a tombstone to every node.

        Args:
            unless_ended: what each node held when the record was read. If given, a logout since then is respected.

        Returns:
            ``False`` if a logout came first.

        Raises:
            BackendUnavailable: no node has confirmed it.
        """
        askable = [index for index, node in self._nodes.items() if node.is_askable()]
        known = unless_ended.by_node if unless_ended else _NO_VERSIONS
        await self._write_tombstones(askable, self._deadline.step, known)
        refusing = [node for node in askable if not self._confirmed[node] and known.get(node) is not None]
        if refusing and not await self._overcome(refusing):
            return False
        # If no node has confirmed, failing at once is of more use than trying the nodes that are skipped.
        skipped = [node for node in self._nodes if node not in self._confirmed]
        await self._write_tombstones(skipped, self._deadline.left() if any(self._confirmed.values()) else 0.0)
        self._conclude()
        return True

    async def _overcome(self, refusing: Sequence[int]) -> bool:
        """Ends the copies of nodes that hold another version than was read; ``False`` if one has a logout."""
        result = ReadResult(lambda _value: 0)
        timeout = self._deadline.left()
        read = partial(get_copy, self._key, None, timeout)
        result.add(refusing, await self._gather([self._nodes[node].ask(read, timeout) for node in refusing]))
        ended = {node: reply for node, reply in result.replies.items() if isinstance(reply, Ended)}
        if not all(has_note(reply.note) for reply in ended.values()):
            return False
        await self._write_tombstones([*result.missing(), *result.holding()], self._deadline.left())
        await self._write_tombstones(result.silent(), 0.0)
        self._confirmed |= dict.fromkeys(ended, True)
        return True

    async def _write_tombstones(
        self, nodes: Sequence[int], timeout: float, versions: Mapping[int, Version | None] = _NO_VERSIONS
    ) -> None:
        writes = [
            self._nodes[node].write_tombstone(self._key, self._tombstone, self._ttl, timeout, versions.get(node))
            for node in nodes
        ]
        self._confirmed |= zip(nodes, await self._gather(writes), strict=True)

    def _conclude(self) -> None:
        if not any(self._confirmed.values()):
            raise BackendUnavailable("no node of the ring confirmed the end of the session")
        if not all(self._confirmed.values()):
            self._observer.count("tombstones_waiting")
