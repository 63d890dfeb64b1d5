"""Server processes on free loopback ports, owned by the process that starts them.

- ``start`` returns when the very process it started answers; nothing here sleeps for a guess.
- A server ends with its ``stop``, at the latest with the interpreter, and on Linux even when that is killed
  outright: it is tied to the thread that started it, so start it from one that outlives it.
- What a server is told and asked is in `servers`; here it is only a process with a port.
"""

import atexit
import contextlib
import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Self

from tests.support.binaries import binary, environment

HOST = "127.0.0.1"
PATIENCE = 10.0

# Runs first in the server's process: on Linux it asks the kernel to kill it when the starting thread is gone.
_TIE = """
import ctypes, os, sys
parent, *command = sys.argv[1:]
try:
    ctypes.CDLL(None).prctl(1, 9)
except (OSError, AttributeError):
    pass
if os.getppid() == int(parent):
    os.execv(command[0], command)
"""


class NotStartedError(Exception):
    """A server ended, or did not answer in time, instead of starting. The text has the end of its log."""


_SHARE = 1000
"""Ports for each process of the suite: what one has picked, no other picks before a server is there."""


def _ports() -> Iterator[int]:
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 12
    share = range(20000 + worker * _SHARE, 20000 + (worker + 1) * _SHARE)
    begin = random.SystemRandom().randrange(_SHARE)
    return itertools.cycle([*share[begin:], *share[:begin]])


_PORTS = _ports()


def free_port() -> int:
    """Picks a port below those of outgoing connections, so that none takes it while a server is down."""
    while True:
        port = next(_PORTS)
        with contextlib.suppress(OSError), socket.create_server((HOST, port)):
            return port


class Server:
    """What every kind has in common: one process, one port, one directory of its own."""

    program: ClassVar[str]
    scheme: ClassVar[str]

    def __init__(self, port: int, extra_args: Sequence[str]) -> None:
        self.port = port
        self.extra_args = list(extra_args)
        self.directory = Path(tempfile.mkdtemp(prefix=f"{self.scheme}-"))
        self.log = self.directory / "log"
        self.frozen = False
        atexit.register(self.stop)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}>"

    @classmethod
    def start(cls, extra_args: Sequence[str] = ()) -> Self:
        """Starts a server; if somebody takes the port first, tries others."""
        binary(cls.program)
        for last in (False, False, True):
            server = cls(free_port(), extra_args)
            try:
                server._launch()
            except NotStartedError:
                server.stop()
                if last:
                    raise
            else:
                break
        return server

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"{self.scheme}://{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def freeze(self) -> None:
        """Stops the process where it stands: connections are accepted by the kernel, nothing is answered."""
        if self.alive and not self.frozen:
            os.kill(self.pid, signal.SIGSTOP)
            os.waitid(os.P_PID, self.pid, os.WSTOPPED)
            self.frozen = True

    def resume(self) -> None:
        if self.frozen:
            self.frozen = False
            os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """Ends the process at once and for sure; a frozen one too. The port answers no more."""
        self.frozen = False
        self._process.kill()
        self._process.wait()

    def restart(self) -> None:
        """Starts anew on the same port, empty."""
        self.kill()
        self._launch()

    def stop(self) -> None:
        """Ends the server and removes its directory. May be repeated."""
        atexit.unregister(self.stop)
        if hasattr(self, "_process"):
            self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _launch(self) -> None:
        if os.environ.get("TESTS_WITHOUT_SERVERS"):
            raise AssertionError(f"a test that starts {self.program} has no marker `server`: see tests/conftest.py")
        program = binary(self.program)
        tie = [sys.executable, "-I", "-S", "-c", _TIE, str(os.getpid())]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*tie, str(program), *self._arguments(), *self.extra_args],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env=environment(program),
                start_new_session=True,
            )
        self._await_answer(time.monotonic() + PATIENCE)

    def _await_answer(self, deadline: float) -> None:
        while True:
            with contextlib.suppress(OSError, EOFError):
                if self._says_pid() == self.pid:
                    return
            if not self.alive or time.monotonic() > deadline:
                self.kill()
                raise NotStartedError(f"{self!r}: {self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.001)

    @contextlib.contextmanager
    def _connection(self) -> Iterator[socket.socket]:
        with socket.create_connection((HOST, self.port), timeout=PATIENCE) as connection:
            yield connection

    def _arguments(self) -> list[str]:
        raise NotImplementedError

    def _says_pid(self) -> int:
        raise NotImplementedError
