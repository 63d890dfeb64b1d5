"""A trace in words: who sent what to which node, what came back, and what went wrong on the way. One line a step."""

from __future__ import annotations

from tests.model.explorer import Explorer, Found, State, Step
from tests.model.nodes import Message
from tests.model.world import Farm

_ENDINGS = {
    "twice": ", and a second time later",
    "reply lost": ", but the reply is lost",
    "too late": "; that is late, and it waits in vain",
    "lost": "; that is lost, and it waits in vain",
    "broken": "; the connection is broken, since the node was restarted",
}
_MODES = {b"ME": "add", b"MR": "replace", b"MS": "set"}


def told(explorer: Explorer, found: Found) -> str:
    """Returns what was found, with the trace."""
    case = explorer.case
    lines = [f"{case.name}: {found.violation or 'nothing is violated'}"]
    lines += [f"{number:3}. {_line(explorer, *each)}" for number, each in enumerate(found.trace, 1)]
    return "\n".join(lines)


def _line(explorer: Explorer, before: State, step: Step, after: State) -> str:
    kind, actor, what = step
    if kind == "restart":
        return f"node {what + 1} is restarted, and is empty"
    if kind == "evict":
        return f"node {what[0] + 1} drops {_key(explorer.case.farm, what[1])}"
    if kind == "time":
        return f"{what:g} s have passed since the beginning"
    farm = explorer.case.farm
    if kind == "late":
        message = explorer.late[what]
        sent = f"late: {_request(farm, message)}"
    else:
        position = explorer.positions.known[before[1][actor]]
        message = next(each for each in position.waiting if each.path == what)
        name = list(explorer.case.actors)[actor]
        if message.asks_facts:
            return f"{name} begins"
        sent = f"{name}: {_request(farm, message)}"
    reply = ""
    if kind not in {"too late", "lost", "broken"}:
        _, answer = farm.nodes.execute(before[0][message.node], message.data, explorer.times[before[3]])
        reply = f" -> {_reply(farm, message, answer.data or b'')}"
    new = explorer.facts(after[1]) - explorer.facts(before[1])
    ending = "".join([f" [{fact}]" for fact in sorted(new)])
    return f"{sent}{reply}{_ENDINGS.get(kind, '')}{ending}"


def _request(farm: Farm, message: Message) -> str:
    said, rest = [], message.data
    while rest:
        line, _, rest = rest.partition(b"\r\n")
        verb, *words = line.split(b" ")
        if verb == b"ms":
            value, rest = rest[: int(words[1])], rest[int(words[1]) + 2 :]
            said.append(f"{_write(words[2:])} {_key(farm, words[0])} {_value(farm, words[0], value)}")
        elif verb == b"mg":
            renewed = " and renew" if any(word[:1] == b"T" for word in words[1:]) else ""
            said.append(f"get{renewed} {_key(farm, words[0])}")
        else:
            said.append("ping" if verb == b"mn" else line.decode())
    return f"node {message.node + 1}: {', '.join(said)}"


def _write(flags: list[bytes]) -> str:
    tombstone = b"F1" in flags
    token = next((flag[1:].decode() for flag in flags if flag[:1] == b"C"), None)
    mode = next((_MODES[flag] for flag in flags if flag in _MODES), "set" if token is None else f"swap #{token} of")
    return f"{mode} (tombstone)" if tombstone else mode


def _reply(farm: Farm, message: Message, data: bytes) -> str:
    said, rest = [], data
    keys = [line.split(b" ")[1] for line in message.data.split(b"\r\n") if line[:3] in {b"mg ", b"ms "}]
    while rest:
        line, _, rest = rest.partition(b"\r\n")
        status, *words = line.split(b" ")
        key = keys.pop(0) if keys else b""
        token = next((f" #{word[1:].decode()}" for word in words if word[:1] == b"c" and word != b"c0"), "")
        if status == b"VA":
            value, rest = rest[: int(words[0])], rest[int(words[0]) + 2 :]
            said.append(f"{_value(farm, key, value)}{token}")
        else:
            words_of = {b"HD": "done", b"EN": "nothing", b"NS": "taken", b"EX": "changed since", b"NF": "nothing there"}
            said.append(words_of.get(status, line.decode()) + token)
    return ", ".join(said)


def _key(farm: Farm, key: bytes) -> str:
    return farm.names.setdefault(key.decode(), f"record {len(farm.names) + 1}")


def _value(farm: Farm, key: bytes, value: bytes) -> str:
    return farm.described(key.decode(), value)
