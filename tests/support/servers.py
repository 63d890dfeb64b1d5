"""The real servers of the tests, and what a test may ask of them behind the library's back.

No client of the library, and no Python client either: one command, one connection, one reply.
"""

import io
import os
import socket
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

import hiredis

from tests.support.processes import HOST, Server


class Memcached(Server):
    """A memcached of 64 MB."""

    program = "memcached"
    scheme = "memcached"

    def command(self, *args: object) -> bytes:
        """Sends one line and what the caller put behind it. Returns the reply without its last line end."""
        with self._connection() as connection, connection.makefile("rb") as replies:
            connection.sendall(b" ".join(map(_as_bytes, args)) + b"\r\n")
            return _memcached_reply(replies).removesuffix(b"\r\n")

    def stat(self, name: str) -> str:
        lines = (line.split(" ", 2) for line in self.command("stats").decode().splitlines())
        return {line[1]: line[2] for line in lines if line[0] == "STAT"}[name]

    def flush(self) -> None:
        self.command("flush_all")

    def dump(self) -> dict[str, bytes]:
        """Is everything stored: the raw value of each key."""
        replies = ((key, self.command("mg", key, "v")) for key in self._keys())
        return {key: reply.split(b"\r\n", 1)[1] for key, reply in replies if reply.startswith(b"VA ")}

    def put(self, key: str, value: bytes, flags: int | None = None) -> None:
        """Overwrites an item behind everybody's back; its time to live stays, its flags unless given."""
        known = self.command("mg", key, "f", "t").decode().split()
        kept_flags, ttl = (known[1][1:], known[2][1:]) if known[0] == "HD" else ("0", "60")
        arguments = [f"F{kept_flags if flags is None else flags}", f"T{0 if ttl == '-1' else ttl}"]
        reply = self.command("ms", key, len(value), *arguments, b"\r\n" + value)
        if not reply.startswith(b"HD"):
            raise ValueError(f"memcached did not store {key}: {reply!r}")

    def _keys(self) -> list[str]:
        """Asks the crawler until it saw everything; it passes over what is being written, and the dead stay counted."""
        deadline = time.monotonic() + 0.5
        keys: set[str] = set()
        while time.monotonic() < deadline and len(keys) < int(self.stat("curr_items")):
            reply = self.command("lru_crawler", "metadump", "all")
            lines = [] if reply.startswith(b"BUSY") else reply.decode().splitlines()
            keys |= {unquote(line.split()[0][4:]) for line in lines if line != "END"}
        return sorted(keys)

    def _arguments(self) -> list[str]:
        user = ["-u", "root"] if os.geteuid() == 0 else []
        return ["-l", HOST, "-p", str(self.port), "-U", "0", *user]

    def _says_pid(self) -> int:
        return int(self.stat("pid"))


class Redis(Server):
    """A Redis that keeps nothing on disk. With ``--requirepass`` in its arguments, ``command`` logs in."""

    program = "redis-server"
    scheme = "redis"

    @property
    def password(self) -> str:
        args = self.extra_args
        return args[args.index("--requirepass") + 1] if "--requirepass" in args else ""

    @property
    def url(self) -> str:
        return f"{self.scheme}://{':' + self.password + '@' if self.password else ''}{HOST}:{self.port}/0"

    def command(self, *args: object) -> Any:
        """Sends one command. An error reply is raised as `hiredis.ReplyError`."""
        with self._connection() as connection:
            reader = hiredis.Reader()
            if self.password:
                _redis_reply(connection, reader, ("AUTH", self.password))
            return _redis_reply(connection, reader, args)

    def stat(self, name: str) -> str:
        lines = self.command("INFO").decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)[name]

    def flush(self) -> None:
        self.command("FLUSHALL")

    def dump(self) -> dict[str, bytes]:
        """Is everything in database 0: the value of a string, of other types what DUMP makes of them."""
        verbs = {key: "GET" if self.command("TYPE", key) == b"string" else "DUMP" for key in self._keys()}
        replies = {key.decode(): self.command(verb, key) for key, verb in verbs.items()}
        return {key: reply for key, reply in replies.items() if reply is not None}

    def put(self, key: str, value: bytes) -> None:
        """Overwrites a key behind everybody's back; its time to live stays."""
        if self.command("SET", key, value, "XX", "KEEPTTL") is None:
            self.command("SET", key, value, "EX", 60)

    def _keys(self) -> list[bytes]:
        cursor, keys = b"0", set()
        while True:
            cursor, page = self.command("SCAN", cursor, "COUNT", 1000)
            keys.update(page)
            if cursor == b"0":
                return sorted(keys)

    def _arguments(self) -> list[str]:
        own = {
            "port": self.port,
            "bind": HOST,
            "dir": self.directory,
            "save": "",
            "appendonly": "no",
            "daemonize": "no",
        }
        return [word for name, value in own.items() for word in (f"--{name}", str(value))]

    def _says_pid(self) -> int:
        return 0 if self.stat("loading") == "1" else int(self.stat("process_id"))


class Valkey(Redis):
    """A Valkey, out of its wheel."""

    program = "valkey-server"
    scheme = "valkey"


KINDS: dict[str, type[Memcached] | type[Redis] | type[Valkey]] = {
    kind.scheme: kind for kind in (Memcached, Redis, Valkey)
}


def _as_bytes(word: object) -> bytes:
    return word if isinstance(word, bytes) else str(word).encode()


def _memcached_reply(replies: io.BufferedReader) -> bytes:
    reply = b""
    while True:
        line = replies.readline()
        if not line.endswith(b"\n"):
            raise EOFError("memcached closed the connection inside a reply")
        reply += line
        word, *rest = line.split()
        if word in (b"VALUE", b"VA"):
            reply += replies.read(int(rest[2 if word == b"VALUE" else 0]) + 2)
        if not (word in (b"VALUE", b"STAT", b"ITEM") or word.startswith(b"key=")):
            return reply


def _redis_reply(connection: socket.socket, reader: hiredis.Reader, args: Sequence[object]) -> Any:
    connection.sendall(hiredis.pack_command(tuple(map(_as_bytes, args))))
    while (reply := reader.gets()) is False:
        data = connection.recv(65536)
        if not data:
            raise EOFError("the server closed the connection inside a reply")
        reader.feed(data)
    if isinstance(reply, hiredis.ReplyError):
        raise reply
    return reply
