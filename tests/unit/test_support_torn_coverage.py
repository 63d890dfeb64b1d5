"""What a killed process leaves of its coverage data is removed, and what another one wrote is kept."""

from pathlib import Path

import coverage

from tests.support.torn_coverage import remove_torn


def test_torn_files_are_removed_and_whole_ones_are_kept(tmp_path: Path) -> None:
    """Torn ones are empty, have no tables, are cut off, or have a journal beside them; other files do not matter."""
    for name in ("whole", "unfinished", "cut"):
        data = coverage.CoverageData(str(tmp_path / f".coverage.{name}"))
        data.add_lines({"a.py": [1]})
        data.write()
        data.close()
    (tmp_path / ".coverage.unfinished-journal").write_bytes(b"x")
    (tmp_path / ".coverage.cut").write_bytes((tmp_path / ".coverage.cut").read_bytes()[:5000])
    (tmp_path / ".coverage.empty").touch()
    (tmp_path / ".coveragerc").touch()
    torn = [".coverage.cut", ".coverage.empty", ".coverage.unfinished", ".coverage.unfinished-journal"]
    assert remove_torn(tmp_path) == torn
    assert sorted(path.name for path in tmp_path.iterdir()) == [".coverage.whole", ".coveragerc"]
