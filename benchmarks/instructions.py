"""Instructions of one request, counted by callgrind: what no busy neighbour changes.

    python -m benchmarks.instructions [--path NAME …] [--calls N]      prints
    python -m benchmarks.instructions --check                          fails if one of six named paths has grown
    python -m benchmarks.instructions --record                         makes what it counts the measure, see `guard`
    python -m benchmarks.instructions --race wsgi redis [--contender Flask]     ours beside others on that store

Each path is served so many times by one process, and the count divided. A name is a colour, what is served, and the
request: ``asgi read`` is ours on one memcached; ``bare``, ``floor``, ``straight``, ``ring`` (two copies), ``redis`` and
``principal`` say what else it can be. "Added" is the count without that of the bare application.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import counted, guard
from benchmarks.contenders import BARE, OWNED, TABLE
from benchmarks.guard import COLOURS, NAMED, REQUESTS
from tests.support.binaries import MissingServerError, binary, environment
from tests.support.ring import Ring
from tests.support.servers import KINDS, Memcached

_SAVING = ("read", "write")
PATHS = [
    *NAMED,
    *(f"{colour} bare {request}" for colour in COLOURS for request in REQUESTS),
    *(f"{colour} {kind} {request}" for colour in COLOURS for kind in ("straight", "floor") for request in REQUESTS),
    *(f"{colour} ring {request}" for colour in COLOURS for request in _SAVING),
    *(f"asgi redis {request}" for request in _SAVING),
    *(f"asgi redis straight {request}" for request in _SAVING),
    *(f"{colour} principal read" for colour in COLOURS),
]
GUARDED = [
    *NAMED,
    *(f"{colour} bare {request}" for colour in COLOURS for request in REQUESTS),
    *(f"{colour} straight {request}" for colour in COLOURS for request in _SAVING),
]
"""What the guard needs."""
RACED = ("new", *REQUESTS)
CALLS = 100
_PATIENCE = 600
_LEAST = 10_000  # instructions: less is no measure for another count


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line, counts and prints."""
    options = _reader().parse_args(arguments)
    guarded = options.check or options.record
    try:
        if options.race:
            colour, store = options.race
            sys.stdout.write(race_table(raced(colour, store, options.contender)) + "\n")
            return 0
        counts = measured(GUARDED if guarded else _chosen(options.path), options.calls)
    except MissingServerError as missing:
        sys.stdout.write(f"nothing is counted: {missing}\n")
        return 0
    sys.stdout.write(table(counts) + "\n")
    return _compare(guard.ratios(counts), is_new=options.record) if guarded else 0


def _compare(measured: guard.Ratios, *, is_new: bool) -> int:
    """Prints what has changed, and records it if told so. Returns the exit code."""
    recorded = guard.load().get(guard.interpreter(), {})
    found = guard.changes(recorded, measured)
    sys.stdout.write(f"\n{guard.interpreter()}\n{guard.report(found)}\n")
    if is_new:
        guard.record(measured)
    elif not recorded:
        sys.stdout.write("no record for this interpreter, so nothing is compared; --record makes one\n")
    elif any(change.is_too_much for change in found):
        sys.stdout.write(f"a named path costs over {guard.GROWTH:.0%} more than recorded: see benchmarks/guard.py\n")
        return 1
    return 0


def _reader() -> argparse.ArgumentParser:
    reader = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    reader.add_argument("--path", action="append", default=[], metavar="NAME", help="of these only; may be repeated")
    reader.add_argument("--calls", type=int, default=CALLS, help="counted requests of each path")
    reader.add_argument("--race", nargs=2, metavar=("COLOUR", "STORE"), help="count all contenders on this store")
    reader.add_argument("--contender", default="", help="part of a contender's name, or of its framework's")
    reader.add_argument("--check", action="store_true", help="compare the named paths with the record")
    reader.add_argument("--record", action="store_true", help="record the named paths for this interpreter")
    return reader


def _chosen(names: Sequence[str]) -> list[str]:
    """The paths of these names, and the bare applications that they are counted from."""
    unknown = set(names) - set(PATHS)
    if unknown:
        raise SystemExit(f"no such path: {', '.join(sorted(unknown))}; there are: {', '.join(PATHS)}")
    wanted = {*names, *(_bare(name) for name in names)}
    return [path for path in PATHS if path in wanted or not names]


def _bare(name: str) -> str:
    path = counted.Path.named(name)
    return f"{path.colour} bare {path.request}"


def measured(names: Sequence[str], calls: int = CALLS) -> dict[str, int]:
    """Counts these paths.

    Args:
        names: of the paths.
        calls: requests that are counted of each.

    Returns:
        The name of each -> instructions of one request.

    Raises:
        MissingServerError: there is no valgrind, or a server is missing.
        RuntimeError: one of them could not be served.
    """
    paths = {name: counted.Path.named(name) for name in names}
    counts, trouble = count(list(paths.values()), calls)
    if len(counts) < len(paths):
        raise RuntimeError(f"the counted process failed:\n{trouble[-3000:]}")
    return {name: counts[path] for name, path in paths.items()}


def raced(colour: str, store: str, name: str = "") -> list[dict[str, Any]]:
    """Counts the contenders on a store, ours beside others; who fails, or is very slow, is left out."""
    rows = [row for row in TABLE[colour] if store in row.stores and row.name != OWNED and row.slowness == 1]
    frames = {row.frame for row in rows if name.lower() in row.label.lower()}
    rows = [row for row in rows if name.lower() in row.label.lower() or (row.frame in frames and row.name == BARE)]
    paths = [counted.Path(colour, row.frame, row.name, store, request) for row in rows for request in RACED]
    counts, trouble = count(paths, calls=30, warm=20)
    sys.stderr.write("".join(line + "\n" for line in trouble.splitlines() if line.startswith("left out")))
    found = []
    for path, number in counts.items():
        bare = counts.get(path._replace(name=BARE), 0)
        names = {"part": "counted", "colour": colour, "store": store, "frame": path.frame, "name": path.name}
        found.append({**names, "request": path.request, "count": number, "added": number - bare})
    return found


def count(paths: Sequence[counted.Path], calls: int, warm: int = counted.WARM) -> tuple[dict[counted.Path, int], str]:
    """Serves these paths under callgrind. Returns instructions of one request, and what went to standard error."""
    valgrind = binary("valgrind")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        urls = _urls(stack, {path.store for path in paths})
        order = json.dumps({"calls": calls, "warm": warm, "urls": urls, "paths": list(paths)})
        tool = [str(valgrind), "--tool=callgrind", f"--callgrind-out-file={folder}/counts", *counted.MARKS]
        command = [*tool, "--dump-line=no", sys.executable, "-m", "benchmarks.counted", order]
        env = {**environment(valgrind), "PYTHONHASHSEED": "0"}
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=_PATIENCE, check=False)  # noqa: S603
        if done.returncode != 0:
            raise RuntimeError(f"the counted process failed:\n{done.stderr[-3000:]}")
        served = [counted.Path(*words) for words in json.loads(done.stdout)]
        counts = {path: _total(folder / f"counts.{number}") // calls for number, path in enumerate(served, 1)}
        return counts, done.stderr


def _urls(stack: ExitStack, stores: set[str]) -> dict[str, str]:
    """Starts what these need."""
    urls = {}
    if stores & {"memcached", "ring"}:
        servers = [stack.enter_context(Memcached.start()) for _ in range(3 if "ring" in stores else 1)]
        urls = {"memcached": servers[0].url, "ring": Ring(servers).url}
    return urls | {store: stack.enter_context(KINDS[store].start()).url for store in stores - {"memcached", "ring"}}


def _total(dump: Path) -> int:
    found = re.search(r"^summary: (\d+)$", dump.read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"callgrind wrote no sum into {dump.name}")
    return int(found[1])


def table(counts: Mapping[str, int]) -> str:
    """The counts as text: thousands of instructions a request, what a session adds, and that over the straight line."""
    lines = [f"{'thousand instructions a request':32}{'all':>8}{'added':>8}{'x straight':>12}"]
    lines += [f"{name:32}{whole:>8}{added:>8}{ratio:>12}" for name, whole, added, ratio in rows(counts)]
    return "\n".join(lines)


def rows(counts: Mapping[str, int]) -> list[tuple[str, str, str, str]]:
    """The same as cells."""
    found = []
    for name, number in counts.items():
        base, straight = counts.get(_bare(name), 0), counts.get(_straight(name), 0)
        compared = straight - base > _LEAST and " bare " not in name
        ratio = f"{(number - base) / (straight - base):.2f}" if compared else ""
        found.append((name, f"{number / 1000:.1f}", f"{(number - base) / 1000:.1f}", ratio))
    return found


def race_table(records: Sequence[dict[str, Any]]) -> str:
    """What a session adds in thousands of instructions, by contender."""
    lines = [f"{'thousand instructions added':48}" + "".join(f"{request:>11}" for request in RACED)]
    cells = {(each["frame"], each["name"], each["request"]): each["added"] / 1000 for each in records}
    for frame, name in dict.fromkeys((each["frame"], each["name"]) for each in records if each["name"] != BARE):
        numbers = "".join(f"{cells.get((frame, name, request), float('nan')):11.1f}" for request in RACED)
        lines.append(f"{frame + ': ' + name:48}{numbers}")
    return "\n".join(lines)


def _straight(name: str) -> str:
    path = counted.Path.named(name)
    return f"{path.colour} {'redis ' if path.store == 'redis' else ''}straight {path.request}"


if __name__ == "__main__":
    sys.exit(main())
