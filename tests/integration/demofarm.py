"""A running ``sharedsession demo`` for the tests: the command as a process, its pages as a visitor reads them."""

import os
import re
import signal
import subprocess
import sys
import time
from html import unescape
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from tests.support.binaries import MissingServerError, binary

ROOT = Path(__file__).parents[2]
NODES = {"web-1", "web-2", "web-3"}
PROGRAMS = {"sqlite": (), "memcached": ("memcached",), "redis": ("redis-server", "valkey-server")}
PATIENCE = 30.0
LINUX = Path("/proc/self/stat").exists()


class Page(NamedTuple):
    """What a visitor reads."""

    node: str
    visits: int
    user: str
    cart: list[str]

    @classmethod
    def of(cls, response):
        assert response.status_code == 200, response.text
        node, visits, user = (
            re.search(rf'id="{name}">([^<]*)<', response.text)[1] for name in ("node", "visits", "user")
        )
        assert response.headers["X-Web-Node"] == node
        cart = re.search(r'id="cart">(.*?)</ul>', response.text)
        items = re.findall(r"<li>(.*?)</li>", cart[1]) if cart else []
        return cls(node, int(visits), unescape(user), [unescape(item) for item in items])


class Demo:
    """A running ``sharedsession demo``."""

    def __init__(self, backend, folder):
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.stderr = folder / "stderr"
        with self.stderr.open("w") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sharedsession", "demo", "--backend", backend],
                cwd=ROOT,
                env={**os.environ, "TMPDIR": str(self.temporary)},
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        self.said = ""
        self.address = self._read_address()

    def _read_address(self):
        for line in self.process.stdout:
            self.said += line
            if "Ctrl-C" in line:
                return re.search(r"http://127\.0\.0\.1:\d+", self.said)[0]
        self.process.communicate()
        raise AssertionError(f"the demo ended: {self.stderr.read_text()}")

    def browser(self, **options):
        return httpx.Client(base_url=self.address, follow_redirects=True, timeout=PATIENCE, **options)

    def children(self):
        """The processes that the supervisor started, as the kernel counts them."""
        pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
        return [pid for pid in pids if parent_of(pid) == self.process.pid]

    def end(self, signum):
        """Sends a signal, waits for the end, returns the exit code and everything said after the address."""
        self.process.send_signal(signum)
        rest, _ = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, rest + self.stderr.read_text()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.end(signal.SIGTERM)
        self.process.stdout.close()


def parent_of(pid):
    """The parent of a living process; ``None`` for a dead one, also one that nobody has buried yet."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state == "Z" else int(parent)


def poll(fact):
    """Waits until something is true, at most `PATIENCE`."""
    deadline = time.monotonic() + PATIENCE
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def need(backend):
    """Skips a test whose server is missing; where tests must be complete it fails."""
    missing = []
    for program in PROGRAMS[backend]:
        try:
            binary(program)
        except MissingServerError as fault:
            missing.append(str(fault))
        else:
            return
    if missing:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(missing[0])
