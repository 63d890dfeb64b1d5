"""What a log, an error or a `repr` shows while everything goes wrong: no ID, token, store key, secret, no data."""

import logging
import os
import re
import socket
import sqlite3
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from sharedsession import SessionManager
from sharedsession.keys import RANDOM_BYTES
from sharedsession.manager import engines_of
from sharedsession.observe import without_store_keys
from tests.integration.conftest import SHARED
from tests.support.farm import SECRET, Browser, WebNode, destroy, everything, read, write

PAYLOAD = "payload-of-a-visitor"
MOST_WAITING = 0.3  # seconds for one question: a store that is down is asked often here


class Witness(logging.Handler):
    """Keeps whatever is said: log records with all their fields, errors with their causes, representations."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.said: list[str] = []
        self.hidden: set[str] = {SECRET, PAYLOAD}

    def emit(self, record: logging.LogRecord) -> None:
        self.said += [self.format(record), repr(vars(record))]

    def saw(self, error: BaseException) -> None:
        self.said += [*traceback.format_exception(error), repr(error), repr(error.args)]

    def looks_at(self, node: WebNode) -> None:
        settings = engines_of(node.manager).settings
        self.said += map(repr, (node.manager, settings, settings.backend, node.manager.health()))

    def keeps(self, browser: Browser) -> None:
        """Hides what leads to the session that a browser has now."""
        token = browser.cookie.partition("=")[2]
        identity = engines_of(browser.nodes[0].manager).settings.machine_key().verify(token.encode())
        if identity is not None:
            self.hidden |= {token, identity.name, token.split(".")[0], token.rsplit(".", 1)[1]}
            self.hidden |= {identity.store_key, identity.store_key.partition(":")[2]}

    def leaked(self) -> set[str]:
        text = "\n".join(self.said)
        return {hidden for hidden in self.hidden if hidden in text}


@pytest.fixture
def witness() -> Iterator[Witness]:
    """Listens to every logger from the first request on."""
    listening = Witness()
    root = logging.getLogger()
    before = root.level
    root.addHandler(listening)
    root.setLevel(logging.DEBUG)
    yield listening
    root.setLevel(before)
    root.removeHandler(listening)


def log_in(session: Any) -> None:
    session.regenerate()
    session.principal = "user:1"
    session["user"] = PAYLOAD


def locked(session: Any) -> None:
    with session.lock(timeout=0.01):
        session["locked"] = PAYLOAD


def too_large(session: Any) -> None:
    session["large"] = PAYLOAD * 10_000


def unfit(session: Any) -> None:
    session["unfit"] = object()


HANDLERS = [
    log_in,
    read("user"),
    write("data", PAYLOAD),
    lambda session: session.increment("n"),
    locked,
    too_large,
    unfit,
    lambda session: session.regenerate(grace=5),
    everything,
    destroy,
]
VERBS: list[Callable[[SessionManager], Any]] = [
    lambda manager: manager.list("user:1"),
    lambda manager: manager.revoke("no-such-handle"),
    lambda manager: manager.revoke_all("user:1"),
]


def work(browsers: list[Browser], witness: Witness) -> None:
    """One visit of every kind by every browser, and what a manager can do."""
    for browser in browsers:
        for handler in HANDLERS:
            witness.keeps(browser)
            with _seen(witness):
                browser.go(handler)
            witness.keeps(browser)
        forged = browser.cookie[:-2] + "zz"
        with _seen(witness):
            browser.nodes[0].request(everything, forged)
        for node in browser.nodes:
            witness.looks_at(node)
            for verb in VERBS:
                with _seen(witness):
                    verb(node.manager)


@contextmanager
def _seen(witness: Witness) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # each is looked at, and none may end the test
        witness.saw(error)


# -- real stores


def damage(store: Any, url: str) -> None:
    """Overwrites what is stored with something that opens for nobody."""
    if url.startswith("sqlite"):
        with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
            connection.execute("UPDATE sessions SET value = ?", (os.urandom(100),))
        connection.close()
        return
    for key in store.dump():
        with suppress(Exception):
            store.put(key if isinstance(key, str) else key.decode(), os.urandom(100))


@contextmanager
def down(store: Any, url: str) -> Iterator[None]:
    """The store answers nothing, and then in a way that is no answer."""
    if url.startswith("sqlite"):
        path = Path(url.removeprefix("sqlite:///"))
        path.write_bytes(os.urandom(8192))
        yield
        return
    servers = getattr(store, "servers", [store])
    for server in servers:
        server.kill()
    yield
    for server in servers:
        server.restart()


@pytest.mark.parametrize("url", SHARED, indirect=True)
def test_nothing_secret_is_said_while_a_store_fails(
    url: str, request: pytest.FixtureRequest, web_node: Callable[..., WebNode], witness: Witness
) -> None:
    """Logins, locks, logouts and lists on a store that is well, then damaged, then gone."""
    kind = request.node.callspec.params["url"]
    store = None if kind == "sqlite" else request.getfixturevalue(kind)
    nodes = [web_node(url, timeout=MOST_WAITING, breaker_window=0.01) for _ in range(2)]
    browsers = [Browser(nodes) for _ in range(2)]
    work(browsers, witness)
    for browser in browsers:
        browser.go(log_in)
        witness.keeps(browser)
    damage(store, url)
    work(browsers, witness)
    with down(store, url):
        work(browsers, witness)
    assert len(witness.said) > 100
    assert witness.leaked() == set()


# -- stores that say too much


class Parrot(threading.Thread):
    """A server that refuses each command and repeats it, as Redis does with those that it does not know."""

    def __init__(self, refusal: bytes) -> None:
        super().__init__(daemon=True)
        self._refusal = refusal
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.heard: list[bytes] = []

    def run(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            while heard := connection.recv(65536):
                self.heard.append(heard)
                words = b" ".join(re.findall(rb"[!-~]{2,}", heard))
                refusal = self._refusal + words + b"\r\n"
                if self._refusal.startswith(b"-"):
                    connection.sendall(b"".join(self._to_redis(refusal, heard)))
                else:
                    connection.sendall(refusal)

    @staticmethod
    def _to_redis(refusal: bytes, heard: bytes) -> Iterator[bytes]:
        """Refuses all commands but ECHO: without its reply nothing else is asked for."""
        for command in heard.split(b"*")[1:]:
            echoed = command.partition(b"ECHO\r\n")[2]
            yield echoed or refusal

    def __enter__(self) -> "Parrot":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()


@pytest.mark.parametrize(
    ("scheme", "refusal"),
    [
        ("redis", b"-ERR unknown command, with args beginning with: "),
        ("redis", b"-"),
        ("memcached", b"SERVER_ERROR "),
        ("memcached", b"CLIENT_ERROR too large "),
        ("memcached", b"HD k"),
        ("memcached", b""),
    ],
)
def test_a_store_that_repeats_what_it_refuses_puts_no_key_into_the_log(
    scheme: str, refusal: bytes, web_node: Callable[..., WebNode], witness: Witness
) -> None:
    """What a server says is told, but for the names of records in it."""
    with Parrot(refusal) as parrot:
        node = web_node(f"{scheme}://127.0.0.1:{parrot.port}", timeout=MOST_WAITING, breaker_window=0.01)
        browser = Browser([node])
        token = engines_of(node.manager).settings.machine_key().new_identity(os.urandom(RANDOM_BYTES)).token
        browser.cookie = f"__Host-session={token}"
        work([browser], witness)
    keys = set(re.findall(rb"ss:[\w-]{20,}", b" ".join(parrot.heard)))
    witness.hidden |= {key.decode() for key in keys}
    assert witness.leaked() == set()
    assert keys or scheme == "memcached"


@pytest.mark.parametrize("reply", [b"HD kss:%b c1", b"SERVER_ERROR ss:%b is odd", b"XX ss:%b"])
def test_the_text_of_an_unexpected_reply_is_told_without_keys(reply: bytes) -> None:
    """Also where it becomes part of an error of ours."""
    key = b"A" * 43
    assert key.decode() not in without_store_keys((reply % key).decode())
    assert without_store_keys("on keys ss:*, and the registry ss:farm") == "on keys ss:*, and the registry ss:farm"
