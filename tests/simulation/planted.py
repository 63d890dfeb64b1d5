"""Bugs by name, each a patch of the real code: the simulator has to find every one within a bounded number of seeds.

Each takes away one rule of the protocol, as somebody could who does not know what it is for. One that is not found
shows what the visitors, the faults or the judge lack.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

from sharedsession.backends.base import Stored
from sharedsession.backends.memcached import protocol as meta
from sharedsession.backends.memcached.node import MemcachedStore
from sharedsession.backends.redis.backend import RedisStore
from sharedsession.backends.ring.read_result import ReadResult
from sharedsession.backends.ring.replicated_end import ReplicatedEnd
from sharedsession.backends.ring.replicated_write import ReplicatedWrite
from sharedsession.backends.ring.store import RingStore
from sharedsession.engine import commit
from sharedsession.engine.commit import Committer
from sharedsession.engine.engine import Engine
from sharedsession.engine.lock import Lock, LockStore
from sharedsession.engine.principals import PrincipalIndex
from sharedsession.engine.stamps import Stamps
from sharedsession.engine.websocket_watch import WebsocketWatch
from sharedsession.errors import LogoutNotConfirmed
from sharedsession.http import CLEAR
from sharedsession.records import Record, Stamp
from sharedsession.records.timeouts import TouchThrottle
from sharedsession.session.changes import Changes


class Patch(NamedTuple):
    """What stands in the place of a function of the library.

    Attributes:
        owner: the module or class.
        name: of the function.
        made: takes the real function, and returns what takes its place.
    """

    owner: Any
    name: str
    made: Callable[[Any], Any]


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


@contextmanager
def planted(name: str | None) -> Iterator[None]:
    """Runs with a bug; ``None``: with none."""
    with ExitStack() as stack:
        for owner, attribute, made in BUGS[name].patches if name else ():
            stack.enter_context(patch.object(owner, attribute, made(owner.__dict__[attribute])))
        yield


def _always(value: Any) -> Callable[[Any], Any]:
    """A function in whose place a constant comes."""
    return lambda _real: lambda *_args, **_options: value


def _always_later(value: Any) -> Callable[[Any], Any]:
    """The same for a coroutine function."""

    async def constant(*_args: Any, **_options: Any) -> Any:
        return value

    return lambda _real: constant


# -- one node


def _replaces_blindly(_real: Any) -> Any:
    return lambda key, value, exptime, _cas, opaque: (
        b"ms %b %d c T%d O%d\r\n%b\r\n" % (key.encode(), len(value), exptime, opaque, value)
    )


def _adds_blindly(_real: Any) -> Any:
    return lambda key, value, exptime, opaque: (
        b"ms %b %d c T%d O%d\r\n%b\r\n" % (key.encode(), len(value), exptime, opaque, value)
    )


def _forgets_the_flag(real: Any) -> Any:
    return lambda *args: real(*args).replace(b" F1 ", b" ", 1)


def _swaps_blindly(_real: Any) -> Any:
    async def replace(self: Any, key: str, value: bytes, ttl: float, _version: Any, timeout: float) -> Any:
        raw = self._new(value)
        return raw if await self._ask(("SET", key, raw, "PX", str(int(ttl * 1000))), timeout) else None

    return replace


# -- the ring


def _believes_the_first(real: Any) -> Any:
    def agreed(self: ReadResult, owners: Any) -> Stored | None:
        live = [reply for node in owners if isinstance(reply := self.replies.get(node), Stored)]
        return live[0] if live else real(self, owners)

    return agreed


def _takes_any_copy(_real: Any) -> Any:
    return property(lambda self: next((copy for copy in self._live(self._order) if self.is_genuine(copy)), None))


def _ends_at_owners_only(real: Any) -> Any:
    def init(self: ReplicatedEnd, nodes: Any, owners: int, *args: Any) -> None:
        real(self, {node: nodes[node] for node in list(nodes)[:owners]}, owners, *args)

    return init


def _acknowledges_one_copy(_real: Any) -> Any:
    async def carry(_self: Any, _write: ReplicatedWrite, _nodes: Any) -> bool:
        return True

    return carry


def _includes_everything(real: Any) -> Any:
    async def bring_from(self: Any, node: int, reply: Any) -> Any:
        if isinstance(reply, Stored):
            self.stored[node] = reply.version
            return True
        return await real(self, node, reply)

    return bring_from


# -- stamps


def _leaves_the_stamp(_real: Any) -> Any:
    async def change(self: Any, identity: Any, found: Any, _spare: Any, budget: Any) -> Any:
        return await self.of_login(identity, found, budget)

    return change


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


def _forgets_lost_answers(_real: Any) -> Any:
    return lambda self, others: any(self is other for other in others)


def _is_never_locked(real: Any) -> Any:
    async def read(self: Any, lock: Any) -> Any:
        stored = await real(self, lock)
        return stored and stored._replace(record=stored.record._replace(items={}))

    return read


def _lets_the_stone_shrink(_real: Any) -> Any:
    async def give_back(_self: Any, _key: Any, _kept: Any, ttl: Any, *_args: Any) -> Any:
        return ttl

    return give_back


BUGS: dict[str, Bug] = {
    # protocol, one node
    "no compare-and-swap": Bug(
        (
            Patch(meta, "replace", _replaces_blindly),
            Patch(RedisStore, "replace", _swaps_blindly),
        ),
        seed=2,
    ),
    "add overwrites": Bug((Patch(meta, "add", _adds_blindly),), seed=3),
    "tombstones without their flag": Bug(
        (
            Patch(meta, "write_tombstone", _forgets_the_flag),
            Patch(meta, "add_tombstone", _forgets_the_flag),
        ),
        seed=7,
    ),
    # protocol, the ring
    "one copy is believed": Bug((Patch(ReadResult, "agreed", _believes_the_first),), seed=21),
    "any copy is the newest": Bug((Patch(ReadResult, "best", _takes_any_copy),), seed=7),
    "an end on the owners only": Bug(
        (Patch(ReplicatedEnd, "__init__", _ends_at_owners_only),), seed=150, faults=2, store="ring"
    ),
    "an end that anybody confirms": Bug(
        (Patch(ReplicatedEnd, "_is_confirmed", _always(True)),), seed=2987, faults=2, store="ring"
    ),
    "silence means nothing": Bug((Patch(RingStore, "_would_know", _always(True)),), seed=44, faults=2, store="ring"),
    "a write on one copy": Bug((Patch(RingStore, "_carry", _acknowledges_one_copy),), seed=7),
    "any copy includes a write": Bug((Patch(ReplicatedWrite, "_bring_from", _includes_everything),), seed=7),
    # IDs
    "an old ID lives on": Bug((Patch(Committer, "_supersede", _always_later(None)),)),
    "a tombstone is touched": Bug((Patch(MemcachedStore, "_give_back", _lets_the_stone_shrink),), seed=72),
    # stamps
    "stamps are not compared": Bug((Patch(Stamp, "admits", _always(True)),), seed=55),
    "a stamp is not changed": Bug(
        (
            Patch(Stamps, "change", _leaves_the_stamp),
            Patch(PrincipalIndex, "_end", _always_later([])),
        ),
        seed=1,
    ),
    "nobody is spared": Bug((Patch(Stamps, "_new", _spares_none),), seed=1),
    "a new ID takes a fresh stamp": Bug((Patch(Committer, "_stamp_of", _takes_a_fresh_stamp),), seed=111),
    "tickets are not compared": Bug((Patch(commit, "insist", _always(None)),), seed=111),
    # requests
    "a logout page without a logout": Bug((Patch(Committer, "_destroy", _says_it_is_done),), seed=56),
    "the last one overwrites all": Bug((Patch(commit, "merge", _overwrites_all),), seed=3),
    "steps are not repeated": Bug((Patch(Changes, "replays", _stores_sums),), seed=20),
    "a lost answer is a conflict": Bug((Patch(Record, "includes_any", _forgets_lost_answers),), seed=19),
    "no renewal": Bug((Patch(TouchThrottle, "due", _always(None)),), seed=46),
    "an outage is nobody": Bug(
        (Patch(Engine, "_out_of_reach", lambda _real: lambda _self, session, state: state.begin(session, None)),),
        seed=17,
    ),
    # locks and links
    "a lock that nobody looks at": Bug(
        (Patch(LockStore, "_read", _is_never_locked), Patch(Lock, "insist", _always_later(None))), seed=4, store="ring"
    ),
    "websockets are not watched": Bug((Patch(WebsocketWatch, "start", _always(None)),), seed=178),
}
