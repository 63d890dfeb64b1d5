"""Listening sockets of 127.0.0.1: only this machine can reach the demo."""

import socket

from sharedsession.observe import LOGGER

HOST = "127.0.0.1"

LOCAL_NAMES = (HOST, "localhost")
"""What this machine calls itself in the address of a page."""


def listen(port: int = 0) -> socket.socket:
    """Returns a listening socket; port 0 is any free one.

    Connections that it accepts do not delay small packets: else an answer in two pieces waits 40 ms for the client's
    acknowledgement. (asyncio does the same, but only for sockets that it made itself.)
    """
    listener = socket.create_server((HOST, port))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def port_of(listener: socket.socket) -> int:
    """Returns the port of a listening socket."""
    return int(listener.getsockname()[1])


def free_port() -> int:
    """Returns a port on which no process listens now."""
    with listen() as listener:
        return port_of(listener)


def drop_development_warning() -> None:
    """Drops the warning that ``development=True`` is not for production: only this machine can reach the demo."""
    LOGGER.addFilter(lambda record: getattr(record, "event", None) != "development")
