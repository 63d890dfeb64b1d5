"""Real servers as fixtures, one of each kind per test process; a test that breaks its server takes a `fresh`.

A missing server skips its tests with one line that says how to get it; with ``CI=true`` it fails them. A test that asks
for one of these fixtures gets the marker ``server``; `make quick` runs the others, and there no server can be started.
"""

import os
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import pytest

from tests.support.binaries import MissingServerError
from tests.support.ring import Ring
from tests.support.servers import KINDS, Memcached, Redis, Valkey

hypothesis.settings.register_profile("patient", parent=hypothesis.settings(), deadline=None)
hypothesis.settings.load_profile("patient")  # no test fails because the machine is busy
# For `make mutate`: the same examples for each mutant, and no search for the smallest one that fails.
_FIRST = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
hypothesis.settings.register_profile("mutation", deadline=None, derandomize=True, database=None, phases=_FIRST)


_STARTING = {"_shared", "_ring", "fresh"}  # the fixtures that start servers; all others ask for one of them


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests that need a server: by their fixtures, or by the kind of server that they are run with."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        values = item.callspec.params.values() if hasattr(item, "callspec") else ()
        kinds = {value.partition("+")[0] for value in values if isinstance(value, str)}
        if fixtures & _STARTING or kinds & {*KINDS, "ring"}:
            item.add_marker(pytest.mark.server)


def _start(kind: str, *extra_args: str) -> Any:
    try:
        return KINDS[kind].start(extra_args)
    except MissingServerError as missing:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(str(missing))


@pytest.fixture(scope="session")
def _shared() -> Iterator[Callable[[str], Any]]:
    """Gives the server of a kind, empty and answering, whatever the test before did to it."""
    servers: dict[str, Any] = {}

    def shared(kind: str) -> Any:
        server = servers[kind] = servers.get(kind) or _start(kind)
        server.resume()
        if server.alive:
            server.flush()
        else:
            server.restart()
        return server

    yield shared
    for server in servers.values():
        server.stop()


@pytest.fixture
def memcached(_shared: Callable[[str], Any]) -> Memcached:
    """An empty memcached."""
    return _shared("memcached")


@pytest.fixture
def redis(_shared: Callable[[str], Any]) -> Redis:
    """An empty Redis."""
    return _shared("redis")


@pytest.fixture
def valkey(_shared: Callable[[str], Any]) -> Valkey:
    """An empty Valkey."""
    return _shared("valkey")


@pytest.fixture(scope="session")
def _ring() -> Iterator[Ring]:
    servers = [_start("memcached") for _ in range(3)]
    yield Ring(servers)
    for server in servers:
        server.stop()


@pytest.fixture
def ring(_ring: Ring) -> Ring:
    """A ring of three empty memcached nodes."""
    _ring.heal()
    return _ring


@pytest.fixture
def fresh() -> Iterator[Callable[..., Any]]:
    """Starts servers of the test's own, to kill and freeze: ``fresh("redis", "--maxmemory", "10mb")``."""
    servers: list[Any] = []

    def start(kind: str, *extra_args: str) -> Any:
        servers.append(_start(kind, *extra_args))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Any) -> str:
    """The URL of the backend that the test is parametrised with; real servers are empty."""
    kind = request.param
    if kind == "memory":
        return "memory://"
    if kind == "sqlite":
        return f"sqlite:///{tmp_path}/sessions.db"
    name, _, protocol = kind.partition("+")
    server = request.getfixturevalue(name)
    server.flush()
    return f"{server.url}{'&' if '?' in server.url else '?'}protocol={protocol}" if protocol else str(server.url)
