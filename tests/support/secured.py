"""The real servers again, locked: with TLS, with users, behind a UNIX socket. What they are follows their arguments.

The test's own hand, ``command``, gets in by itself. For a server that was built without TLS there is a front.
"""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self

from tests.support.certificates import Authority
from tests.support.processes import HOST, PATIENCE, Server, free_port
from tests.support.servers import Memcached, Redis, Valkey

USER, PASSWORD = "webfarm", "Correct-h0rse+battery/staple"
QUOTED = "Correct-h0rse%2Bbattery%2Fstaple"


class Locked(Server):
    """What is common to all of them: the arguments say how to get in."""

    def argument(self, name: str) -> str:
        return self.extra_args[self.extra_args.index(name) + 1] if name in self.extra_args else ""

    @property
    def path(self) -> str:
        return self.argument("-s") or self.argument("--unixsocket")

    @property
    def has_tls(self) -> bool:
        return "-Z" in self.extra_args or "--tls-cert-file" in self.extra_args

    @contextlib.contextmanager
    def _connection(self) -> Iterator[socket.socket]:
        with self._plain() as plain:
            plain.settimeout(PATIENCE)
            with self._context().wrap_socket(plain) if self.has_tls else contextlib.nullcontext(plain) as connection:
                self._log_in(connection)
                yield connection

    @contextlib.contextmanager
    def _plain(self) -> Iterator[socket.socket]:
        if not self.path:
            with socket.create_connection((HOST, self.port), timeout=PATIENCE) as connection:
                yield connection
            return
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self.path)
            yield connection

    def _context(self) -> ssl.SSLContext:
        """Trusts whoever is there, and shows the server's own certificate."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.load_cert_chain(*self._pair())
        return context

    def _pair(self) -> tuple[str, str]:
        return self.argument("--tls-cert-file"), self.argument("--tls-key-file")

    def _log_in(self, connection: socket.socket) -> None:
        """Gets in where a user is asked for."""


class LockedMemcached(Locked, Memcached):
    """``-Y FILE`` asks for a user, ``-Z`` has TLS, ``-s PATH`` listens there only."""

    def _arguments(self) -> list[str]:
        words = super()._arguments()
        return words[words.index("-U") + 2 :] if self.path else words

    def _pair(self) -> tuple[str, str]:
        options = dict(option.split("=", 1) for option in self.argument("-o").split(","))
        return options["ssl_chain_cert"], options["ssl_key"]

    def _log_in(self, connection: socket.socket) -> None:
        if self.argument("-Y"):
            pair = Path(self.argument("-Y")).read_text().split("\n")[0].replace(":", " ", 1)
            connection.sendall(f"set x 0 0 {len(pair)}\r\n{pair}\r\n".encode())
            assert connection.recv(8) == b"STORED\r\n"


class LockedRedis(Locked, Redis):
    """``--tls-cert-file FILE`` has TLS and nothing else, ``--unixsocket PATH`` listens there, too."""

    def _arguments(self) -> list[str]:
        words = super()._arguments()
        return ["--tls-port", str(self.port), "--port", "0", *words[2:]] if self.has_tls else words


class LockedValkey(LockedRedis, Valkey):
    """The same; its wheel is built without TLS."""


KINDS: dict[str, type[LockedMemcached] | type[LockedRedis]] = {
    "memcached": LockedMemcached,
    "redis": LockedRedis,
    "valkey": LockedValkey,
}


def tls_arguments(kind: str, authority: Authority, *, pair: Any = None, asks_client: bool = False) -> list[str]:
    """What a server that was built with TLS is started with."""
    certificate, key = pair or authority.server
    if kind == "memcached":
        options = f"ssl_chain_cert={certificate},ssl_key={key},ssl_ca_cert={authority.file}"
        return ["-Z", "-o", f"{options},ssl_verify_mode={2 if asks_client else 0}"]
    files = ["--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", authority.file]
    return [*map(str, files), "--tls-auth-clients", "yes" if asks_client else "no"]


class TlsFront:
    """TLS in front of a server that has none: ends it, and passes on what is inside. A context manager.

    Args:
        target_port: of the server.
        context: what to show to those who connect.
    """

    def __init__(self, target_port: int, context: ssl.SSLContext) -> None:
        self._target_port = target_port
        self._context = context
        self.port = free_port()

    def __enter__(self) -> Self:
        started: Future[None] = Future()
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(started),), daemon=True)
        self._thread.start()
        started.result(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(PATIENCE)

    async def _serve(self, started: Future[None]) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        self._loop.set_exception_handler(lambda _loop, _context: None)  # those who are refused hang up
        server = await asyncio.start_server(self._relay, HOST, self.port, ssl=self._context)
        started.set_result(None)
        await self._over.wait()
        server.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(HOST, self._target_port)
        ways = [asyncio.create_task(_pass(reader, back)), asyncio.create_task(_pass(there, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            for end in (back, writer):
                end.transport.abort()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
