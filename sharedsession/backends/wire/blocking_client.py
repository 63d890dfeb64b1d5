"""The blocking client: a stack of sockets, one for each thread that asks at a time.

`BlockingClient.ask` is a coroutine that suspends only before it receives, and only inside of `gather`, so that callers
are written once for both colours. A connection is dirty from the first byte sent until the whole reply is read;
whatever interrupts that, even a `BaseException`, closes it. A connection that the server closed while it was idle, or
that is out of step, is replaced, once, within the request's time. One that was idle for long proves itself first:
firewalls and load balancers forget connections without a word. That may happen between two requests, too: so once in a
while a request that hears nothing for a quarter of its time is sent over a new connection. The stack shrinks: what a
burst has opened and nothing uses is closed.
"""

import math
import os
import socket
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from sharedsession.backends.wire.breaker import SLOW
from sharedsession.backends.wire.deadline import Deadline
from sharedsession.backends.wire.node_guard import BELIEVED_FOR, CLOSED, FAILURES, FIRST_BYTE, NodeGuard
from sharedsession.backends.wire.protocol import (
    INCOMPLETE,
    Check,
    FollowUp,
    Parser,
    Request,
    StaleToken,
    WireProtocol,
    checked,
    result_of,
    result_of_stale,
)
from sharedsession.backends.wire.sockets import SocketTimeout, connected_to
from sharedsession.concurrency import Readable, readable, side_by_side
from sharedsession.errors import BackendError, BackendUnavailable

_READ = 65536  # bytes
_UNUSED_FOR = 10.0  # seconds after which a connection is closed, if there are others
_SHRINK_EVERY = 1.0  # seconds
_TIMED_OUT = (TimeoutError, BlockingIOError)


class BlockingClient:
    """Asks one server from any number of threads.

    Args:
        protocol: of the server.
        guard: of the node.
    """

    def __init__(self, protocol: WireProtocol, guard: NodeGuard) -> None:
        self._protocol = protocol
        self._guard = guard
        self._monotonic = guard.monotonic
        self._idle: deque[_Connection] = deque()
        self._shrink_at = -math.inf
        self._is_trying = False
        # Where replies name no request, each connection is looked at before it is used.
        self._believed_for = BELIEVED_FOR if protocol.echoes else -math.inf
        self._process = os.getpid()
        # Connections of a client that is garbage are closed with it, as connection pools do.
        weakref.finalize(self, _close_all, self._idle).atexit = False

    async def ask(self, request: Request, timeout: float) -> Any:
        """Same as `Client.ask`."""
        now = self._monotonic()
        deadline = now + timeout
        guard = self._guard
        data, check, token_serial, anyway, more, *_ = request
        if not guard.is_calm:
            guard.begin(anyway=anyway)
        newest = guard.newest_serial
        try:
            idle = self._take(token_serial)
            try:
                if idle is None or now - idle.receiving_since > self._believed_for:
                    connection, reply = await self._ask_unsure(idle, request, now, deadline)
                else:
                    first_byte = now + timeout * FIRST_BYTE if now >= guard.doubt_at else deadline
                    idle.send(data, deadline)
                    if side_by_side.depth:
                        await idle.readable(first_byte)
                    connection, reply = idle, idle.receive(first_byte, deadline, check, more)
            except CLOSED:
                if idle is None:
                    raise
                connection = await self._open_instead(token_serial, deadline)
                reply = await connection.exchange(data, deadline, check, more)
        except StaleToken:
            return result_of_stale(request)
        except FAILURES as error:
            raise self._failed(error) from None
        self._put_back(connection, now, 0.0 if anyway else self._monotonic() - connection.receiving_since, timeout)
        result = result_of(request, reply, max(connection.serial, newest))
        return await result.work if type(result) is FollowUp else result

    async def ask_afresh(self, request: Request, timeout: float) -> Any:
        """Same as `Client.ask_afresh`."""
        deadline = self._monotonic() + timeout
        if not self._guard.is_calm:
            self._guard.begin()
        try:
            connection = await self._open(deadline)
            try:
                reply = await connection.exchange(request.data, deadline, request.check, request.more)
            finally:
                connection.close()
        except FAILURES as error:
            raise self._failed(error) from None
        result = result_of(request, reply, connection.serial)
        return await result.work if type(result) is FollowUp else result

    def close(self) -> None:
        """Closes the idle connections."""
        _close_all(self._idle)

    def _failed(self, error: Exception) -> BackendUnavailable:
        """Notes a failure. Where one connection got no answer in time, the others are not believed either."""
        if isinstance(error, _TIMED_OUT):
            self.close()
        return self._guard.failed(error)

    def _put_back(self, connection: "_Connection", now: float, took: float, timeout: float) -> None:
        """Lets others have a connection on which a request had its answer."""
        if not self._guard.is_calm or took > timeout * SLOW:
            self._guard.worked(took, timeout)
        if now >= self._shrink_at:
            self._shrink(now)
        self._idle.append(connection)

    def _shrink(self, now: float) -> None:
        """Closes what was not used for a while. Connections are taken from the right: the left end is used least."""
        self._shrink_at = now + _SHRINK_EVERY
        while self._idle:
            try:
                longest = self._idle.popleft()
            except IndexError:  # another thread took it
                return
            if now - longest.receiving_since <= _UNUSED_FOR:
                self._idle.appendleft(longest)
                return
            longest.close()

    def _take(self, token_serial: int | None) -> "_Connection | None":
        """Returns an idle connection; ``None`` if one must be opened."""
        if self._process != os.getpid():
            self.close()  # a child closes its copies; the parent's connections stay open
            self._is_trying = False
            self._process = os.getpid()
        try:
            connection = self._idle.pop()
        except IndexError:
            if token_serial is not None:
                raise StaleToken from None
            return None
        if token_serial is not None and connection.serial > token_serial:
            self._idle.append(connection)
            return self._take_older(token_serial)
        return connection

    def _take_older(self, token_serial: int) -> "_Connection":
        """Returns an idle connection that was open when a token was read."""
        for _ in range(len(self._idle)):
            try:
                connection = self._idle.popleft()
            except IndexError:  # another thread took it
                break
            if connection.serial <= token_serial:
                return connection
            self._idle.append(connection)
        raise StaleToken

    async def _open_instead(self, token_serial: int | None, deadline: float) -> "_Connection":
        """Replaces a connection that turned out to be of no use. The others are no better then, nor are tokens."""
        self._guard.may_doubt(self._monotonic())
        self.close()
        return await self._open_fresh(token_serial, deadline)

    async def _ask_unsure(
        self, idle: "_Connection | None", request: Request, now: float, deadline: float
    ) -> "tuple[_Connection, Any]":
        """Asks over a new connection, or over an idle one that must be looked at before it is believed.

        Returns:
            Which one answered, and the reply.

        Raises:
            ConnectionResetError: it was closed, or holds a reply that nobody asked for.
        """
        data, check, token_serial, _, more, *_ = request
        if idle is None:
            fresh = await self._open(deadline)
            return fresh, await fresh.exchange(data, deadline, check, more)
        if idle.has_ended():
            idle.close()
            raise ConnectionResetError("connection closed")
        if now - idle.receiving_since <= BELIEVED_FOR:
            first_byte = now + (deadline - now) * FIRST_BYTE if now >= self._guard.doubt_at else deadline
            return idle, await idle.exchange(data, deadline, check, more, first_byte)
        if self._is_trying:  # one thread finds out for all; the others do not wait for it
            self._idle.append(idle)
            fresh = await self._open_fresh(token_serial, deadline)
            return fresh, await fresh.exchange(data, deadline, check, more)
        self._is_trying = True
        try:
            answers = await idle.answers(data, now + (deadline - now) * FIRST_BYTE)
        finally:
            self._is_trying = False
        if answers:
            return idle, idle.finish(deadline, check, more)
        return await self._ask_another(idle, request, deadline)

    async def _ask_another(self, idle: "_Connection", request: Request, deadline: float) -> "tuple[_Connection, Any]":
        """Sends a request over a fresh connection as well, since an idle one is silent: it is deaf, or the server slow.

        Returns:
            The one that answered, and the reply.
        """
        data, check, token_serial, _, more, *_ = request
        try:
            fresh = await self._open_instead(token_serial, deadline)
            if not idle.hears():
                reply = await fresh.exchange(data, deadline, check, more)
                idle.close()
                return fresh, reply
            self._idle.append(fresh)
        except BaseException as error:
            if not isinstance(error, FAILURES) or not idle.hears():
                idle.close()
                raise
        return idle, idle.finish(deadline, check, more)

    async def _open_fresh(self, token_serial: int | None, deadline: float) -> "_Connection":
        """Opens a connection for a request; one with a token cannot use it."""
        if token_serial is not None:
            raise StaleToken from None
        return await self._open(deadline)

    async def _open(self, deadline: float) -> "_Connection":
        connected = connected_to(self._guard.address, Deadline(self._monotonic, math.inf, deadline))
        parser = self._protocol.parser()
        connection = _Connection(connected, parser, self._monotonic)
        try:
            if self._protocol.greeting:
                first, *more = [self._protocol.admits] * len(self._protocol.greeting)
                greeting = b"".join(self._protocol.greeting)
                replies = await connection.exchange(greeting, deadline, first, more)
                self._protocol.greeted(replies if more else [replies])
        except BaseException:
            connection.close()
            raise
        connection.serial = self._guard.next_serial()
        return connection


class _Connection:
    """A socket, and what of the last reply is unread: between two requests, nothing."""

    __slots__ = (
        "_after_deadline",
        "_monotonic",
        "_parser",
        "_readable",
        "_receiving",
        "_sending",
        "_socket",
        "receiving_since",
        "serial",
    )

    def __init__(self, connected: socket.socket, parser: Parser, monotonic: Callable[[], float]) -> None:
        self._socket = connected
        self._monotonic = monotonic
        self._readable = Readable(connected.fileno())
        self._sending = SocketTimeout(connected, socket.SO_SNDTIMEO)
        self._receiving = SocketTimeout(connected, socket.SO_RCVTIMEO)
        # A TLS socket takes no flags; its timeout of 0 keeps it from waiting.
        self._after_deadline = 0 if hasattr(connected, "pending") else socket.MSG_DONTWAIT
        self._parser = parser
        self.serial = 0
        self.receiving_since = 0.0  # on the monotonic clock

    async def exchange(
        self,
        data: bytes,
        deadline: float,
        check: Check | None,
        more: Sequence[Check | None],
        first_byte: float | None = None,
    ) -> Any:
        """Sends bytes and returns the reply, in the form of `receive`; arguments as there."""
        first_byte = deadline if first_byte is None else first_byte
        self.send(data, deadline)
        if side_by_side.depth:
            await self.readable(first_byte)
        return self.receive(first_byte, deadline, check, more)

    def send(self, data: bytes, deadline: float) -> None:
        """Sends bytes: from now on there is a reply that must be received, or the connection is of no use."""
        try:
            self._send(data, deadline)
        except BaseException:
            self.close()
            raise

    async def readable(self, deadline: float) -> None:
        """Lets the other coroutines of a `gather` go on until something comes."""
        try:
            await self._readable.until(deadline)
        except BaseException:
            self.close()
            raise

    def receive(self, first_byte: float, deadline: float, check: Check | None, more: Sequence[Check | None]) -> Any:
        """Returns the reply, or with more checks the list of as many more replies.

        Raises:
            ConnectionResetError: nothing came before ``first_byte``: the connection may have gone deaf.
        """
        try:
            reply = checked(self._receive(first_byte), check)
            return [reply, *[checked(self._next(deadline), check) for check in more]] if more else reply
        except BaseException as error:
            self.close()
            if first_byte < deadline and isinstance(error, _TIMED_OUT):
                raise ConnectionResetError("silent") from None
            raise

    async def answers(self, data: bytes, deadline: float) -> bool:
        """Sends bytes and returns whether anything comes back before the deadline; then `finish` reads the reply."""
        try:
            self._send(data, deadline)
            self.receiving_since = self._monotonic()
            if side_by_side.depth:
                await self._readable.until(deadline)
            readable([self._socket.fileno()], max(0.0, deadline - self._monotonic()))
        except OSError:
            return False
        except BaseException:
            self.close()
            raise
        return self.hears()

    def hears(self) -> bool:
        """Reads what has arrived, without waiting. Returns whether that is anything."""
        self._receiving.set(0)
        try:
            data = self._socket.recv(_READ, self._after_deadline)
        except OSError:
            return False
        self._parser.feed(data)
        return bool(data)

    def finish(self, deadline: float, check: Check | None, more: Sequence[Check | None]) -> Any:
        """Returns the reply that has begun to come, in the form of `exchange`."""
        try:
            reply = checked(self._next(deadline), check)
            return [reply, *[checked(self._next(deadline), check) for check in more]] if more else reply
        except BaseException:
            self.close()
            raise

    def has_ended(self) -> bool:
        """Returns whether the server has closed the connection, or sent what nobody asked for."""
        try:
            return self._parser.pop() is not INCOMPLETE or bool(readable([self._socket.fileno()], 0))
        except BackendError:  # what was sent is no reply
            return True

    def close(self) -> None:
        self._socket.close()

    def _send(self, data: bytes, deadline: float) -> None:
        left, timeout = deadline - self._monotonic(), self._sending
        if left <= 0:
            raise TimeoutError("no answer in time")
        if not timeout.shortest <= left <= timeout.longest:
            timeout.set(left)
        self._socket.sendall(data)

    def _next(self, deadline: float) -> Any:
        """Returns a reply of several, which may have arrived already."""
        reply = self._parser.pop()
        return self._receive(deadline) if reply is INCOMPLETE else reply

    def _receive(self, deadline: float) -> Any:
        now, timeout = self._monotonic(), self._receiving
        self.receiving_since = now
        while True:
            left = deadline - now
            if not timeout.shortest <= left <= timeout.longest:
                timeout.set(left)
            try:
                # A reply that arrived before the deadline still counts: this thread may have looked late.
                data = self._socket.recv(_READ, 0 if now < deadline else self._after_deadline)
            except ConnectionError:
                data = b""
            if not data:
                raise self._parser.end()
            self._parser.feed(data)
            reply = self._parser.pop()
            if reply is not INCOMPLETE:
                return reply
            now = self._monotonic()


def _close_all(connections: deque[_Connection]) -> None:
    while connections:
        connections.pop().close()
