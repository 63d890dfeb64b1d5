"""One end of a record on its way to every node of a ring: a tombstone now, or as soon as a node can be asked again.

A record that another one takes the place of is ended as well, but not if a logout was first: then its tombstone stays,
on whichever node it is found, and the caller is told.
"""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType

from sharedsession.backends.base import Ended, Version
from sharedsession.backends.ring.node import Gather, RingNode
from sharedsession.backends.ring.read_result import ReadResult, Tokens
from sharedsession.backends.ring.replicated_write import get_copy
from sharedsession.backends.ring.tombstone import has_note
from sharedsession.errors import BackendUnavailable
from sharedsession.observe import Observer

_NO_VERSIONS: Mapping[int, Version | None] = MappingProxyType({})


class ReplicatedEnd:
    """One end.

    Args:
        members: the nodes, in the order of the key.
        key: of the record.
        tombstone: the tombstone.
        ttl: for how long it matters, in seconds.
        timeout: seconds to wait for one step; all of them take twice that at most.
        gather: of the colour of the members.
        observer: told of nodes that hear of it later.
    """

    def __init__(
        self,
        members: Mapping[int, RingNode],
        key: str,
        tombstone: bytes,
        ttl: float,
        timeout: float,
        gather: Gather,
        observer: Observer,
    ) -> None:
        self._members = members
        self._key = key
        self._tombstone = tombstone
        self._ttl = ttl
        self._within = timeout
        self._deadline = time.monotonic() + 2 * timeout
        self._gather = gather
        self._observer = observer
        self._heard: dict[int, bool] = {}

    async def carry_out(self, unless_ended: Tokens | None = None) -> bool:
        """Leaves a tombstone on every node.

        Args:
            unless_ended: what each node held when the record was read; if given, a logout since then is believed.

        Returns:
            Whether it was done; ``False`` if a logout was first.

        Raises:
            BackendUnavailable: no node has confirmed it.
        """
        askable = [node for node, member in self._members.items() if member.is_askable()]
        known = unless_ended.by_node if unless_ended else _NO_VERSIONS
        await self._write_tombstones(askable, self._within, known)
        refusing = [node for node in askable if not self._heard[node] and known.get(node) is not None]
        if refusing and not await self._overcame(refusing):
            return False
        # Where nobody hears, an answer at once is of more use than another try at nodes that are left alone.
        left_alone = [node for node in self._members if node not in self._heard]
        await self._write_tombstones(left_alone, self._left() if any(self._heard.values()) else 0.0)
        self._conclude()
        return True

    async def _overcame(self, refusing: Sequence[int]) -> bool:
        """Looks at the nodes whose copy is another than was read; ``False`` if one tells of a logout."""
        result = ReadResult(lambda _value: 0)
        verb = partial(get_copy, self._key, None, self._left())
        result.add(refusing, await self._gather([self._members[node].ask(verb, self._left()) for node in refusing]))
        ended = {node: said for node, said in result.said.items() if isinstance(said, Ended)}
        if not all(has_note(said.note) for said in ended.values()):
            return False
        await self._write_tombstones([*result.missing(), *result.holding()], self._left())
        await self._write_tombstones(result.silent_nodes(), 0.0)
        self._heard |= dict.fromkeys(ended, True)
        return True

    async def _write_tombstones(
        self, nodes: Sequence[int], timeout: float, versions: Mapping[int, Version | None] = _NO_VERSIONS
    ) -> None:
        buries = [
            self._members[node].write_tombstone(self._key, self._tombstone, self._ttl, timeout, versions.get(node)) for node in nodes
        ]
        self._heard |= zip(nodes, await self._gather(buries), strict=True)

    def _conclude(self) -> None:
        if not any(self._heard.values()):
            raise BackendUnavailable("no node of the ring confirmed the end of the session")
        if not all(self._heard.values()):
            self._observer.count("tombstones_waiting")

    def _left(self) -> float:
        """The seconds of one more step; 0 when there are none, and nodes hear of it later."""
        return max(0.0, min(self._within, self._deadline - time.monotonic()))
