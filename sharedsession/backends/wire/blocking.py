"""The blocking link: a stack of sockets, one per thread that asks at a time.

Its `ask` is a coroutine that suspends only before it receives, so that whoever speaks through a link is written once. A
connection is dirty from the first byte sent until the whole reply is read; whatever interrupts that, even a
`BaseException`, closes it. One that the server closed while it lay idle is replaced, once, inside the request's time.
"""

import os
import socket
import struct
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from sharedsession._drive import Readable
from sharedsession.backends.wire.dialect import (
    INCOMPLETE,
    Address,
    Answer,
    Check,
    Desynchronised,
    Dialect,
    StaleMark,
)
from sharedsession.backends.wire.guard import FAILURES, Guard

_READ = 65536


class BlockingLink:
    """Asks one server from any number of threads.

    Args:
        dialect: of the server.
        guard: of the node.
    """

    def __init__(self, dialect: Dialect, guard: Guard) -> None:
        self._dialect = dialect
        self._guard = guard
        self._idle: deque[_Connection] = deque()
        self._process = os.getpid()

    async def ask(
        self,
        request: bytes,
        within: float,
        *,
        check: Check | None = None,
        mark: int | None = None,
        anyway: bool = False,
    ) -> Answer:
        """Same as `Link.ask`."""
        deadline = time.monotonic() + within
        guard = self._guard
        if not guard.is_calm:
            guard.begin(anyway=anyway)
        newest = guard.newest
        try:
            connection, reply = await self._exchange(request, deadline, check, mark)
        except FAILURES as error:
            raise guard.failed(error) from None
        if not guard.is_calm:
            guard.worked(0.0 if anyway else connection.waited, within)
        self._idle.append(connection)
        return Answer(reply, connection.serial if connection.serial > newest else newest)

    def close(self) -> None:
        """Closes the connections that lie idle."""
        while self._idle:
            self._idle.pop().close()

    async def _exchange(
        self, request: bytes, deadline: float, check: Check | None, mark: int | None
    ) -> "tuple[_Connection, Any]":
        connection = self._take(mark)
        if connection:
            try:
                return connection, await connection.exchange(request, deadline, check)
            except (ConnectionError, EOFError):
                self.close()  # the server has gone since: the others that lay idle are as dead
                if mark is not None:
                    raise StaleMark from None
        connection = await self._open(deadline)
        return connection, await connection.exchange(request, deadline, check)

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

    async def _open(self, deadline: float) -> "_Connection":
        connection = _Connection(_connect(self._guard.address, deadline), self._dialect)
        try:
            if self._dialect.greeting:
                self._dialect.greeted(await connection.exchange_all(self._dialect.greeting, deadline))
        except BaseException:
            connection.close()
            raise
        connection.serial = self._guard.next_serial()
        return connection


class _Connection:
    """One socket and what of the last reply is still unread, which between two requests is nothing."""

    __slots__ = ("_parser", "_patience", "_readable", "_socket", "serial", "waited")

    def __init__(self, connected: socket.socket, dialect: Dialect) -> None:
        self._socket = connected
        self._readable = Readable(connected.fileno())
        self._patience = _Patience(connected)
        self._parser = dialect.parser()
        self.serial = 0
        self.waited = 0.0

    async def exchange(self, request: bytes, deadline: float, check: Check | None) -> Any:
        try:
            self._send(request, deadline)
            await self._readable
            return self._checked(self._reply(deadline), check)
        except BaseException:
            self.close()
            raise

    async def exchange_all(self, requests: Sequence[bytes], deadline: float) -> list[Any]:
        try:
            self._send(b"".join(requests), deadline)
            await self._readable
            return [self._next(deadline) for _ in requests]
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._socket.close()

    @staticmethod
    def _checked(reply: Any, check: Check | None) -> Any:
        if check and not check(reply):
            raise Desynchronised("an answer to another request")
        return reply

    def _send(self, data: bytes, deadline: float) -> None:
        self._readable.deadline = deadline
        self._patience.until(_left(deadline))
        self._socket.sendall(data)

    def _next(self, deadline: float) -> Any:
        """A reply of several, which may be here already."""
        reply = self._parser.pop()
        return self._reply(deadline) if reply is INCOMPLETE else reply

    def _reply(self, deadline: float) -> Any:
        started = now = time.monotonic()
        reply = INCOMPLETE
        while reply is INCOMPLETE:
            self._patience.until(deadline - now)
            # After the deadline what has arrived still counts: we may only have been late to look.
            data = self._socket.recv(_READ, 0 if now < deadline else socket.MSG_DONTWAIT)
            if not data:
                raise EOFError("connection closed")
            self._parser.feed(data)
            reply = self._parser.pop()
            now = time.monotonic()
        self.waited = now - started
        return reply


class _Patience:
    """How long a socket waits, kept by the kernel where that can be: Python would ask `poll` before each call.

    Args:
        connected: a plain socket; one of TLS, or of a library that replaces sockets by its own, keeps time by itself.
    """

    __slots__ = ("_in_kernel", "_longest", "_shortest", "_socket")

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._in_kernel = type(connected).__module__ == "socket"
        self._longest = self._shortest = 0.0
        if self._in_kernel:
            connected.settimeout(None)

    def until(self, left: float) -> None:
        """Lets the next calls wait for so many seconds; set anew only where it differs by more than a hair."""
        if self._shortest <= left <= self._longest or (self._in_kernel and left <= 0):
            return
        if not self._in_kernel:
            self._socket.settimeout(max(0.0, left))
            return
        seconds, fraction = divmod(max(left, 0.001), 1)
        timeval = struct.pack("@ll", int(seconds), int(fraction * 1_000_000))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)
        self._longest, self._shortest = left * 1.001, left * 0.96


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
