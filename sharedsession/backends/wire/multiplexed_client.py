"""The asynchronous client: one connection for each event loop, shared by all its requests.

Where many ask, the requests of one iteration of the loop leave in one write; a request that is alone is not delayed.
Replies come in the order of the requests. A request that was cancelled keeps its place in the queue, so its reply is
read and dropped, and never taken for that of another. One timer watches the whole connection: when one request gets no
answer in time, none behind it will, and all fail. Of a connection that was closed or is out of step, all requests go to
a new one, once. A connection that was idle for long proves itself with one request, while the others use a new one:
firewalls and load balancers forget connections without a word. That may happen between two requests, too: so once in a
while a connection that is silent for a quarter of a request's time is given up for a new one.
"""

import asyncio
import math
import os
from collections import deque
from collections.abc import Sequence
from typing import Any, cast

from sharedsession.backends.wire.node_guard import BELIEVED_FOR, CLOSED, FAILURES, FIRST_BYTE, NodeGuard
from sharedsession.backends.wire.protocol import (
    INCOMPLETE,
    Answer,
    Check,
    Desynchronised,
    Parser,
    Request,
    StaleToken,
    WireProtocol,
    checked,
    made,
)
from sharedsession.backends.wire.sockets import keep_alive
from sharedsession.concurrency import PerLoop, background, readable
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
        self._monotonic = guard.monotonic
        self._process = os.getpid()
        self._connections: PerLoop[_Connection] = PerLoop()
        self._recent: _Connection | None = None
        self._opening: PerLoop[asyncio.Task[_Connection]] = PerLoop()

    async def ask(self, request: Request, timeout: float) -> Answer:
        """Same as `Client.ask`."""
        now = self._monotonic()
        deadline = now + timeout
        guard = self._guard
        data, check, token_serial, anyway, more = request
        if not guard.is_calm:
            guard.begin(anyway=anyway)
        try:
            shared = self._connected(token_serial)
            connection = shared or await self._open(asyncio.get_running_loop(), deadline)
            try:
                if shared is not None and now - shared.used > BELIEVED_FOR:
                    connection, reply = await self._ask_idle(shared, request, now, deadline)
                else:
                    connection.is_new, connection.used = shared is None, now
                    reply = await connection.send(data, deadline, check, more)
            except CLOSED:
                if shared is None:
                    raise
                connection = self._connected(token_serial) or await self._open(connection.loop, deadline)
                reply = await connection.send(data, deadline, check, more)
        except FAILURES as error:
            raise guard.failed(error) from None
        if not guard.is_calm:
            guard.worked(0.0 if anyway else self._monotonic() - now, timeout)
        return made(Answer, (reply, connection.serial))

    async def ask_afresh(self, request: Request, timeout: float) -> Answer:
        """Same as `Client.ask_afresh`."""
        deadline = self._monotonic() + timeout
        if not self._guard.is_calm:
            self._guard.begin()
        try:
            connection = await self._opened(asyncio.get_running_loop(), deadline)
            try:
                reply = await connection.send(request.data, deadline, request.check, request.more)
            finally:
                connection.fail(ConnectionAbortedError("closed"))
        except FAILURES as error:
            raise self._guard.failed(error) from None
        return Answer(reply, connection.serial)

    def close(self) -> None:
        """Closes the connection of the running event loop."""
        connection = self._connections.pop(asyncio.get_running_loop())
        if connection is not None:
            connection.fail(ConnectionAbortedError("closed"))

    def _connected(self, token_serial: int | None) -> "_Connection | None":
        """Returns the connection of the running event loop; ``None`` if it must be opened."""
        if self._process != os.getpid():
            self._connections, self._opening, self._recent = PerLoop(), PerLoop(), None
            self._process = os.getpid()
        loop = asyncio.get_running_loop()
        connection = self._recent
        if connection is None or connection.loop is not loop:
            connection = self._recent = self._connections.get(loop)
        if connection is not None and not connection.takes_requests:
            connection = self._recent = None
        if token_serial is not None and (connection is None or connection.serial > token_serial):
            raise StaleToken
        return connection

    async def _ask_idle(
        self, idle: "_Connection", request: Request, now: float, deadline: float
    ) -> "tuple[_Connection, Any]":
        """Asks over a connection that was idle for long. Returns which one answered, and the reply.

        Raises:
            ConnectionResetError: it was closed.
        """
        if idle.has_ended():
            idle.fail(ConnectionResetError("connection closed"))
            raise ConnectionResetError("connection closed")
        idle.takes_requests = idle.heard = False
        reply = idle.send(request.data, deadline, request.check, request.more)
        reply.add_done_callback(_was_noticed)
        try:
            await asyncio.wait([reply], timeout=(deadline - now) * FIRST_BYTE)
            if reply.done() or idle.heard:
                idle.used = now
                return idle, await reply
            return await self._ask_another(idle, reply, request, deadline)
        finally:
            reply.cancel()
            idle.takes_requests = not idle.is_closed and self._connections.get(idle.loop) is idle
            if not idle.takes_requests:
                idle.fail(ConnectionAbortedError("replaced by another"))

    async def _ask_another(
        self, idle: "_Connection", reply: "asyncio.Future[Any]", request: Request, deadline: float
    ) -> "tuple[_Connection, Any]":
        """Sends a request over a fresh connection as well, since an idle one is silent: it is deaf, or the server slow.

        Args:
            idle: the connection that is silent.
            reply: what it may still answer.
            request: the request.
            deadline: of the request.

        Returns:
            The one that answered first, and the reply.
        """
        other = None
        try:
            fresh = self._connected(request.newest_serial) or await self._open(idle.loop, deadline)
            other = fresh.send(request.data, deadline, request.check, request.more)
            other.add_done_callback(_was_noticed)
            await asyncio.wait([reply, other], return_when=asyncio.FIRST_COMPLETED)
            return (idle, reply.result()) if _has_worked(reply) else (fresh, await other)
        except FAILURES:
            if not _has_worked(reply):
                raise
            return idle, reply.result()
        finally:
            idle.fail(ConnectionAbortedError("silent for too long"))
            if other is not None:
                other.cancel()

    async def _open(self, loop: asyncio.AbstractEventLoop, deadline: float) -> "_Connection":
        """Opens one connection for all that wait; a waiter that is cancelled does not take it from the others."""
        opening = self._opening.get(loop)
        if opening is None or opening.done():
            opening = background(loop, self._shared(loop, deadline))
            self._opening.put(loop, opening)
            opening.add_done_callback(_was_noticed)  # all waiters may be cancelled
        return await asyncio.shield(opening)

    async def _opened(self, loop: asyncio.AbstractEventLoop, deadline: float) -> "_Connection":
        async with asyncio.timeout(max(0.0, deadline - self._monotonic())):
            connection = await self._connect(loop)
        try:
            greeting = [
                connection.send(request, deadline, self._protocol.admits) for request in self._protocol.greeting
            ]
            self._protocol.greeted(await asyncio.gather(*greeting))
        except BaseException as error:
            connection.fail(error if isinstance(error, Exception) else ConnectionAbortedError("interrupted"))
            raise
        connection.serial = self._guard.next_serial()
        connection.used = self._monotonic()
        connection.close_with_loop()
        return connection

    async def _shared(self, loop: asyncio.AbstractEventLoop, deadline: float) -> "_Connection":
        connection = await self._opened(loop, deadline)
        self._connections.put(loop, connection)
        return connection

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> "_Connection":
        address = self._guard.address

        def make() -> _Connection:
            return _Connection(loop, self._protocol.parser(), self._guard)

        if address.path:
            _, protocol = await loop.create_unix_connection(make, address.path)
        else:
            transport, protocol = await loop.create_connection(make, address.host, address.port, ssl=address.tls)
            keep_alive(transport.get_extra_info("socket"))
        return protocol


def _was_noticed(future: "asyncio.Future[Any]") -> None:
    """Reads the exception of a future: asyncio warns of one that was never read."""
    if not future.cancelled():
        future.exception()


def _has_worked(future: "asyncio.Future[Any]") -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


class _Replies:
    """Stands in the queue once for each of several requests that travel together, and gathers their replies.

    Args:
        future: of the list of all.
        count: how many there are.
    """

    __slots__ = ("_count", "_future", "_replies")

    def __init__(self, future: "asyncio.Future[Any]", count: int) -> None:
        self._future = future
        self._count = count
        self._replies: list[Any] = []

    def done(self) -> bool:
        return self._future.done()

    def set_result(self, reply: Any) -> None:
        self._replies.append(reply)
        if len(self._replies) == self._count:
            self._future.set_result(self._replies)

    def set_exception(self, error: Exception) -> None:
        self._future.set_exception(error)


_Waiter = tuple["asyncio.Future[Any] | _Replies", float, Check | None]  # the reply, its deadline, what it must fit


class _Connection(asyncio.Protocol):
    """One connection: requests in a queue, replies in the same order."""

    _transport: asyncio.Transport  # set by `connection_made`, before anything is sent

    def __init__(self, loop: asyncio.AbstractEventLoop, parser: Parser, guard: NodeGuard) -> None:
        self.loop = loop
        self._parser = parser
        self._guard = guard
        self._monotonic = guard.monotonic
        self._quiet_since = self._patience = 0.0
        self._waiting: deque[_Waiter] = deque()
        self._outbox: list[bytes] = []
        self._is_crowded = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = math.inf
        self._closed = loop.create_future()
        self._loop_watch: asyncio.Task[None] | None = None
        self._refusal: BackendError | None = None  # what the server said before it was asked anything
        self.is_closed = False
        self.is_new = True  # nothing was asked over it before
        self.takes_requests = True  # of all tasks; not while the connection has to prove itself
        self.heard = False
        self.used = 0.0  # on the monotonic clock
        self.serial = 0

    def send(
        self, request: bytes, deadline: float, check: Check | None, more: Sequence[Check | None] = ()
    ) -> "asyncio.Future[Any]":
        """Queues a request. The future is its reply; with more checks, the list of as many more replies."""
        reply = self.loop.create_future()
        if self.is_closed:
            reply.set_exception(self._refusal or ConnectionResetError("connection closed"))
            return reply
        if self._outbox:
            self._outbox.append(request)
        elif self._waiting or self._is_crowded:
            self._outbox.append(request)
            self.loop.call_soon(self._flush)
        else:
            self._transport.write(request)  # alone: to collect others would cost an iteration of the loop
        if not self._waiting:
            self._quiet_since = now = self._monotonic()
            self._patience = (deadline - now) * FIRST_BYTE
            if self._timer is None:
                self._set_timer(now + self._patience)
        if more:
            replies = _Replies(reply, 1 + len(more))
            self._waiting.extend((replies, deadline, each) for each in (check, *more))
        else:
            self._waiting.append((reply, deadline, check))
        if deadline < self._timer_due:
            self._set_timer(deadline)
        return reply

    def fail(self, error: Exception) -> None:
        """Closes the connection; all requests that wait get the error."""
        self.is_closed, self.takes_requests = True, False
        self._refusal = error if isinstance(error, BackendError) else None
        if self.loop.is_closed():  # by hand, so no task of it was cancelled: it can do nothing, and nothing waits on it
            return
        if not self._closed.done():
            self._closed.set_result(None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._transport.abort()
        while self._waiting:
            reply = self._waiting.popleft()[0]
            if not reply.done():
                reply.set_exception(error)

    def has_ended(self) -> bool:
        """Returns whether the server has closed the connection, or sent what nobody asked for."""
        fileno = self._transport.get_extra_info("socket").fileno()
        return fileno < 0 or bool(readable([fileno], 0))

    def close_with_loop(self) -> None:
        """Closes the connection when its loop ends: a loop that ends cancels its tasks, and this starts one."""
        self._loop_watch = background(self.loop, self._wait_for_loop())

    async def _wait_for_loop(self) -> None:
        try:
            await self._closed
        finally:
            self.fail(ConnectionAbortedError("the event loop ended"))

    # -- called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.heard = True
        self._quiet_since = self._monotonic()
        try:
            self._parser.feed(data)
            while (reply := self._parser.pop()) is not INCOMPLETE:
                self._answer(reply)
        except Exception as error:  # noqa: BLE001  (no waiter may be left behind, whatever fails over a reply)
            self.fail(error if isinstance(error, BackendError) else Desynchronised("a malformed reply"))

    def connection_lost(self, error: Exception | None) -> None:
        self.fail(self._parser.end())

    # -- inside

    def _flush(self) -> None:
        self._is_crowded = len(self._outbox) > 1
        if not self.is_closed:
            self._transport.write(b"".join(self._outbox))
        self._outbox.clear()

    def _answer(self, reply: Any) -> None:
        if not self._waiting:
            raise Desynchronised("a reply without a request")
        waiter, _, check = self._waiting[0]
        checked(reply, check)
        self._waiting.popleft()
        if not waiter.done():
            waiter.set_result(reply)

    def _set_timer(self, deadline: float) -> None:
        """Sets the one timer, however many wait."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer_due = deadline
        self._timer = self.loop.call_later(max(0.0, deadline - self._monotonic()), self._check_deadlines)

    def _check_deadlines(self) -> None:
        """Fails the connection if a deadline has passed, or if it may have gone deaf; else sets the timer once more."""
        self._timer, self._timer_due = None, math.inf
        if not self._waiting:
            return
        now, earliest = self._monotonic(), min(deadline for _, deadline, _ in self._waiting)
        if earliest <= now:
            self.fail(TimeoutError("no answer in time"))
        elif not self.is_new and self.takes_requests and self._is_silent(now) and self._guard.may_doubt(now):
            self.fail(ConnectionResetError("silent"))
        else:
            self._set_timer(min(earliest, now + self._patience))

    def _is_silent(self, now: float) -> bool:
        return now - self._quiet_since >= self._patience
