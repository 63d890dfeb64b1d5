"""What links of both colours share: the breaker, the serial numbers of connections, and the words about a node."""

import itertools
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sharedsession.backends.ring.health import NodeHealth
from sharedsession.backends.wire.dialect import Address, Desynchronised, StaleMark
from sharedsession.errors import BackendUnavailable
from sharedsession.observe import Observer


class Guard:
    """Keeps a failed node from being asked, and tells when it goes and comes.

    Args:
        address: of the node.
        breaker_window: seconds for which a failed node is left alone.
    """

    def __init__(self, address: Address, breaker_window: float) -> None:
        self.address = address
        self.observer = Observer()
        self._health = NodeHealth(breaker_window)
        self._serials = itertools.count(1)
        self.newest = 0

    def next_serial(self) -> int:
        """The number of a connection that was just opened."""
        self.newest = next(self._serials)
        return self.newest

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Around one request: refuses at once if the node is down, and learns from how the request ends.

        Raises:
            BackendUnavailable: the node is down, or did not answer in time.
        """
        if not self._health.may_ask(time.monotonic()):
            raise BackendUnavailable(f"{self.address} is down")
        try:
            yield
        except (OSError, EOFError, Desynchronised) as error:
            self._went_wrong(error)
            raise BackendUnavailable(f"{self.address} did not answer") from None
        except StaleMark:
            raise
        if self._health.worked():
            self.observer.event("node_up", f"{self.address} answers again", logging.INFO)

    def _went_wrong(self, error: Exception) -> None:
        if self._health.failed(time.monotonic()):
            reason = str(error) or type(error).__name__
            self.observer.event("node_down", f"{self.address} does not answer ({reason})")

    def facts(self) -> dict[str, Any]:
        """JSON-able facts about the node."""
        return {
            "address": str(self.address),
            "state": self._health.state,
            "failures": self._health.failures,
            "connections_opened": self.newest,
            "counters": dict(self.observer.counters),
        }
