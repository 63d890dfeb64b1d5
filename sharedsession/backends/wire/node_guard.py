"""What clients of both colours share: the breaker, the serial numbers of connections, and the words about a node."""

import itertools
import logging
import ssl
import time
from typing import Any

from sharedsession.backends.wire import tls
from sharedsession.backends.wire.breaker import NodeHealth
from sharedsession.backends.wire.protocol import Address
from sharedsession.errors import BackendError, BackendUnavailable
from sharedsession.observe import Observer

FAILURES = (OSError, EOFError, BackendError)
"""What a request that got no answer ends with."""
CLOSED = (ConnectionError, EOFError, ssl.SSLEOFError, ssl.SSLZeroReturnError)
"""What a request ends with on a connection that the server had closed before."""


class NodeGuard:
    """Keeps a failed node from being asked, and tells when it goes and comes.

    Attributes:
        newest: the number of the connection that was opened last.
        is_calm: whether all is well, and an answer is nothing to note: then neither `begin` nor `worked` need be asked.

    Args:
        address: of the node.
        breaker_window: seconds for which a failed node is left alone.
        name: of the node, where it has one beside its address.
        demotes_slow: whether a slow node is left alone as well.
    """

    def __init__(
        self, address: Address, breaker_window: float, *, name: str | None = None, demotes_slow: bool = False
    ) -> None:
        self.address = address
        self.name = name or str(address)
        self.observer = Observer()
        self._health = NodeHealth(breaker_window, demotes_slow=demotes_slow)
        self._demotes_slow = demotes_slow
        self._serials = itertools.count(1)
        self.newest = 0
        self.is_calm = not demotes_slow

    def next_serial(self) -> int:
        """The number of a connection that was just opened."""
        self.newest = next(self._serials)
        return self.newest

    def is_askable(self) -> bool:
        """Whether a request would be sent to the node now."""
        return self._health.is_askable(time.monotonic())

    def begin(self, *, anyway: bool = False) -> None:
        """Before a request: refuses at once if the node is down.

        Args:
            anyway: ask even a node that is left alone; an answer brings it back.

        Raises:
            BackendUnavailable: the node is down.
        """
        if not anyway and not self._health.may_ask(time.monotonic()):
            raise BackendUnavailable(f"{self.name} is down")

    def worked(self, took: float, timeout: float) -> None:
        """Learns from an answer.

        Args:
            took: seconds the node itself took to answer, as far as the client can tell.
            timeout: seconds the request had.
        """
        if self._health.worked(time.monotonic(), took, timeout):
            self.is_calm = not self._demotes_slow
            self._changed()

    def failed(self, error: Exception) -> BackendUnavailable:
        """Learns from one of `FAILURES`; returns what to raise in its place."""
        self.is_calm = False
        if self._health.failed(time.monotonic()):
            self.observer.event("node_down", f"{self.name} does not answer ({tls.reason(error)})")
        return BackendUnavailable(f"{self.name} did not answer")

    def refused(self, what: str) -> BackendUnavailable:
        """Tells the log that the server answers with a refusal, and the fix; returns what to raise."""
        self.observer.event("store_refused", f"{self.name}: {what}")
        return BackendUnavailable(what)

    def _changed(self) -> None:
        if self._health.is_up:
            self.observer.event("node_up", f"{self.name} answers again", logging.INFO)
        else:
            self.observer.event("node_slow", f"{self.name} answers, but slowly: it is left alone for a while")

    def facts(self) -> dict[str, Any]:
        """JSON-able facts about the node."""
        return {
            "name": self.name,
            "address": str(self.address),
            "state": "up" if self._health.is_up else "down",
            "failures": self._health.failures,
            "connections_opened": self.newest,
            "counters": dict(self.observer.counters),
        }
