"""What this project promises of its speed, checked against the records of one run. Arithmetic only.

All are ratios within one run, so that they hold on another machine: against a peer, the floors, the bare request, one
node. What is compared is the CPU that a session adds, unless a goal says something else.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from benchmarks.contenders import FLOOR, HOUSE, OURS, OWNED, STRAIGHT, TABLE
from benchmarks.deeds import SMALL

Record = dict[str, Any]
GENERIC = {"wsgi": "WSGI", "asgi": "ASGI"}
STORES = {"memcached": "memcached", "redis": "Redis", "valkey": "Valkey"}
DEARER, PASSED_BY = 0.9, 1.0  # of what a peer adds
_LEAST = 1.0  # microseconds: below that a figure is noise, and no divisor


class Goal(NamedTuple):
    """One line of the promise.

    Attributes:
        text: what was measured, as the subject of a sentence.
        value: what was found.
        limit: what was wanted.
        at_least: whether more is better.
        unit: behind the numbers.
        note: in which case, or what another measure says.
    """

    text: str
    value: float
    limit: float
    at_least: bool = False
    unit: str = ""
    note: str = ""

    @property
    def is_met(self) -> bool:
        """Whether the measured value is enough."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    @property
    def shown(self) -> str:
        """The value, and what goes with it."""
        return f"{self.value:.2f}{self.unit}" + (f" ({self.note})" if self.note else "")

    @property
    def wanted(self) -> str:
        """The limit."""
        return ("at least " if self.at_least else "at most ") + f"{self.limit:g}{self.unit}"


class Duel(NamedTuple):
    """Ours against one peer at one request, on the same store, with the same payload.

    Attributes:
        part: ``wsgi`` or ``asgi``.
        store: of both.
        frame: of the peer; ours is in the same, or in plain WSGI or ASGI where we have none of our own.
        peer: its name.
        request: which.
        payload: of both.
        ours: microseconds of CPU that ours adds.
        theirs: the same of the peer.
    """

    part: str
    store: str
    frame: str
    peer: str
    request: str
    payload: str
    ours: float
    theirs: float

    @property
    def ratio(self) -> float:
        """Ours over theirs."""
        return max(self.ours, 0.0) / max(self.theirs, _LEAST)

    @property
    def limit(self) -> float:
        """What it may be."""
        return PASSED_BY if self.request == "untouched" else DEARER

    @property
    def is_won(self) -> bool:
        """Whether it is that."""
        return self.ratio <= self.limit


def goals(records: Sequence[Record]) -> list[Goal]:
    """All lines that the records say something of."""
    makers = (_peers, _crowd, _straight, _uvicorn, _links, _floor, _copies, _network, _principal, _memory)
    return [goal for maker in makers for goal in maker(records)]


def duels(records: Sequence[Record]) -> list[Duel]:
    """Ours against each peer at each request, one visitor at a time."""
    races = [record for record in records if record["part"] in GENERIC and record.get("crowd") == 1]
    found = []
    for peer in races:
        rival = None if peer["name"] in HOUSE else _rival(races, peer)
        if rival:
            case = (peer["part"], peer["store"], peer["frame"], peer["name"], peer["request"], peer["payload"])
            found.append(Duel(*case, rival["added_cpu"][0], peer["added_cpu"][0]))
    return found


def _rival(races: Sequence[Record], peer: Record) -> Record | None:
    """Whom of ours a peer is compared with: the one that works like it, as near to its framework as we are."""
    rows = [row for row in TABLE[peer["part"]] if (row.frame, row.name) == (peer["frame"], peer["name"])]
    name = rows[0].rival if rows else OURS
    same = {key: peer[key] for key in ("part", "store", "payload", "request", "crowd")}
    own = _where(races, **same, frame=peer["frame"], name=name)
    return next(iter(own or _where(races, **same, frame=GENERIC[peer["part"]], name=name)), None)


def _where(records: Sequence[Record], **wanted: Any) -> list[Record]:
    return [record for record in records if all(record.get(key) == value for key, value in wanted.items())]


def _peers(records: Sequence[Record]) -> Iterator[Goal]:
    """The closest duel with each peer; one that is passed by has a limit of its own."""
    cases: dict[tuple[str, ...], list[Duel]] = {}
    for duel in duels(records):
        untouched = duel.request == "untouched"
        cases.setdefault((duel.part, duel.frame, duel.store, duel.peer, str(untouched)), []).append(duel)
    for (part, frame, store, peer, untouched), mine in cases.items():
        worst = max(mine, key=lambda duel: duel.ratio)
        colour = " (ASGI)" if part == "asgi" and frame == "Django" else ""
        what = "untouched session" if untouched == "True" else "worst request"
        text = f"{frame}{colour} on {STORES[store]}, {what} against {peer}"
        note = worst.payload if untouched == "True" else f"{worst.request}, {worst.payload}"
        yield Goal(text, worst.ratio, worst.limit, unit="x", note=note)


def _crowd(records: Sequence[Record]) -> Iterator[Goal]:
    races = [r for r in records if r["part"] == "asgi" and r.get("crowd", 1) > 1 and r["request"] == "read"]
    for store in sorted({record["store"] for record in races}):
        mine = [record for record in races if record["store"] == store]
        peers = [record for record in mine if record["name"] not in HOUSE]
        ours = _where(mine, frame="Starlette", name=OURS) or _where(mine, frame="FastAPI", name=OURS)
        if peers and ours:
            best = min(peers, key=lambda record: record["added_cpu"][0])
            ratio = best["added_cpu"][0] / max(ours[0]["added_cpu"][0], _LEAST)
            text = f"64 ASGI reads at a time on {STORES[store]}: what the best peer adds, over what ours adds"
            limit, note = 1.0 if store == "memcached" else 3.0, f"{best['frame']}: {best['name']}"
            yield Goal(text, ratio, limit, at_least=True, unit="x", note=note)


def _straight(records: Sequence[Record]) -> Iterator[Goal]:
    yield from _over(records, "asgi", STRAIGHT, {"read": 1.6, "write": 2.0})


def _floor(records: Sequence[Record]) -> Iterator[Goal]:
    yield from _over(records, "wsgi", FLOOR, {"read": 2.0, "write": 1.7})


def _over(records: Sequence[Record], part: str, base: str, limits: dict[str, float]) -> Iterator[Goal]:
    """Ours on the plain server interface, over a floor."""
    frame = GENERIC[part]
    for store in ("memcached", "redis"):
        for request, limit in limits.items():
            case = {"part": part, "store": store, "frame": frame, "payload": SMALL, "request": request, "crowd": 1}
            ours, under = _where(records, **case, name=OURS), _where(records, **case, name=base)
            if ours and under:
                ratio = ours[0]["added_cpu"][0] / max(under[0]["added_cpu"][0], _LEAST)
                name = "raw floor" if base == FLOOR else base
                note = _instructions(records, part, store, base, request)
                yield Goal(
                    f"{frame} on {STORES[store]}: a {request}, over the {name}", ratio, limit, unit="x", note=note
                )


def _instructions(records: Sequence[Record], part: str, store: str, base: str, request: str) -> str:
    """The same ratio in instructions, if they were counted."""
    counts = {record["name"]: record["count"] for record in _where(records, part="instructions")}
    where = f"{part} redis" if store == "redis" else part
    names = f"{where} {request}", f"{where} {'floor' if base == FLOOR else 'straight'} {request}"
    bare = counts.get(f"{part} bare {request}")
    if bare is None or not all(name in counts for name in names):
        return ""
    ours, under = (counts[name] - bare for name in names)
    return f"{ours / under:.2f}x in instructions, 1 KB"


def _uvicorn(records: Sequence[Record]) -> Iterator[Goal]:
    for record in _where(records, part="http", frame="ASGI", name=OURS):
        request, limit = record["request"], {"read": 1.0, "write": 1.8}[record["request"]]
        where = f"uvicorn, 50 connections, {STORES[record['store']]}"
        yield Goal(f"{where}: what a {request} adds, over the bare request", record["x_bare"], limit, unit="x")


def _links(records: Sequence[Record]) -> Iterator[Goal]:
    cpu = {(r["store"], r["name"]): r["cpu"][0] for r in _where(records, part="verbs") if r["name"].endswith("ours")}
    for (store, name), value in cpu.items():
        if store == "memcached" and ("redis", name) in cpu:
            text = f"memcached's links over those of Redis: {name.removesuffix(', ours')}"
            yield Goal(text, value / cpu["redis", name], 1.15, unit="x")


def _copies(records: Sequence[Record]) -> Iterator[Goal]:
    for record, one in _pairs(records, "replicas"):
        many = f", {record['crowd']} at a time" if record["crowd"] > 1 else ""
        text = f"two copies over one node, {record['frame']}{many}: a {record['request']}"
        yield Goal(text, record["added_cpu"][0] / max(one["added_cpu"][0], _LEAST), 1.5, unit="x")


def _network(records: Sequence[Record]) -> Iterator[Goal]:
    for record, one in _pairs(records, "network"):
        limit = 1.5 if record["request"] == "write" else 1.1
        text = f"two copies over one node, 1 ms away, {record['frame']}: the median wait of a {record['request']}"
        yield Goal(text, record["wall"][0] / one["wall"][0], limit, unit="x")


def _pairs(records: Sequence[Record], curve: str) -> Iterator[tuple[Record, Record]]:
    """Two copies, and one."""
    for record in _where(records, part="scale", curve=curve, x=2):
        case = {key: record[key] for key in ("frame", "request", "crowd")}
        for one in _where(records, part="scale", curve=curve, x=1, **case):
            if record["request"] in {"read", "write"}:
                yield record, one


def _principal(records: Sequence[Record]) -> Iterator[Goal]:
    for part, frame in GENERIC.items():
        for store in ("memcached", "redis"):
            case = {"part": part, "store": store, "frame": frame, "payload": SMALL, "request": "read", "crowd": 1}
            owned, ours = _where(records, **case, name=OWNED), _where(records, **case, name=OURS)
            if owned and ours:
                ratio = owned[0]["added_cpu"][0] / max(ours[0]["added_cpu"][0], _LEAST)
                text = f"{frame} on {STORES[store]}: a read of a session with a principal, over one without"
                yield Goal(text, ratio, 1.15, unit="x", note=_counted_principal(records, part))


def _counted_principal(records: Sequence[Record], part: str) -> str:
    counts = {record["name"]: record["count"] for record in _where(records, part="instructions")}
    names = [f"{part} principal read", f"{part} read", f"{part} bare read"]
    if not all(name in counts for name in names):
        return ""
    owned, plain, bare = (counts[name] for name in names)
    return f"{(owned - bare) / (plain - bare):.2f}x in instructions"


def _memory(records: Sequence[Record]) -> Iterator[Goal]:
    for record in _where(records, part="footprint"):
        yield Goal(f"{record['frame']}: memory of a remembered session", record["each"] / 1000, 3, unit=" KB")
        text = f"{record['frame']}: memory of one more session, once more have come than are remembered"
        yield Goal(
            text, max(0.0, record["each_later"]) / 1000, 0.01, unit=" KB", note=f"{record['sessions']:,} sessions"
        )
