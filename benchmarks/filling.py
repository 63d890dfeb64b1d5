"""Stores filled in bulk with opaque records of the size of a small session, past the library, thousands at a time."""

import socket
import sqlite3
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.floor import packed

VALUE = b"x" * 200
_TTL = 3600
_AT_A_TIME = 1000


def fill(url: str, count: int) -> None:
    """Fills a memcached or a Redis."""
    pack, answer = (_memcached, _silence) if url.startswith("memcached") else (_redis, _oks)
    with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port or 0)) as link:
        for keys in _batches(count):
            link.sendall(b"".join(map(pack, keys)) + (b"mn\r\n" if answer is _silence else b""))
            answer(link, len(keys))


def fill_file(path: Path, count: int) -> None:
    """Fills an SQLite file that the library made."""
    connection = sqlite3.connect(path)
    with connection:
        rows = ((key, VALUE, time.time() + _TTL) for keys in _batches(count) for key in keys)
        connection.executemany("INSERT INTO sessions (key, value, version, expires) VALUES (?, ?, 1, ?)", rows)
    connection.close()


def _batches(count: int) -> Iterator[list[str]]:
    """Keys of the length and the disorder of ours."""
    for first in range(0, count, _AT_A_TIME):
        numbers = range(first, min(count, first + _AT_A_TIME))
        yield [sha256(str(number).encode()).hexdigest()[:43] for number in numbers]


def _memcached(key: str) -> bytes:
    return b"ms %b %d T%d q\r\n%b\r\n" % (key.encode(), len(VALUE), _TTL, VALUE)


def _redis(key: str) -> bytes:
    return packed("SET", key, VALUE, "EX", _TTL)


def _silence(link: socket.socket, _count: int) -> None:
    answer = link.recv(4096)
    if answer != b"MN\r\n":
        raise RuntimeError(f"memcached refused to be filled: {answer[:60]!r}")


def _oks(link: socket.socket, count: int) -> None:
    expected = b"+OK\r\n" * count
    got = b""
    while len(got) < len(expected):
        got += link.recv(65536)
    if got != expected:
        raise RuntimeError("Redis refused to be filled")
