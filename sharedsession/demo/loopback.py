"""Listening sockets of 127.0.0.1: only this machine can reach the demo, and only by a name of this machine.

A page of the internet can have a name of its own resolved to 127.0.0.1 (DNS rebinding); its requests still carry that
name as their Host.
"""

import re
import socket

from sharedsession.observe import LOGGER

HOST = "127.0.0.1"

_OWN_HOST = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::(\d{1,5}))?", re.IGNORECASE)
_HTTP_PORT = 80


def is_own_host(host: str | None, port: int | None = None) -> bool:
    """Returns whether a Host header names this machine.

    Args:
        host: the header; ``None``: there is none.
        port: that it must name as well; ``None``: any.
    """
    found = _OWN_HOST.fullmatch(host or "")
    return found is not None and (port is None or int(found[1] or _HTTP_PORT) == port)


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
