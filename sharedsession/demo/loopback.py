"""Listening sockets of 127.0.0.1: the demo is seen by this machine alone."""

import socket

from sharedsession.observe import LOGGER

HOST = "127.0.0.1"


def listen(port: int = 0) -> socket.socket:
    """A listening socket; port 0 is any free one.

    What it accepts sends at once: else an answer in two pieces waits 40 ms for the client's acknowledgement.
    (asyncio sees to that only for sockets that it made itself.)
    """
    listener = socket.create_server((HOST, port))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def port_of(listener: socket.socket) -> int:
    """Where it listens."""
    return int(listener.getsockname()[1])


def free_port() -> int:
    """A port that nobody listens on now."""
    with listen() as listener:
        return port_of(listener)


def hush_development() -> None:
    """Leaves the warning out that ``development=True`` is not for production: nobody but this machine sees the demo."""
    LOGGER.addFilter(lambda record: getattr(record, "event", None) != "development")
