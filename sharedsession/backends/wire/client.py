"""The client of a server, of either colour, as a backend sees it."""

from collections.abc import Awaitable
from typing import Any, Protocol

from sharedsession.backends.wire.protocol import Request


class Client(Protocol):
    """Asks one server; `BlockingClient` or `MultiplexedClient`."""

    def ask(self, request: Request, timeout: float) -> Awaitable[Any]:
        """Sends a request, at the latest when the result is awaited, and returns what is made of the reply.

        Args:
            request: what to send, and on which connections.
            timeout: seconds to wait at most, connecting included.

        Returns:
            What `Request.reading` makes of the reply; without it, the `Answer`.

        Raises:
            BackendUnavailable: no reply in time.
            StaleToken: no connection is left on which the token of the request means anything. A `Reading` gets `STALE`
                instead.
        """
        ...

    def ask_afresh(self, request: Request, timeout: float) -> Awaitable[Any]:
        """Same as `ask`, over a connection that is opened for this request and closed after it."""
        ...

    def close(self) -> None:
        """Closes the connections that no request uses."""
        ...
