"""The examples do what their first lines say: under real servers, over HTTP, on more than one backend."""

import os
import socket
from pathlib import Path

import httpx
import pytest

from sharedsession import MachineKey
from tests.support.processes import PATIENCE
from tests.support.webserver import ROOT, SERVERS, require, serving

EXAMPLES = sorted(path.parent.name for path in (ROOT / "examples").glob("*/shop.py"))
RUNS = [
    ("wsgi", "gunicorn", "shop", "sqlite"),
    ("wsgi", "gunicorn-gthread", "shop", "redis"),
    ("flask", "gunicorn", "shop:app", "memcached"),
    ("django", "gunicorn", "shop:application", "redis"),
    ("django", "uvicorn", "shop:app", "ring"),
    ("asgi", "uvicorn", "shop:app", "sqlite"),
    ("starlette", "uvicorn", "shop:app", "redis"),
    ("fastapi", "uvicorn", "shop:app", "ring"),
]


@pytest.fixture
def env(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """What a reader puts into the environment."""
    kind = request.param
    url = f"sqlite:///{tmp_path}/s.db" if kind == "sqlite" else request.getfixturevalue(kind).url
    settings = {"backend": url, "secret_key": MachineKey.generate(), "development": "1", "timeout": "5"}
    return {f"SHAREDSESSION_{name.upper()}": value for name, value in settings.items()}


@pytest.mark.parametrize(("example", "server", "app", "env"), RUNS, indirect=["env"])
def test_a_visit_to_the_shop(example: str, server: str, app: str, env: dict[str, str]) -> None:
    """Counter, login, cart and logout of one visitor, over two processes; another visitor sees nothing of it."""
    with serving(server, app, env=env, cwd=ROOT / "examples" / example) as url:
        with httpx.Client(base_url=url) as browser, httpx.Client(base_url=url) as other:
            assert browser.get("/").text.startswith("nobody, visit 1, cart: nothing, process ")
            before = dict(browser.cookies)
            assert browser.post("/login", params={"user": "alice"}).text == "hello alice\n"
            assert dict(browser.cookies) != before
            assert browser.post("/cart", params={"item": "book"}).text == "1 in the cart\n"
            assert browser.post("/cart", params={"item": "pen"}).text == "2 in the cart\n"
            assert browser.get("/").text.startswith("alice, visit 2, cart: book, pen, process ")
            assert other.get("/").text.startswith("nobody, visit 1, cart: nothing")
            kept = dict(browser.cookies)
            assert browser.post("/logout").text == "goodbye\n"
            assert dict(browser.cookies) == {}
        stolen = httpx.get(f"{url}/", cookies=kept)
        assert stolen.text.startswith("nobody, visit 1")


def test_every_example_is_run() -> None:
    """A new example gets a row; the command at its top is the one that runs here, of a server that we know."""
    assert {example for example, *_ in RUNS} == set(EXAMPLES)
    for example, server, app, _ in RUNS:
        text = (ROOT / "examples" / example / "shop.py").read_text()
        assert f"{SERVERS[server].packages[0]} --workers 4 {app}{os.linesep}" in text


class Watcher:
    """A websocket client of a few lines: texts below 126 bytes, and the end."""

    def __init__(self, url: str, cookie: str) -> None:
        host = url.removeprefix("http://")
        self._socket = socket.create_connection(host.split(":"), timeout=PATIENCE)
        self._socket.sendall(
            f"GET /watch HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nCookie: {cookie}\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self._replies = self._socket.makefile("rb")
        assert b" 101 " in self._replies.readline()
        while self._replies.readline() != b"\r\n":
            pass

    def ask(self) -> str:
        """Sends a text; returns the answer, or nothing when the server says that it is over."""
        self._socket.sendall(b"\x81\x81" + bytes(4) + b"?")
        kind, length = self._replies.read(2)
        payload = self._replies.read(length)
        return payload.decode() if kind == 0x81 else ""

    def close(self) -> None:
        self._replies.close()
        self._socket.close()


@pytest.mark.parametrize("server", ["uvicorn", "hypercorn"])
@pytest.mark.parametrize("env", ["redis"], indirect=True)
def test_a_websocket_follows_the_visitor(server: str, env: dict[str, str]) -> None:
    """It sees what other requests put in the cart, and ends when the visitor logs out on whatever node."""
    require("a websocket server", "wsproto")
    with (
        serving(server, "shop:app", env=env, cwd=ROOT / "examples" / "starlette") as url,
        httpx.Client(base_url=url) as browser,
    ):
        browser.post("/login", params={"user": "alice"})
        watcher = Watcher(url, f"session={browser.cookies['session']}")
        assert watcher.ask() == "[]"
        browser.post("/cart", params={"item": "book"})
        assert watcher.ask() == '["book"]'
        browser.post("/logout")
        assert watcher.ask() == ""
        watcher.close()
