"""What a newcomer follows word by word, in an empty folder: files are saved, commands typed, and each output comes.

A Python block is saved, or added, to the file that the paragraph before it names. A console block is typed into a
shell, or starts a server where the paragraph speaks of a terminal of its own; a text block right behind it is what it
prints. Environments and packages are there already, and ports are free ones: nothing else is changed.
"""

import http.client
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.pages import FIRST_STEPS, ROOT, Block, blocks
from tests.support.processes import HOST, free_port
from tests.support.webserver import LEAVING

PAGES = ["quickstart.md", "flask.md", "django.md", "fastapi.md"]
LONGEST = 60.0
"""Seconds for one step: a server with several workers starts, or a database is made."""

_FILE = re.compile(r"\b(Save|Add)\b[^`]*`([\w/.]+)`")
_PORT = re.compile(r"\b8\d{3}\b")
_THERE = re.compile(r"(python3 -m venv|\. \.venv/bin/activate|(python -m )?pip install)\b.*")


class Newcomer:
    """Follows one page.

    Args:
        folder: that is empty.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports: dict[str, str] = {}
        self._servers = ExitStack()
        programs = Path(sys.executable).parent
        self._environment = {name: text for name, text in os.environ.items() if not name.startswith("SHAREDSESSION_")}
        self._environment |= {"PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "HOME": str(folder)}

    def follow(self, page: Path, steps: list[Block]) -> None:
        """Does what the blocks say, one after the other."""
        printed = ""
        with self._servers:
            for step in steps:
                place = f"{page.name}, line {step.line}"
                if step.language == "python":
                    self._write(step, place)
                elif step.language == "text":
                    assert step.follows == "console", f"{place}: output of nothing"
                    assert printed == step.text, place
                elif "terminal of its own" in step.before:
                    self._servers.enter_context(self._serving(self._typed(step), place))
                else:
                    printed = self._run(self._typed(step), place)

    def _write(self, step: Block, place: str) -> None:
        named = _FILE.search(step.before)
        assert named, f"{place}: where does this go?"
        path = self._folder / named[2]
        before = path.read_text() if named[1] == "Add" else ""
        path.write_text(before + step.text)

    def _typed(self, step: Block) -> str:
        lines = [line for line in step.text.splitlines() if not _THERE.match(line)]
        return _PORT.sub(lambda port: self._ports.setdefault(port[0], str(free_port())), "\n".join(lines))

    def _run(self, script: str, place: str) -> str:
        done = subprocess.run(
            ["bash", "-e", "-c", script],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
        )
        assert done.returncode == 0, f"{place}: {done.stdout}{done.stderr}"
        return done.stdout

    @contextmanager
    def _serving(self, command: str, place: str) -> Iterator[None]:
        """Runs a server until the page is over; it answers at the port that its command names."""
        port = int(re.findall(r"\d{4,5}", command)[-1])
        log = self._folder.parent / f"server-{port}.log"
        with log.open("w") as output:
            server = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=self._folder,
                env=self._environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            deadline = time.monotonic() + LONGEST
            while not _answers(port):
                assert server.poll() is None, f"{place}: {log.read_text()}"
                assert time.monotonic() < deadline, f"{place}: {log.read_text()}"
                time.sleep(0.05)
            yield
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(LEAVING)
        assert "Traceback" not in log.read_text(), f"{place}: {log.read_text()}"


def _answers(port: int) -> bool:
    """Returns whether an application answers there; a server listens before its workers are ready."""
    connection = http.client.HTTPConnection(HOST, port, timeout=LONGEST)
    try:
        connection.request("GET", "/")
        return bool(connection.getresponse().read())
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@pytest.mark.parametrize("name", PAGES)
def test_the_first_steps_lead_there(name: str, tmp_path: Path) -> None:
    """From an empty folder to a farm with a login and a logout."""
    page = ROOT / "docs" / name
    steps = [block for block in blocks(page) if name == "quickstart.md" or block.section == FIRST_STEPS]
    assert sum(step.language == "text" for step in steps) >= 2
    folder = tmp_path / "shop"
    folder.mkdir()
    Newcomer(folder).follow(page, steps)
