"""The contract suite over the simulated servers: what the library promises of a store, it promises on these."""

from collections.abc import Callable
from typing import Any

import pytest

from sharedsession.backends.memcached import text
from sharedsession.backends.memcached.server import MemcachedServer
from sharedsession.backends.memcached.text_store import TextStore
from sharedsession.backends.redis.backend import RedisBackend
from sharedsession.backends.wire.protocol import Address
from sharedsession.concurrency import run
from sharedsession.environment import Environment
from sharedsession.testing import ManualEnvironment
from sharedsession.testing.contract import BackendContract, MakeBackend
from tests.contract.test_backends import ReadingBetween
from tests.simulation.direct import DirectClient
from tests.simulation.memcached import SimulatedMemcached
from tests.simulation.redis import SimulatedRedis

NOWHERE = Address(host="simulated", port=1)


class SimulatedContract(BackendContract):
    """On one event loop, so that nothing happens inside of an operation; on a clock of the test's own."""

    colours = ("asynchronous",)

    @pytest.fixture(autouse=True)
    def _clock(self) -> None:
        self.environment = ManualEnvironment()

    def pass_time(self, seconds: float) -> None:
        self.environment.advance(seconds)


class TestMemcached(SimulatedContract):
    @pytest.fixture
    def make_backend(self) -> MakeBackend:
        server = SimulatedMemcached(self.environment.clock)
        return lambda: memcached_store(server, self.environment)


class TestMemcachedText(SimulatedContract):
    tells_lives = False  # the text protocol has no word for it

    @pytest.fixture
    def make_backend(self) -> MakeBackend:
        server = SimulatedMemcached(self.environment.clock)
        return lambda: memcached_store(server, self.environment, protocol=text, kind=TextStore)

    @pytest.fixture
    def store(self, make_store: Callable[[], Any]) -> Any:
        return ReadingBetween(make_store())


class TestRedis(SimulatedContract):
    @pytest.fixture
    def make_backend(self) -> MakeBackend:
        server = SimulatedRedis(self.environment.clock, has_ifeq=False)
        return lambda: redis_store(server, self.environment)


class TestValkey(SimulatedContract):
    @pytest.fixture
    def make_backend(self) -> MakeBackend:
        server = SimulatedRedis(self.environment.clock, has_ifeq=True)
        return lambda: redis_store(server, self.environment)


def memcached_store(simulated: SimulatedMemcached, environment: Environment, **options: Any) -> Any:
    server = MemcachedServer(NOWHERE, 2.0, environment=environment, **options)
    return server.store(DirectClient(simulated.connect, server._protocol, server.guard))


def redis_store(simulated: SimulatedRedis, environment: Environment) -> Any:
    backend = RedisBackend(NOWHERE, environment=environment)
    return backend._store_over(DirectClient(simulated.connect, backend._server.protocol, backend._guard))


def test_no_node_knows_what_was_before_it_started() -> None:
    """The uptime of a memcached counts seconds that it was not up; a node is never believed to be older than it is."""
    environment = ManualEnvironment()
    simulated = SimulatedMemcached(environment.clock)
    for age in (0.0, 0.9, 1.0, 7.5):
        simulated.restart()
        environment.advance(age)
        server = MemcachedServer(NOWHERE, 2.0, environment=environment)
        run(server.store(DirectClient(simulated.connect, server._protocol, server.guard)).ping(1.0))
        assert not server.knows(age)
        environment.advance(4.0)
        assert server.knows(age)
