"""Readiness over real stores that are killed, frozen and brought back, and under real web servers."""

import asyncio
import json
import time
from pathlib import Path

import httpx
import pytest

from sharedsession import readiness
from tests.support import stopwatch
from tests.support.farm import SECRET, Browser, read, write
from tests.support.ring import Ring
from tests.support.stopwatch import AT_ONCE, SLACK
from tests.support.webserver import serving

NETWORK = ("memcached", "redis", "valkey")
TIMEOUT = 0.4
WINDOW = 0.3

APPLICATION = """
from sharedsession import SessionManager, readiness

wsgi = readiness.wsgi(SessionManager.from_settings())
asgi = readiness.asgi(SessionManager.from_settings(blocking=False))
"""


@pytest.fixture
def probe(web_node):
    """Makes a web node on a store; returns what asks whether it is ready: the status and the facts."""

    def of(url: str):
        node = web_node(url, timeout=TIMEOUT, breaker_window=WINDOW)
        app = getattr(readiness, node.colour)(node.manager)
        return node, lambda: by_wsgi(app) if node.colour == "wsgi" else node.do(by_asgi(app))

    return of


def by_wsgi(app):
    heads = []
    body = b"".join(app({"REQUEST_METHOD": "GET"}, lambda status, headers: heads.append(status)))
    return int(heads[0][:3]), json.loads(body)


async def by_asgi(app):
    sent: asyncio.Queue = asyncio.Queue()
    await app({"type": "http", "method": "GET"}, None, sent.put)
    return (await sent.get())["status"], json.loads((await sent.get())["body"])


def timed(ask):
    (status, _), took = stopwatch.timed(ask)
    return status, took


def until_ready(ask) -> None:
    deadline = time.monotonic() + 5
    while ask()[0] != 200:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("fault", ["freeze", "kill"])
@pytest.mark.parametrize("kind", NETWORK)
def test_an_outage_is_told_in_time_and_its_end_as_well(kind: str, fault: str, fresh, probe) -> None:
    """503 within 2 x timeout, at once while the breaker is open, and 200 without any visitor's help."""
    server = fresh(kind)
    _, ask = probe(server.url)
    assert ask() == (200, {"status": "ok", "backend": ask()[1]["backend"], "nodes": {"up": 1, "down": 0}})
    getattr(server, fault)()
    status, took = timed(ask)
    assert status == 503
    assert took < 2 * TIMEOUT + SLACK
    assert ask()[1]["nodes"] == {"up": 0, "down": 1}
    assert min(timed(ask)[1] for _ in range(20)) < AT_ONCE
    server.resume() if fault == "freeze" else server.restart()
    until_ready(ask)


@pytest.mark.parametrize("fault", ["freeze", "kill"])
def test_a_ring_is_ready_as_long_as_a_node_answers(fault: str, fresh, probe) -> None:
    """One dead node loses no session, so no web node is taken out for it; with none left there is nothing to serve."""
    servers = [fresh("memcached") for _ in range(3)]
    node, ask = probe(Ring(servers).url)
    browser = Browser([node])
    assert browser.go(write("user", "alice")).status == 200
    getattr(servers[0], fault)()
    assert ask()[0] == 200
    assert browser.go(read("user")).body == repr("alice")
    for server in servers[1:]:
        getattr(server, fault)()
    status, took = timed(ask)
    assert status == 503
    assert took < 2 * TIMEOUT + SLACK
    for server in servers:
        server.resume() if fault == "freeze" else server.restart()
    until_ready(ask)


def test_a_file_that_cannot_be_opened(tmp_path: Path, probe) -> None:
    """SQLite: a directory stands where the file should be; then it does not any more."""
    (tmp_path / "sessions.db").mkdir()
    _, ask = probe(f"sqlite:///{tmp_path}/sessions.db")
    assert ask()[0] == 503
    (tmp_path / "sessions.db").rmdir()
    until_ready(ask)


@pytest.mark.parametrize(("server", "colour"), [("gunicorn-gthread", "wsgi"), ("uvicorn", "asgi")])
def test_under_a_real_web_server(server: str, colour: str, fresh, tmp_path: Path) -> None:
    """GET and HEAD over real HTTP, through an outage."""
    store = fresh("redis")
    (tmp_path / "ready.py").write_text(APPLICATION)
    settings = {
        "SHAREDSESSION_SECRET_KEY": SECRET,
        "SHAREDSESSION_BACKEND": store.url,
        "SHAREDSESSION_TIMEOUT": str(TIMEOUT),
        "SHAREDSESSION_BREAKER_WINDOW": str(WINDOW),
    }
    with serving(server, f"ready:{colour}", env=settings, workers=1, cwd=tmp_path) as url, httpx.Client() as client:

        def ask():
            return client.get(url).status_code, client.head(url).status_code

        assert ask() == (200, 200)
        assert client.head(url).headers["content-length"] == client.get(url).headers["content-length"]
        assert client.post(url).status_code == 405
        store.freeze()
        assert ask() == (503, 503)
        store.resume()
        until_ready(ask)
