"""Defects by name, each a patch of the real code. Each must be found, in a case that says which rule it takes away.

One that is not found would show that the cases, the faults or the properties lack something.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from sharedsession.backends.base import Stored
from sharedsession.backends.memcached import protocol as meta
from sharedsession.backends.memcached.node import MemcachedStore
from sharedsession.backends.ring import store as ring_store
from sharedsession.backends.ring.nodes import RingNodes
from sharedsession.backends.ring.read_result import ReadResult, Tokens
from sharedsession.backends.ring.replicated_end import ReplicatedEnd
from sharedsession.backends.ring.replicated_write import ReplicatedWrite
from sharedsession.backends.ring.store import RingStore
from sharedsession.backends.wire.deadline import Deadline
from sharedsession.engine.commit import Committer
from sharedsession.engine.lock import Lock, LockStore
from sharedsession.engine.stamps import Stamps
from sharedsession.errors import BackendUnavailable
from sharedsession.records import Record, Stamp
from tests.model import scenarios as play
from tests.model.case import Bounds, Case
from tests.support.planting import (
    Patch,
    acknowledges_one_copy,
    adds_blindly,
    always,
    always_later,
    believes_the_first,
    ends_at_owners_only,
    forgets_lost_answers,
    forgets_the_flag,
    includes_everything,
    is_never_locked,
    leaves_the_stamp,
    lets_it_shrink,
    replaces_blindly,
    takes_any_copy,
)


class Defect(NamedTuple):
    """A defect, and the case that finds it.

    Attributes:
        patches: that make it.
        case: makes the case.
    """

    patches: tuple[Patch, ...]
    case: Callable[[], Case]


def _tokens_of_any_connection(real: Any) -> Any:
    def write(self: Any, data: bytes, key: str, opaque: int, _serial: int | None, *others: Any) -> Any:
        return real(self, data, key, opaque, None, *others)

    return write


def _repairs_blindly(_real: Any) -> Any:
    async def repair(self: Any, result: Any, best: Any, _order: Any, read: Any, timeout: float) -> None:
        async def put(store: Any) -> Any:
            data = b"ms %b %d c T%d O%d\r\n%b\r\n"
            command = lambda key, opaque: data % (key.encode(), len(best.value), 1000, opaque, best.value)  # noqa: E731
            return await store._ask(command, read.key, timeout)

        for node in [*result.missing(), *result.outdated(best)]:
            await self._nodes[node].ask(put, timeout)

    return repair


def _prefers_the_most(real: Any) -> Any:
    def newest_of(self: ReadResult, genuine: list[Stored], owned: list[Stored]) -> Stored | None:
        most = [copy for copy in genuine if self.copies(copy) >= self._owners]
        return real(self, most or genuine, owned)

    return newest_of


def _confirmed_by_any(_real: Any) -> Any:
    return lambda _self, held: any(isinstance(before, list) for before in held.values())


def _swaps_side_by_side(_real: Any) -> Any:
    """The plain path sends both compare-and-swaps at once, as docs/why.md says that it must not."""

    async def replace_older(
        self: Any, key: str, value: bytes, ttl: float, version: Tokens, timeout: float, judge: Any
    ) -> Any:
        order, owners = self._place(key)
        held = [version.by_node.get(node) for node in order[: len(owners)]]
        deadline = Deadline(self._monotonic, timeout, self._monotonic() + 2 * timeout)
        write = ReplicatedWrite(self._nodes, key, value, ttl, version, deadline, judge, {})
        if None not in held and self._are_calm(owners):
            both = zip(owners, held, strict=True)
            swaps = [owner.store.replace(key, value, ttl, token, timeout) for owner, token in both]
            for node, changed in zip(order, await self._outcomes(swaps), strict=False):
                if not isinstance(changed, BackendUnavailable | None):
                    write.stored[node] = changed
            if len(write.stored) == len(owners):
                return Tokens(write.stored)
        return await self._write(write, order, timeout, None)

    return replace_older


def _believes_the_first_owner(_real: Any) -> Any:
    def agreed_copy(order: Any, found: Any) -> Stored | None:
        first = found[0]
        return first._replace(version=Tokens({order[0]: first.version})) if type(first) is Stored else None

    return agreed_copy


def _writes_side_by_side(_real: Any) -> Any:
    """Both compare-and-swaps at once, off the plain path."""

    async def begin(self: Any, write: ReplicatedWrite, order: Any) -> bool:
        nodes = [node for node in self._askable(order) if write.may_begin_at(node)][: self._replicas]
        begun = await self._gather([write.begin_at(node) for node in nodes])
        return any(begun)

    return begin


def _acknowledges_a_refusal(_real: Any) -> Any:
    async def carry(self: Any, write: ReplicatedWrite, nodes: Any) -> bool:
        others = [node for node in nodes if node not in write.stored]
        await self._gather([write.bring_to(node) for node in others[: self._replicas - len(write.stored)]])
        return True

    return carry


def _takes_a_fresh_stamp(_real: Any) -> Any:
    async def stamp_of(self: Any, _state: Any, identity: Any, _record: Any, standing: Any, budget: Any) -> Any:
        found = await self._stamps.of_login(identity.stamp, standing.stamp, budget)
        return found.value

    return stamp_of


def _supersedes_nothing(_real: Any) -> Any:
    async def supersede(*_args: Any) -> None:
        """The old ID stays as it was."""

    return supersede


def _goes_on_after_a_logout(real: Any) -> Any:
    async def supersede(self: Any, note: bytes, note_ttl: float, versions: Any) -> bool:
        await real(self, note, note_ttl, versions)
        return True

    return supersede


def _drops_the_others(_real: Any) -> Any:
    return lambda self, session, state, base, ours, theirs: ours.following(theirs, ours.items, self._random_bytes(4))


def _in(make: Callable[..., Case], nodes: int, bounds: Bounds | None = None, **options: Any) -> Callable[[], Case]:
    return lambda: make(nodes, bounds or Bounds(), name=make.__name__.replace("_", " "), **options)


DEFECTS: dict[str, Defect] = {
    "a CAS token outlives its connection": Defect(
        (Patch(MemcachedStore, "_write", _tokens_of_any_connection),),
        _in(play.a_writer_and_a_logout, 1, Bounds(restarts=1), replicas=1),
    ),
    "no compare-and-swap": Defect((Patch(meta, "replace", replaces_blindly),), _in(play.a_writer_and_a_logout, 2)),
    "a copy is set, not added": Defect(
        (Patch(meta, "add", adds_blindly),), _in(play.login_and_logout, 1, Bounds(duplicates=1), replicas=1)
    ),
    "repair by set": Defect((Patch(RingStore, "_repair", _repairs_blindly),), _in(play.repair_and_logout, 2)),
    "the flag of a tombstone is dropped": Defect(
        (
            Patch(meta, "write_tombstone", forgets_the_flag),
            Patch(meta, "add_tombstone", forgets_the_flag),
        ),
        _in(play.a_writer_and_a_logout, 2),
    ),
    "a logout is confirmed by a node that is no owner": Defect(
        (Patch(ReplicatedEnd, "_is_confirmed", _confirmed_by_any),),
        _in(play.unread_logout, 3, cut={"logout": [0, 1]}),
    ),
    "a logout is confirmed by nobody": Defect(
        (Patch(ReplicatedEnd, "_is_confirmed", always(True)),),
        _in(play.unread_logout, 2, cut={"logout": [0, 1]}),
    ),
    "a logout reaches the owners only": Defect(
        (Patch(ReplicatedEnd, "__init__", ends_at_owners_only),),
        _in(play.a_writer_and_a_logout, 3, Bounds(losses=1)),
    ),
    "both compare-and-swaps at once": Defect(
        (Patch(RingStore, "replace_older", _swaps_side_by_side),), _in(play.writers, 2, Bounds(losses=1))
    ),
    "both compare-and-swaps at once, off the plain path": Defect(
        (Patch(RingStore, "_begin", _writes_side_by_side), Patch(RingNodes, "_are_calm", always(False))),
        _in(play.writers, 2, Bounds(losses=1)),
    ),
    "a plain write is acknowledged with one copy": Defect(
        (Patch(RingStore, "_write", acknowledges_one_copy),), _in(play.writers, 2, Bounds(losses=1))
    ),
    "a plain read believes the first copy": Defect(
        (Patch(ring_store, "agreed_copy", _believes_the_first_owner),), _in(play.missed_logout, 2)
    ),
    "a write is acknowledged whatever the others say": Defect(
        (Patch(RingStore, "_carry", _acknowledges_a_refusal),), _in(play.writers, 2, Bounds(losses=1))
    ),
    "a write is acknowledged with one copy": Defect(
        (Patch(RingStore, "_carry", always_later(True)),), _in(play.a_node_is_emptied, 3, Bounds(restarts=1))
    ),
    "another's write counts as ours": Defect(
        (Patch(ReplicatedWrite, "_bring_from", includes_everything),), _in(play.writers, 2, Bounds(losses=1))
    ),
    "a read believes the first copy": Defect(
        (Patch(ReadResult, "agreed", believes_the_first),), _in(play.missed_logout, 2)
    ),
    "a read takes any copy": Defect((Patch(ReadResult, "best", takes_any_copy),), _in(play.writers, 2, cut={"A": [0]})),
    "a read prefers the copy on enough nodes": Defect(
        (Patch(ReadResult, "_newest_of", _prefers_the_most),), _in(play.writers, 3, Bounds(losses=1), count=3)
    ),
    "a merge drops what the others wrote": Defect(
        (Patch(Committer, "_reconciled", _drops_the_others),), _in(play.writers, 2)
    ),
    "a write whose answer was lost is made again": Defect(
        (Patch(Record, "includes_any", forgets_lost_answers),), _in(play.adders, 2, Bounds(losses=1))
    ),
    "the old ID is not ended": Defect((Patch(Committer, "_supersede", _supersedes_nothing),), _in(play.new_id, 2)),
    "a new ID does not mind a logout": Defect(
        (Patch(ReplicatedEnd, "supersede", _goes_on_after_a_logout),), _in(play.new_id_and_logout, 2)
    ),
    "the stamp is not read": Defect((Patch(Stamp, "admits", always(True)),), _in(play.log_out_everywhere_unlisted, 2)),
    "the stamp is not changed": Defect(
        (Patch(Stamps, "change", leaves_the_stamp),), _in(play.log_out_everywhere_unlisted, 2)
    ),
    "a new ID takes a fresh stamp": Defect(
        (Patch(Committer, "_stamp_of", _takes_a_fresh_stamp),), _in(play.log_out_everywhere_and_new_id, 2)
    ),
    "a lock is never held, and nobody insists on it": Defect(
        (Patch(LockStore, "_read", is_never_locked), Patch(Lock, "insist", always_later(None))),
        _in(play.locked, 2),
    ),
    "reads renew tombstones": Defect(
        (Patch(MemcachedStore, "_give_back", lets_it_shrink),), _in(play.life_of_a_tombstone, 2)
    ),
}
