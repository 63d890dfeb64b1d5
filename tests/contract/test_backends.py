"""The contract suite over every backend, in both colours, on real servers."""

from pathlib import Path

import pytest

from sharedsession.backends import connect
from sharedsession.testing import ManualEnvironment, memory_backend
from sharedsession.testing.contract import BackendContract, MakeBackend
from tests.support.ring import Ring
from tests.support.servers import Memcached, Redis, Valkey


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
    @pytest.fixture
    def make_backend(self, tmp_path: Path) -> MakeBackend:
        return lambda: connect(f"sqlite:///{tmp_path}/sessions.db")


class TestMemcached(BackendContract):
    @pytest.fixture
    def make_backend(self, memcached: Memcached) -> MakeBackend:
        return lambda: connect(memcached.url)


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

    @pytest.fixture
    def make_backend(self, ring: Ring) -> MakeBackend:
        return lambda: connect(ring.url)
