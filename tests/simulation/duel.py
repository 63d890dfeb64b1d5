"""A simulated server against the real one: what both are sent, and where their replies part."""

import itertools
import os
import socket
from collections.abc import Sequence
from typing import Self

from tests.support.processes import HOST

SEQUENCES = int(os.environ.get("SIMULATION_SEQUENCES", "1000"))
"""Random sequences of commands, of each kind of server. `make simulate` asks for 10,000."""


class Line:
    """A connection to a real server.

    Args:
        port: of the server, on this machine.
    """

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection((HOST, port), 10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Sends bytes, and awaits no reply."""
        self._socket.sendall(data)

    def ask(self, data: bytes, last: bytes) -> bytes:
        """Sends bytes. Returns what comes back, up to the reply that ends with these bytes."""
        self.send(data)
        reply = b""
        while not reply.endswith(last):
            more = self._socket.recv(65536)
            if not more:
                raise EOFError(f"the server closed the connection after {reply[-300:]!r}")
            reply += more
        return reply

    def rest(self, data: bytes) -> bytes:
        """Sends bytes. Returns all that comes back until the server hangs up."""
        self.send(data)
        return b"".join(iter(lambda: self._socket.recv(65536), b""))


def difference(real: Sequence[object], simulated: Sequence[object]) -> str:
    """Returns where replies part; empty if they are equal."""
    for number, (ours, theirs) in enumerate(itertools.zip_longest(simulated, real)):
        if ours != theirs:
            return f"reply {number}: the real server says {theirs!r}, the simulated one {ours!r}"
    return ""
