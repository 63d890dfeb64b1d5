"""What a web node remembers of the sessions it has seen: bytes of this process for each, and whether that ends.

    python -m benchmarks.footprint memcached://… 12000 20000      one JSON list on standard output

Counted by the allocator (glibc's ``mallinfo2``), with all of Python's memory taken from it: a process of its own.
"""

import asyncio
import ctypes
import gc
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.asgi import Asgi
from benchmarks.contenders import OURS, TABLE
from benchmarks.deeds import PAYLOADS, SMALL
from benchmarks.race import cookie_of
from benchmarks.wsgi import Wsgi

REMEMBERED = (100, 1000)  # sessions, all of them still remembered when the last has come: by small caches, by large
_FIELDS = ["arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"]
_WARM = 50


class _MallocInfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in _FIELDS]


def in_use() -> int:
    """Bytes that this process has from its allocator."""
    gc.collect()
    ask = ctypes.CDLL(None).mallinfo2
    ask.restype = _MallocInfo
    found = ask()
    return int(found.uordblks + found.hblkhd)


def of_colour(colour: str, driver: Any, url: str, marks: Sequence[int]) -> dict[str, Any]:
    """Visits as many sessions as the last mark says, and asks for the memory at each."""
    row = next(row for row in TABLE[colour] if (row.frame, row.name) == (colour.upper(), OURS))
    maker, node = (row.build(url, PAYLOADS[SMALL], False) for _ in range(2))
    made = driver.serve(maker, "/new", [""] * (_WARM + marks[-1]))
    cookies = [cookie_of(answer) for answer in made.answers]
    del made
    driver.serve(node, "/read", cookies[:_WARM])
    del cookies[:_WARM]
    taken, done, base = [], 0, in_use()
    for mark in (*REMEMBERED, *marks):
        for first in range(done, mark, _WARM):
            driver.serve(node, "/read", cookies[first : min(first + _WARM, mark)])
        done = mark
        taken.append(in_use() - base)
    last = (taken[-1] - taken[-2]) / (marks[-1] - marks[-2])
    names = {"frame": row.frame, "name": row.name, "request": "read"}
    each = max(part / count for part, count in zip(taken, REMEMBERED, strict=False))
    figures = {"each": round(each), "each_later": round(last, 1), "all": taken[-1]}
    return {"part": "footprint", "store": "memcached", **names, **figures, "sessions": marks[-1]}


def measure(url: str, marks: Sequence[int]) -> list[dict[str, Any]]:
    """Both colours, in a fresh process; nothing where the allocator cannot be asked."""
    if not hasattr(ctypes.CDLL(None), "mallinfo2"):
        sys.stderr.write("left out: the memory of a web node: there is no mallinfo2 here (glibc 2.33)\n")
        return []
    command = [sys.executable, "-m", "benchmarks.footprint", url, *map(str, marks)]
    env = {**os.environ, "PYTHONMALLOC": "malloc"}
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, check=True)  # noqa: S603  (ourselves)
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def main(url: str, marks: Sequence[int]) -> None:
    """Prints the records."""
    with asyncio.Runner() as runner:
        drivers = {"wsgi": Wsgi(), "asgi": Asgi(runner)}
        json.dump([of_colour(colour, driver, url, marks) for colour, driver in drivers.items()], sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], [int(mark) for mark in sys.argv[2:]])
