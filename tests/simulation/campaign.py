"""Many seeds on all cores: what is done is noted, so that a campaign that was interrupted goes on where it was."""

import gc
import json
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.simulation.plan import plan
from tests.simulation.run import run

_CHUNK = 50


class Chunk(NamedTuple):
    """Seeds that one process runs together.

    Attributes:
        begin: the first.
        end: the one behind the last.
        faults: how many things break in each.
        store: of `plan.STORES`, or ``None``.
    """

    begin: int
    end: int
    faults: int
    store: str | None


@dataclass
class Sums:
    """What came of the seeds of a campaign so far.

    Attributes:
        done: how many seeds.
        requests: that were sent.
        refusals: that were answered 503.
        virtual: seconds that passed for the web nodes.
        cpu: seconds that it took.
        failing: the violations of each seed that has any.
        stores: how many seeds each store had.
        kinds: how many seeds each kind of fault had.
    """

    done: int = 0
    requests: int = 0
    refusals: int = 0
    virtual: float = 0.0
    cpu: float = 0.0
    failing: dict[str, list[str]] = field(default_factory=dict)
    stores: dict[str, int] = field(default_factory=dict)
    kinds: dict[str, int] = field(default_factory=dict)

    def add(self, other: "Sums") -> None:
        """Adds what came of other seeds."""
        self.done += other.done
        self.requests += other.requests
        self.refusals += other.refusals
        self.virtual += other.virtual
        self.cpu += other.cpu
        self.failing |= other.failing
        self.stores = dict(Counter(self.stores) + Counter(other.stores))
        self.kinds = dict(Counter(self.kinds) + Counter(other.kinds))

    def __str__(self) -> str:
        return (
            f"{self.done:,} seeds, {self.requests:,} requests, {self.refusals:,} of them 503, "
            f"{self.virtual / 3600:,.0f} virtual hours, {self.cpu:,.0f} CPU seconds, "
            f"{len(self.failing)} seeds with violations"
        )


def campaign(seeds: int, faults: int, store: str | None, jobs: int, notes: Path | None, first: int = 0) -> Sums:
    """Runs seeds, and prints how far it is.

    Args:
        seeds: how many.
        faults: how many things break in each.
        store: of `plan.STORES`; ``None``: the seed decides.
        jobs: how many processes to use.
        notes: a file for what is done; ``None``: it is not kept.
        first: seed.

    Returns:
        What came of all, with what was noted before.
    """
    sums = Sums(**json.loads(notes.read_text())) if notes and notes.exists() else Sums()
    if sums.done >= seeds:  # it was completed before
        sums = Sums()
    begins = range(first + sums.done, first + seeds, _CHUNK)
    chunks = [Chunk(begin, min(begin + _CHUNK, first + seeds), faults, store) for begin in begins]
    began = time.monotonic()
    with multiprocessing.Pool(jobs, initializer=_spare_the_collector) as pool:
        for each in pool.imap(_run, chunks):
            sums.add(each)
            if notes:
                notes.parent.mkdir(parents=True, exist_ok=True)
                notes.write_text(json.dumps(asdict(sums)))
            _show(sums, seeds, time.monotonic() - began, each.failing)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    return sums


def _spare_the_collector() -> None:
    """Keeps the garbage collector from what stays, and has it look at the rest less often: a fifth of the time."""
    gc.freeze()
    gc.set_threshold(50_000)


def _run(chunk: Chunk) -> Sums:
    sums, began = Sums(), time.process_time()
    for seed in range(chunk.begin, chunk.end):
        result = run(plan(seed, chunk.faults, chunk.store))
        sums.done += 1
        sums.requests += result.requests
        sums.refusals += result.refusals
        sums.virtual += result.seconds
        sums.stores[result.plan.store] = sums.stores.get(result.plan.store, 0) + 1
        for fault in result.plan.faults:
            sums.kinds[fault.kind] = sums.kinds.get(fault.kind, 0) + 1
        if result.violations:
            sums.failing[str(seed)] = result.violations
    sums.cpu = time.process_time() - began
    return sums


def _show(sums: Sums, seeds: int, seconds: float, failing: Iterable[str]) -> None:
    for seed in failing:
        print(f"seed {seed}: {sums.failing[seed][0]}", flush=True)
    bar = "#" * (30 * sums.done // seeds)
    line = f"[{bar:<30}] {sums.done:,} of {seeds:,} seeds, {len(sums.failing)} fail, {seconds:,.0f} s"
    if sys.stderr.isatty():
        print(f"\r{line}", end="", file=sys.stderr, flush=True)
    elif sums.done % (seeds // 20 or 1) < _CHUNK:
        print(line, file=sys.stderr, flush=True)
