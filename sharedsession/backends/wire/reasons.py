"""Why a server gave no answer, in words for the log: what it does, and what to look at."""

import os
import socket
import ssl

from sharedsession.backends.wire.strangers import Expected
from sharedsession.errors import BackendError

_HUNG_UP = (EOFError, ConnectionResetError, BrokenPipeError, ssl.SSLEOFError, ssl.SSLZeroReturnError)
_SPEAKS_NO_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"}


def reason(error: Exception, expected: Expected, *, has_tls: bool, was_connected: bool) -> str:
    """Returns what to say of a server behind its name.

    Args:
        error: how the request ended.
        expected: the kind of server.
        has_tls: whether it was asked over TLS.
        was_connected: whether this process has ever been connected to it.
    """
    if isinstance(error, _HUNG_UP):  # a connection that was in use is replaced first: so it was a new one
        return f"does not answer, it closes new connections: it may {_why_it_hangs_up(expected, has_tls=has_tls)}"
    if isinstance(error, BackendError):
        return f"cannot be used: {error}"
    if isinstance(error, ssl.SSLError):
        return f"cannot be used: {_why_tls_fails(error, expected)}"
    if isinstance(error, TimeoutError | BlockingIOError):
        doubt = "; does it speak TLS?" if has_tls and not was_connected else ""
        return f"does not answer (no answer in time{doubt})"
    if isinstance(error, socket.gaierror):
        return f"does not answer ({error.strerror}): compare the host in the backend's URL"
    return f"does not answer ({os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error})"


def _why_it_hangs_up(expected: Expected, *, has_tls: bool) -> str:
    if has_tls:
        return f"speak no TLS ({expected.scheme}://), or ask for a certificate of ours (ssl_certfile)"
    return f"expect TLS ({expected.secure_scheme}://), {expected.hang_ups}"


def _why_tls_fails(error: ssl.SSLError, expected: Expected) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {error.verify_message}"
    if error.reason in _SPEAKS_NO_TLS:
        return (
            f"what answers there speaks no TLS: write {expected.scheme}:// in the backend's URL, or name the port "
            "that has TLS"
        )
    if "CERTIFICATE_REQUIRED" in (error.reason or ""):
        return "it asks for a certificate of ours: name it as ssl_certfile in the backend's URL"
    return f"TLS fails: {error}"
