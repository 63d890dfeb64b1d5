"""Web nodes in processes of their own: `WebProcess` starts one and asks it, over its pipes, one JSON line each way.

The module itself is what such a process runs. It serves requests with the real middleware, several at a time; what a
request does to its session is one of a few named `DEEDS`.
"""

import contextlib
import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.support.farm import WebNode

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
_CROWD = 16


@dataclass(frozen=True)
class Reply:
    """What a client got.

    Attributes:
        status: of HTTP; 0 if the web node failed with an exception, named in ``seen``.
        seen: what the deed saw.
        cookies: the Set-Cookie headers.
        took: seconds inside the web node.
    """

    status: int
    seen: Any
    cookies: list[str]
    took: float

    @property
    def cookie(self) -> str:
        """What a browser would send from now on, if this answer set anything."""
        return next((line.partition(";")[0] for line in self.cookies), "")


class WebProcess:
    """One web node in an operating system process of its own; a context manager.

    Args:
        name: for the reader of a report.
        colour: ``"wsgi"`` or ``"asgi"``.
        url: of the backend.
        **settings: of the middleware.
    """

    def __init__(self, name: str, colour: str, url: str, **settings: Any) -> None:
        self.name = f"{name}({colour})"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.webprocess", colour, url, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self._numbers = itertools.count()
        self._waiting: dict[int, Future[Any]] = {}
        self._lock = threading.Lock()
        self._gone = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, deed: str, cookie: str = "", value: str = "") -> Reply:
        """Sends one request."""
        answer = self._call(deed, cookie, value)
        try:
            return Reply(*answer.result(PATIENCE))
        except TimeoutError:
            raise AssertionError(f"{self.name} does not answer a {deed}") from None

    def health(self) -> dict[str, Any]:
        """What the web node says of itself."""
        return dict(self._call("health").result(PATIENCE))

    def kill(self) -> None:
        """Ends the process at once, in the middle of whatever it does; its clients get an `EOFError`."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        assert self._process.stdin is not None
        if self._process.poll() is None:
            self._process.stdin.close()
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.kill()
        self._reader.join(PATIENCE)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(self, *words: str) -> "Future[Any]":
        answer: Future[Any] = Future()
        assert self._process.stdin is not None
        with self._lock:
            number = next(self._numbers)
            self._waiting[number] = answer
            try:
                if self._gone:
                    raise BrokenPipeError
                self._process.stdin.write(json.dumps([number, *words]) + "\n")
                self._process.stdin.flush()
            except OSError:
                raise EOFError(f"{self.name} is gone") from None
        return answer

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            number, answer = json.loads(line)
            self._waiting.pop(number).set_result(answer)
        with self._lock:
            self._gone = True
            for answer in self._waiting.values():
                answer.set_exception(EOFError(f"{self.name} is gone"))


def _login(session: Any, value: str) -> Any:
    session["value"] = value
    return value


def _write(session: Any, value: str) -> Any:
    """Never makes a session: a request of somebody who was logged out meanwhile only learns that."""
    seen = session.get("value")
    if seen is not None:
        session["value"] = value
    return seen


def _read(session: Any, _value: str) -> Any:
    return session.get("value")


def _logout(session: Any, _value: str) -> Any:
    session.destroy()


DEEDS: dict[str, Callable[[Any, str], Any]] = {"login": _login, "write": _write, "read": _read, "logout": _logout}


def serve(node: WebNode, deed: str, cookie: str, value: str) -> tuple[int, Any, list[str], float]:
    """Serves one request with a named deed, in whatever process."""
    seen: list[Any] = []
    begin = time.monotonic()
    try:
        answer = node.request(lambda session: seen.append(DEEDS[deed](session, value)), cookie)
    except Exception as error:
        return 0, repr(error), [], time.monotonic() - begin
    return answer.status, seen[-1] if seen else None, answer.set_cookies, time.monotonic() - begin


def main() -> None:
    """Serves requests from standard input until it ends."""
    colour, url, settings = sys.argv[1:]
    out = threading.Lock()

    def work(node: WebNode, number: int, words: list[str]) -> None:
        answer = node.manager.health() if words == ["health"] else serve(node, *words)
        with out:
            sys.stdout.write(json.dumps([number, answer]) + "\n")
            sys.stdout.flush()

    with WebNode(colour, url, **json.loads(settings)) as node, ThreadPoolExecutor(_CROWD) as crowd:
        for line in sys.stdin:
            number, *words = json.loads(line)
            crowd.submit(work, node, number, words)


if __name__ == "__main__":
    main()
