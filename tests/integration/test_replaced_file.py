"""A session file that is replaced, removed or opened to others under web processes: one truth, and a line why."""

import asyncio
import logging
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sharedsession.backends.base import Stored
from sharedsession.backends.connect import connect
from sharedsession.backends.sqlite import place
from sharedsession.environment import Environment
from sharedsession.errors import BackendUnavailable

TIMEOUT = 5.0
TTL = 60.0


class Clock:
    """A monotonic clock that a test moves on, from a time at which nothing is due."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Process:
    """What one web process has of the file: the verbs of one colour, and a clock of its own."""

    def __init__(self, colour: str, path: Path) -> None:
        self.clock = Clock()
        self.waits = threading.Event()  # whether it has found the file locked
        environment = Environment(monotonic=self.clock, sleep=lambda _seconds: self.waits.set())
        self.backend: Any = connect(f"sqlite:///{path}", environment=environment)
        self._runner = asyncio.Runner() if colour == "asgi" else None

    def do(self, verb: str, *arguments: Any) -> Any:
        if self._runner is None:
            return getattr(self.backend, verb)(*arguments, TIMEOUT)
        return self._runner.run(self._do(verb, *arguments))

    async def _do(self, verb: str, *arguments: Any) -> Any:
        return await getattr(self.backend.asynchronous, verb)(*arguments, TIMEOUT)

    def value_of(self, key: str) -> bytes | None:
        found = self.do("get", key, None)
        return found.value if isinstance(found, Stored) else None

    def close(self) -> None:
        if self._runner is not None:
            self._runner.run(self.backend.asynchronous.close())
            self._runner.close()
        self.backend.close()


@pytest.fixture(params=["wsgi", "asgi"])
def process(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Process]]:
    """Starts web processes of one colour on one file."""
    started: list[Process] = []

    def start() -> Process:
        started.append(Process(request.param, tmp_path / "store" / "s.db"))
        return started[-1]

    yield start
    for each in started:
        each.close()


def remove(path: Path) -> None:
    for ending in ("", "-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def remove_file_alone(path: Path) -> None:
    path.unlink()


def remove_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


def replace(path: Path) -> None:
    backup(path)
    remove(path)
    (path.parent / "backup").rename(path)


def replace_file_alone(path: Path) -> None:
    backup(path)
    (path.parent / "backup").rename(path)


def backup(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("VACUUM INTO ?", (str(path.parent / "backup"),))
    connection.close()


@pytest.mark.parametrize("change", [remove, remove_file_alone, remove_folder, replace, replace_file_alone])
def test_a_second_later_there_is_one_truth(
    process: Callable[[], Process], change: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    """The old process sees what a new one writes and the other way round, and the log says what happened, once."""
    old = process()
    old.do("add", "ss:before", b"1", TTL)
    path = old.backend.path
    change(path)
    old.clock.now += 1.0
    assert old.value_of("ss:before") == (b"1" if "replace" in change.__name__ else None)
    new = process()
    new.do("add", "ss:new", b"2", TTL)
    assert old.value_of("ss:new") == b"2"
    old.do("add", "ss:old", b"3", TTL)
    assert new.value_of("ss:old") == b"3"
    (record,) = [record for record in caplog.records if record.event == "sqlite_file_replaced"]
    assert str(path) in record.getMessage()
    assert old.backend.health()["counters"]["sqlite_file_replaced"] == 1


def test_a_log_that_is_removed_is_noticed(process: Callable[[], Process]) -> None:
    """The '-wal' alone is gone: what was in it is kept by the process that had it, and all go on in a new one."""
    old = process()
    old.do("add", "ss:before", b"1", TTL)
    path = old.backend.path
    path.with_name(path.name + "-wal").unlink()
    old.clock.now += 1.0
    assert old.value_of("ss:before") == b"1"
    new = process()
    assert new.value_of("ss:before") == b"1"
    old.do("add", "ss:old", b"2", TTL)
    assert new.value_of("ss:old") == b"2"


def test_what_is_under_way_is_not_answered_from_the_old_file(process: Callable[[], Process]) -> None:
    """A write waits for a lock while the file is removed: it is not confirmed, for it is in the old file alone."""
    old = process()
    old.do("add", "ss:before", b"1", TTL)
    path = old.backend.path
    holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")

    def remove_meanwhile() -> None:
        old.waits.wait(TIMEOUT)
        remove(path)
        old.clock.now += 1.0
        holder.execute("ROLLBACK")

    helper = threading.Thread(target=remove_meanwhile)
    helper.start()
    with pytest.raises(BackendUnavailable):
        old.do("add", "ss:late", b"2", TTL)
    helper.join()
    holder.close()
    assert old.value_of("ss:late") is None
    assert old.do("add", "ss:late", b"3", TTL)
    assert old.value_of("ss:late") == b"3"


def test_a_logout_is_not_confirmed_by_the_old_file(process: Callable[[], Process]) -> None:
    """A restored backup still holds the session: a logout a second later ends it there."""
    old = process()
    old.do("add", "ss:session", b"1", TTL)
    replace(old.backend.path)
    old.clock.now += 1.0
    old.do("end", "ss:session", TTL)
    assert process().value_of("ss:session") is None


def test_the_path_is_looked_at_once_a_second(process: Callable[[], Process], monkeypatch: pytest.MonkeyPatch) -> None:
    """However many requests: within one second none looks, then one does, at the file and its log."""
    one = process()
    one.do("add", "ss:a", b"1", TTL)
    one.clock.now += 1.0
    one.value_of("ss:a")
    looked: list[Any] = []
    stat = os.stat
    monkeypatch.setattr(place.os, "stat", lambda path: (looked.append(path), stat(path))[1])
    for _ in range(50):
        one.value_of("ss:a")
    assert looked == []
    one.clock.now += 1.0
    for _ in range(50):
        one.value_of("ss:a")
    assert len(looked) == 2


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_refused(process: Callable[[], Process], caplog: pytest.LogCaptureFixture) -> None:
    """It is an outage with a fix, before a byte of it is read; root's own file is served."""
    one = process()
    one.do("add", "ss:a", b"1", TTL)
    path = one.backend.path
    os.chown(path, 12345, -1)
    with pytest.raises(BackendUnavailable, match="another user"):
        process().value_of("ss:a")
    (record,) = [record for record in caplog.records if record.event == "sqlite_file_refused"]
    assert str(path) in record.getMessage()
    assert "12345" in record.getMessage()
    assert "chown" in record.getMessage()
    os.chown(path, 0, -1)
    assert process().value_of("ss:a") == b"1"


@pytest.mark.parametrize(("mode", "said"), [(0o644, "read"), (0o660, "changed"), (0o666, "changed"), (0o600, None)])
def test_a_file_open_to_others_is_named(
    process: Callable[[], Process], caplog: pytest.LogCaptureFixture, mode: int, said: str | None
) -> None:
    """Once a process, with the fix; it is served all the same, since its records are sealed."""
    process().do("add", "ss:a", b"1", TTL)
    one = process()
    path = one.backend.path
    path.chmod(mode)
    with caplog.at_level(logging.WARNING, "sharedsession"):
        assert [one.value_of("ss:a") for _ in range(3)] == [b"1"] * 3
    lines = [record.getMessage() for record in caplog.records if record.event == "file_open_to_others"]
    assert [f"chmod 600 {path}" in line and f"may be {said}" in line for line in lines] == [True] * bool(said)
