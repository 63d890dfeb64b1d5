"""Web nodes in processes of their own: `WebProcess` starts one and asks it, over a socket, one JSON line each way.

The module itself is what such a process runs. It serves requests with the real middleware, several at a time; what a
request does to its session is one of a few named `DEEDS`.
"""

import contextlib
import itertools
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

from tests.support.farm import WebNode
from tests.support.nursery import fork

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
        ahead: seconds by which its clock is ahead of ours.
        **settings: of the middleware.
    """

    def __init__(self, name: str, colour: str, url: str, ahead: float = 0.0, **settings: Any) -> None:
        self.name = f"{name}({colour})"
        self.pid, self._connection = fork(__name__, [colour, url, settings], ahead)
        self._replies = self._connection.makefile("r")
        self._numbers = itertools.count()
        self._waiting: dict[int, Future[Any]] = {}
        self._lock = threading.Lock()
        self._gone = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

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
        if not self._gone:
            os.kill(self.pid, signal.SIGKILL)
        self._reader.join(PATIENCE)

    def close(self) -> None:
        """Lets it end by itself."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)
        self._reader.join(PATIENCE)
        if self._reader.is_alive():
            self.kill()
        self._replies.close()
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(self, *words: str) -> "Future[Any]":
        answer: Future[Any] = Future()
        with self._lock:
            number = next(self._numbers)
            self._waiting[number] = answer
            try:
                if self._gone:
                    raise BrokenPipeError
                self._connection.sendall(json.dumps([number, *words]).encode() + b"\n")
            except OSError:
                raise EOFError(f"{self.name} is gone") from None
        return answer

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            for line in self._replies:
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


def _insist(session: Any, value: str) -> Any:
    """Writes whatever it finds, as an application does that never asks whether there was a session."""
    seen = session.get("value")
    session["value"] = value
    return seen


def _regenerate(session: Any, _value: str) -> Any:
    seen = session.get("value")
    if seen is not None:
        session.regenerate()
    return seen


def _clock(session: Any, _value: str) -> Any:
    """What the process, and the engine, take for the time."""
    return [time.time(), session._state.host.clock()]


def _logout(session: Any, _value: str) -> Any:
    session.destroy()


DEEDS: dict[str, Callable[[Any, str], Any]] = {
    "login": _login,
    "write": _write,
    "insist": _insist,
    "read": _read,
    "regenerate": _regenerate,
    "logout": _logout,
    "clock": _clock,
}


def serve(node: WebNode, deed: str, cookie: str, value: str) -> tuple[int, Any, list[str], float]:
    """Serves one request with a named deed, in whatever process."""
    seen: list[Any] = []
    begin = time.monotonic()
    try:
        answer = node.request(lambda session: seen.append(DEEDS[deed](session, value)), cookie)
    except Exception as error:
        return 0, repr(error), [], time.monotonic() - begin
    return answer.status, seen[-1] if seen else None, answer.set_cookies, time.monotonic() - begin


def main(connection: socket.socket, colour: str, url: str, settings: dict[str, Any]) -> None:
    """Serves the requests of a connection until it ends."""
    out = threading.Lock()

    def work(node: WebNode, number: int, words: list[str]) -> None:
        answer = node.manager.health() if words == ["health"] else serve(node, *words)
        with out:
            connection.sendall(json.dumps([number, answer]).encode() + b"\n")

    with WebNode(colour, url, **settings) as node, ThreadPoolExecutor(_CROWD) as crowd, connection.makefile() as asked:
        for line in asked:
            number, *words = json.loads(line)
            crowd.submit(work, node, number, words)
    connection.close()
