"""``python -m tests.fuzz [TARGET …] --seconds N``: fuzzes for long, and prints one line a target.

With atheris installed (`make fuzz`) what was covered guides the mutations; without it they are random. Each target has
a process of its own and an equal part of the time. It ends at its first finding, which is kept in ``.fuzz/TARGET/``:
``python -m tests.fuzz TARGET --replay FILE`` repeats it. Inputs that covered something new are kept there as well.
"""

import argparse
import logging
import re
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from tests.fuzz.mutation import HOSTILE, mutations
from tests.fuzz.target import Target

_KEPT = Path(__file__).resolve().parents[2] / ".fuzz"
_GRACE = 120  # seconds to load, and to finish the last input
_RUNS = re.compile(rb"stat::number_of_executed_units:\s*(\d+)")
_COVERED = re.compile(rb"cov: (\d+)")
_FINDING = re.compile(rb"Test unit written to (\S+)")


class Outcome(NamedTuple):
    """What came of one target.

    Attributes:
        runs: how many inputs were tried.
        covered: how many edges of the library they reached; ``None``: not known.
        finding: the file with the input that broke the law, if one did.
        log: what the target's process printed.
    """

    runs: int
    covered: int | None
    finding: str | None
    log: str


def main() -> int:
    """Runs the command. Returns its exit code: 1 if a law was broken."""
    arguments = _arguments()
    if arguments.child:
        _fuzz_here(_target(arguments.targets[0], instrument=True), arguments.seconds)
    names = arguments.targets or list(_all_targets())
    if arguments.replay:
        _target(names[0]).run(arguments.replay.read_bytes())
        print(f"{names[0]}: the law holds")
        return 0
    findings = sum([_report(name, arguments.seconds / len(names)) for name in names])
    return 1 if findings else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="all, if none is named")
    parser.add_argument("--seconds", type=float, default=3600.0, help="for all targets together (3600)")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run one target once, on what is in a file")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    unknown = set(arguments.targets) - set(_all_targets()) if not arguments.child else ()
    if unknown:
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(_all_targets())}")
    return arguments


def _all_targets() -> dict[str, Target]:
    from tests.fuzz.targets import TARGETS  # not at the top: the library must be instrumented first

    return TARGETS


def _target(name: str, *, instrument: bool = False) -> Target:
    if instrument and _has_atheris():
        import atheris

        with atheris.instrument_imports(include=["sharedsession"]):
            return _all_targets()[name]
    return _all_targets()[name]


def _has_atheris() -> bool:
    return find_spec("atheris") is not None


def _report(name: str, seconds: float) -> int:
    """Fuzzes one target in a process of its own, and prints its line. Returns the number of findings."""
    outcome = _fuzzed(name, seconds) if _has_atheris() else _tried(_target(name), seconds)
    covered = f"{outcome.covered:6,} edges" if outcome.covered is not None else "random      "
    said = f"BROKEN by {outcome.finding}" if outcome.finding else "0 findings"
    print(f"{name:20} {outcome.runs:12,} runs  {covered}  {said}", flush=True)
    if outcome.finding:
        print(outcome.log, file=sys.stderr, flush=True)
    return 1 if outcome.finding else 0


def _be_strict() -> None:
    """Makes errors of warnings, as the tests do; what the library logs of damaged input is expected."""
    warnings.simplefilter("error")
    logging.disable(logging.CRITICAL)


# -- with atheris


def _fuzzed(name: str, seconds: float) -> Outcome:
    command = [sys.executable, "-m", "tests.fuzz", name, "--seconds", str(seconds), "--child"]
    ended = subprocess.run(command, capture_output=True, check=False, timeout=seconds + _GRACE, cwd=_KEPT.parent)
    log = ended.stderr + ended.stdout
    runs, covered, finding = _RUNS.findall(log), _COVERED.findall(log), _FINDING.search(log)
    if not runs:
        return Outcome(0, None, finding[1].decode() if finding else "its own process", log.decode(errors="replace"))
    broken = finding[1].decode() if finding else None
    return Outcome(int(runs[-1]), int(covered[-1]) if covered else None, broken, _tail(log))


def _tail(log: bytes) -> str:
    """Returns the end of a log: the traceback, without what libFuzzer tells of the input."""
    _, _, behind = log.decode(errors="replace").rpartition("=== Uncaught Python exception")
    return "\n".join(behind.splitlines()[:40])


def _fuzz_here(target: Target, seconds: float) -> None:
    """Fuzzes until the time is over, and ends this process."""
    import atheris

    _be_strict()
    folder = _KEPT / target.name
    corpus, seeds = folder / "corpus", folder / "seeds"
    shutil.rmtree(seeds, ignore_errors=True)
    for path in (corpus, seeds):
        path.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (seeds / str(number)).write_bytes(seed)
    words = folder / "words"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in (*target.words, *HOSTILE) if 0 < len(word) < 64))
    options = (
        f"-max_total_time={max(1, int(seconds))}",
        f"-max_len={target.longest}",
        f"-dict={words}",
        f"-artifact_prefix={folder}/",
        "-print_final_stats=1",
        "-len_control=20",
        "-timeout=20",
        "-verbosity=1",
    )
    atheris.Setup([target.name, *options, str(corpus), str(seeds)], target.run)
    atheris.Fuzz()


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


# -- without


def _tried(target: Target, seconds: float) -> Outcome:
    _be_strict()
    until = time.monotonic() + seconds
    for runs, data in enumerate(_until(until, mutations(target, str(time.time_ns()))), 1):
        problem = _problem(target.run, data)
        if problem is not None:
            finding = _KEPT / target.name / "finding"
            finding.parent.mkdir(parents=True, exist_ok=True)
            finding.write_bytes(data)
            return Outcome(runs, None, str(finding), problem)
    return Outcome(runs, None, None, "")


def _until(end: float, inputs: Iterator[bytes]) -> Iterator[bytes]:
    while time.monotonic() < end:
        yield next(inputs)


def _problem(run: Callable[[bytes], None], data: bytes) -> str | None:
    try:
        run(data)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


if __name__ == "__main__":
    sys.exit(main())
