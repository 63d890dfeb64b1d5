"""A session file that is damaged, or holds what somebody planted: 503 or anonymous, and back when it is mended."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.farm import Browser, WebNode, everything, read, write


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def fill(path: Path) -> None:
    path.write_bytes(os.urandom(8192))


@pytest.mark.parametrize("damage", [cut, fill])
def test_a_damaged_file_is_an_outage(
    tmp_path: Path, web_node: Callable[..., WebNode], damage: Callable[[Path], None]
) -> None:
    """Reads, writes and new sessions are a 503 for as long as it is damaged, and no longer."""
    path, copy = tmp_path / "s.db", tmp_path / "copy.db"
    browser = Browser([web_node(f"sqlite:///{path}")])
    assert browser.go(write("user", "alice")).status == 200
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    shutil.copy(path, copy)
    damage(path)
    later = Browser([web_node(f"sqlite:///{path}")], cookie=browser.cookie)
    for handler in (read("user"), write("x", 1), read("user")):
        assert later.go(handler).status == 503
    assert Browser(later.nodes).go(write("x", 1)).status == 503
    for left in tmp_path.glob("s.db*"):
        left.unlink()
    shutil.copy(copy, path)
    assert later.go(everything).body == repr({"user": "alice"})
    assert later.go(write("x", 1)).status == 200


@pytest.mark.parametrize("planted", [5, 1.5, "text", b"", b"\x01"], ids=repr)
def test_a_planted_value_opens_nothing(tmp_path: Path, web_node: Callable[..., WebNode], planted: Any) -> None:
    """Whatever type it has: the visitor is anonymous, and can begin anew."""
    path = tmp_path / "s.db"
    browser = Browser([web_node(f"sqlite:///{path}")])
    browser.go(write("user", "alice"))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE sessions SET value = ?", (planted,))
    connection.close()
    assert browser.go(everything).body == "{}"
    assert browser.go(write("user", "bob")).status == 200
    assert browser.go(read("user")).body == repr("bob")
