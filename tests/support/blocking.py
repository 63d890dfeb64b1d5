"""Finds calls of ours that block an event loop: `never_blocks` is a fixture that fails the test they happen in.

- What counts: blocking sockets, name look-ups, files, SQLite, sleeping, subprocesses, and waiting for another thread
  or a selector, while an event loop runs in the same thread.
- Whose it is: the nearest code that is no library's says it. The package's is ours, a test's is not, and `asgi.py` is
  where ours ends, because it calls the application and the server.
- Not seen: a lock that is held for moments, `os.stat`, and whatever C code does without telling Python. Not counted:
  imports and the start of a thread, which happen once.
"""

import asyncio
import builtins
import contextlib
import fcntl
import io
import os
import selectors
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
_OURS = str(ROOT / "sharedsession") + "/"
_TESTS = str(ROOT / "tests") + "/"
_HANDED_OVER = str(ROOT / "sharedsession" / "asgi.py")
_FUNCTIONS = (
    (builtins, "open"),
    (io, "open"),
    (os, "open"),
    (os, "system"),
    (os, "mkdir"),
    (os, "rename"),
    (os, "remove"),
    (os, "listdir"),
    (os, "scandir"),
    (os, "truncate"),
    (fcntl, "flock"),
    (fcntl, "lockf"),
    (socket, "getaddrinfo"),
    (socket, "gethostbyname"),
    (socket, "gethostbyaddr"),
    (subprocess.Popen, "__init__"),
)
_SOCKET = ("connect", "connect_ex", "accept", "recv", "recv_into", "recvfrom", "send", "sendall", "sendto", "sendmsg")
_WAITS = (
    (time, "sleep"),
    (threading.Condition, "wait"),
    (threading.Thread, "join"),
    (selectors.DefaultSelector, "select"),
)
_SQLITE = ("execute", "executemany", "executescript", "commit", "rollback", "close", "backup")

Found = list[str]
_watchers: list[Found] = []


def _report(what: str) -> None:
    """Notes a call that blocks, if an event loop runs in this thread and the call is ours."""
    if not _watchers or asyncio._get_running_loop() is None:
        return
    frame = sys._getframe(1)
    if _is_ours(frame):
        lines = traceback.StackSummary.extract(_innermost(frame), lookup_lines=False)
        text = f"{what} blocks the event loop:\n" + "".join(
            f"  {line.filename}:{line.lineno} {line.name}\n" for line in lines
        )
        for found in _watchers:
            found.append(text)


def _is_ours(frame: FrameType | None) -> bool:
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(_OURS):
            return name != _HANDED_OVER
        if name.startswith("<frozen importlib") or frame.f_code is threading.Thread.start.__code__:
            return False
        if name.startswith(_TESTS) and name != __file__:
            return False
        frame = frame.f_back
    return False


def _innermost(frame: FrameType) -> list[tuple[FrameType, int]]:
    return list(traceback.walk_stack(frame))[:16]


# -- the places to watch


def _told(owner: Any, name: str) -> Callable[..., Any]:
    plain = getattr(owner, name)

    def function(*args: Any, **kwargs: Any) -> Any:
        _report(f"{owner.__name__}.{name}")
        return plain(*args, **kwargs)

    return function


class _Connection(sqlite3.Connection):
    """Tells of every statement; SQLite itself only tells of connections."""


def _sqlite_method(name: str) -> Callable[..., Any]:
    plain = getattr(sqlite3.Connection, name)

    def method(self: sqlite3.Connection, *args: Any, **kwargs: Any) -> Any:
        _report(f"sqlite3 {name}")
        return plain(self, *args, **kwargs)

    return method


for _name in (*_SQLITE, "__exit__"):
    setattr(_Connection, _name, _sqlite_method(_name))


def _connect(plain: Callable[..., Any]) -> Callable[..., Any]:
    def connect(*args: Any, **kwargs: Any) -> Any:
        _report("sqlite3 connect")
        return plain(*args, **{"factory": _Connection, **kwargs})

    return connect


def _if_it_blocks(name: str) -> Callable[..., Any]:
    plain = getattr(socket.socket, name)

    def method(self: socket.socket, *args: Any, **kwargs: Any) -> Any:
        if self.gettimeout() != 0:
            _report(f"socket {name}")
        return plain(self, *args, **kwargs)

    return method


def _unless_for_no_time(owner: Any, name: str) -> Callable[..., Any]:
    plain = getattr(owner, name)

    def method(*args: Any, **kwargs: Any) -> Any:
        if 0 not in (*args[-1:], kwargs.get("timeout")):
            _report(f"{owner.__name__}.{name}")
        return plain(*args, **kwargs)

    return method


@contextlib.contextmanager
def _patched() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in _SOCKET:
            patch.setattr(socket.socket, name, _if_it_blocks(name))
        for owner, name in _FUNCTIONS:
            patch.setattr(owner, name, _told(owner, name))
        for owner, name in _WAITS:
            patch.setattr(owner, name, _unless_for_no_time(owner, name))
        patch.setattr(sqlite3, "connect", _connect(sqlite3.connect))
        yield


@contextlib.contextmanager
def watching() -> Iterator[Found]:
    """Watches what the process does; afterwards the list has a text for each call that blocked a loop."""
    found: Found = []
    with contextlib.nullcontext() if _watchers else _patched():
        _watchers.append(found)
        try:
            yield found
        finally:
            _watchers[:] = [watcher for watcher in _watchers if watcher is not found]


@pytest.fixture(autouse=True)
def never_blocks() -> Iterator[None]:
    """Fails a test in which our code blocked an event loop. Import it into a test file, or a `conftest.py`."""
    with watching() as found:
        yield
    if found:
        pytest.fail(f"{len(found)} calls\n" + "\n".join(dict.fromkeys(found)), pytrace=False)
