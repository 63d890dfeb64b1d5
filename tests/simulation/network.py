"""The network between web nodes and servers: TCP as a program sees it, and everything that goes wrong with it.

Bytes of one connection arrive in order; those of different connections overtake each other. Nothing is lost while a
connection lives: what is sent over a link that is cut arrives when it is whole again, as TCP's repeated segments do. So
a request that its sender has given up may be carried out seconds later. A server that stands still takes connections
and bytes as its kernel does, and works them off when it goes on, by its old clock.
"""

import asyncio
import contextvars
import os
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from tests.simulation.loop import SimulatedLoop
from tests.simulation.story import Story

SENDER: "contextvars.ContextVar[Sender]" = contextvars.ContextVar("SENDER")
"""The process that the running task belongs to."""
FORGOTTEN_AFTER = 30.0
"""Seconds after which keepalive closes a connection that was forgotten on the way: 15 s, and three probes 5 s apart."""
_NEXT = 1e-7  # seconds between two packets of a connection: timers of one moment have no order
_HANDSHAKE_AGAIN = 1.0  # seconds after which the kernel repeats the first segment of a connection


@dataclass(eq=False)
class Sender:
    """A process of a web node.

    Attributes:
        name: of the web node.
        is_alive: whether it runs.
    """

    name: str
    is_alive: bool = True


class ServerConnection(Protocol):
    """A server's end of a connection."""

    closed: bool

    def receive(self, data: bytes) -> bytes:
        """Takes bytes; returns the replies to the requests that are now whole."""
        ...


class Server(Protocol):
    """A server without a network."""

    def connect(self) -> ServerConnection:
        """Takes a connection."""
        ...

    def restart(self) -> None:
        """Forgets everything."""
        ...


class Host:
    """A machine with one server.

    Args:
        name: of the server.
        time: returns virtual seconds.

    Attributes:
        server: set before it is used.
        is_alive: whether the server runs.
        is_stopped: whether it stands still (SIGSTOP).
        slowness: seconds that it takes for a request.
        inbox: what arrived while it stood still.
        behind: seconds by which the machine's clock is behind, because the machine stood still.
    """

    server: Any

    def __init__(self, name: str, time: Callable[[], float]) -> None:
        self.name = name
        self._time = time
        self._stopped_at: float | None = None
        self.behind = 0.0
        self.is_alive = True
        self.is_stopped = False
        self.slowness = 0.0
        self.inbox: list[Callable[[], None]] = []
        self.connections: list[Connection] = []

    def clock(self) -> float:
        """Returns the server's own seconds. One that stood still works off what has arrived by its old clock."""
        return (self._time() if self._stopped_at is None else self._stopped_at) - self.behind

    def stop(self) -> None:
        """Stands still."""
        self.is_stopped, self._stopped_at = True, self._time()

    def go_on(self, *, without_time: bool) -> None:
        """Works off what has arrived, and goes on.

        Args:
            without_time: whether its clock stood still as well, as that of a paused machine.
        """
        self.is_stopped = False
        arrived, self.inbox = self.inbox, []
        for deliver in arrived:
            deliver()
        if without_time and self._stopped_at is not None:
            self.behind += self._time() - self._stopped_at
        self._stopped_at = None


@dataclass
class Link:
    """The way between a web node and a host, with its troubles.

    Attributes:
        sends: whether requests arrive.
        answers: whether replies arrive.
        late: the share of packets that come up to a second late.
        tears: the share of replies of which half arrives, and then a reset.
    """

    sends: bool = True
    answers: bool = True
    late: float = 0.0
    tears: float = 0.0


class Network:
    """All hosts, and the links to them.

    Args:
        loop: whose tasks use the network.
        chance: of all delays.
        story: where what happens is told.
    """

    def __init__(self, loop: SimulatedLoop, chance: Random, story: Story) -> None:
        self.loop = loop
        self.chance = chance
        self.story = story
        self.hosts: dict[str, Host] = {}
        self._links: dict[tuple[str, str], Link] = {}
        self._pipe: tuple[int, int] | None = None
        loop.connect = self.connect

    def close(self) -> None:
        """Closes the only real file that there may be."""
        for file in self._pipe or ():
            os.close(file)

    def silent_file(self) -> int:
        """Returns a file that is never readable, as the socket of a connection on which nothing arrives."""
        self._pipe = self._pipe or os.pipe()
        return self._pipe[0]

    def link(self, sender: str, host: str) -> Link:
        """Returns the way from a web node to a host."""
        link = self._links.get((sender, host))
        if link is None:
            link = self._links[sender, host] = Link()
        return link

    # -- what breaks, and is mended

    def kill(self, name: str) -> None:
        """Ends a server; its memory is gone, and its kernel resets the connections."""
        host = self.hosts[name]
        host.is_alive = False
        host.inbox.clear()
        host.go_on(without_time=False)
        host.server.restart()
        for connection in list(host.connections):
            connection.reset_by_host()

    def start(self, name: str) -> None:
        """Starts a server that was killed: it is empty."""
        self.hosts[name].server.restart()
        self.hosts[name].is_alive = True

    def mend(self, sender: str, name: str) -> None:
        """Makes a link whole again; what is under way arrives."""
        self._links[sender, name] = Link()
        for connection in self.hosts[name].connections:
            if connection.sender.name == sender:
                connection.send_held()

    def forget(self, sender: str, name: str) -> None:
        """Has something on the way forget all connections of a link, without a word: a firewall, a balancer."""
        for connection in self.hosts[name].connections:
            if connection.sender.name == sender:
                connection.be_forgotten()

    def hang_up(self, sender: Sender) -> None:
        """Ends all connections of a process that is no more. What it has sent still arrives."""
        for host in self.hosts.values():
            for connection in list(host.connections):
                if connection.sender is sender:
                    connection.abandon()

    def reset(self, name: str) -> None:
        """Resets all connections to a host."""
        for connection in list(self.hosts[name].connections):
            connection.reset_by_host()

    # -- what asyncio asks for

    async def connect(self, make: Callable[[], asyncio.Protocol], name: str, _port: int) -> tuple[Any, Any]:
        """Opens a connection from the running web node."""
        sender, host = SENDER.get(), self.hosts[name]
        link = self.link(sender.name, name)
        await asyncio.sleep(self.delay(link))
        while not (link.sends and link.answers):
            await asyncio.sleep(_HANDSHAKE_AGAIN)
            link = self.link(sender.name, name)
        if not (host.is_alive and sender.is_alive):
            raise ConnectionRefusedError(111, "Connect call failed")
        protocol = make()
        connection = Connection(self, sender, host, protocol)
        host.connections.append(connection)
        protocol.connection_made(connection)
        return connection, protocol

    def delay(self, link: Link) -> float:
        """Returns how long the next packet takes."""
        chance = self.chance
        if link.late and chance.random() < link.late:
            return chance.random()
        return 0.0001 + 0.0009 * chance.random()


class Connection(asyncio.Transport):
    """A connection, as the transport of the library's protocol.

    Args:
        network: it belongs to.
        sender: the process at this end.
        host: at the other end.
        protocol: the library's, which is called when bytes arrive.
    """

    def __init__(self, network: Network, sender: Sender, host: Host, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self.sender = sender
        self._network = network
        self._loop = network.loop
        self._host = host
        self._protocol = protocol
        self._server = host.server.connect()
        self._is_closed = False  # by the web node
        self._is_over = False  # nothing arrives there any more
        self._is_forgotten = False
        self._sent_by, self._answered_by = 0.0, 0.0  # when the last packet of a direction arrives
        self._held: list[tuple[bool, bytes]] = []  # what waits for a link to be whole, with its direction
        self._context = contextvars.copy_context()

    # -- what the library calls

    def write(self, data: Any) -> None:
        """Same as `asyncio.Transport.write`."""
        if self._is_closed or self._is_forgotten:
            return
        self._carry(bytes(data))

    def abort(self) -> None:
        """Same as `asyncio.Transport.abort`. What was sent before is still on its way."""
        if not self._is_closed:
            self._is_closed = True
            self._end(None)

    close = abort

    def is_closing(self) -> bool:
        """Same as `asyncio.Transport.is_closing`."""
        return self._is_closed

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Returns this connection as its own socket."""
        return self if name == "socket" else default

    def setsockopt(self, *_option: Any) -> None:
        """Same as that of a socket: nothing to do."""

    def fileno(self) -> int:
        """Returns the number of a file that can be polled; -1 when the connection is over."""
        return -1 if self._is_over else self._network.silent_file()

    # -- from here to there

    def _carry(self, data: bytes) -> None:
        link = self._network.link(self.sender.name, self._host.name)
        if not link.sends or self._held:
            self._held.append((True, data))
            return
        slowness = self._host.slowness
        when = max(self._loop._now + self._network.delay(link) + slowness, self._sent_by + _NEXT)
        self._sent_by = when
        self._loop.call_at(when, self._arrive, data)

    def _arrive(self, data: bytes) -> None:
        host = self._host
        if host.is_stopped:
            host.inbox.append(lambda: self._serve(data))
        else:
            self._serve(data)

    def _serve(self, data: bytes) -> None:
        if self not in self._host.connections or self._is_forgotten:
            return
        reply = self._server.receive(data)
        self._network.story.served(self.sender.name, self._host.name, data, reply)
        if reply:
            self._answer(reply)
        if self._server.closed:
            self.reset_by_host()

    # -- from there to here

    def _answer(self, reply: bytes) -> None:
        link = self._network.link(self.sender.name, self._host.name)
        if not link.answers:
            self._held.append((False, reply))
            return
        when = max(self._loop._now + self._network.delay(link), self._answered_by + _NEXT)
        if link.tears and self._network.chance.random() < link.tears:
            reply = reply[: len(reply) // 2]
            self._loop.call_at(when + 0.0001, self.reset_by_host)
        self._answered_by = when
        self._loop.call_at(when, self._receive, reply)

    def _receive(self, reply: bytes) -> None:
        if not self._is_over and not self._is_forgotten:
            self._context.run(self._protocol.data_received, reply)

    # -- the end

    def send_held(self) -> None:
        """Sends what waited for the link to be whole."""
        held, self._held = self._held, []
        for is_request, data in held:
            if is_request:
                self._carry(data)
            else:
                self._answer(data)

    def reset_by_host(self) -> None:
        """The other end is gone; the web node hears of it when it can."""
        self._leave()
        link = self._network.link(self.sender.name, self._host.name)
        if link.answers and not self._is_forgotten:
            when = max(self._loop._now + self._network.delay(link), self._answered_by)
            self._loop.call_at(when, self._end, ConnectionResetError(104, "Connection reset by peer"))

    def be_forgotten(self) -> None:
        """Nothing arrives any more, and nobody says so."""
        self._is_forgotten = True
        self._loop.call_later(FORGOTTEN_AFTER, self._end, TimeoutError(110, "Connection timed out"))

    def abandon(self) -> None:
        """The web node is no more: what arrives for it is dropped."""
        self._is_closed = self._is_over = True

    def _end(self, error: Exception | None) -> None:
        if not self._is_over:
            self._is_over = self._is_closed = True
            self._loop.call_soon(self._protocol.connection_lost, error, context=self._context)

    def _leave(self) -> None:
        if self in self._host.connections:
            self._host.connections.remove(self)
