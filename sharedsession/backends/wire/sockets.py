"""Sockets: connecting within a deadline, timeouts and signs of life that the kernel keeps."""

import socket
import struct

from sharedsession.backends.wire.deadline import Deadline
from sharedsession.backends.wire.protocol import Address

_KEEPALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPALIVE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""Options of TCP, in seconds and probes: a connection that was forgotten on the way is closed after half a minute. The
first is called like the second on macOS."""


class SocketTimeout:
    """How long sends on a socket wait, or receives: the first byte of a reply may be waited for less than all of it.

    The kernel keeps it where possible: Python would call `poll` before each call.

    Args:
        connected: a plain socket. The timeout of a TLS socket, or of one that gevent or eventlet made, is Python's; it
            has one for both.
        option: `socket.SO_SNDTIMEO` or `socket.SO_RCVTIMEO`.

    Attributes:
        shortest: seconds. Between this and `longest`, what is set is near enough.
        longest: seconds.
    """

    __slots__ = ("_in_kernel", "_option", "_socket", "longest", "shortest")

    def __init__(self, connected: socket.socket, option: int) -> None:
        self._socket = connected
        self._option = option
        self._in_kernel = type(connected).__module__ == "socket"
        self.longest = self.shortest = 0.0
        if self._in_kernel:
            connected.settimeout(None)

    def set(self, seconds: float) -> None:
        """Lets each of the next calls wait for so long."""
        if not self._in_kernel:
            self._socket.settimeout(max(0.0, seconds))
        elif seconds > 0:  # to the kernel, 0 is for ever
            whole, fraction = divmod(max(seconds, 0.001), 1)
            timeval = struct.pack("@ll", int(whole), int(fraction * 1_000_000))
            self._socket.setsockopt(socket.SOL_SOCKET, self._option, timeval)
            self.longest, self.shortest = seconds * 1.001, seconds * 0.96


def connected_to(address: Address, deadline: Deadline) -> socket.socket:
    """Connects to a server, with TLS where the address asks for it.

    Raises:
        OSError: the server cannot be reached in time, or its certificate is refused.
    """
    if not address.path:
        connected = socket.create_connection((address.host, address.port), deadline.require())
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        keep_alive(connected)
        return _with_tls(connected, address, deadline)
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connected.settimeout(deadline.require())
        connected.connect(address.path)
    except BaseException:
        connected.close()
        raise
    return connected


def keep_alive(connected: socket.socket) -> None:
    """Lets the kernel ask over a TCP connection that is idle whether the other end is there, as far as it can."""
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if name in vars(socket):
            connected.setsockopt(socket.IPPROTO_TCP, vars(socket)[name], value)


def _with_tls(connected: socket.socket, address: Address, deadline: Deadline) -> socket.socket:
    if address.tls is None:
        return connected
    try:
        connected.settimeout(deadline.require())
        return address.tls.wrap_socket(connected, server_hostname=address.host)
    except BaseException:
        connected.close()
        raise
