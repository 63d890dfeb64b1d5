"""Long sessions on real stores, over web nodes with and without compression."""

import pytest

from sharedsession import MachineKey
from sharedsession.backends import connect
from sharedsession.records.compression import shrunk
from tests.integration.conftest import SHARED
from tests.support.farm import SECRET, Browser, everything, write

pytestmark = pytest.mark.parametrize("url", SHARED, indirect=True)

KEY = MachineKey(SECRET)
PAGE = "a session of some forty thousand characters\n" * 1000


@pytest.fixture
def nodes(url: str, web_node):
    """One that compresses and one that does not."""
    return [web_node(connect(url), timeout=5.0, compress_above=1024), web_node(connect(url), timeout=5.0)]


@pytest.fixture
def stored(url: str):
    """What the store holds of a browser's session; with ``bomb``, that is put in its place."""
    backend = connect(url)

    def look(browser: Browser, bomb: bytes = b"") -> bytes:
        identity = KEY.verify(browser.cookie.partition("=")[2].encode())
        key = identity.store_key
        found = backend.get(key, None, 5.0)
        if bomb:
            assert backend.replace(key, identity.seal(bomb, bytes(12)), 60.0, found.version, 5.0)
        return found.value

    yield look
    backend.close()


def test_a_long_session_goes_over_mixed_nodes(browser: Browser, stored) -> None:
    """What one node stores compressed the other one reads and stores plain, and back."""
    browser.go(write("page", PAGE))
    assert len(stored(browser)) < 2000
    browser.go(write("plain", 1))
    assert len(stored(browser)) > 40_000
    browser.go(write("compressed", 2))
    assert len(stored(browser)) < 2000
    assert browser.go(everything).body == repr({"page": PAGE, "plain": 1, "compressed": 2})


def test_a_bomb_in_the_store_is_no_session(browser: Browser, stored, nodes) -> None:
    """One that even holds the secret: the visitor is anonymous, on every node, and the log says why."""
    browser.go(write("user", "alice"))
    stored(browser, bomb=shrunk(bytes(50 << 20), 1))
    for node in nodes:
        assert node.request(everything, browser.cookie).body == "{}"
        assert node.manager.health()["counters"]["unsealed"]
