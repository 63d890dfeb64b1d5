"""The guard over the counted instructions: what was recorded, and which named path has grown since. No counting here.

What is recorded is not a count but a ratio: what a session of ours adds to a request, over what the straight-line floor
adds in the same run. So a record travels to another machine, another OpenSSL and another patch release. It belongs to
one interpreter all the same: minor version and build.
"""

import json
import platform
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

RECORDS = Path(__file__).with_name("instructions.json")
COLOURS, REQUESTS = ("wsgi", "asgi"), ("untouched", "read", "write")
NAMED = tuple(f"{colour} {request}" for colour in COLOURS for request in REQUESTS)
"""The paths that may not grow."""
GROWTH = 0.05
Ratios = dict[str, float]


class Change(NamedTuple):
    """One named path, then and now.

    Attributes:
        path: its name.
        recorded: its ratio, as recorded; ``None`` if it was not.
        measured: its ratio.
    """

    path: str
    recorded: float | None
    measured: float

    @property
    def growth(self) -> float:
        """By how much it has grown; negative if it has shrunk."""
        return self.measured / self.recorded - 1 if self.recorded else 0.0

    @property
    def is_too_much(self) -> bool:
        """Whether it has grown by more than is allowed."""
        return self.growth > GROWTH


def build() -> str:
    """Describes how this interpreter was built."""
    flags = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    words = ["optimised (PGO)" if "--enable-optimizations" in flags else "not optimised"]
    words += ["LTO"] if "--with-lto" in flags else []
    words += ["debug"] if hasattr(sys, "gettotalrefcount") else []
    words += ["free-threaded"] if sysconfig.get_config_var("Py_GIL_DISABLED") else []
    return ", ".join(words)


def interpreter() -> str:
    """Returns what a record belongs to: implementation, minor version, processor and build."""
    version = ".".join(platform.python_version_tuple()[:2])
    return f"{platform.python_implementation()} {version} on {platform.machine()}, {build()}"


def ratios(counts: Mapping[str, int]) -> Ratios:
    """Returns what each named path adds, over what the straight line adds: its write for a write, else its read.

    Args:
        counts: instructions of a request, by path, with those of the bare and the straight-line applications.
    """
    found = {}
    for path in NAMED:
        colour, request = path.split()
        unit = "write" if request == "write" else "read"
        straight = counts[f"{colour} straight {unit}"] - counts[f"{colour} bare {unit}"]
        found[path] = round((counts[path] - counts[f"{colour} bare {request}"]) / straight, 4)
    return found


def changes(recorded: Mapping[str, float], measured: Mapping[str, float]) -> list[Change]:
    """Compares."""
    return [Change(path, recorded.get(path), ratio) for path, ratio in measured.items()]


def report(found: list[Change]) -> str:
    """The comparison as text, a line each."""
    lines = [f"{'added, x the straight line':28}{'recorded':>10}{'now':>10}{'change':>10}"]
    for change in found:
        recorded = "-" if change.recorded is None else f"{change.recorded:.3f}"
        grown = "   GREW" if change.is_too_much else ""
        lines.append(f"{change.path:28}{recorded:>10}{change.measured:10.3f}{change.growth:>+10.1%}{grown}")
    return "\n".join(lines)


def load(path: Path = RECORDS) -> dict[str, Ratios]:
    """Reads the records: interpreter -> path -> ratio."""
    found: dict[str, Ratios] = json.loads(path.read_text()) if path.exists() else {}
    return found


def record(measured: Ratios, path: Path = RECORDS) -> None:
    """Writes what was measured as the record of this interpreter; those of others stay."""
    records = load(path) | {interpreter(): measured}
    path.write_text(json.dumps(records, indent=1, sort_keys=True) + "\n")
