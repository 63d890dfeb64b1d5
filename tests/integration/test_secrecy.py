"""What somebody sees, and can do, who reads or writes the store, the log or the cookie."""

import logging
import re
import sqlite3
import time

import pytest

from sharedsession import MachineKey
from sharedsession.manager import engines_of
from tests.integration.conftest import SHARED
from tests.support.farm import SECRET, Browser, WebNode, destroy, everything, read, write

pytestmark = pytest.mark.parametrize("url", SHARED, indirect=True)


class SqliteStore:
    """Looks into the file behind the library's back."""

    def __init__(self, url: str) -> None:
        self._path = url.removeprefix("sqlite:///")

    def dump(self) -> dict[str, bytes]:
        with sqlite3.connect(self._path) as connection:
            return {key.encode(): value for key, value in connection.execute("SELECT key, value FROM sessions")}

    def put(self, key: str, value: bytes) -> None:
        with sqlite3.connect(self._path) as connection:
            connection.execute("UPDATE sessions SET value = ? WHERE key = ?", (value, _text(key)))


def _text(key) -> str:
    return key.decode() if isinstance(key, bytes) else key


@pytest.fixture
def store(url: str, request: pytest.FixtureRequest):
    if url.startswith("sqlite"):
        return SqliteStore(url)
    return request.getfixturevalue(next(kind for kind in SHARED if request.node.callspec.params["url"] == kind))


@pytest.fixture
def two(nodes: list[WebNode], store) -> list[Browser]:
    """Alice and Bob, each with a session; and whose record is under which key."""
    alice, bob = Browser(nodes), Browser(nodes)
    alice.go(write("user", "alice in wonderland"))
    alice.key = next(iter(store.dump()))
    bob.go(write("user", "bob the builder"))
    bob.key = next(key for key in store.dump() if key != alice.key)
    return [alice, bob]


def test_a_dump_shows_no_id_and_no_payload(two: list[Browser], store) -> None:
    """Neither the cookie's parts nor what the visitors stored stands in the store."""
    dump = b"\n".join(_text(key).encode() + b"=" + value for key, value in store.dump().items())
    for secret in (b"wonderland", b"builder", b"user", SECRET.encode()):
        assert secret not in dump
    for browser in two:
        token = browser.cookie.partition("=")[2].encode()
        assert token.split(b".")[0] not in dump
        assert token not in dump


def test_no_part_of_a_dump_is_a_cookie(two: list[Browser], store) -> None:
    """Store keys, handles and values are useless as cookies."""
    name = two[0].cookie.partition("=")[0]
    for part in {_text(key) for key in store.dump()} | {_text(key).partition(":")[2] for key in store.dump()}:
        assert two[0].nodes[0].request(everything, f"{name}={part}").body == "{}"


def test_swapped_records_open_for_nobody(two: list[Browser], store, caplog) -> None:
    """Two records swapped in the store: both visitors are anonymous, it is logged, and nobody sees the other."""
    dump = store.dump()
    store.put(two[0].key, dump[two[1].key])
    store.put(two[1].key, dump[two[0].key])
    with caplog.at_level(logging.WARNING, "sharedsession"):
        for browser in two:
            for _ in range(2):
                answer = browser.go(everything)
                assert (answer.status, answer.body, answer.set_cookies) == (200, "{}", [])
    assert {record.event for record in caplog.records} == {"unsealed"}
    store.put(two[0].key, dump[two[0].key])
    assert two[0].go(read("user")).body == repr("alice in wonderland")  # nothing was deleted


@pytest.mark.parametrize(
    "damage",
    [
        lambda value: value[:-1],
        lambda value: value[:20],
        lambda value: b"",
        lambda value: b"\x00" * 100,
        lambda value: value + b"x",
        lambda value: value[:-3] + bytes([value[-3] ^ 1]) + value[-2:],
        lambda value: b"\x80\x04\x95cposix\nsystem\n(S'true'\ntR.",
        lambda value: b"\x91" * 60_000,
    ],
)
def test_damaged_and_planted_records_are_no_session(two: list[Browser], store, damage) -> None:
    """Whatever stands in the store: anonymous, never an exception, and a write starts a new session."""
    alice, bob = two
    store.put(alice.key, damage(store.dump()[alice.key]))
    assert (alice.go(everything).status, alice.go(everything).body) == (200, "{}")
    old = alice.cookie
    assert alice.go(write("user", "new")).status == 200
    assert alice.cookie != old
    assert bob.go(read("user")).body == repr("bob the builder")


def test_another_app_name_shares_nothing(two: list[Browser], url: str, web_node) -> None:
    """The same secret and store under another name: a stranger's cookie is no session."""
    other = web_node(url, app_name="other", timeout=5.0)
    assert other.request(everything, two[0].cookie).body == "{}"


def test_unencrypted_records_are_still_authentic(url: str, web_node, store) -> None:
    """`encrypt=False` leaves them readable, and a change in the store is found out; either setting reads both."""
    node, sealing = web_node(url, encrypt=False, timeout=5.0), web_node(url, timeout=5.0)
    browser = Browser([node])
    browser.go(write("user", "alice"))
    (key, value), *_ = store.dump().items()
    assert b"alice" in value
    assert sealing.request(read("user"), browser.cookie).body == repr("alice")
    store.put(key, value.replace(b"alice", b"admin"))
    assert node.request(everything, browser.cookie).body == "{}"


def test_rotation_logs_nobody_out(url: str, web_node) -> None:
    """[A] -> [A, B] -> [B, A]: every node of neighbouring steps reads every session; a removed key is dead at once."""
    a, b = SECRET, MachineKey.generate()
    steps = [[a], [a, b], [b, a], [b]]
    nodes = [web_node(url, secret_key=step, timeout=5.0) for step in steps]
    browser = Browser(nodes[:2])
    browser.go(write("n", 0))
    for before, after in [(0, 1), (1, 2)]:
        for index in (before, after, before, after):
            assert (
                nodes[index].request(lambda session: session.update(n=session["n"] + 1), browser.cookie).status == 200
            )
    assert nodes[2].request(read("n"), browser.cookie).body == "8"
    assert nodes[3].request(everything, browser.cookie).body == "{}"


def test_nothing_secret_is_ever_logged(nodes: list[WebNode], url: str, caplog) -> None:
    """At DEBUG over logins, conflicts, forgeries and logouts: no token, no ID, no secret, no value."""
    with caplog.at_level(logging.DEBUG):
        browser = Browser(nodes)
        seen = []
        for n in range(5):
            browser.go(write("user", f"payload-{n}"))
            seen.append(browser.cookie.partition("=")[2])
            browser.go(lambda session: session.regenerate())
            seen.append(browser.cookie.partition("=")[2])
            nodes[0].request(write("x", 1), browser.cookie.replace(seen[-1], seen[-1][:-2] + "zz"))
            nodes[0].request(write("x", 1), browser.cookie.replace(seen[-1], seen[-2]))
            browser.go(destroy)
            nodes[1].request(everything, f"session={seen[-1]}; __Host-session={seen[-1]}; __Host-session={seen[-2]}")
    text = "\n".join(
        [caplog.text, *(repr(engines_of(node.manager).settings) + repr(node.manager.health()) for node in nodes)]
    )
    for token in seen:
        assert token not in text
        assert token.split(".")[0] not in text
    assert SECRET not in text
    assert "payload-" not in text


def test_a_session_too_large_is_refused(browser: Browser) -> None:
    """The error names the largest keys and no value, and the former version is intact."""
    from sharedsession import SessionTooLarge

    browser.go(write("small", 1))
    with pytest.raises(SessionTooLarge, match=r"'huge'.*'big'") as caught:
        browser.go(lambda session: session.update(huge="secret" * 20_000, big="x" * 10_000))
    assert "secret" not in str(caught.value)
    assert re.search(r"max_size", str(caught.value))
    assert browser.go(everything).body == repr({"small": 1})


def test_what_cannot_be_stored_is_a_type_error(browser: Browser) -> None:
    """The error names the key; nothing of the request is stored."""
    browser.go(write("small", 1))
    with pytest.raises(TypeError, match="'odd'"):
        browser.go(lambda session: session.update(fine=1, odd=object()))
    assert browser.go(everything).body == repr({"small": 1})


def test_the_absolute_end_is_kept(url: str, web_node) -> None:
    """However busy: past the absolute end there is no session, and a new ID does not prolong it."""
    browser = Browser([web_node(url, absolute_timeout=1.5, timeout=5.0) for _ in range(2)])
    began = time.monotonic()
    browser.go(write("user", "alice"))
    browser.go(lambda session: session.regenerate())
    latest = time.monotonic() + 1.5
    while True:
        asked = time.monotonic()
        if browser.go(read("user")).body != repr("alice"):
            break
        assert asked < latest
        time.sleep(0.05)
    assert time.monotonic() > began + 1.4
