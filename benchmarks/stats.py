"""Arithmetic on what the rounds measured: medians, quartiles, what a session adds to its framework. No I/O."""

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.contenders import BARE, FLOOR

Record = dict[str, Any]
_KEYS = ("part", "store", "frame", "name", "payload", "request", "crowd")


def spread(values: Sequence[float]) -> list[float]:
    """The median and both quartiles."""
    if len(values) < 2:
        return [round(value, 2) for value in (*values, *values, *values)][:3]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return [round(middle, 2), round(low, 2), round(high, 2)]


def percentile(values: Sequence[float], share: float) -> float:
    """The value that so many are not above."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1)


def summarised(records: Iterable[Record]) -> list[Record]:
    """Each record with medians and quartiles in the place of rounds, and what the session added, round by round."""
    records = list(records)
    bare = {_case(record): record for record in records if record["name"] == BARE}
    floors = {(record["request"], record["crowd"], record["payload"]): record for record in _floors(records)}
    return [_summary(record, bare, floors) for record in records]


def _case(record: Record) -> tuple[Any, ...]:
    return tuple(record[key] for key in ("frame", "payload", "request", "crowd"))


def _floors(records: Sequence[Record]) -> list[Record]:
    return [record for record in records if record["name"] == FLOOR]


def _summary(record: Record, bare: dict[Any, Record], floors: dict[Any, Record]) -> Record:
    out = {key: record[key] for key in _KEYS if key in record}
    out |= {"cpu": spread(record["cpu"]), "wall": spread(record["wall"])}
    out |= {"p50": percentile(record["waits"], 0.5), "p99": percentile(record["waits"], 0.99)}
    own = bare.get(_case(record))
    if own is None or record["name"] == BARE:
        return out
    for what in ("cpu", "wall"):
        out[f"added_{what}"] = spread(added(record, own, what))
    floor = floors.get((record["request"], record["crowd"], record["payload"]))
    floor_bare = bare.get(_case(floor)) if floor else None
    if floor and floor_bare and record["request"] != "untouched":
        base = statistics.median(added(floor, floor_bare, "cpu"))
        out["to_floor"] = round(statistics.median(added(record, own, "cpu")) / max(base, 0.1), 2)
    return out


def added(record: Record, own: Record, what: str) -> list[float]:
    """What a session added in each round."""
    return [mine - theirs for mine, theirs in zip(record[what], own[what], strict=True)]
