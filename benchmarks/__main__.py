"""``python -m benchmarks [quick|full]``: measures, each part and store in a process of its own, and prints tables.

``make bench`` is the full run, and remakes docs/benchmarks.md and its plots; ``make bench BENCH=quick`` only prints.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import docs, part, report


def main(arguments: list[str] | None = None) -> None:
    """Reads the command line and runs."""
    options = _reader().parse_args(arguments)
    if options.profile:
        for name, store in _jobs(options):
            part.profile(name, store, options.profile)
        return
    found = _measured(options)
    sys.stdout.write(report.goals_table(found) + "\n")
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")
    if options.docs:
        docs.write(found, "make bench" if options.size == "full" else f"python -m benchmarks {options.size} --docs")


def _reader() -> argparse.ArgumentParser:
    reader = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    reader.add_argument("size", nargs="?", choices=part.SIZES, default="quick")
    reader.add_argument("--only", action="append", choices=list(part.PARTS), help="a part; may be repeated")
    reader.add_argument("--store", action="append", help="a store, or a curve of the scale part; may be repeated")
    reader.add_argument("--contender", action="append", default=[], help="part of a contender's name; may be repeated")
    reader.add_argument("--out", type=Path, help="where the JSON goes")
    reader.add_argument("--docs", action="store_true", help="remake docs/benchmarks.md and its plots")
    reader.add_argument("--profile", metavar="REQUEST", help="profile ours at this request instead of measuring")
    return reader


def _jobs(options: argparse.Namespace) -> list[tuple[str, str]]:
    """The parts, and the stores of each; a quick run that nobody narrowed down has fewer."""
    table = part.QUICK if options.size == "quick" and not (options.only or options.docs) else part.JOBS
    names = options.only or list(table)
    return [(name, store) for name in names for store in table[name] if store in (options.store or table[name])]


def _measured(options: argparse.Namespace) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name, store in _jobs(options):
        begin = time.monotonic()
        results = part.in_own_process(name, store, options.size, options.contender)
        found += results
        sys.stdout.write(report.tables(results) + f"\n({name} on {store}: {time.monotonic() - begin:.0f} s)\n")
        sys.stdout.flush()
    return found


if __name__ == "__main__":
    main()
