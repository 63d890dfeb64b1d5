"""The asynchronous client: one connection for each event loop, shared by all its requests.

Of a connection that was closed or is out of step, all requests go to a new one, once. A connection that was idle for
long proves itself with one request, while the others use a new one: firewalls and load balancers forget connections
without a word. That may happen between two requests, too: so once in a while a connection that is silent for a quarter
of a request's time is given up for a new one.

A request over a connection in use, to a node that is calm, takes the plain path: it is sent when it is asked, and what
the task waits for is one future.
"""

import asyncio
import os
from asyncio import _get_running_loop  # None, where there is no running loop
from collections.abc import Awaitable, Coroutine
from typing import Any

from sharedsession.backends.wire.connection import Connection
from sharedsession.backends.wire.node_guard import BELIEVED_FOR, CLOSED, FAILURES, FIRST_BYTE, NodeGuard
from sharedsession.backends.wire.protocol import (
    FollowUp,
    Request,
    StaleToken,
    WireProtocol,
    result_of,
    result_of_stale,
)
from sharedsession.backends.wire.sockets import keep_alive
from sharedsession.concurrency import PerLoop, background


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
        self._connections: PerLoop[Connection] = PerLoop()
        self._recent: Connection | None = None
        self._opening: PerLoop[asyncio.Task[Connection]] = PerLoop()

    def ask(self, request: Request, timeout: float) -> Awaitable[Any]:
        """Same as `Client.ask`. On the plain path the request is sent now, and what is returned is a future."""
        now = self._monotonic()
        connection, token_serial = self._recent, request.newest_serial
        if (
            connection is not None
            and self._guard.is_calm
            and connection.takes_requests
            and now - connection.used <= BELIEVED_FOR
            and connection.loop is _get_running_loop()
            and (token_serial is None or connection.serial <= token_serial)
        ):
            connection.is_new, connection.used = False, now
            return connection.send(request.data, now + timeout, request.check, request.more, request, timeout)
        return self._ask(request, now, timeout)

    async def _ask(self, request: Request, now: float, timeout: float) -> Any:
        """Asks in whatever state node and connection are."""
        deadline = now + timeout
        guard = self._guard
        data, check, token_serial, anyway, more, *_ = request
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
        except StaleToken:
            return result_of_stale(request)
        except FAILURES as error:
            raise guard.failed(error) from None
        if not guard.is_calm:
            guard.worked(0.0 if anyway else self._monotonic() - now, timeout)
        result = result_of(request, reply, connection.serial)
        return await result.work if type(result) is FollowUp else result

    def answer(self, reply: "asyncio.Future[Any]", request: Request, found: Any, serial: int) -> None:
        """Gives a request of the plain path the result that is made of what the server replied."""
        try:
            if (reading := request.reading) is None:
                result = result_of(request, found, serial)
            else:
                result = reading(found, serial, request.context)
        except Exception as error:  # noqa: BLE001  (it is for whoever waits, not for the connection)
            reply.set_exception(error)
            return
        if type(result) is FollowUp:
            _settle_later(reply, result.work)
        else:
            reply.set_result(result)

    def give_up(self, reply: "asyncio.Future[Any]", request: Request, deadline: float, error: Exception) -> None:
        """Tells a request of the plain path that its connection failed; once, it goes to a new one."""
        if isinstance(error, CLOSED):
            _settle_later(reply, self._ask_again(request, deadline))
        elif isinstance(error, FAILURES):
            reply.set_exception(self._guard.failed(error))
        else:
            reply.set_exception(error)

    async def _ask_again(self, request: Request, deadline: float) -> Any:
        try:
            loop = asyncio.get_running_loop()
            connection = self._connected(request.newest_serial) or await self._open(loop, deadline)
            reply = await connection.send(request.data, deadline, request.check, request.more)
        except StaleToken:
            return result_of_stale(request)
        except FAILURES as error:
            raise self._guard.failed(error) from None
        result = result_of(request, reply, connection.serial)
        return await result.work if type(result) is FollowUp else result

    async def ask_afresh(self, request: Request, timeout: float) -> Any:
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
        result = result_of(request, reply, connection.serial)
        return await result.work if type(result) is FollowUp else result

    def close(self) -> None:
        """Closes the connection of the running event loop."""
        connection = self._connections.pop(asyncio.get_running_loop())
        if connection is not None:
            connection.fail(ConnectionAbortedError("closed"))

    def _connected(self, token_serial: int | None) -> "Connection | None":
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
        self, idle: "Connection", request: Request, now: float, deadline: float
    ) -> "tuple[Connection, Any]":
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
        self, idle: "Connection", reply: "asyncio.Future[Any]", request: Request, deadline: float
    ) -> "tuple[Connection, Any]":
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

    async def _open(self, loop: asyncio.AbstractEventLoop, deadline: float) -> "Connection":
        """Opens one connection for all that wait; a waiter that is cancelled does not take it from the others."""
        opening = self._opening.get(loop)
        if opening is None or opening.done():
            opening = background(loop, self._shared(loop, deadline))
            self._opening.put(loop, opening)
            opening.add_done_callback(_was_noticed)  # all waiters may be cancelled
        return await asyncio.shield(opening)

    async def _opened(self, loop: asyncio.AbstractEventLoop, deadline: float) -> "Connection":
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

    async def _shared(self, loop: asyncio.AbstractEventLoop, deadline: float) -> "Connection":
        connection = await self._opened(loop, deadline)
        self._connections.put(loop, connection)
        return connection

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> "Connection":
        address = self._guard.address

        def make() -> Connection:
            return Connection(loop, self._protocol.parser(), self._guard, self)

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


def _settle_later(reply: "asyncio.Future[Any]", work: Coroutine[Any, Any, Any]) -> None:
    """Settles a future with what some work comes to, unless whoever waits for it has gone."""

    def settle(done: "asyncio.Task[Any]") -> None:
        if reply.done():
            _was_noticed(done)
        elif done.cancelled():
            reply.cancel()
        elif (error := done.exception()) is not None:
            reply.set_exception(error)
        else:
            reply.set_result(done.result())

    background(reply.get_loop(), work).add_done_callback(settle)


def _has_worked(future: "asyncio.Future[Any]") -> bool:
    return future.done() and not future.cancelled() and future.exception() is None
