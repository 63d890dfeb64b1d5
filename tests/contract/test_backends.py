"""The contract suite over every backend, in both colours, on real servers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sharedsession.backends import connect
from sharedsession.backends.base import Read, Stored, Version
from sharedsession.environment import Environment
from sharedsession.testing import ManualEnvironment, memory_backend
from sharedsession.testing.calls import Store, new_key
from sharedsession.testing.contract import BackendContract, MakeBackend
from tests.support.ring import Ring
from tests.support.servers import Memcached, Redis, Valkey


class ReadingBetween(Store):
    """A store whose changes bring no new version, as callers must use it: they read one."""

    def __init__(self, store: Store) -> None:
        vars(self).update(vars(store))

    def add(self, key: str, *arguments: Any, **keywords: Any) -> Version | None:
        return self._newest(key, super().add(key, *arguments, **keywords))

    def replace(self, key: str, *arguments: Any, **keywords: Any) -> Version | None:
        return self._newest(key, super().replace(key, *arguments, **keywords))

    def _newest(self, key: str, stored: Version | None) -> Version | None:
        found = None if stored is None else self.get(key)
        return found.version if isinstance(found, Stored) else None


class TestMemory(BackendContract):
    """On a clock of the test's own."""

    @pytest.fixture
    def make_backend(self) -> MakeBackend:
        self.environment = ManualEnvironment()
        backend = memory_backend(self.environment)
        return lambda: backend

    def pass_time(self, seconds: float) -> None:
        self.environment.advance(seconds)


class TestSqlite(BackendContract):
    """Its records expire by the clock of the test; it waits by the system's."""

    @pytest.fixture
    def make_backend(self, tmp_path: Path) -> MakeBackend:
        self.environment = ManualEnvironment()
        environment = Environment(clock=self.environment.clock)
        return lambda: connect(f"sqlite:///{tmp_path}/sessions.db", environment=environment)

    def pass_time(self, seconds: float) -> None:
        self.environment.advance(seconds)


class TestMemcached(BackendContract):
    @pytest.fixture
    def make_backend(self, memcached: Memcached) -> MakeBackend:
        return lambda: connect(memcached.url)


class TestMemcachedText(BackendContract):
    tells_lives = False  # the text protocol has no word for it

    @pytest.fixture
    def make_backend(self, memcached: Memcached) -> MakeBackend:
        return lambda: connect(f"{memcached.url}?protocol=text")

    @pytest.fixture
    def store(self, make_store: Callable[[], Store]) -> Store:
        """A change brings no new version: a caller that changes a record twice reads it in between."""
        return ReadingBetween(make_store())


class TestRedis(BackendContract):
    @pytest.fixture
    def make_backend(self, redis: Redis) -> MakeBackend:
        return lambda: connect(redis.url)


class TestValkey(BackendContract):
    @pytest.fixture
    def make_backend(self, valkey: Valkey) -> MakeBackend:
        return lambda: connect(valkey.url)


class TestRing(BackendContract):
    adders_may_all_lose = True  # two may each succeed on one of the two nodes

    def test_a_read_that_knows_no_inside_changes_no_copy(self, ring: Ring, store: Store) -> None:
        """Which of two copies is the newer one, only a holder of the session's ID can tell."""
        key = new_key()
        store.add(key, b"older")
        for server in ring.servers:
            server.put(key, b"newer of " + str(server.port).encode())
        before = [server.command("mg", key, "v") for server in ring.servers]
        store.get(key, 60)
        store.get_many(Read(key, 60))
        assert [server.command("mg", key, "v") for server in ring.servers] == before

    @pytest.fixture
    def make_backend(self, ring: Ring) -> MakeBackend:
        return lambda: connect(ring.url)
