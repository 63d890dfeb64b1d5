"""A client of either colour, as whoever speaks through it sees it."""

from typing import Protocol

from sharedsession.backends.wire.protocol import Answer, Check


class Client(Protocol):
    """Asks one server; `BlockingClient` or `MultiplexedClient`."""

    async def ask(
        self,
        request: bytes,
        timeout: float,
        check: Check | None = None,
        mark: int | None = None,
        *,
        anyway: bool = False,
    ) -> Answer:
        """Sends one request and returns its reply.

        Args:
            request: the bytes of one request that has one reply.
            timeout: seconds to wait at most, connecting included.
            check: who says whether a reply can be the answer; if it cannot, the connection is closed.
            mark: of the answer whose token the request carries.
            anyway: ask even a server that is left alone because it failed.

        Raises:
            BackendUnavailable: no answer in time.
            StaleMark: no connection is left on which the token means anything.
        """
        ...

    def close(self) -> None:
        """Closes what lies idle."""
        ...
