"""The benchmarks run: a tiny run of each part gives records of the promised shape. No assertion on a time.

Peers need not be installed: who cannot be built is left out by the run itself, and named.
"""

import xml.etree.ElementTree as ET
from functools import cache
from typing import Any

import pytest

from benchmarks import docs, goals, part, report, svg
from tests.support.binaries import MissingServerError, binary

REQUESTS = {"new", "read + slide", "read", "untouched", "write"}
JOBS = [
    ("wsgi", "memcached"),
    ("asgi", "memcached"),
    ("http", "memcached"),
    ("own", "memcached"),
    ("wire", "memcached"),
    ("memory", "memcached"),
    ("scale", "bytes"),
    ("scale", "processes"),
]


@pytest.fixture(autouse=True)
def _memcached() -> None:
    try:
        binary("memcached")
    except MissingServerError as missing:
        pytest.skip(str(missing))


@cache
def measured(job: str, store: str) -> list[dict[str, Any]]:
    """A tiny run, once for all tests of a process."""
    return part.in_own_process(job, store, "tiny", ("WSGI: ", "ASGI: "))


@pytest.mark.parametrize(("job", "store"), JOBS, ids=[" on ".join(job) for job in JOBS])
def test_a_part_gives_records(job: str, store: str):
    """Each part runs, ours is in it, and its records make at least one table."""
    records = measured(job, store)
    assert any(str(record.get("name", "sharedsession")).startswith(("sharedsession", "get")) for record in records)
    assert report.titled(records)


def test_a_race_says_what_a_session_adds():
    """Every request has a median and quartiles for ours and for the floor, counted from the bare application."""
    records = measured("wsgi", "memcached")
    for name in ("sharedsession", "floor"):
        mine = [record for record in records if record["name"] == name and record["crowd"] == 1]
        assert {record["request"] for record in mine} == REQUESTS
        assert all(len(record["added_cpu"]) == 3 for record in mine)


def test_round_trips_are_the_promised_ones():
    """Counting is exact even in a tiny run: an untouched session asks nothing, reading one thing, writing two."""
    records = [r for r in measured("wire", "memcached") if r["name"] == "sharedsession" and r["colour"] == "wsgi"]
    trips = {record["request"]: record["round_trips"] for record in records}
    assert trips == {"new": 1, "read + slide": 1, "read": 1, "untouched": 0, "write": 2}


def test_no_update_is_lost_behind_a_server():
    """All that 50 connections wrote is there."""
    (record,) = [each for each in measured("http", "memcached") if each["name"] == "sharedsession"]
    assert record["lost"] == 0


def test_the_promises_are_checked():
    """The records of a run answer the promises, each with a value and a limit."""
    records = [record for job in JOBS for record in measured(*job)]
    assert len(goals.goals(records)) >= 8
    assert "| promise |" in report.goals_table(records)


def test_plots_are_drawings():
    """Each plot is well-formed."""
    records = measured("wsgi", "memcached") + measured("scale", "bytes") + measured("scale", "processes")
    plots = docs.plots(records)
    assert set(plots) == {"wsgi-memcached", "scale-bytes", "scale-processes"}
    for drawing in (*plots.values(), svg.lines("a < b", "x", {"one": [(1, 1.0)]})):
        assert ET.fromstring(drawing).tag.endswith("svg")
