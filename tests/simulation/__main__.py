"""``python -m tests.simulation``: one seed, told in order; or many, on all cores.

One seed prints who comes, what breaks, and what happens, and then what promise was broken, if one was. With
``--shrink`` a plan that fails is made small first. Many seeds print how far they are, and what came of them.
"""

import argparse
import os
import sys
from pathlib import Path

from tests.simulation.campaign import campaign
from tests.simulation.plan import NODES, Plan, plan
from tests.simulation.planted import BUGS, planted
from tests.simulation.run import run
from tests.simulation.shrink import shrunk


def main() -> int:
    """Returns 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="tell one seed")
    parser.add_argument("--seeds", type=int, default=300, help="run so many seeds (300)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (0)")
    parser.add_argument("--faults", type=int, default=1, help="how many things break in each (1)")
    parser.add_argument("--store", choices=sorted(NODES), help="the seed decides, if not given")
    parser.add_argument("--bug", choices=sorted(BUGS), help="plant this bug into the library")
    parser.add_argument("--shrink", action="store_true", help="make a plan that fails small")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (all cores)")
    parser.add_argument("--notes", type=Path, help="a file for what is done, to go on later")
    given = parser.parse_args()
    with planted(given.bug):
        if given.seed is not None:
            return _tell(plan(given.seed, given.faults, given.store), shrink=given.shrink)
        sums = campaign(given.seeds, given.faults, given.store, given.jobs, given.notes, given.first)
    print(sums)
    return 1 if sums.failing else 0


def _tell(chosen: Plan, *, shrink: bool) -> int:
    if shrink and run(chosen).violations:
        chosen = shrunk(chosen)
    result = run(chosen, is_told=True)
    print(f"seed {chosen.seed}: {chosen.store}, {chosen.webs} web nodes, idle timeout {chosen.idle:g} s")
    for fault in chosen.faults:
        print(f"fault: {fault}")
    for visitor in chosen.visitors:
        print(f"visitor {visitor.name} {visitor.principal}: " + ", ".join(step.deed for step in visitor.steps))
    print(*result.story, sep="\n")
    print(result.report or "no promise was broken")
    print(f"{result.requests} requests, {result.refusals} of them 503; digest {result.digest}")
    return 1 if result.violations else 0


if __name__ == "__main__":
    sys.exit(main())
