"""The blocking client: a stack of sockets, one per thread that asks at a time.

Its `ask` is a coroutine that suspends only before it receives, so that whoever speaks through a client is written once. A
connection is dirty from the first byte sent until the whole reply is read; whatever interrupts that, even a
`BaseException`, closes it. One that the server closed while it lay idle is replaced, once, inside the request's time.
"""

import os
import socket
import struct
import time
import weakref
from collections import deque
from collections.abc import Sequence
from typing import Any

from sharedsession.backends.wire.node_guard import CLOSED, FAILURES, NodeGuard
from sharedsession.backends.wire.protocol import (
    INCOMPLETE,
    Address,
    Answer,
    Check,
    WireProtocol,
    Parser,
    StaleMark,
    checked,
    made,
)
from sharedsession.concurrency import Readable

_READ = 65536


class BlockingClient:
    """Asks one server from any number of threads.

    Args:
        protocol: of the server.
        guard: of the node.
        side_by_side: whether other clients may be asked at the same time, by the same thread; else a request waits
            for its reply and nobody hears of it.
    """

    def __init__(self, protocol: WireProtocol, guard: NodeGuard, *, side_by_side: bool = False) -> None:
        self._protocol = protocol
        self._guard = guard
        self._side_by_side = side_by_side
        self._idle: deque[_Connection] = deque()
        self._process = os.getpid()
        # A client that nobody needs any more takes its connections along, as pools do.
        weakref.finalize(self, _close_all, self._idle).atexit = False

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
        newest = guard.newest
        try:
            idle = self._take(mark)
            connection = idle or await self._open(deadline)
            try:
                reply = await connection.exchange(request, deadline, check)
            except CLOSED:
                if idle is None:
                    raise
                connection = await self._open_instead(mark, deadline)
                reply = await connection.exchange(request, deadline, check)
        except FAILURES as error:
            raise guard.failed(error) from None
        if not guard.is_calm:
            guard.worked(0.0 if anyway else time.monotonic() - connection.listened, timeout)
        if self._protocol.echoes or connection.is_spent():
            self._idle.append(connection)
        else:
            connection.close()
        serial = connection.serial
        return made(Answer, (reply, serial if serial > newest else newest))

    def close(self) -> None:
        """Closes the connections that lie idle."""
        _close_all(self._idle)

    def _take(self, mark: int | None) -> "_Connection | None":
        """A connection that lies idle; ``None`` if one must be opened."""
        if self._process != os.getpid():
            self.close()  # a child closes its copies; the parent's connections live on
            self._process = os.getpid()
        try:
            connection = self._idle.pop()
        except IndexError:
            if mark is not None:
                raise StaleMark from None
            return None
        if mark is not None and connection.serial > mark:
            self._idle.append(connection)
            raise StaleMark
        return connection

    async def _open_instead(self, mark: int | None, deadline: float) -> "_Connection":
        """In the place of an idle one that the server has closed: then the others are as dead, and so are tokens."""
        self.close()
        if mark is not None:
            raise StaleMark from None
        return await self._open(deadline)

    async def _open(self, deadline: float) -> "_Connection":
        connection = _Connection(
            _connect(self._guard.address, deadline), self._protocol.parser(), side_by_side=self._side_by_side
        )
        try:
            if self._protocol.greeting:
                replies = await connection.exchange_all(self._protocol.greeting, deadline, self._protocol.admits)
                self._protocol.greeted(replies)
        except BaseException:
            connection.close()
            raise
        connection.serial = self._guard.next_serial()
        return connection


class _Connection:
    """One socket and what of the last reply is still unread, which between two requests is nothing."""

    __slots__ = ("_glance", "_parser", "_patience", "_readable", "_socket", "listened", "serial")

    def __init__(self, connected: socket.socket, parser: Parser, *, side_by_side: bool) -> None:
        self._socket = connected
        self._readable = Readable(connected.fileno()) if side_by_side else None
        self._patience = _Patience(connected)
        # A socket of TLS takes no flags; its patience alone keeps it from waiting.
        self._glance = 0 if hasattr(connected, "pending") else socket.MSG_DONTWAIT
        self._parser = parser
        self.serial = 0
        self.listened = 0.0  # since when, on the monotonic clock

    async def exchange(self, request: bytes, deadline: float, check: Check | None) -> Any:
        try:
            self._send(request, deadline)
            if self._readable:
                await self._readable.until(deadline)
            return checked(self._receive(deadline), check)
        except BaseException:
            self.close()
            raise

    async def exchange_all(self, requests: Sequence[bytes], deadline: float, check: Check | None) -> list[Any]:
        try:
            self._send(b"".join(requests), deadline)
            if self._readable:
                await self._readable.until(deadline)
            return [checked(self._next(deadline), check) for _ in requests]
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._socket.close()

    def is_spent(self) -> bool:
        """Whether nothing came that nobody asked for, as far as it was read."""
        return self._parser.pop() is INCOMPLETE

    def _send(self, data: bytes, deadline: float) -> None:
        left, patience = deadline - time.monotonic(), self._patience
        if left <= 0 or not patience.shortest <= left <= patience.longest:
            patience.until(_left(deadline))
        self._socket.sendall(data)

    def _next(self, deadline: float) -> Any:
        """A reply of several, which may be here already."""
        reply = self._parser.pop()
        return self._receive(deadline) if reply is INCOMPLETE else reply

    def _receive(self, deadline: float) -> Any:
        now, patience = time.monotonic(), self._patience
        self.listened = now
        while True:
            left = deadline - now
            if not patience.shortest <= left <= patience.longest:
                patience.until(left)
            # After the deadline what has arrived still counts: we may only have been late to look.
            data = self._socket.recv(_READ, 0 if now < deadline else self._glance)
            if not data:
                raise EOFError("connection closed")
            self._parser.feed(data)
            reply = self._parser.pop()
            if reply is not INCOMPLETE:
                return reply
            now = time.monotonic()


def _close_all(connections: deque[_Connection]) -> None:
    while connections:
        connections.pop().close()


class _Patience:
    """How long a socket waits, kept by the kernel where that can be: Python would ask `poll` before each call.

    Args:
        connected: a plain socket; one of TLS, or of a library that replaces sockets by its own, keeps time by itself.
    """

    __slots__ = ("_in_kernel", "_socket", "longest", "shortest")

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._in_kernel = type(connected).__module__ == "socket"
        self.longest = self.shortest = 0.0
        if self._in_kernel:
            connected.settimeout(None)

    def until(self, left: float) -> None:
        """Lets the next calls wait for so many seconds; needless while that is between `shortest` and `longest`."""
        if self._in_kernel and left <= 0:
            return
        if not self._in_kernel:
            self._socket.settimeout(max(0.0, left))
            return
        seconds, fraction = divmod(max(left, 0.001), 1)
        timeval = struct.pack("@ll", int(seconds), int(fraction * 1_000_000))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)
        self.longest, self.shortest = left * 1.001, left * 0.96


def _connect(address: Address, deadline: float) -> socket.socket:
    if address.path:
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connected.settimeout(_left(deadline))
            connected.connect(address.path)
        except BaseException:
            connected.close()
            raise
        return connected
    connected = socket.create_connection((address.host, address.port), _left(deadline))
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return _with_tls(connected, address, deadline)


def _with_tls(connected: socket.socket, address: Address, deadline: float) -> socket.socket:
    if address.tls is None:
        return connected
    try:
        connected.settimeout(_left(deadline))
        return address.tls.wrap_socket(connected, server_hostname=address.host)
    except BaseException:
        connected.close()
        raise


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("no answer in time")
    return left
