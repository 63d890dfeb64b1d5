"""The detector of blocking calls finds each kind that is planted, and leaves alone what is nobody's fault."""

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sharedsession import MachineKey
from sharedsession.asgi import SessionMiddleware
from sharedsession.backends import connect
from sharedsession.keys.key_file import KeyFile
from tests.support.blocking import ROOT, watching


def ours(source: str) -> Callable[[], Any]:
    """A function that seems to stand in a file of the package."""
    namespace: dict[str, Any] = {}
    text = "import time, threading, socket, subprocess, selectors\ndef planted():\n    " + source
    exec(compile(text, str(ROOT / "sharedsession" / "planted.py"), "exec"), namespace)
    return namespace["planted"]


async def on_loop(function: Callable[..., Any], *args: Any) -> Any:
    return function(*args)


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("time.sleep(0.001)", "time.sleep"),
        ("open('/dev/null').close()", "open"),
        ("socket.getaddrinfo('127.0.0.1', 80)", "socket.getaddrinfo"),
        ("subprocess.run(['true'])", "Popen.__init__"),
        ("threading.Event().wait(0.001)", "Condition.wait"),
        ("t = threading.Thread(target=print); t.start(); t.join()", "Thread.join"),
        ("selectors.DefaultSelector().select(0.001)", "select"),
        ("a, b = socket.socketpair(); a.sendall(b'x'); b.recv(1); a.close(); b.close()", "socket recv"),
    ],
)
def test_a_planted_call_is_found(source: str, what: str) -> None:
    """On the loop it is found, with its place; in a thread and before there is a loop it is nobody's affair."""
    planted = ours(source)
    with watching() as found:
        asyncio.run(on_loop(planted))
    assert [text for text in found if what in text and "sharedsession/planted.py" in text]
    with watching() as found:
        planted()
        asyncio.run(asyncio.to_thread(planted))
    assert found == []


@pytest.mark.parametrize("kind", ["memcached", "redis", "sqlite"])
def test_our_own_blocking_backends_are_found(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """The blocking half of each backend, used on an event loop by mistake; its asynchronous half is clean."""
    url = f"sqlite:///{tmp_path}/s.db" if kind == "sqlite" else request.getfixturevalue(kind).url
    backend = connect(url)

    async def clean() -> None:
        await backend.asynchronous.get("k" * 43, None, 5.0)
        await backend.asynchronous.close()

    with watching() as found:
        asyncio.run(on_loop(backend.get, "k" * 43, None, 5.0))
        backend.close()
    assert [text for text in found if ("sqlite3 execute" if kind == "sqlite" else "socket recv") in text]
    with watching() as found:
        asyncio.run(clean())
    backend.close()
    assert found == []


def test_what_the_application_does_is_its_own_affair() -> None:
    """A handler of the user's that blocks is not our fault, though our middleware is on the stack."""

    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        time.sleep(0.001)  # noqa: ASYNC251  (on purpose)

    middleware = SessionMiddleware(app, secret_key=MachineKey.generate(), backend="memory://")
    with watching() as found:
        asyncio.run(middleware({"type": "http", "path": "/", "headers": []}, None, None))  # type: ignore[arg-type]
    assert found == []


def test_many_threads_at_a_time() -> None:
    """Each thread is judged by its own loop."""
    planted = ours("time.sleep(0.001)")
    with watching() as found:
        threads = [threading.Thread(target=planted) for _ in range(8)]
        threads.append(threading.Thread(target=asyncio.run, args=(on_loop(planted),)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == 1


def test_a_key_file_on_the_loop(tmp_path: Path) -> None:
    """Reading it is blocking, wherever it happens."""
    path = tmp_path / "farm.key"
    path.write_text(MachineKey.generate())
    with watching() as found:
        asyncio.run(on_loop(lambda: KeyFile(str(path), app_name="a", development=False)()))
    assert [text for text in found if "open" in text.partition(" ")[0]]
