"""Servers of other kinds, as far as their first words: enough for a client that has come to the wrong door."""

import socket
import threading
from contextlib import suppress
from typing import Self

from tests.support.processes import HOST

GREETINGS = {
    "SSH": b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
    "mail": b"220 mail.example ESMTP\r\n",
    "MySQL": b"J\x00\x00\x00\n8.0.36\x00\x08\x00\x00\x00",
}
ANSWERS = {
    "nginx": b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n\r\n<html>",
    "page": b"<!DOCTYPE HTML>\n<html lang='en'>\n<title>Error response</title>\n",
    "TLS": b"\x15\x03\x01\x00\x02\x02\x46",
    "PostgreSQL": b"E\x00\x00\x00\x8cSFATAL\x00VFATAL\x00C0A000\x00Munsupported frontend protocol\x00\x00",
    "nobody": b"",
}


class Stranger:
    """Says one thing to everybody who connects, or to their first words, and hangs up. A context manager.

    Args:
        greeting: what it says at once.
        answer: what it says to whatever it is told; ``None``: it hangs up before that.
        lines: its answers to single lines, by how they begin, in the place of ``answer``; it does not hang up then.
    """

    def __init__(
        self, greeting: bytes = b"", answer: bytes | None = b"", lines: dict[bytes, bytes] | None = None
    ) -> None:
        self._greeting, self._answer, self._lines = greeting, answer, lines
        self._door = socket.create_server((HOST, 0), backlog=64)
        self.port = int(self._door.getsockname()[1])

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._door.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._door.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            connection.sendall(self._greeting)
            if self._lines is not None:
                self._converse(connection, self._lines)
            elif self._answer is not None and connection.recv(65536):
                connection.sendall(self._answer)

    @staticmethod
    def _converse(connection: socket.socket, answers: dict[bytes, bytes]) -> None:
        with connection.makefile("rb") as requests:
            for line in requests:
                connection.sendall(next(answer for begin, answer in answers.items() if line.startswith(begin)))


def memcached_1_5() -> Stranger:
    """Is a memcached before 1.6: each line of a meta command is unknown to it."""
    return Stranger(lines={b"stats": b"STAT version 1.5.22\r\nEND\r\n", b"": b"ERROR\r\n"})
