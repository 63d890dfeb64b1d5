"""What `ring` shows, as JSON-able facts: what the nodes say now, and what another list of nodes would change.

Nothing here prints, and no value of a record is ever part of what is returned.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, TypeVar
from urllib.parse import unquote

from sharedsession.backends.base import Ended, Stored
from sharedsession.backends.memcached import protocol
from sharedsession.backends.memcached.node import MemcachedServer
from sharedsession.backends.memcached.urls import NodeSpec, RingBackend, from_url, nodes_of
from sharedsession.backends.ring.hashring import HashRing
from sharedsession.backends.wire.blocking_client import BlockingLink
from sharedsession.backends.wire.protocol import INCOMPLETE, Desynchronised, Dialect
from sharedsession.concurrency.driver import run
from sharedsession.errors import BackendUnavailable, ConfigurationError
from sharedsession.farm.registry import KEY as REGISTER

T = TypeVar("T")
Facts = dict[str, Any]

PREFIX = "ss:"  # of the keys of sessions
SAMPLE = 20_000  # keys to try a change with
MOST_CHECKED = 10_000  # records that are looked at again, one by one, before they are reported
_WALK = 60.0  # seconds for one node to name all its keys
_PAUSE = 0.1  # before a node whose crawler is busy is asked again


@dataclass(frozen=True)
class Layout:
    """A ring as a URL describes it.

    Attributes:
        specs: the nodes.
        ring: where keys live.
        replicas: on how many nodes a record is kept.
    """

    specs: Sequence[NodeSpec]
    ring: HashRing
    replicas: int

    @classmethod
    def of(cls, url: str) -> "Layout":
        """Reads a URL, of one node as well.

        Raises:
            ConfigurationError: it is wrong, or not memcached's.
        """
        if not url:
            raise ConfigurationError("say which ring: --backend 'memcached://…', or SHAREDSESSION_BACKEND")
        if not url.lower().startswith(("memcached://", "memcacheds://")):
            raise ConfigurationError("only memcached:// has a ring: 'memcached://a=10.0.0.1:11211,b=10.0.0.2:11211'")
        backend, specs = from_url(url), nodes_of(url)
        if isinstance(backend, RingBackend):
            return cls(specs, backend.ring, backend.health()["replicas"])
        return cls(specs, HashRing([spec.place for spec in specs]), 1)

    def owners(self, key: str) -> tuple[int, ...]:
        """The nodes, as indices, that shall hold a key."""
        return self.ring.order(key)[: self.replicas]

    def facts(self) -> Facts:
        """What is known without asking a node."""
        return {"replicas": self.replicas, "layout": self.ring.layout, "fingerprint": self.ring.fingerprint()}


# -- what the nodes say


class Node:
    """One node, asked here and now; each answer is waited for as long as ``within`` says.

    Args:
        spec: of the node.
        within: seconds to wait for an answer.
    """

    def __init__(self, spec: NodeSpec, within: float) -> None:
        self._server = MemcachedServer(spec.address, within, name=spec.place.name)
        self._within = within

    def statistics(self) -> Facts:
        """State, items, uptime and evictions."""
        try:
            said = run(self._link.ask(protocol.STATISTICS, self._within)).reply
        except BackendUnavailable:
            return {"state": "down", "items": None, "uptime": None, "evictions": None}
        numbers = {name: _number(said, name) for name in ("curr_items", "uptime", "evictions")}
        return {"state": "up", "items": numbers.pop("curr_items"), **numbers}

    def holding(self, key: str) -> Facts:
        """What the node has under a key, and for how many seconds still; ``None``: for ever, or nothing."""
        try:
            found = run(self._server.verbs(self._link).get(key, None, self._within))
        except BackendUnavailable:
            return {"state": "down", "holds": None, "seconds": None}
        holds = {Stored: "record", Ended: "tombstone"}.get(type(found), "nothing")
        return {"state": "up", "holds": holds, "seconds": found.ttl if found else None}

    def keys(self) -> set[str] | None:
        """The keys of all sessions that it holds; ``None``: it cannot tell."""
        if self.statistics()["state"] == "down":
            return None  # found out in less time than a walk may take
        link = BlockingLink(Dialect(parser=_Walk), self._server.guard)
        until = time.monotonic() + _WALK
        try:
            said: set[str] | str = "BUSY"
            while said == "BUSY" and time.monotonic() < until:
                said = run(link.ask(b"lru_crawler metadump all\r\n", _WALK)).reply
                time.sleep(_PAUSE if said == "BUSY" else 0)
        except BackendUnavailable:
            return None
        finally:
            link.close()
        return said if isinstance(said, set) else None

    def close(self) -> None:
        """Closes its connections."""
        self._link.close()

    @cached_property
    def _link(self) -> BlockingLink:
        return self._server.blocking_link()


class _Walk:
    """Cuts the answer of the crawler: the set of session keys, or the first word of a refusal."""

    def __init__(self) -> None:
        self._rest = b""
        self._keys: set[str] = set()
        self._said: set[str] | str | None = None

    def feed(self, data: bytes) -> None:
        """Takes bytes as they come."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(line.decode("ascii", "replace").strip())

    def pop(self) -> object:
        """The answer, or `INCOMPLETE`."""
        if self._said is None:
            return INCOMPLETE
        said, self._said = self._said, None
        return said

    def _take(self, line: str) -> None:
        word = line.partition(" ")[0]
        if word.startswith("key="):
            key = unquote(word[4:])
            if key.startswith(PREFIX) and key != REGISTER:
                self._keys.add(key)
        elif word == "END":
            self._said, self._keys = self._keys, set()
        elif word.replace("_", "").isupper():
            self._said = word
        elif word:
            raise Desynchronised("not an answer of the crawler")


def _number(statistics: object, name: str) -> int | None:
    found = statistics.get(name.encode(), b"") if isinstance(statistics, dict) else b""
    return int(found) if found.isdigit() else None


def _ask_all(layout: Layout, within: float, question: Callable[[Node], T]) -> list[T]:
    """Asks all nodes side by side."""
    nodes = [Node(spec, within) for spec in layout.specs]
    try:
        with ThreadPoolExecutor(len(nodes)) as pool:
            return list(pool.map(question, nodes))
    finally:
        for node in nodes:
            node.close()


def nodes(layout: Layout, within: float) -> list[Facts]:
    """The nodes: what the ring makes of them, and what they say of themselves."""
    said = _ask_all(layout, within, Node.statistics)
    return [
        {
            "name": spec.place.name,
            "address": str(spec.address),
            "weight": spec.place.weight,
            "share": round(share, 4),
            **facts,
        }
        for spec, share, facts in zip(layout.specs, layout.ring.shares(), said, strict=True)
    ]


def holders(layout: Layout, key: str, within: float) -> list[Facts]:
    """Who shall hold a key, in the order in which it prefers the nodes, and who does."""
    said = _ask_all(layout, within, lambda node: node.holding(key))
    return [
        {"name": layout.specs[index].place.name, "owner": place < layout.replicas, **said[index]}
        for place, index in enumerate(layout.ring.order(key))
    ]


# -- copies


def survey(layout: Layout, within: float) -> Facts:
    """Counts the records by the number of owners that have a copy.

    The nodes are walked one after the other in time, while sessions come and go. So what seems to lack a copy is
    looked at again, if that is not too many; what has ended meanwhile is left out.
    """
    held = _ask_all(layout, within, Node.keys)
    silent = [spec.place.name for spec, keys in zip(layout.specs, held, strict=True) if keys is None]
    sets = [keys or set() for keys in held]
    copies = {key: sum(key in sets[node] for node in layout.owners(key)) for key in set().union(*sets)}
    suspects = [key for key, count in copies.items() if count < layout.replicas]
    counts = Counter(copies.values())
    if len(suspects) <= MOST_CHECKED:
        counts = Counter({layout.replicas: counts[layout.replicas]})
        counts.update(_looked_at(layout, suspects, within))
    return {
        "records": counts.total(),
        "copies": {count: counts[count] for count in range(layout.replicas, -1, -1)},
        "under_replicated": counts.total() - counts[layout.replicas],
        "checked_again": len(suspects) <= MOST_CHECKED,
        "not_walked": silent,
    }


def _looked_at(layout: Layout, keys: Sequence[str], within: float) -> list[int]:
    """The number of copies that owners have now, of each key that has not ended and is not gone."""
    found = _ask_all(layout, within, partial(_what_it_holds, keys=keys))
    live = [
        (key, holds) for key, *holds in zip(keys, *found, strict=True) if "record" in holds and "tombstone" not in holds
    ]
    return [sum(holds[node] == "record" for node in layout.owners(key)) for key, holds in live]


def _what_it_holds(node: Node, keys: Sequence[str]) -> list[str | None]:
    return [node.holding(key)["holds"] for key in keys]


# -- a change


def change(old: Layout, new: Layout) -> Facts:
    """What another list of nodes would move, tried with a sample of keys. Asks nobody."""
    before = {spec.place.name: spec for spec in old.specs}
    after = {spec.place.name: spec for spec in new.specs}
    kept = {name for name in before if name in after and before[name].address == after[name].address}
    counts: Counter[str] = Counter()
    for number in range(SAMPLE):
        key = f"{PREFIX}{number:043d}"
        had, gets = _names(old, key), _names(new, key)
        counts["first_owner"] += had[0] != gets[0]
        counts["new_owner"] += not kept.intersection(had).issuperset(gets)
        counts["no_common_owner"] += kept.isdisjoint(set(had) & set(gets))
        counts["lost"] += kept.isdisjoint(had)
    shared = before.keys() & after.keys()
    return {
        "added": sorted(after.keys() - before.keys()),
        "removed": sorted(before.keys() - after.keys()),
        "moved": sorted(shared - kept),
        "reweighted": sorted(name for name in shared if before[name].place.weight != after[name].place.weight),
        "ring_changes": new.facts() | {"fingerprint": ""} != old.facts() | {"fingerprint": ""},
        **{name: counts[name] / SAMPLE for name in ("first_owner", "new_owner", "no_common_owner", "lost")},
    }


def _names(layout: Layout, key: str) -> list[str]:
    return [layout.specs[node].place.name for node in layout.owners(key)]


def warnings(moves: Facts) -> list[str]:
    """What to think about before a change is made."""
    said = []
    nodes_at_a_time = max(len(moves["added"]), len(moves["removed"])) + len(moves["moved"]) + len(moves["reweighted"])
    if nodes_at_a_time > 1:
        said.append("more than one node changes: make one change at a time, and wait an idle timeout in between")
    if moves["ring_changes"]:
        said.append("layout or replicas change: that concerns all keys; make no other change with it")
    if moves["lost"]:
        said.append("sessions whose copies are all on nodes that go are lost")
    return said
