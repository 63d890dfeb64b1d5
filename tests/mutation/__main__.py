"""``python -m tests.mutation``: what the unit tests do not notice in the pure modules that decide.

mutmut changes the code in one place after the other, and runs for each change the tests that reach it; its settings are
in pyproject.toml. A change that no test notices, a survivor, is a hole in the tests, or no test can tell it from the
code. `survivors.toml` names those with the reason. Any other survivor fails here, and so does an entry without one.

mutmut changes functions and methods: no properties, and nothing outside of functions. What a test module makes when it
is imported is made before the change.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

NAMED = Path(__file__).with_name("survivors.toml")
MUTMUT = (sys.executable, "-m", "mutmut")
PACKAGE = "sharedsession."
NOTICED = {"killed", "timeout"}
_RESULT = re.compile(rf"\s*(?P<mutant>{re.escape(PACKAGE)}(?P<module>[\w.]+)\.\w+__mutmut_\d+): (?P<status>.+)")


class Survivor(NamedTuple):
    """A change that no test notices, without mutmut's number, which depends on the code around it.

    Attributes:
        at: module and function.
        becomes: what the changed lines are then.
    """

    at: str
    becomes: str

    def __str__(self) -> str:
        return f"[[survivor]]\nat = {json.dumps(self.at)}\nbecomes = {json.dumps(self.becomes)}"


def main() -> int:
    """Returns 1 if there is a survivor without a reason, or a reason without its survivor."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("module", nargs="?", default="", help="one module only, as session.merge; else all")
    module = parser.parse_args().module
    shutil.rmtree("mutants", ignore_errors=True)  # else mutmut believes what older tests said
    subprocess.run([*MUTMUT, "run", "--max-children", "1", *([f"{PACKAGE}{module}.*"] if module else [])], check=True)
    totals, noticed, survivors = Counter[str](), Counter[str](), set[Survivor]()
    for mutant, name, status in _results(module):
        totals[name] += 1
        noticed[name] += status in NOTICED
        if status not in NOTICED:
            survivors.add(_survivor(mutant))
    print("\n| module | mutants | killed | % |\n|---|---:|---:|---:|")
    for name in sorted(totals):
        print(f"| `{name}` | {totals[name]} | {noticed[name]} | {100 * noticed[name] / totals[name]:.0f} |")
    return _compare(survivors, _named(module))


def _results(module: str) -> Iterator[tuple[str, str, str]]:
    """Gives each mutant, the module that it is in, and what became of it."""
    for found in map(_RESULT.fullmatch, _said("results", "--all", "true")):
        if found and module in ("", found["module"]):
            yield found["mutant"], found["module"], found["status"]


def _survivor(mutant: str) -> Survivor:
    """Returns what mutmut calls ``sharedsession.session.changes.xǁChangesǁmark__mutmut_3``; of a function, ``x_``."""
    module, _, function = mutant.removeprefix(PACKAGE).rpartition("__mutmut_")[0].rpartition(".")
    added = [line[1:].strip() for line in _said("show", mutant) if line.startswith("+") and not line.startswith("+++")]
    return Survivor(f"{module}.{re.sub('^x[_ǁ]', '', function).replace('ǁ', '.')}", " ".join(added))


def _said(*arguments: str) -> list[str]:
    """Returns the lines that a command of mutmut prints."""
    return subprocess.run([*MUTMUT, *arguments], check=True, capture_output=True, text=True).stdout.splitlines()


def _named(module: str) -> set[Survivor]:
    entries = tomllib.loads(NAMED.read_text(encoding="utf-8"))["survivor"]
    found = {Survivor(entry["at"], entry["becomes"]) for entry in entries if entry["why"]}
    return {survivor for survivor in found if survivor.at.startswith(module)}


def _compare(survivors: set[Survivor], named: set[Survivor]) -> int:
    for survivor in sorted(survivors - named):
        print(f"\nNo test notices this change. Test it, or say why none can:\n{survivor}")
    for survivor in sorted(named - survivors):
        print(f"\nThis change is noticed, or there is no such place. Drop the entry:\n{survivor}")
    return 1 if survivors ^ named else 0


if __name__ == "__main__":
    sys.exit(main())
