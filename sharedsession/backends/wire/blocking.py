"""The blocking link: a stack of sockets, one per thread that asks at a time.

Its `ask` is a coroutine that suspends only before it receives, so that whoever speaks through a link is written once. A
connection is dirty from the first byte sent until the whole reply is read; whatever interrupts that, even a
`BaseException`, closes it. One that the server closed while it lay idle is replaced, once, inside the request's time.
"""

import os
import socket
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
from sharedsession.backends.wire.guard import Guard

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
        with self._guard.asking(within, anyway=anyway) as attempt:
            newest = self._guard.newest
            connection, fresh = await self._take(deadline, mark)
            try:
                reply = await connection.exchange(request, deadline, check)
            except (ConnectionError, EOFError):
                connection.close()
                if fresh:
                    raise
                self.close()  # the server has gone since: the others that lay idle are as dead
                connection, _ = await self._take(deadline, mark)
                reply = await connection.exchange(request, deadline, check)
            attempt.took = connection.waited
            self._idle.append(connection)
            return Answer(reply, max(newest, connection.serial))

    def close(self) -> None:
        """Closes the connections that lie idle."""
        while self._idle:
            self._idle.pop().close()

    async def _take(self, deadline: float, mark: int | None) -> "tuple[_Connection, bool]":
        if self._process != os.getpid():
            self.close()  # a child closes its copies; the parent's connections live on
            self._process = os.getpid()
        try:
            connection = self._idle.pop()
        except IndexError:
            if mark is not None:
                raise StaleMark from None
            return await self._open(deadline), True
        if mark is not None and connection.serial > mark:
            self._idle.append(connection)
            raise StaleMark
        return connection, False

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

    __slots__ = ("_parser", "_socket", "serial", "waited")

    def __init__(self, connected: socket.socket, dialect: Dialect) -> None:
        self._socket = connected
        self._parser = dialect.parser()
        self.serial = 0
        self.waited = 0.0

    async def exchange(self, request: bytes, deadline: float, check: Check | None) -> Any:
        try:
            self._send(request, deadline)
            await Readable(self._socket.fileno(), deadline)
            return self._checked(self._reply(deadline), check)
        except BaseException:
            self.close()
            raise

    async def exchange_all(self, requests: Sequence[bytes], deadline: float) -> list[Any]:
        try:
            self._send(b"".join(requests), deadline)
            await Readable(self._socket.fileno(), deadline)
            return [self._reply(deadline) for _ in requests]
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
        self._socket.settimeout(_left(deadline))
        self._socket.sendall(data)

    def _reply(self, deadline: float) -> Any:
        started = time.monotonic()
        while (reply := self._parser.pop()) is INCOMPLETE:
            # After the deadline what has arrived still counts: we may only have been late to look.
            self._socket.settimeout(max(0.0, deadline - time.monotonic()))
            data = self._socket.recv(_READ)
            if not data:
                raise EOFError("connection closed")
            self._parser.feed(data)
        self.waited = time.monotonic() - started
        return reply


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
