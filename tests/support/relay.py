"""A TCP relay in front of a real server: it counts what passes on the wire, and breaks it on demand.

One thread runs one event loop; everything that changes anything happens there, so nothing needs a lock. A
verb returns when it took effect, and may not be called by an `on_reply` function. A round trip is a client
sending something after it last got something, or first: requests sent in one burst are one, provided that the
server does not answer in between; `Relay.delay` makes sure.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Self

from tests.support.processes import HOST, PATIENCE, free_port

Rewrite = Callable[[bytes], bytes]


class Relay:
    """A relay to a loopback port, from its own ``port``; a context manager.

    Attributes:
        round_trips: how often a client sent something after it last got something, over all connections.
        requests: chunks that clients sent.
        bytes_up: bytes that clients sent.
        bytes_down: bytes that clients were sent, after any rewriting.
        connections: connections that clients opened.
        held_requests: chunks that clients sent and that are kept back.
    """

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.port = 0
        self.held_requests = 0
        self._waits_for: bytes | None = None
        self._held = False
        self._delay = 0.0
        self._rewrite: Rewrite | None = None
        self._trouble: Exception | None = None
        self._ends: set[_End] = set()
        self._zero()

    def __enter__(self) -> Self:
        started: Future[None] = Future()
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(started),), daemon=True)
        self._thread.start()
        started.result(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the relay does not end"
        if self._trouble:
            raise self._trouble

    def reset_counts(self) -> None:
        """Sets all counts to zero. Connections stay; what they send next is a round trip again."""
        self._do(self._zero)

    def cut(self) -> None:
        """Resets all live connections, as a dying node or a firewall does."""
        self._wait_for(self._cut())

    def refuse(self, refused: bool = True) -> None:
        """Refuses new connections (or accepts them again). Live ones go on."""
        self._wait_for(self._close_door() if refused else self._open_door())

    def delay(self, seconds: float) -> None:
        """Delivers replies this much later than they came."""
        self._do(lambda: setattr(self, "_delay", seconds))

    def deafen(self, *, hears: bool = False) -> int:
        """Lets the connections that are open now go silent without a word, as a firewall does that forgets them.

        Args:
            hears: whether requests still reach the server, so that replies only are lost.

        Returns:
            How many there are. New ones work.
        """
        deaf: list[_Client] = []

        def deafen() -> None:
            for end in self._ends:
                if isinstance(end, _Client):
                    end.is_mute, end.is_deaf = True, not hears
                    deaf.append(end)

        self._do(deafen)
        return len(deaf)

    def hold(self) -> None:
        """Keeps all replies back, and that the server closed, until `release`."""
        self._do(lambda: setattr(self, "_held", True))

    def release(self) -> None:
        """Delivers what was held back, and no longer holds."""
        self._do(self._release)

    def hold_requests(self, containing: bytes = b"") -> None:
        """Keeps requests back, as a network does that is late: they arrive at `release_requests`.

        Args:
            containing: of each connection, the first request with these bytes is kept back, and all that follow.
                What is kept back survives its client, and `cut`.
        """
        self._do(lambda: setattr(self, "_waits_for", containing))

    def release_requests(self) -> None:
        """Delivers the requests that were kept back, and keeps back no more."""
        self._do(self._release_requests)

    def on_reply(self, rewrite: Rewrite | None) -> None:
        """Passes each chunk of a reply through a function; ``b""`` swallows it, ``None`` ends rewriting.

        What the function raises cuts the connection and comes out when the relay closes.
        """
        self._do(lambda: setattr(self, "_rewrite", rewrite))

    def _zero(self) -> None:
        self.round_trips = self.requests = self.bytes_up = self.bytes_down = self.connections = 0
        for end in self._ends:
            end.answered = True

    def _release(self) -> None:
        self._held = False
        for end in list(self._ends):
            end.deliver()

    def _release_requests(self) -> None:
        self._waits_for = None
        self.held_requests = 0
        for client in {end.client for end in self._ends if isinstance(end, _Upstream)}:
            client.deliver_requests()

    def _do(self, change: Callable[[], object]) -> None:
        async def changed() -> None:
            change()

        self._wait_for(changed())

    def _wait_for(self, step: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(step, self._loop).result(PATIENCE)

    async def _serve(self, started: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        try:
            await self._open_door()
        except OSError as error:
            started.set_exception(error)
            return
        started.set_result(None)
        await self._over.wait()
        await self._close_door()
        self._release_requests()
        while self._ends or len(asyncio.all_tasks()) > 1:  # the others accept a connection, or make one
            await self._cut()
            await asyncio.sleep(0)
        await asyncio.sleep(0)  # what was cancelled last closes its socket now

    async def _open_door(self) -> None:
        self.port = self.port or free_port()
        self._door = await self._loop.create_server(lambda: _Client(self), HOST, self.port)

    async def _close_door(self) -> None:
        # A connection that is being accepted would find its server closed, and leave a socket open.
        for listener in self._door.sockets:
            self._loop.remove_reader(listener.fileno())
        for _ in range(2):
            await asyncio.sleep(0)
        self._door.close()
        await asyncio.sleep(0)

    async def _cut(self) -> None:
        gone = {end for end in self._ends if not end.is_needed}
        for end in gone:
            end.reset()
        await asyncio.gather(*(end.closed for end in gone))


class _End(asyncio.Protocol):
    """One end of a relayed connection."""

    transport: asyncio.Transport
    is_needed = False

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.answered = True
        self.closed: asyncio.Future[None] = relay._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.relay._ends.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.relay._ends.discard(self)
        self.closed.set_result(None)

    def deliver(self) -> None:
        """Sends what is due."""

    def reset(self) -> None:
        """Closes with a reset instead of an orderly end."""
        end: socket.socket = self.transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


class _Client(_End):
    """The end towards the client; owns the way to the server."""

    upstream: asyncio.Transport | None = None
    is_deaf = is_mute = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.relay.connections += 1
        self.replies: deque[tuple[float, bytes | None]] = deque()
        self.early = b""
        self.late: list[bytes] = []
        self.dialling = self.relay._loop.create_task(self._dial())

    async def _dial(self) -> None:
        connect = self.relay._loop.create_connection
        try:
            self.upstream, _ = await connect(lambda: _Upstream(self), HOST, self.relay.target_port)
        except OSError:
            self.reset()
            return
        self.upstream.write(self.early)
        if self.transport.is_closing():
            self.upstream.close()

    def data_received(self, data: bytes) -> None:
        self.relay.round_trips += self.answered
        self.relay.requests += 1
        self.relay.bytes_up += len(data)
        self.answered = False
        if self.is_deaf:
            return
        if self.late or (self.relay._waits_for is not None and self.relay._waits_for in data):
            self.relay.held_requests += 1
            self.late.append(data)
        else:
            self._pass_on(data)

    def deliver_requests(self) -> None:
        """Sends what was kept back; the server is told of the end of a client that has gone meanwhile."""
        late, self.late = self.late, []
        for data in late:
            self._pass_on(data)
        if self.upstream and self.transport.is_closing():
            self.upstream.close()

    def _pass_on(self, data: bytes) -> None:
        if self.upstream:
            self.upstream.write(data)
        else:
            self.early += data

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.upstream and not self.late:
            self.upstream.close()

    def reset(self) -> None:
        self.dialling.cancel()
        super().reset()

    def reply(self, data: bytes | None) -> None:
        """Queues a chunk from the server, or ``None`` for its end."""
        if self.is_mute:
            return
        self.replies.append((self.relay._loop.time() + self.relay._delay, data))
        self.deliver()

    def deliver(self) -> None:
        while self.replies and not self.relay._held and not self.transport.is_closing():
            wait = self.replies[0][0] - self.relay._loop.time()
            if wait > 0:
                self.relay._loop.call_later(wait, self.deliver)
                return
            self._send(self.replies.popleft()[1])

    def _send(self, data: bytes | None) -> None:
        if data is None:
            self.transport.close()
            return
        self.answered = True
        self.relay.bytes_down += len(data)
        self.transport.write(data)


class _Upstream(_End):
    """The end towards the server."""

    def __init__(self, client: _Client) -> None:
        super().__init__(client.relay)
        self.client = client

    @property
    def is_needed(self) -> bool:  # type: ignore[override]  # of the others none is
        """Whether there is a request to be delivered later."""
        return bool(self.client.late)

    def data_received(self, data: bytes) -> None:
        try:
            data = self.relay._rewrite(data) if self.relay._rewrite else data
        except Exception as error:
            self.relay._trouble = error
            self.client.reset()
        else:
            if data:
                self.client.reply(data)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.client.reply(None)
