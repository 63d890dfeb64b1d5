"""What the clients of a node share, of both colours: breaker, clock, serial numbers of connections, log."""

import itertools
import math
import ssl
from typing import Any

from sharedsession.backends.wire.breaker import NodeHealth
from sharedsession.backends.wire.protocol import Address, Desynchronised
from sharedsession.backends.wire.reasons import reason
from sharedsession.backends.wire.strangers import Expected
from sharedsession.environment import REAL, Environment
from sharedsession.errors import BackendError, BackendUnavailable
from sharedsession.observe import Observer

FAILURES = (OSError, EOFError, BackendError)
"""How a request ends that got no answer."""
CLOSED = (ConnectionError, EOFError, ssl.SSLEOFError, ssl.SSLZeroReturnError, Desynchronised)
"""How a request ends on a connection that the server had closed before, or that was out of step."""
BELIEVED_FOR = 30.0
"""Seconds after its last use for which a connection is taken to be open: balancers forget them after minutes."""
FIRST_BYTE = 0.25
"""Share of the timeout in which one that was idle for longer must say something."""


class NodeGuard:
    """Decides whether a node is asked, and logs when it goes down and comes back.

    Args:
        address: of the node.
        breaker_window: seconds for which a failed node is skipped.
        expected: the kind of server.
        name: of the node in a ring; ``None``: it is no node of a ring, and its address names it.
        demotes_slow: whether a slow node is skipped as well.
        environment: where the clock comes from.

    Attributes:
        name: in `facts`.
        title: the node in the log, where nothing else says what it is about.
        monotonic: the clock of everything that is asked of the node.
        newest_serial: of the connection that was opened last.
        doubt_at: when a request may be sent again because its connection, which was in use, is silent: on the
            monotonic clock. Else a slow server would be asked everything twice.
        is_calm: whether the node is up, and an answer that is not slow changes nothing; then `begin` need not be
            called, nor `worked` for such an answer.
    """

    def __init__(
        self,
        address: Address,
        breaker_window: float,
        expected: Expected,
        *,
        name: str | None = None,
        demotes_slow: bool = False,
        environment: Environment = REAL,
    ) -> None:
        self.address = address
        self.name = name or str(address)
        self.title = f"session store node {name!r} ({address})" if name else f"session store {address}"
        self._expected = expected
        self.observer = Observer(environment=environment)
        self.monotonic = environment.monotonic
        self._health = NodeHealth(breaker_window, demotes_slow=demotes_slow)
        self._serials = itertools.count(1)
        self.newest_serial = 0
        self.doubt_at = -math.inf
        self.is_calm = True

    def next_serial(self) -> int:
        """Returns the serial number of a connection that was just opened."""
        self.newest_serial = next(self._serials)
        return self.newest_serial

    def may_doubt(self, now: float) -> bool:
        """Returns whether a silent connection may be given up now; then not again for a while."""
        may = now >= self.doubt_at
        if may:
            self.doubt_at = now + BELIEVED_FOR
        return may

    def is_askable(self) -> bool:
        """Returns whether a request would be sent to the node now."""
        return self._health.is_askable(self.monotonic())

    def begin(self, *, anyway: bool = False) -> None:
        """Refuses a request at once if the node is down.

        Args:
            anyway: whether to ask even a node that is skipped; an answer brings it back.

        Raises:
            BackendUnavailable: the node is down.
        """
        if not anyway and not self._health.may_ask(self.monotonic()):
            raise BackendUnavailable(f"{self.title} is down")

    def worked(self, took: float, timeout: float) -> None:
        """Notes an answer.

        Args:
            took: seconds that the node itself took to answer, as far as the client can measure it.
            timeout: seconds that the request had.
        """
        has_changed = self._health.worked(self.monotonic(), took, timeout)
        self.is_calm = self._health.is_calm
        if has_changed:
            self._log_change()

    def failed(self, error: Exception) -> BackendUnavailable:
        """Notes one of `FAILURES`; returns what to raise in its place."""
        refusal = error if isinstance(error, BackendUnavailable) else None
        went_down = self._health.failed(self.monotonic())
        self.is_calm = False  # after that, so that no other thread takes it back
        if went_down:
            has_tls, was_connected = self.address.tls is not None, self.newest_serial > 0
            why = reason(error, self._expected, has_tls=has_tls, was_connected=was_connected)
            self.observer.event("node_down", f"{refusal}; it is skipped" if refusal else f"{self.title} {why}")
        return refusal or BackendUnavailable(f"{self.title} did not answer")

    def refused(self, message: str) -> BackendUnavailable:
        """Logs that the server refuses us, and the fix; returns what to raise.

        Args:
            message: what it does, and the fix, to stand behind its name.
        """
        refusal = BackendUnavailable(f"{self.title} {message}")
        self.observer.event("store_refused", str(refusal))
        return refusal

    def _log_change(self) -> None:
        if self._health.is_up:
            self.observer.event("node_up", f"{self.title} answers again")
        else:
            self.observer.event("node_slow", f"{self.title} answers slowly: it is skipped for a while")

    def facts(self) -> dict[str, Any]:
        """Returns JSON-able facts about the node."""
        return {
            "name": self.name,
            "address": str(self.address),
            "state": "up" if self._health.is_up else "down",
            "failures": self._health.failures,
            "connections_opened": self.newest_serial,
            "counters": dict(self.observer.counters),
        }
