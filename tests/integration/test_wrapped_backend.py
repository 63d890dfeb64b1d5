"""A backend of somebody's own in front of one of ours: plain functions that call its blocking operations."""

from collections.abc import Iterator
from typing import Any

import pytest

from sharedsession.backends import connect
from tests.integration.conftest import SHARED
from tests.integration.test_principals import of
from tests.support.farm import Browser, WebNode, read


class Wrapped:
    """Passes every operation on, as one that counts or logs would. It has the operations of the contract alone."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.max_value = backend.max_value
        self.health, self.close = backend.health, backend.close

    def get(self, *given: Any) -> Any:
        return self.backend.get(*given)

    def add(self, *given: Any) -> Any:
        return self.backend.add(*given)

    def replace(self, *given: Any) -> Any:
        return self.backend.replace(*given)

    def end(self, *given: Any) -> Any:
        return self.backend.end(*given)

    def touch(self, *given: Any) -> Any:
        return self.backend.touch(*given)


@pytest.fixture
def node(url: str, web_node: Any) -> Iterator[WebNode]:
    """In a blocking application several operations go side by side in one thread."""
    backend = connect(url)
    yield web_node(Wrapped(backend), timeout=5.0)
    backend.close()


def log_in(session: Any) -> None:
    session.regenerate()
    session.principal = "user:1"
    session["user"] = "ada"


@pytest.mark.parametrize("url", SHARED, indirect=True)
def test_logins_and_log_out_everywhere(node: WebNode) -> None:
    """What is asked side by side of our backends is asked one after the other of this one."""
    browsers = [Browser([node]) for _ in range(3)]
    for browser in browsers:
        assert browser.go(log_in).status == 200
    assert len(of(node, "list", "user:1")) == 3
    of(node, "revoke_all", "user:1")
    assert [browser.go(read("user")).body for browser in browsers] == ["None"] * 3
