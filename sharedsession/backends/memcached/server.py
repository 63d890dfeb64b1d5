"""What is known of one memcached: how a connection to it begins, what it can do, what it refuses."""

import math
from collections.abc import Sequence
from functools import cached_property
from types import ModuleType
from typing import Any

from sharedsession.backends.adapters import BlockingAdapter
from sharedsession.backends.memcached import login, refusals
from sharedsession.backends.memcached import protocol as meta
from sharedsession.backends.memcached.node import MemcachedStore
from sharedsession.backends.memcached.protocol import ITEM_OVERHEAD, MAX_VALUE, Reply
from sharedsession.backends.wire.blocking_client import BlockingClient
from sharedsession.backends.wire.client import Client
from sharedsession.backends.wire.node_guard import NodeGuard
from sharedsession.backends.wire.protocol import Address, WireProtocol
from sharedsession.environment import REAL, Environment
from sharedsession.errors import BackendError


class MemcachedServer:
    """What is known of one node, for clients of both colours.

    Args:
        address: of the node.
        breaker_window: seconds for which a failed node is skipped.
        name: of the node; ``None``: its address.
        in_ring: whether other nodes hold the same data. Then the node is skipped while it is slow.
        protocol: the commands to use, `protocol` or `text`.
        kind: of the operations over them.
        environment: where clocks come from.

    Attributes:
        is_askable: returns whether a request would be sent to the node now.
        in_ring: as given.
        evictions: of items that had not expired, when the last connection was opened.
        max_value: bytes of one value at most.
    """

    def __init__(
        self,
        address: Address,
        breaker_window: float,
        *,
        name: str | None = None,
        in_ring: bool = False,
        protocol: ModuleType = meta,
        kind: "type[MemcachedStore]" = MemcachedStore,
        environment: Environment = REAL,
    ) -> None:
        self.protocol = protocol
        self._kind = kind
        self.environment = environment
        self.guard = NodeGuard(
            address, breaker_window, protocol.EXPECTED, name=name, demotes_slow=in_ring, environment=environment
        )
        self.is_askable = self.guard.is_askable
        self.evictions = 0
        self.max_value = MAX_VALUE
        self.in_ring = in_ring
        self._up_since = math.inf  # on the monotonic clock
        self._login = address.login
        first = (login.request(self._login),) if self._login else ()
        self._protocol = WireProtocol(
            parser=protocol.Parser,
            greeting=(*first, *protocol.GREETING),
            admits=(self.admits, "", 0),
            greeted=self._greeted,
            echoes=protocol.ECHOES,
        )

    def blocking_store(self) -> MemcachedStore:
        """Makes the operations for applications that block."""
        return self.store(self.blocking_client())

    def asynchronous_store(self) -> MemcachedStore:
        """Makes the operations for event loops."""
        from sharedsession.backends.wire.multiplexed_client import MultiplexedClient  # noqa: PLC0415

        return self.store(MultiplexedClient(self._protocol, self.guard))

    def blocking_client(self) -> BlockingClient:
        """Makes a client for applications that block."""
        return BlockingClient(self._protocol, self.guard)

    def store(self, client: Client) -> MemcachedStore:
        """Makes the operations over a client."""
        return self._kind(client, self)

    def knows(self, seconds: float) -> bool:
        """Returns whether the node has been up for longer than so many seconds, and so remembers all since then."""
        return self.environment.monotonic() - self._up_since > seconds

    def facts(self) -> dict[str, Any]:
        """Returns JSON-able facts about the node."""
        return {**self.guard.facts(), "evictions": self.evictions}

    def admits(self, reply: Any, _key: str = "", _opaque: int = 0) -> bool:
        """Returns ``True`` for a reply that does not refuse us.

        Raises:
            BackendUnavailable: it does, and may send nothing more.
        """
        if isinstance(reply, Reply) and (fix := login.fix(reply, self._login) or refusals.closes(reply)):
            raise self.guard.refused(fix)
        return True

    def refused(self, reply: Reply) -> BackendError:
        """Logs that the server refuses a request, and the fix; returns what to raise."""
        unavailable = self.guard.refused(refusals.refusal(reply, has_meta=self.protocol is meta))
        return BackendError(str(unavailable)) if refusals.is_too_large(reply) else unavailable

    def _greeted(self, replies: Sequence[Any]) -> None:
        """Takes the replies to the greeting of a new connection; a proxy may give no statistics."""
        if self._login and not login.is_admitted(replies[0]):
            raise self.guard.refused(login.OTHER)
        facts = replies[1:] if self._login else replies
        statistics, settings = (reply if isinstance(reply, dict) else {} for reply in facts or ({}, {}))
        if (uptime := meta.number(statistics.get(b"uptime", b""))) is not None:
            self._up_since = self.environment.monotonic() + meta.UPTIME_AHEAD - uptime
            self.evictions = meta.number(statistics.get(b"evictions", b"")) or 0
        if settings.get(b"cas_enabled") == b"no":
            raise BackendError("it runs with -C and refuses every change: start memcached without -C")
        if (most := meta.number(settings.get(b"item_size_max", b""))) is not None:
            self.max_value = most - ITEM_OVERHEAD
        if settings.get(b"evictions") == b"off":
            self.guard.observer.event(
                "never_evicts",
                f"{self.guard.title} runs with -M: when it is full, a change that finds no memory loses its session; "
                "start memcached without -M",
            )


class MemcachedBackend(BlockingAdapter):
    """One memcached, in both colours.

    Args:
        server: the node.

    Attributes:
        server: as given.
    """

    def __init__(self, server: MemcachedServer) -> None:
        self.server = server
        super().__init__(server.blocking_store())

    @cached_property
    def asynchronous(self) -> MemcachedStore:
        """The same node for event loops."""
        return self.server.asynchronous_store()
