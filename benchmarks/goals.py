"""What this project promises of its speed, checked against the records of one run. Arithmetic only."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from benchmarks.contenders import HOUSE, LAZY, OURS

Record = dict[str, Any]
GENERIC = {"wsgi": "WSGI", "asgi": "ASGI"}


class Goal(NamedTuple):
    """One line of the promise."""

    text: str
    value: float
    limit: float
    at_least: bool = False
    note: str = ""

    @property
    def is_met(self) -> bool:
        """Whether the measured value is enough."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    @property
    def shown(self) -> str:
        """The value, and what it was measured against."""
        return f"{self.value:.3g}" + (f" ({self.note})" if self.note else "")

    @property
    def wanted(self) -> str:
        """The limit."""
        return ("≥ " if self.at_least else "≤ ") + f"{self.limit:g}"


def goals(records: Sequence[Record]) -> list[Goal]:
    """All lines that the records say something of."""
    makers = (_http, _sync, _own, _peers, _crowd, _floor, _replicas, _flat, _lookup)
    return [goal for maker in makers for goal in maker(records)]


def _where(records: Sequence[Record], **wanted: Any) -> list[Record]:
    return [record for record in records if all(record.get(key) == value for key, value in wanted.items())]


def _http(records: Sequence[Record]) -> Iterator[Goal]:
    for record in _where(records, part="http", frame="ASGI", name=OURS):
        yield Goal(f"uvicorn, {record['store']}: CPU of the session, us", record["added_cpu"][0], 40)
        yield Goal(f"uvicorn, {record['store']}: throughput x no session", record["throughput"], 0.7, at_least=True)


def _sync(records: Sequence[Record]) -> Iterator[Goal]:
    for record in _where(records, part="wsgi", store="memcached", frame="WSGI", name=OURS, request="write", crowd=1):
        if record["payload"] == "3 keys":
            yield Goal("WSGI, memcached: read + touch and save together, us", record["added_cpu"][0], 60)


def _own(records: Sequence[Record]) -> Iterator[Goal]:
    codec = _where(records, part="own", name="codec")
    for record in _where(records, part="own", name=OURS, request="write"):
        value = record["added_cpu"][0] - codec[0]["cpu"][0]
        yield Goal(f"{record['frame']}: what isn't I/O nor codec, read and save, us", value, 25)


def _peers(records: Sequence[Record]) -> Iterator[Goal]:
    """The closest race for each peer: ours against it, as near to its framework as we are."""
    races = [record for record in records if record["part"] in GENERIC and record.get("crowd") == 1]
    peers = {(r["part"], r["store"], r["frame"], r["name"]) for r in races if r["name"] not in HOUSE}
    for part, store, frame, name in sorted(peers):
        theirs = _where(races, part=part, store=store, frame=frame, name=name)
        ratios = [(_against(races, record), f"{record['request']}, {record['payload']}") for record in theirs]
        value, note = max(ratios)
        yield Goal(f"{part.upper()}, {store}: our worst request against {name}", value, 1, note=note)


def _against(races: Sequence[Record], peer: Record) -> float:
    same = {key: peer[key] for key in ("part", "store", "payload", "request", "crowd")}
    lazy = _where(races, **same, frame=peer["frame"], name=LAZY)  # where the peer is loaded by the view as well
    ours = lazy or _where(races, **same, frame=peer["frame"], name=OURS)
    ours = ours or _where(races, **same, frame=GENERIC[peer["part"]], name=OURS)
    return float(ours[0]["added_cpu"][0] / max(peer["added_cpu"][0], 1.0))


def _crowd(records: Sequence[Record]) -> Iterator[Goal]:
    races = [r for r in records if r["part"] == "asgi" and r.get("crowd", 1) > 1 and r["request"] == "read"]
    for store in sorted({record["store"] for record in races}):
        mine = [record for record in races if record["store"] == store]
        peers = [record for record in mine if record["name"] not in HOUSE]
        ours = _where(mine, frame="Starlette", name=OURS) or _where(mine, frame="FastAPI", name=OURS)
        if peers and ours:
            best = min(peers, key=lambda record: record["added_cpu"][0])
            ratio = best["added_cpu"][0] / max(ours[0]["added_cpu"][0], 1.0)
            yield Goal(f"64 ASGI reads, {store}: x the best peer", ratio, 3, at_least=True, note=best["name"])


def _floor(records: Sequence[Record]) -> Iterator[Goal]:
    cpu = {(r["store"], r["name"]): r["cpu"][0] for r in _where(records, part="verbs")}
    for (store, name), value in cpu.items():
        if name.endswith("ours"):
            ratio = value / cpu[store, name.replace("ours", "by hand")]
            yield Goal(f"{store}: {name[:-6]} x by hand", ratio, 1.0 if "tasks" in name else 1.5)


def _replicas(records: Sequence[Record]) -> Iterator[Goal]:
    for record in _where(records, part="scale", curve="replicas", x=2):
        case = {key: record[key] for key in ("frame", "request", "crowd")}
        ones = _where(records, part="scale", curve="replicas", x=1, **case)
        if not ones or record["request"] == "new":
            continue
        name = f"two copies, {record['frame']}, {record['crowd']} at a time, {record['request']}"
        yield Goal(f"{name}: CPU x one", record["cpu"][0] / ones[0]["cpu"][0], 1.6)
        yield Goal(f"{name}: median latency x one", record["wall"][0] / ones[0]["wall"][0], 1.15)


def _flat(records: Sequence[Record]) -> Iterator[Goal]:
    points = _where(records, part="scale", curve="sessions")
    for store in dict.fromkeys(point["store"] for point in points):
        for request in ("read", "write"):
            cpu = [point["cpu"][0] for point in _where(points, store=store, request=request)]
            middle = (max(cpu) + min(cpu)) / 2
            counts = [point["x"] for point in points]
            note = f"{min(counts):,} to {max(counts):,}"
            yield Goal(f"{store}: {request}, ± of CPU over sessions", (max(cpu) - middle) / middle, 0.1, note=note)


def _lookup(records: Sequence[Record]) -> Iterator[Goal]:
    for record in _where(records, part="scale", curve="lookup"):
        if record["x"] == 100:
            yield Goal("ring lookup at 100 nodes, us", record["cpu"][0], 4)
