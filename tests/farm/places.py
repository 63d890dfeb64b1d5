"""The stores of the rounds: real servers that two web nodes share, what they can be made to forget, and their troubles.

A place is a context manager. Each web node has a way of its own to it, and a fresh one goes straight. Of the ring one
node is behind relays, one for each web node, so that it can be cut off from one of them alone.
"""

import random
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

from tests.support.relay import Relay
from tests.support.servers import Memcached, Redis

ROOMY = ("-m", "1024")  # nothing is evicted but on purpose
NAMES = "abc"


class Place:
    """One server.

    Attributes:
        urls: for the two web nodes.
        fresh_url: for one that comes later.
        settings: of all web nodes.
        keeps_copies: whether a record is on several nodes.
    """

    settings: ClassVar[dict[str, Any]] = {"timeout": 5.0}
    keeps_copies = False

    def __init__(self) -> None:
        self.stack = ExitStack()
        self.urls: Sequence[str] = ()
        self.fresh_url = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: Any) -> None:
        self.stack.__exit__(*details)

    def forget(self, keys: Sequence[str], chance: random.Random) -> bool:
        """Deletes records, as a full store does. Returns whether no copy is left."""
        raise NotImplementedError

    @contextmanager
    def trouble(self, _chance: random.Random) -> Iterator[Callable[[], None]]:
        """Breaks something when its function is called; it is mended on exit."""
        yield lambda: None


class SqlitePlace(Place):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.path = folder / "sessions.db"
        self.urls = [f"sqlite:///{self.path}"] * 2
        self.fresh_url = self.urls[0]

    def forget(self, keys: Sequence[str], _chance: random.Random) -> bool:
        with closing(sqlite3.connect(self.path, timeout=30)) as connection, connection:
            connection.executemany("DELETE FROM sessions WHERE key = ?", [(key,) for key in keys])
        return True


class MemcachedPlace(Place):
    def __init__(self) -> None:
        super().__init__()
        self.server = self.stack.enter_context(Memcached.start(ROOMY))
        self.urls = [self.server.url] * 2
        self.fresh_url = self.server.url

    def forget(self, keys: Sequence[str], _chance: random.Random) -> bool:
        for key in keys:
            self.server.command("delete", key)
        return True


class RedisPlace(Place):
    def __init__(self) -> None:
        super().__init__()
        self.server = self.stack.enter_context(Redis.start())
        self.urls = [self.server.url] * 2
        self.fresh_url = self.server.url

    def forget(self, keys: Sequence[str], _chance: random.Random) -> bool:
        self.server.command("DEL", *keys)
        return True


class RingPlace(Place):
    """Three memcached nodes, two copies; the web nodes reach the last one by a relay each."""

    settings: ClassVar[dict[str, Any]] = {"timeout": 1.0, "breaker_window": 0.1}
    keeps_copies = True

    def __init__(self) -> None:
        super().__init__()
        self.servers = [self.stack.enter_context(Memcached.start(ROOMY)) for _ in NAMES]
        self.relays = [self.stack.enter_context(Relay(self.servers[2].port)) for _ in range(2)]
        self.urls = [self._url(relay.port) for relay in self.relays]
        self.fresh_url = self._url(self.servers[2].port)

    def forget(self, keys: Sequence[str], chance: random.Random) -> bool:
        """On all nodes, or on one."""
        servers = chance.choice([self.servers, self.servers[:1], self.servers[1:2], self.servers[2:]])
        for server in servers:
            for key in keys:
                server.command("delete", key)
        return len(servers) == len(self.servers)

    @contextmanager
    def trouble(self, chance: random.Random) -> Iterator[Callable[[], None]]:
        """One node is killed, restarted empty, or cut off from one web node or from both."""
        victim = chance.choice(self.servers)
        cut = chance.choice([self.relays, self.relays[:1], self.relays[1:]])

        refused: list[Relay] = []

        def cut_off() -> None:
            for relay in cut:
                relay.refuse()
                relay.cut()
                refused.append(relay)

        yield chance.choice([victim.kill, victim.restart, cut_off])
        for relay in refused:
            relay.refuse(False)
        if not victim.alive:
            victim.restart()

    def _url(self, port: int) -> str:
        ports = [self.servers[0].port, self.servers[1].port, port]
        nodes = ",".join(f"{name}=127.0.0.1:{port}" for name, port in zip(NAMES, ports, strict=True))
        return f"memcached://{nodes}?replicas=2"
