"""Records -> tables of Markdown, which eyes can read too. No measuring here."""

from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import instructions
from benchmarks.contenders import BARE
from benchmarks.deeds import REQUESTS
from benchmarks.goals import STORES, Duel, Goal, duels, goals

Record = dict[str, Any]
NAMES = [request.name for request in REQUESTS]


def tables(records: Sequence[Record]) -> str:
    """All tables that these records give."""
    return "\n\n".join(f"{title}\n\n{text}" for title, text in titled(records).items())


def titled(records: Sequence[Record]) -> dict[str, str]:
    """Title -> table."""
    makers = {"wsgi": _races, "asgi": _races, "http": _http, "trips": _trips, "memory": _memory}
    makers |= {"own": _own, "verbs": _verbs, "scale": _scale}
    makers |= {"footprint": _footprint, "instructions": _counted, "counted": _raced}
    found: dict[str, str] = {}
    for part, maker in makers.items():
        mine = [record for record in records if record["part"] == part]
        if mine:
            found |= maker(mine)
    return found


def markdown(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table; the first column is text, the others are numbers."""
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def goals_table(records: Sequence[Record]) -> str:
    """What was promised, what was measured, and whether that is enough."""
    rows = [(goal.text, goal.shown, goal.wanted, "yes" if goal.is_met else "**no**") for goal in goals(records)]
    return markdown(("goal", "measured", "wanted", "met"), rows)


def goals_in_words(records: Sequence[Record]) -> str:
    """The same as two lists: what is met, and what is missed."""
    found = goals(records)
    lists = {"Met": [goal for goal in found if goal.is_met], "Missed": [goal for goal in found if not goal.is_met]}
    parts = [f"Of {len(found)} goals this run met {len(lists['Met'])} and missed {len(lists['Missed'])}."]
    for title, mine in lists.items():
        parts.append("\n".join([f"**{title}**\n", *map(_in_words, mine or [])]) if mine else f"**{title}**: none.")
    return "\n\n".join(parts)


def _in_words(goal: Goal) -> str:
    return f"- {goal.text[0].upper()}{goal.text[1:]}: {goal.shown}; wanted: {goal.wanted}."


def comparison(records: Sequence[Record]) -> str:
    """Ours against each peer: one sentence on all, one on where ours costs more, and a table."""
    found = duels(records)
    if not found:
        return "No peer was measured."
    cheaper = sum(duel.ratio < 1 for duel in found)
    dearer = sorted((duel for duel in found if duel.ratio > 1), key=lambda duel: -duel.ratio)
    text = f"Each peer met ours at five requests, on the same store with the same data: {len(found)} comparisons. "
    text += f"Ours adds less CPU than the peer in {cheaper} of them."
    if dearer:
        worst = "; ".join(dict.fromkeys(map(_duel_in_words, dearer[:5])))
        text += f" It adds more in {len(dearer)}; farthest behind: {worst}."
    rows = [(label, *(_cell(mine, request) for request in NAMES)) for label, mine in _matches(found).items()]
    head = ("ours, as a multiple of what the peer adds", *NAMES)
    return f"{text}\n\n{markdown(head, rows)}"


def _duel_in_words(duel: Duel) -> str:
    where = f"{duel.request} on {duel.frame} with {STORES[duel.store]}"
    return f"{where}, {duel.ours:.0f} us against {duel.theirs:.0f} us of {duel.peer}"


def _matches(found: Sequence[Duel]) -> dict[str, list[Duel]]:
    """By peer and store; of two payloads the one where ours is farther behind."""
    matches: dict[str, list[Duel]] = {}
    for duel in found:
        colour = " (ASGI)" if duel.part == "asgi" and duel.frame == "Django" else ""
        matches.setdefault(f"{duel.frame}{colour}, {STORES[duel.store]}: {duel.peer}", []).append(duel)
    return matches


def _cell(match: Sequence[Duel], request: str) -> str:
    mine = [duel for duel in match if duel.request == request]
    if not mine:
        return ""
    worst = max(mine, key=lambda duel: duel.ratio)
    return f"{worst.ratio:.2f}" if worst.is_won else f"**{worst.ratio:.2f}**"


def _grouped(records: Sequence[Record], *keys: str) -> dict[tuple[Any, ...], list[Record]]:
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        groups.setdefault(tuple(record[key] for key in keys), []).append(record)
    return groups


def _by_request(records: Sequence[Record], cell: Callable[[Record], str]) -> str:
    rows = []
    for (frame, name), mine in _grouped(records, "frame", "name").items():
        cells = {record["request"]: cell(record) for record in mine}
        rows.append([f"{frame}: {name}", *(cells.get(request, "") for request in NAMES)])
    return markdown(["", *NAMES], rows)


def _races(records: Sequence[Record]) -> dict[str, str]:
    found = {}
    for (part, store, payload, crowd), mine in _grouped(records, "part", "store", "payload", "crowd").items():
        where = f"{part.upper()} on {store}, {payload}, {crowd} at a time"
        found[f"{where}: CPU that a session adds, us (± half the quartile range; x the floor)"] = _by_request(
            mine, _cpu
        )
        if crowd > 1:
            found[f"{where}: waiting time p50 / p99, us"] = _by_request(mine, _waits)
    return found


def _cpu(record: Record) -> str:
    if "added_cpu" not in record:
        return f"[{record['cpu'][0]:.0f}]"
    ratio = f" ({record['to_floor']:.1f}x)" if "to_floor" in record else ""
    return f"{record['added_cpu'][0]:.0f} ±{(record['added_cpu'][2] - record['added_cpu'][1]) / 2:.0f}{ratio}"


def _waits(record: Record) -> str:
    return f"{record['p50']:.0f} / {record['p99']:.0f}"


def _http(records: Sequence[Record]) -> dict[str, str]:
    found = {}
    for store, request in _grouped(records, "store", "request"):
        rows = []
        for record in [each for each in records if (each["store"], each["request"]) == (store, request)]:
            added = f"{record['added_cpu'][0]:.0f}" if "added_cpu" in record else f"[{record['cpu'][0]:.0f}]"
            share = f"{record['x_bare']:.2f}" if "x_bare" in record else ""
            p50, p99 = record["p50"][0] / 1000, record["p99"][0] / 1000
            rate, kept = f"{record['rate'][0]:.0f}", f"{record.get('throughput', 1):.2f}"
            label = f"{record['frame']}: {record['name']}"
            rows.append((label, added, share, rate, kept, f"{p50:.1f} / {p99:.1f}", record.get("lost", "")))
        head = ("", "session CPU, us", "x bare request", "requests/s", "x no session", "p50 / p99, ms", "updates lost")
        what = "load and save 1 KB" if request == "write" else "read 1 KB"
        found[f"uvicorn, 50 connections, {what}, on {store}"] = markdown(head, rows)
    return found


def _trips(records: Sequence[Record]) -> dict[str, str]:
    found = {}
    for (colour, store), mine in _grouped(records, "colour", "store").items():
        title = f"{colour.upper()} on {store}: round trips (bytes up + down)"
        found[title] = _by_request(
            mine, lambda r: f"{r['round_trips']:g} ({r['bytes_up']:.0f} + {r['bytes_down']:.0f})"
        )
    return found


def _memory(records: Sequence[Record]) -> dict[str, str]:
    rows = []
    for (store, frame, name), mine in _grouped(records, "store", "frame", "name").items():
        cells = {record["payload"]: f"{record['bytes_10k'] / 1e6:.1f}" for record in mine}
        rows.append((f"{store}, {frame}: {name}", *cells.values()))
    payloads = dict.fromkeys(record["payload"] for record in records)
    return {"Memory of 10,000 sessions in the server, MB": markdown(("", *payloads), rows)}


def _own(records: Sequence[Record]) -> dict[str, str]:
    races = [record for record in records if "frame" in record]
    (codec,) = [record for record in records if record["name"] == "codec"]
    title = f"What isn't I/O: CPU over a store without any, us (the codec's part of a write: {codec['cpu'][0]:.1f})"
    return {title: _by_request(races, _cpu)}


def _verbs(records: Sequence[Record]) -> dict[str, str]:
    found = {(record["store"], record["name"]): record["cpu"][0] for record in records}
    rows = []
    for (store, name), cpu in found.items():
        if name.endswith("ours"):
            by_hand = found[store, name.replace("ours", "by hand")]
            rows.append((f"{store}: {name[:-6]}", f"{by_hand:.1f}", f"{cpu:.1f}", f"{cpu / by_hand:.2f}"))
    return {"A verb of the backend against a raw socket: CPU, us": markdown(("", "by hand", "ours", "ratio"), rows)}


def _scale(records: Sequence[Record]) -> dict[str, str]:
    found = {}
    for (curve, store, frame, crowd), mine in _grouped(records, "curve", "store", "frame", "crowd").items():
        xs = sorted({record["x"] for record in mine})
        rows = []
        for (request,), points in _grouped(mine, "request").items():
            at = {point["x"]: point for point in points}
            cells = (f"{at[x]['cpu'][0]:.4g} / {at[x]['wall'][0]:.4g}" for x in xs)
            rows.append((request, *cells))
            if "rate" in points[0]:
                rows.append(("all together, requests/s", *(at[x]["rate"] for x in xs)))
                rows.append(("p99, ms", *(f"{at[x]['p99'] / 1000:.1f}" for x in xs)))
        title = f"Against {curve}, {store}, {frame}, {crowd} at a time: CPU / median wait of a request, us"
        found[title] = markdown(("", *(f"{x:,g}" for x in xs)), rows)
    return found


def _footprint(records: Sequence[Record]) -> dict[str, str]:
    rows = [
        (record["frame"], f"{record['each']:,}", f"{max(0.0, record['each_later']):.0f}", f"{record['all'] / 1e6:.2f}")
        for record in records
    ]
    title = f"What a web node remembers of {records[0]['sessions']:,} sessions that it read"
    head = ("", "bytes a remembered session", "bytes a further one, at the end", "all, MB")
    return {title: markdown(head, rows)}


def _counted(records: Sequence[Record]) -> dict[str, str]:
    counts = {record["name"]: record["count"] for record in records}
    return {
        "Instructions of a request, thousands (callgrind; 1 KB, one key changed)": markdown(
            ("", "all", "added", "x straight line"), instructions.rows(counts)
        )
    }


def _raced(records: Sequence[Record]) -> dict[str, str]:
    found = {}
    for (colour, store), mine in _grouped(records, "colour", "store").items():
        rows = []
        for (frame, name), cells in _grouped(mine, "frame", "name").items():
            if name != BARE:
                numbers = {cell["request"]: f"{cell['added'] / 1000:.0f}" for cell in cells}
                rows.append((f"{frame}: {name}", *(numbers.get(request, "") for request in instructions.RACED)))
        title = f"{colour.upper()} on {store}, 1 KB, one key changed: instructions that a session adds, thousands"
        found[title] = markdown(("", *instructions.RACED), rows)
    return found
