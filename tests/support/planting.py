"""Bugs that are planted into the library: patches of the real code, for the simulator and the model to find.

Each takes away one rule, as somebody could who does not know what it is for. Here are those that both plant.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

from sharedsession.backends.base import Stored
from sharedsession.backends.ring.read_result import ReadResult, Tokens
from sharedsession.backends.ring.replicated_end import ReplicatedEnd
from sharedsession.backends.ring.replicated_write import ReplicatedWrite

Made = Callable[[Any], Any]
"""Takes a real function, and returns what takes its place."""


class Patch(NamedTuple):
    """What stands in the place of a function of the library.

    Attributes:
        owner: the module or class.
        name: of the function.
        made: makes what takes its place.
    """

    owner: Any
    name: str
    made: Made


@contextmanager
def patched(patches: Sequence[Patch]) -> Iterator[None]:
    """Runs with some functions replaced."""
    with ExitStack() as stack:
        for owner, name, made in patches:
            stack.enter_context(patch.object(owner, name, made(owner.__dict__[name])))
        yield


def always(value: Any) -> Made:
    """A function in whose place a constant comes."""
    return lambda _real: lambda *_args, **_options: value


def always_later(value: Any) -> Made:
    """The same for a coroutine function."""

    async def constant(*_args: Any, **_options: Any) -> Any:
        return value

    return lambda _real: constant


# -- one node


def replaces_blindly(_real: Any) -> Any:
    """A change of memcached asks for no CAS number."""
    return lambda key, value, exptime, _cas, opaque: _store(key, value, exptime, opaque)


def adds_blindly(_real: Any) -> Any:
    """An ``add`` of memcached takes the place of what is there."""
    return _store


def forgets_the_flag(real: Any) -> Any:
    """A tombstone of memcached has no flag."""
    return lambda *args: real(*args).replace(b" F1 ", b" ", 1)


def lets_it_shrink(_real: Any) -> Any:
    """A tombstone keeps the life with which a read renewed it."""

    async def give_back(_self: Any, _key: Any, _kept: Any, ttl: Any, *_args: Any) -> Any:
        return ttl

    return give_back


def _store(key: str, value: bytes, exptime: int, opaque: int) -> bytes:
    return b"ms %b %d c T%d O%d\r\n%b\r\n" % (key.encode(), len(value), exptime, opaque, value)


# -- the ring


def believes_the_first(real: Any) -> Any:
    """A read believes the first owner that has a copy."""

    def agreed(self: ReadResult, owners: Any) -> Stored | None:
        live = [reply for node in owners if isinstance(reply := self.replies.get(node), Stored)]
        return live[0] if live else real(self, owners)

    return agreed


def takes_any_copy(_real: Any) -> Any:
    """A read takes the first copy that opens for the newest."""
    return property(lambda self: next((copy for copy in self._live(self._order) if self.is_genuine(copy)), None))


def ends_at_owners_only(real: Any) -> Any:
    """A logout reaches the owners, and no other node."""

    def init(self: ReplicatedEnd, nodes: Any, owners: int, *args: Any) -> None:
        real(self, {node: nodes[node] for node in list(nodes)[:owners]}, owners, *args)

    return init


def includes_everything(real: Any) -> Any:
    """A write takes any copy for one that includes it."""

    async def bring_from(self: Any, node: int, reply: Any) -> Any:
        if isinstance(reply, Stored):
            self.stored[node] = reply.version
            return True
        return await real(self, node, reply)

    return bring_from


def acknowledges_one_copy(real: Any) -> Any:
    """A write whose second copy failed is acknowledged with the first one."""

    async def write(self: Any, write: ReplicatedWrite, *others: Any) -> Any:
        return Tokens(write.stored) if write.stored else await real(self, write, *others)

    return write


# -- requests


def leaves_the_stamp(_real: Any) -> Any:
    """A change for all of a principal leaves the stamp as it is."""

    async def change(self: Any, identity: Any, found: Any, _spare: Any, budget: Any) -> Any:
        return await self.of_login(identity, found, budget)

    return change


def forgets_lost_answers(_real: Any) -> Any:
    """A write whose answer was lost is another's."""
    return lambda self, others: any(self is other for other in others)


def is_never_locked(real: Any) -> Any:
    """A lock seems to have no holder."""

    async def read(self: Any, lock: Any) -> Any:
        stored = await real(self, lock)
        return stored and stored._replace(record=stored.record._replace(items={}))

    return read
