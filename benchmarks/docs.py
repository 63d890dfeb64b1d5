"""The page docs/benchmarks.md: its tables and plots are made by the run, its sentences are a person's.

The page opens with ours against each peer, and with the goals, met and missed, in words that the run makes, too.
A table stands between ``<!-- begin NAME -->`` and ``<!-- end NAME -->``; what is outside of those is never touched.
Full figures are in docs/benchmarks/results.json.
"""

import datetime as dt
import json
import os
import platform
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import guard, report, svg
from benchmarks.contenders import BARE, LAZY, OURS, OWNED

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/benchmarks.md"
FOLDER = ROOT / "docs/benchmarks"
Record = dict[str, Any]
PARTS = {"races": ("wsgi", "asgi"), "http": ("http",), "own": ("own", "verbs"), "wire": ("trips", "memory")}
PARTS |= {"scale": ("scale",), "instructions": ("instructions", "counted"), "footprint": ("footprint",)}
DRAWN = ("read", "write")


def write(records: Sequence[Record], command: str) -> None:
    """Remakes tables, plots and the JSON."""
    FOLDER.mkdir(exist_ok=True)
    lines = ",\n".join(map(json.dumps, records))
    (FOLDER / "results.json").write_text(f'{{"machine": {json.dumps(machine(command))}, "records": [\n{lines}\n]}}\n')
    for name, drawing in plots(records).items():
        (FOLDER / f"{name}.svg").write_text(drawing)
    page = PAGE.read_text()
    for name, text in sections(records, command).items():
        page = _replaced(page, name, text)
    PAGE.write_text(page)


def machine(command: str) -> dict[str, str]:
    """Where, when and how."""
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "command": command,
        "cpu": f"{os.cpu_count()} x {_cpu_model()}",
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "interpreter's build": f"{guard.build()}; {platform.python_compiler()}",
    }


def sections(records: Sequence[Record], command: str) -> dict[str, str]:
    """Name of a section -> its Markdown."""
    facts = machine(command)
    found = {"machine": report.markdown(("", ""), list(facts.items())).replace("---:", "---")}
    found |= {"comparison": report.comparison(records), "goals": report.goals_in_words(records)}
    for name, parts in PARTS.items():
        mine = report.titled([record for record in records if record["part"] in parts])
        found[name] = "\n\n".join(f"**{title}**\n\n{text}" for title, text in mine.items())
    return found


def _replaced(page: str, name: str, text: str) -> str:
    pattern = re.compile(rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
    if not pattern.search(page):
        sys.stderr.write(f"docs/benchmarks.md has no place for {name}\n")
    return pattern.sub(lambda found: f"{found[1]}\n{text}\n\n{found[2]}", page)


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    named = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return named[1].strip() if named else platform.machine()


# -- plots


def plots(records: Sequence[Record]) -> dict[str, str]:
    """Name of a file -> SVG."""
    found = {}
    for part, store in dict.fromkeys((r["part"], r["store"]) for r in records if r["part"] in PARTS["races"]):
        mine = [r for r in records if (r["part"], r["store"], r.get("crowd")) == (part, store, 1)]
        found[f"{part}-{store}"] = _bars(part, store, [r for r in mine if r["payload"] == "3 keys"])
    curves = [record for record in records if record["part"] == "scale"]
    for curve in dict.fromkeys(record["curve"] for record in curves):
        found[f"scale-{curve}"] = _lines(curve, [record for record in curves if record["curve"] == curve])
    return found


def _bars(part: str, store: str, records: Sequence[Record]) -> str:
    """Ours beside the peers of each framework; who has no peer there is left out."""
    peers = {record["frame"] for record in records if record["name"] not in {BARE, OURS, LAZY, OWNED}}
    groups: dict[str, dict[str, float]] = {}
    for frame, request in ((frame, request) for frame in sorted(peers) for request in DRAWN):
        mine = [r for r in records if (r["frame"], r["request"]) == (frame, request) and r["name"] not in {BARE, OWNED}]
        cells = {record["name"]: record["added_cpu"][0] for record in mine}
        if OURS not in cells:
            plain = [r for r in records if (r["frame"], r["request"], r["name"]) == (part.upper(), request, OURS)]
            cells |= {f"{OURS}, without a framework": record["added_cpu"][0] for record in plain}
        groups[f"{frame}, {request}"] = dict(sorted(cells.items(), key=lambda cell: cell[1]))
    return svg.bars(f"{part.upper()} on {store}, 3 keys: CPU that a session adds to a request, us", groups, ours=OURS)


def _lines(curve: str, records: Sequence[Record]) -> str:
    if curve == "network":
        return _waits(records)
    if curve == "processes":
        drawn = {"median wait": "p50", "p99": "p99"}
        points = {name: [(r["x"], r[key] / 1000) for r in records] for name, key in drawn.items()}
        return svg.lines("One write to one SQLite file", "processes that write all the time", points, "ms")
    lines: dict[str, list[tuple[float, float]]] = {}
    for record in sorted(records, key=lambda record: record["x"]):
        if record["request"] in {"read", "write", "lookup"}:
            crowd = f", {record['crowd']} at a time" if record["crowd"] > 1 else ""
            name = f"{record['store']}: {record['request']}{crowd}"
            lines.setdefault(name, []).append((record["x"], record["cpu"][0]))
    return svg.lines(f"CPU of a request against {curve}", curve, lines)


def _waits(records: Sequence[Record]) -> str:
    lines: dict[str, list[tuple[float, float]]] = {}
    for record in sorted(records, key=lambda record: record["x"]):
        if record["request"] in DRAWN:
            name = f"{record['frame']}: {record['request']}"
            lines.setdefault(name, []).append((record["x"], record["wall"][0] / 1000))
    return svg.lines("Median wait of a visitor, each node 1 ms away", "copies", lines, "ms")
