"""The library's client on a simulated server, with nothing in between: a request is carried out when it is sent.

Nothing waits, so a coroutine over it never suspends. Time and faults are the business of whoever holds the server.
"""

from collections.abc import Callable
from typing import Any, Protocol

from sharedsession.backends.wire.node_guard import FAILURES, NodeGuard
from sharedsession.backends.wire.protocol import (
    INCOMPLETE,
    Check,
    FollowUp,
    Parser,
    Request,
    WireProtocol,
    checked,
    result_of,
    result_of_stale,
)


class Connection(Protocol):
    """To a simulated server."""

    closed: bool

    def receive(self, data: bytes) -> bytes: ...


class DirectClient:
    """Same as `sharedsession.backends.wire.client.Client`, over one connection.

    Args:
        connect: opens a connection to the server.
        protocol: that it speaks.
        guard: of the node.
    """

    def __init__(self, connect: Callable[[], Connection], protocol: WireProtocol, guard: NodeGuard) -> None:
        self._connect = connect
        self._protocol = protocol
        self._guard = guard
        self._link: _Link | None = None

    async def ask(self, request: Request, timeout: float) -> Any:
        """Same as `Client.ask`."""
        self._guard.begin(anyway=request.anyway)
        link, token = self._link, request.newest_serial
        if token is not None and (link is None or link.is_closed or link.serial > token):
            return result_of_stale(request)
        try:
            if link is None or link.is_closed:
                link = self._link = self._open()
            reply = link.exchange(request)
        except FAILURES as error:
            self.close()
            raise self._guard.failed(error) from None
        self._guard.worked(0.0, timeout)
        result = result_of(request, reply, self._guard.newest_serial)
        return await result.work if type(result) is FollowUp else result

    async def ask_afresh(self, request: Request, timeout: float) -> Any:
        """Same as `Client.ask_afresh`."""
        self._guard.begin()
        try:
            link = self._open()
            result = result_of(request, link.exchange(request), link.serial)
        except FAILURES as error:
            raise self._guard.failed(error) from None
        return await result.work if type(result) is FollowUp else result

    def close(self) -> None:
        """Same as `Client.close`. After a restart of the server, its connections must be closed."""
        self._link = None

    def _open(self) -> "_Link":
        link = _Link(self._connect(), self._protocol.parser())
        greeting = self._protocol.greeting
        if greeting:
            first, *more = [self._protocol.admits] * len(greeting)
            replies = link.exchange(Request(b"".join(greeting), first, more=more))
            self._protocol.greeted(replies if more else [replies])
        link.serial = self._guard.next_serial()
        return link


class _Link:
    """A connection, and the parser of what comes from it."""

    def __init__(self, connection: Connection, parser: Parser) -> None:
        self._connection = connection
        self._parser = parser
        self.serial = 0

    @property
    def is_closed(self) -> bool:
        return self._connection.closed

    def exchange(self, request: Request) -> Any:
        """Sends a request. Returns the reply, or the list of replies where several requests travel together."""
        reply = self._connection.receive(request.data)
        if reply:
            self._parser.feed(reply)
        first = self._next(request.check)
        return [first, *[self._next(check) for check in request.more]] if request.more else first

    def _next(self, check: Check | None) -> Any:
        reply = self._parser.pop()
        if reply is INCOMPLETE:
            raise self._parser.end()
        return checked(reply, check)
