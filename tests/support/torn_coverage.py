"""Removes coverage data of processes that were killed while they wrote it: ``python -m tests.support.torn_coverage``.

Tests kill measured processes on purpose. What such a process leaves is a database without tables, sometimes with the
journal of its last transaction; `coverage combine` would warn of each.
"""

import sqlite3
from contextlib import closing
from pathlib import Path


def remove_torn(folder: Path) -> list[str]:
    """Removes them. Returns their names."""
    torn = [path for path in sorted(folder.glob(".coverage.*")) if not _is_whole(path)]
    for path in torn:
        path.unlink()
    return [path.name for path in torn]


def _is_whole(path: Path) -> bool:
    if path.name.endswith("-journal") or path.with_name(f"{path.name}-journal").exists():
        return False
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
            return database.execute("select version from coverage_schema").fetchone() is not None
    except sqlite3.Error:
        return False


if __name__ == "__main__":
    remove_torn(Path.cwd())
