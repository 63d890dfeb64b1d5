"""Real web servers in processes of their own, on free loopback ports: `serving` starts one, asks nothing, stops it.

- A server is named by a row of `SERVERS`, or is a command with ``{app}``, ``{port}`` and ``{workers}`` in it.
- It is stopped by its process ID, as an operator does it. A process of it that is left behind is an error.
- A server that is not installed skips the test with one line that says how to get it; with ``CI=true`` it fails it.
"""

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import pytest

from tests.support.processes import HOST, PATIENCE, free_port

ROOT = Path(__file__).parents[2]
LEAVING = 10.0
"""Seconds that a server has to go when it is asked to; tests end their requests first, so it needs far less."""


class Kind(NamedTuple):
    """How one web server is called.

    Attributes:
        packages: the modules that must be there.
        words: what follows ``python -m``; ``{app}``, ``{port}``, ``{workers}`` are filled in.
        colour: of the applications that it serves.
    """

    packages: tuple[str, ...]
    words: str
    colour: str


_GUNICORN = f"gunicorn --bind {HOST}:{{port}} --workers {{workers}} --no-control-socket --worker-class"
_UVICORN = f"uvicorn --host {HOST} --port {{port}} --workers {{workers}} --loop"
_HYPERCORN = f"hypercorn --bind {HOST}:{{port}} --workers {{workers}}"
_GRANIAN = f"granian --host {HOST} --port {{port}} --workers {{workers}} --no-ws --interface"

SERVERS = {
    "gunicorn": Kind(("gunicorn",), f"{_GUNICORN} sync {{app}}", "wsgi"),
    "gunicorn-gthread": Kind(("gunicorn",), f"{_GUNICORN} gthread --threads 4 {{app}}", "wsgi"),
    "gunicorn-gevent": Kind(("gunicorn", "gevent"), f"{_GUNICORN} gevent {{app}}", "wsgi"),
    "gunicorn-preload": Kind(("gunicorn",), f"{_GUNICORN} gthread --threads 2 --preload {{app}}", "wsgi"),
    "eventlet": Kind(("eventlet",), "tests.support.eventlet_server {app} {port}", "wsgi"),
    "hypercorn-wsgi": Kind(("hypercorn",), f"{_HYPERCORN} wsgi:{{app}}", "wsgi"),
    "granian-wsgi": Kind(("granian",), f"{_GRANIAN} wsgi {{app}}", "wsgi"),
    "uvicorn": Kind(("uvicorn",), f"{_UVICORN} asyncio {{app}}", "asgi"),
    "uvicorn-uvloop": Kind(("uvicorn", "uvloop"), f"{_UVICORN} uvloop {{app}}", "asgi"),
    "hypercorn": Kind(("hypercorn",), f"{_HYPERCORN} {{app}}", "asgi"),
    "granian": Kind(("granian",), f"{_GRANIAN} asgi {{app}}", "asgi"),
}


class NotServingError(AssertionError):
    """A web server did not start, or did not stop as it should. The text has the end of its log."""


class WebServer:
    """One web server, and the workers that it starts.

    Args:
        words: the command; its first word is a program or ``python``, which is the interpreter of the tests.
        port: that it listens on.
        env: added to the environment.
        cwd: where it runs; applications are found from there and from the root of the repository.
        patience: seconds until its port must answer.
    """

    def __init__(
        self, words: Sequence[str], port: int, env: Mapping[str, str], cwd: Path = ROOT, patience: float = PATIENCE
    ) -> None:
        self.url = f"http://{HOST}:{port}"
        self._patience = patience
        self._port = port
        self._output, name = tempfile.mkstemp()
        Path(name).unlink()
        weakref.finalize(self, os.close, self._output)
        path = os.pathsep.join(filter(None, [str(cwd), str(ROOT), os.environ.get("PYTHONPATH", "")]))
        self._process = subprocess.Popen(
            [sys.executable if words[0] == "python" else words[0], *words[1:]],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", **env},
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def log(self) -> str:
        """What it wrote so far."""
        return os.pread(self._output, 1 << 20, 0).decode(errors="replace")

    def processes(self) -> list[int]:
        """All that belong to it and still run; those that nobody waited for are no processes any more."""
        return [pid for pid in map(int, _numbers(Path("/proc"))) if _session_of(pid) == self.pid]

    def await_connection(self) -> None:
        """Returns when the port answers. Requests wait in its queue until the workers are there."""
        deadline = time.monotonic() + self._patience
        while self.alive and time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection((HOST, self._port), timeout=PATIENCE):
                return
            time.sleep(0.01)
        raise NotServingError(f"the web server did not start:\n{self.log[-4000:]}")

    def stop(self) -> None:
        """Asks it to go, and sees that nothing is left.

        Raises:
            NotServingError: it, or a worker of its, did not go by itself; now it is gone.
        """
        try:
            if self.alive:
                self._process.terminate()
            left = self._await_end()
            if left:
                raise NotServingError(f"processes {left} were left behind:\n{self.log[-4000:]}")
        finally:
            self._end_group()

    def _await_end(self) -> list[int]:
        deadline = time.monotonic() + LEAVING
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(LEAVING)
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.01)
        return left

    def _end_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@contextlib.contextmanager
def running(
    server: str | Sequence[str], app: str, *, env: Mapping[str, str] | None = None, workers: int = 2, **options: Any
) -> Iterator[WebServer]:
    """Same as `serving`, for a test that asks more than its address: its processes, its log."""
    words = list(server)
    if isinstance(server, str):
        require(server, *SERVERS[server].packages)
        words = ["python", "-m", *SERVERS[server].words.split()]
    web = _started(words, app, env or {}, workers, options)
    try:
        yield web
    except BaseException as error:
        error.add_note(f"the web server's log:\n{web.log[-4000:]}")
        with contextlib.suppress(NotServingError):  # the first failure is the one to read
            web.stop()
        raise
    web.stop()


@contextlib.contextmanager
def serving(
    server: str | Sequence[str], app: str, *, env: Mapping[str, str] | None = None, workers: int = 2, **options: Any
) -> Iterator[str]:
    """Runs an application under a real web server.

    Args:
        server: a row of `SERVERS`, or the words of a command: ``("python", "-m", "mine", "{app}", "{port}")``.
        app: ``"module:name"``, found from the root of the repository or from ``cwd``.
        env: added to the environment.
        workers: how many worker processes.
        **options: ``cwd``, the directory it runs in; ``patience``, the seconds until its port must answer.

    Yields:
        Its address, ``http://127.0.0.1:PORT``.
    """
    with running(server, app, env=env, workers=workers, **options) as web:
        yield web.url


def require(what: str, *modules: str) -> None:
    """Skips the test, or the file whose first line it is, that needs modules which are not installed; fails in CI."""
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing and os.environ.get("CI") == "true":
        pytest.fail(_how_to_get(what, missing))
    if missing:
        pytest.skip(_how_to_get(what, missing), allow_module_level=True)


def _how_to_get(what: str, missing: list[str]) -> str:
    return f"{what} needs {' and '.join(missing)}: pip install {' '.join(missing)}"


def _started(
    words: Sequence[str], app: str, env: Mapping[str, str], workers: int, options: Mapping[str, Any]
) -> WebServer:
    """Starts it; if somebody takes the port first, on another."""
    for last in (False, True):
        port = free_port()
        filled = [word.format(app=app, port=port, workers=workers) for word in words]
        web = WebServer(filled, port, env, **options)
        try:
            web.await_connection()
        except NotServingError:
            web.stop()
            if last:
                raise
        else:
            break
    return web


def _numbers(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir() if path.name.isdigit()] if directory.exists() else []


def _session_of(pid: int) -> int:
    """The session that a process belongs to, 0 if it ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in "ZX" else int(fields[3])
