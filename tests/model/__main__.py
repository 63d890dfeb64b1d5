"""Explores the cases, and prints what was searched: ``python -m tests.model`` or ``make model``.

Options: ``--short`` for those of every test run, ``--markdown`` for the table of docs/proof.md, ``--only WORDS`` for
the cases whose name has the words.
"""

import argparse
import logging
import sys
from multiprocessing import Pool

from tests.model.cases import CASES, LIMITS, LONG_CASES
from tests.model.explorer import Explorer, Found
from tests.model.words import told


def _searched(name: str) -> tuple[str, Found, str]:
    logging.disable(logging.CRITICAL)  # what the library logs of ten thousand outages
    make = ALL[name]
    explorer = Explorer(make())
    found = explorer.run()
    return name, found._replace(trace=[]), told(explorer, found) if found.violation else ""


ALL = {**CASES, **LONG_CASES, **{name: limit.case for name, limit in LIMITS.items()}}


def main() -> int:
    """Returns how many cases did not go as they should."""
    parser = argparse.ArgumentParser(prog="python -m tests.model", description="Explores the cases of the model.")
    parser.add_argument("--short", action="store_true", help="only the cases of every test run")
    parser.add_argument("--markdown", action="store_true", help="print the table of docs/proof.md")
    parser.add_argument("--only", default="", help="words of the names")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    options = parser.parse_args()
    names = [name for name in (CASES if options.short else ALL) if options.only in name]
    row = "| {} | {:,} | {:.1f} | {} |" if options.markdown else "{:90} {:>12,} {:>8.1f} s  {}"
    if options.markdown:
        print("| case | states | CPU seconds | result |\n|---|---|---|---|")
    failures, states, seconds = [], 0, 0.0
    with Pool(options.jobs, maxtasksperchild=1) as pool:
        for name, found, trace in pool.imap(_searched, names):
            is_limit = name in LIMITS
            result = "complete" if found.is_complete else "a limit that is named" if is_limit else "VIOLATED"
            print(row.format(name, found.states, found.seconds, result), flush=True)
            states, seconds = states + found.states, seconds + found.seconds
            if found.is_complete is is_limit:
                failures.append(trace or f"{name}: no longer violated")
    print(row.format(f"{len(names)} cases", states, seconds, "as they should" if not failures else "FAILED"))
    for failure in failures:
        print(f"\n{failure}", file=sys.stderr)
    return len(failures)


if __name__ == "__main__":
    sys.exit(main())
