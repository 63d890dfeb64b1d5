"""Two web nodes over each backend, in each colour."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from sharedsession.backends import connect
from tests.support.binaries import MissingServerError
from tests.support.chromium import Chromium
from tests.support.farm import COLOURS, Browser, WebNode

SHARED = ("sqlite", "memcached", "redis", "valkey", "ring")
COLOUR_OF = {"sqlite": "wsgi", "memcached": "wsgi", "redis": "asgi", "ring": "asgi"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Runs a test that waits for seconds on each store in one colour, and so in each colour on two stores.

    What it waits for is the store's or the driver's. `tests/unit` has its rules in every case, without waiting.
    """
    items[:] = [item for item in items if not item.get_closest_marker("waits") or _is_chosen(item)]


def _is_chosen(item: pytest.Item) -> bool:
    chosen = item.callspec.params  # type: ignore[attr-defined]  # it is parametrised
    return COLOUR_OF[chosen["url"]] == chosen["colour"]


@pytest.fixture(params=COLOURS)
def colour(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def web_node(colour: str) -> Iterator[Callable[..., WebNode]]:
    """Makes web nodes of the test's colour; they are closed after the test."""
    with ExitStack() as stack:
        yield lambda backend, **settings: stack.enter_context(WebNode(colour, backend, **settings))


@pytest.fixture
def nodes(url: str, web_node: Callable[..., WebNode]) -> list[WebNode]:
    """Two web nodes with connections of their own, as two processes would have."""
    return [web_node(connect(url), timeout=5.0) for _ in range(2)]


@pytest.fixture
def browser(nodes: list[WebNode]) -> Browser:
    return Browser(nodes)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """A browser for the tests of one module."""
    try:
        browser = Chromium(tmp_path_factory.mktemp("chromium"))
    except MissingServerError as missing:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(str(missing))
    yield browser
    browser.close()
