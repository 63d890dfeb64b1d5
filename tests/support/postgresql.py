"""A PostgreSQL for the tests: a database of its own in a directory of its own, asked over a Unix socket there only.

PostgreSQL refuses to run as root, so a test that is root starts it as the user ``nobody``.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from tests.support.binaries import binary, environment
from tests.support.processes import PATIENCE, NotStartedError

_SETTINGS = {"listen_addresses": "", "fsync": "off", "max_connections": "50", "jit": "off"}


class PostgreSQL:
    """One server; user and database are ``postgres``. A context manager.

    Attributes:
        directory: of its socket, which is where clients find it.
    """

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="postgresql-"))
        self._log = self.directory / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _start(self) -> None:
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.directory, nobody.pw_uid, nobody.pw_gid)
        data, quick = self.directory / "data", ("--no-sync", "--no-locale", "--encoding=UTF8")
        made = self._run("initdb", "-D", data, "-U", "postgres", "-A", "trust", *quick)
        if made.wait(10 * PATIENCE):
            raise NotStartedError(self._log.read_text()[-2000:])
        words = [word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")]
        self._process = self._run("postgres", "-D", data, "-k", self.directory, *words)
        deadline = time.monotonic() + PATIENCE
        while not list(self.directory.glob(".s.PGSQL.*")) or "ready to accept" not in self._log.read_text():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise NotStartedError(self._log.read_text()[-2000:])
            time.sleep(0.01)

    def _run(self, name: str, *arguments: object) -> "subprocess.Popen[bytes]":
        program = binary(name)
        user: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
        words: Sequence[str] = [str(program), *map(str, arguments)]
        with self._log.open("ab") as log:
            return subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=environment(program), **user
            )

    def _stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)  # a fast shutdown: it ends its connections and its processes
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()  # its processes notice, and end
                self._process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)
