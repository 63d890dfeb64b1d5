"""The verbs of a ring that end records: on every node that a key could be looked for on."""

from collections.abc import Sequence

from sharedsession.backends.base import Version
from sharedsession.backends.ring.nodes import RingNodes
from sharedsession.backends.ring.read_result import Tokens
from sharedsession.backends.ring.replicated_end import ReplicatedEnd, note_among, were_alive
from sharedsession.backends.wire.deadline import Deadline
from sharedsession.errors import BackendUnavailable


class RingEnds(RingNodes):
    """The ends of records over a ring of nodes."""

    async def end(self, key: str, ttl: float, timeout: float) -> bytes:
        """Same as `Backend.end`: a tombstone on every node that the key could be looked for on."""
        held = await self._replicated_end(self._place(key).order, [key], ttl, timeout).end()
        return note_among([before[0] for before in held])

    async def end_many(self, keys: Sequence[str], ttl: float, timeout: float) -> list[bool]:
        """Same as `BatchingBackend.end_many`. Keys that live on the same nodes are ended together.

        Raises:
            BackendUnavailable: some end was not confirmed; the others were carried out all the same.
        """
        by_order: dict[tuple[int, ...], list[str]] = {}
        for key in keys:
            by_order.setdefault(self._place(key).order, []).append(key)
        ends = [self._end_together(order, group, ttl, timeout) for order, group in by_order.items()]
        alive: dict[str, bool] = {}
        failure: BackendUnavailable | None = None
        for group, ended in zip(by_order.values(), await self._gather(ends), strict=True):
            if isinstance(ended, BackendUnavailable):
                failure = ended
            else:
                alive.update(zip(group, ended, strict=True))
        if failure is not None:
            raise failure
        return [alive[key] for key in keys]

    async def _end_together(
        self, order: Sequence[int], keys: Sequence[str], ttl: float, timeout: float
    ) -> list[bool] | BackendUnavailable:
        try:
            return were_alive(await self._replicated_end(order, keys, ttl, timeout).end(), len(keys))
        except BackendUnavailable as error:
            return error

    async def supersede(
        self, key: str, ttl: float, timeout: float, version: Version, note: bytes = b"", note_ttl: float = 0.0
    ) -> bool:
        """Same as `Backend.supersede`."""
        assert isinstance(version, Tokens)  # noqa: S101
        end = self._replicated_end(self._place(key).order, [key], ttl, timeout)
        return await end.supersede(note, note_ttl, version.by_node)

    def _replicated_end(self, order: Sequence[int], keys: Sequence[str], ttl: float, timeout: float) -> ReplicatedEnd:
        nodes = {node: self._nodes[node] for node in order}
        deadline = Deadline(self._monotonic, timeout, self._monotonic() + 2 * timeout)
        return ReplicatedEnd(
            nodes, self._replicas, keys, ttl, self._environment.clock(), deadline, self._gather, self._observer
        )
