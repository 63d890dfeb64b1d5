"""The client of a server, of either colour, as a backend sees it."""

from typing import Protocol

from sharedsession.backends.wire.protocol import Answer, Request


class Client(Protocol):
    """Asks one server; `BlockingClient` or `MultiplexedClient`."""

    async def ask(self, request: Request, timeout: float) -> Answer:
        """Sends a request and returns the reply.

        Args:
            request: what to send, and on which connections.
            timeout: seconds to wait at most, connecting included.

        Raises:
            BackendUnavailable: no reply in time.
            StaleToken: no connection is left on which the token of the request means anything.
        """
        ...

    async def ask_afresh(self, request: Request, timeout: float) -> Answer:
        """Same as `ask`, over a connection that is opened for this request and closed after it."""
        ...

    def close(self) -> None:
        """Closes the connections that no request uses."""
        ...
