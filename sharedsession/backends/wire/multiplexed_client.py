"""The asynchronous client: one connection per event loop, shared by all its requests.

Where many ask, what they ask in one tick of the loop leaves in one write; whoever asks alone is not kept waiting for
others. Replies come in the order of the requests; a request that was cancelled leaves its place in the queue, so its
reply is read and dropped, never taken for another's. One timer watches the whole connection: when one request gets no
answer in time, nobody behind it will, and all fail.
"""

import asyncio
import math
import os
import time
from collections import deque
from typing import Any, cast

from sharedsession.backends.wire.node_guard import CLOSED, FAILURES, NodeGuard
from sharedsession.backends.wire.protocol import (
    INCOMPLETE,
    Answer,
    Check,
    Desynchronised,
    WireProtocol,
    Parser,
    StaleMark,
    checked,
    made,
)
from sharedsession.concurrency import PerLoop, background
from sharedsession.errors import BackendError


class MultiplexedClient:
    """Asks one server from any number of tasks and event loops.

    Args:
        protocol: of the server.
        guard: of the node.
    """

    def __init__(self, protocol: WireProtocol, guard: NodeGuard) -> None:
        self._protocol = protocol
        self._guard = guard
        self._process = os.getpid()
        self._connections: PerLoop[_Connection] = PerLoop()
        self._recent: _Connection | None = None
        self._opening: PerLoop[asyncio.Task[_Connection]] = PerLoop()

    async def ask(
        self,
        request: bytes,
        timeout: float,
        check: Check | None = None,
        mark: int | None = None,
        *,
        anyway: bool = False,
    ) -> Answer:
        """Same as `Client.ask`."""
        deadline = time.monotonic() + timeout
        guard = self._guard
        if not guard.is_calm:
            guard.begin(anyway=anyway)
        try:
            shared = self._connected(mark)
            connection = shared or await self._open(asyncio.get_running_loop(), deadline)
            try:
                reply = await connection.send(request, deadline, check)
            except CLOSED:
                if shared is None:
                    raise
                connection = self._connected(mark) or await self._open(connection.loop, deadline)
                reply = await connection.send(request, deadline, check)
        except FAILURES as error:
            raise guard.failed(error) from None
        if not guard.is_calm:
            guard.worked(0.0 if anyway else time.monotonic() - deadline + timeout, timeout)
        return made(Answer, (reply, connection.serial))

    def close(self) -> None:
        """Closes the connection of the running event loop."""
        connection = self._connections.pop(asyncio.get_running_loop())
        if connection is not None:
            connection.fail(ConnectionAbortedError("closed"))

    def _connected(self, mark: int | None) -> "_Connection | None":
        """The connection of the running event loop; ``None`` if it must be opened."""
        if self._process != os.getpid():
            self._connections, self._opening, self._recent = PerLoop(), PerLoop(), None
            self._process = os.getpid()
        loop = asyncio.get_running_loop()
        connection = self._recent
        if connection is None or connection.loop is not loop:
            connection = self._recent = self._connections.get(loop)
        if connection is not None and connection.is_closed:
            connection = self._recent = None
        if mark is not None and (connection is None or connection.serial > mark):
            raise StaleMark
        return connection

    async def _open(self, loop: asyncio.AbstractEventLoop, deadline: float) -> "_Connection":
        """Opens one connection for all who wait for it; whoever is cancelled does not take it from the others."""
        opening = self._opening.get(loop)
        if opening is None or opening.done():
            opening = loop.create_task(self._opened(loop, deadline))
            self._opening.put(loop, opening)
            opening.add_done_callback(lambda task: task.cancelled() or task.exception())  # heard, even by nobody
        return await asyncio.shield(opening)

    async def _opened(self, loop: asyncio.AbstractEventLoop, deadline: float) -> "_Connection":
        async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
            connection = await self._connect(loop)
        try:
            greeting = [connection.send(request, deadline, self._protocol.admits) for request in self._protocol.greeting]
            self._protocol.greeted(await asyncio.gather(*greeting))
        except BaseException as error:
            connection.fail(error if isinstance(error, Exception) else ConnectionAbortedError("interrupted"))
            raise
        connection.serial = self._guard.next_serial()
        connection.closes_with_its_loop()
        self._connections.put(loop, connection)
        return connection

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> "_Connection":
        address = self._guard.address

        def make() -> _Connection:
            return _Connection(loop, self._protocol.parser())

        if address.path:
            _, protocol = await loop.create_unix_connection(make, address.path)
        else:
            _, protocol = await loop.create_connection(make, address.host, address.port, ssl=address.tls)
        return protocol


_Waiter = tuple["asyncio.Future[Any]", float, Check | None]  # for a reply, until when, and what it must fit


class _Connection(asyncio.Protocol):
    """One connection: requests in a queue, replies in the same order."""

    _transport: asyncio.Transport  # from `connection_made` on, and nobody asks before

    def __init__(self, loop: asyncio.AbstractEventLoop, parser: Parser) -> None:
        self.loop = loop
        self._parser = parser
        self._waiting: deque[_Waiter] = deque()
        self._outbox: list[bytes] = []
        self._is_crowded = False
        self._watchdog: asyncio.TimerHandle | None = None
        self._alarm = math.inf
        self._closed = loop.create_future()
        self._lingering: asyncio.Task[None] | None = None
        self.is_closed = False
        self.serial = 0

    def send(self, request: bytes, deadline: float, check: Check | None) -> "asyncio.Future[Any]":
        """Queues a request; the future is its reply."""
        reply = self.loop.create_future()
        if self.is_closed:
            reply.set_exception(ConnectionResetError("connection closed"))
            return reply
        if self._outbox:
            self._outbox.append(request)
        elif self._waiting or self._is_crowded:
            self._outbox.append(request)
            self.loop.call_soon(self._flush)
        else:
            self._transport.write(request)  # alone: waiting for company would cost a turn of the loop
        self._waiting.append((reply, deadline, check))
        if deadline < self._alarm:
            self._wake_at(deadline)
        return reply

    def fail(self, error: Exception) -> None:
        """Closes the connection; everybody who waits gets the error."""
        self.is_closed = True
        if not self._closed.done():
            self._closed.set_result(None)
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None
        self._transport.abort()
        while self._waiting:
            reply = self._waiting.popleft()[0]
            if not reply.done():
                reply.set_exception(error)

    def closes_with_its_loop(self) -> None:
        """A loop that ends cancels its tasks; this one is how the connection hears of it."""
        self._lingering = background(self.loop, self._linger())

    async def _linger(self) -> None:
        try:
            await self._closed
        finally:
            self.fail(ConnectionAbortedError("the event loop ended"))

    # -- called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed(data)
            while (said := self._parser.pop()) is not INCOMPLETE:
                self._answer(said)
        except Exception as error:  # noqa: BLE001  (whatever stumbles over a reply must leave nobody waiting)
            self.fail(error if isinstance(error, BackendError) else Desynchronised("a reply out of all rules"))

    def connection_lost(self, error: Exception | None) -> None:
        self.fail(ConnectionResetError(str(error or "connection closed")))

    # -- inside

    def _flush(self) -> None:
        self._is_crowded = len(self._outbox) > 1
        if not self.is_closed:
            self._transport.write(b"".join(self._outbox))
        self._outbox.clear()

    def _answer(self, said: Any) -> None:
        if not self._waiting:
            raise Desynchronised("an answer that nobody asked for")
        reply, _, check = self._waiting[0]
        checked(said, check)
        self._waiting.popleft()
        if not reply.done():
            reply.set_result(said)

    def _wake_at(self, deadline: float) -> None:
        """Sets the one timer, however many wait."""
        if self._watchdog is not None:
            self._watchdog.cancel()
        self._alarm = deadline
        self._watchdog = self.loop.call_later(max(0.0, deadline - time.monotonic()), self._watch)

    def _watch(self) -> None:
        """Looks whether somebody waits in vain, and when to look again."""
        self._watchdog, self._alarm = None, math.inf
        if not self._waiting:
            return
        earliest = min(deadline for _, deadline, _ in self._waiting)
        if earliest <= time.monotonic():
            self.fail(TimeoutError("no answer in time"))
        else:
            self._wake_at(earliest)
