"""Bugs by name, each a patch of the real code: the simulator has to find every one within a bounded number of seeds.

Each takes away one rule of the protocol, as somebody could who does not know what it is for. One that is not found
shows what the visitors, the faults or the judge lack.
"""

from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from sharedsession.backends.memcached import protocol as meta
from sharedsession.backends.memcached.node import MemcachedStore
from sharedsession.backends.redis.backend import RedisStore
from sharedsession.backends.ring.read_result import ReadResult
from sharedsession.backends.ring.replicated_end import ReplicatedEnd
from sharedsession.backends.ring.replicated_write import ReplicatedWrite
from sharedsession.backends.ring.store import RingStore
from sharedsession.engine import commit
from sharedsession.engine.commit import Committer
from sharedsession.engine.load import Loader
from sharedsession.engine.lock import Lock, LockStore
from sharedsession.engine.principals import PrincipalIndex
from sharedsession.engine.stamps import Stamps
from sharedsession.engine.websocket_watch import WebsocketWatch
from sharedsession.errors import LogoutNotConfirmed
from sharedsession.http import CLEAR
from sharedsession.records import Record, Stamp
from sharedsession.records.timeouts import TouchThrottle
from sharedsession.session.changes import Changes
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
    patched,
    replaces_blindly,
    takes_any_copy,
)


class Bug(NamedTuple):
    """A bug, and where it is found.

    Attributes:
        patches: what makes it.
        seed: the first that finds it.
        faults: how many things break then.
        store: on which it shows; ``None``: on any.
    """

    patches: tuple[Patch, ...]
    seed: int = 0
    faults: int = 1
    store: str | None = None


def planted(name: str | None) -> AbstractContextManager[None]:
    """Runs with a bug; ``None``: with none."""
    return patched(BUGS[name].patches if name else ())


# -- one node


def _swaps_blindly(_real: Any) -> Any:
    async def replace(self: Any, key: str, value: bytes, ttl: float, _version: Any, timeout: float) -> Any:
        raw = self._new(value)
        return raw if await self._ask(("SET", key, raw, "PX", str(int(ttl * 1000))), timeout) else None

    return replace


# -- the ring


def _acknowledges_one_copy(_real: Any) -> Any:
    async def carry(_self: Any, _write: ReplicatedWrite, _nodes: Any) -> bool:
        return True

    return carry


# -- stamps


def _spares_none(real: Any) -> Any:
    def stamp_record(self: Any, before: Record, _spared: Any = None) -> Record:
        return real(self, before, None)

    return stamp_record


def _takes_a_fresh_stamp(real: Any) -> Any:
    async def stamp_of(self: Any, state: Any, identity: Any, record: Any, standing: Any, budget: Any) -> Any:
        ticket, state.ticket = state.ticket, None
        try:
            return await real(self, state, identity, record._replace(stamp=b""), standing, budget)
        finally:
            state.ticket = ticket

    return stamp_of


# -- requests


def _says_it_is_done(real: Any) -> Any:
    async def destroy(self: Any, state: Any, budget: Any) -> None:
        try:
            await real(self, state, budget)
        except LogoutNotConfirmed:
            state.outcome = CLEAR

    return destroy


def _overwrites_all(_real: Any) -> Any:
    return lambda _base, ours, _theirs, _assigned, _replays=None: dict(ours)


def _stores_sums(_real: Any) -> Any:
    return lambda _self, _data, _done=None: {}


BUGS: dict[str, Bug] = {
    # protocol, one node
    "no compare-and-swap": Bug(
        (
            Patch(meta, "replace", replaces_blindly),
            Patch(RedisStore, "replace", _swaps_blindly),
        ),
        seed=2,
    ),
    "add overwrites": Bug((Patch(meta, "add", adds_blindly),), seed=3),
    "tombstones without their flag": Bug(
        (
            Patch(meta, "write_tombstone", forgets_the_flag),
            Patch(meta, "add_tombstone", forgets_the_flag),
        ),
        seed=7,
    ),
    # protocol, the ring
    "one copy is believed": Bug((Patch(ReadResult, "agreed", believes_the_first),), seed=21),
    "any copy is the newest": Bug((Patch(ReadResult, "best", takes_any_copy),), seed=7),
    "an end on the owners only": Bug(
        (Patch(ReplicatedEnd, "__init__", ends_at_owners_only),), seed=150, faults=2, store="ring"
    ),
    "an end that anybody confirms": Bug(
        (Patch(ReplicatedEnd, "_is_confirmed", always(True)),), seed=2987, faults=2, store="ring"
    ),
    "silence means nothing": Bug((Patch(RingStore, "_would_know", always(True)),), seed=44, faults=2, store="ring"),
    "a write on one copy": Bug(
        (
            Patch(RingStore, "_write", acknowledges_one_copy),
            Patch(RingStore, "_carry", _acknowledges_one_copy),
        ),
        seed=88,
    ),
    "any copy includes a write": Bug((Patch(ReplicatedWrite, "_bring_from", includes_everything),), seed=7),
    # IDs
    "an old ID lives on": Bug((Patch(Committer, "_supersede", always_later(None)),)),
    "a tombstone is touched": Bug((Patch(MemcachedStore, "_give_back", lets_it_shrink),), seed=72),
    # stamps
    "stamps are not compared": Bug((Patch(Stamp, "admits", always(True)),), seed=55),
    "a stamp is not changed": Bug(
        (
            Patch(Stamps, "change", leaves_the_stamp),
            Patch(PrincipalIndex, "_end", always_later([])),
        ),
        seed=1,
    ),
    "nobody is spared": Bug((Patch(Stamps, "_new", _spares_none),), seed=1),
    "a new ID takes a fresh stamp": Bug((Patch(Committer, "_stamp_of", _takes_a_fresh_stamp),), seed=111),
    "tickets are not compared": Bug((Patch(commit, "insist", always(None)),), seed=111),
    # requests
    "a logout page without a logout": Bug((Patch(Committer, "_destroy", _says_it_is_done),), seed=56),
    "the last one overwrites all": Bug((Patch(commit, "merge", _overwrites_all),), seed=3),
    "steps are not repeated": Bug((Patch(Changes, "replays", _stores_sums),), seed=20),
    "a lost answer is a conflict": Bug((Patch(Record, "includes_any", forgets_lost_answers),), seed=19),
    "no renewal": Bug((Patch(TouchThrottle, "due", always(None)),), seed=46),
    "an outage is nobody": Bug(
        (Patch(Loader, "_out_of_reach", lambda _real: lambda _self, session, state: state.begin(session, None)),),
        seed=17,
    ),
    # locks and links
    "a lock that nobody looks at": Bug(
        (Patch(LockStore, "_read", is_never_locked), Patch(Lock, "insist", always_later(None))),
        seed=4,
        store="memcached",
    ),
    "websockets are not watched": Bug((Patch(WebsocketWatch, "start", always(None)),), seed=178),
}
