"""What `ring` shows, as JSON-able facts: what the nodes report now, and what another list of nodes would change.

Nothing here prints, and no value of a record is part of what is returned.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, TypeVar
from urllib.parse import unquote

from sharedsession.backends.base import Ended, Stored
from sharedsession.backends.memcached import protocol
from sharedsession.backends.memcached.node import MemcachedStore
from sharedsession.backends.memcached.server import MemcachedBackend, MemcachedServer
from sharedsession.backends.memcached.urls import NodeSpec, from_url, nodes_of
from sharedsession.backends.ring.backend import RingBackend
from sharedsession.backends.ring.hashring import HashRing, Place
from sharedsession.backends.wire.blocking_client import BlockingClient
from sharedsession.backends.wire.protocol import INCOMPLETE, Desynchronised, Request, WireProtocol
from sharedsession.concurrency import run
from sharedsession.environment import REAL
from sharedsession.errors import BackendUnavailable, ConfigurationError
from sharedsession.farm import KEY as REGISTRY_KEY

T = TypeVar("T")
Facts = dict[str, Any]

PREFIX = "ss:"  # of the keys of sessions
SAMPLE = 20_000  # keys to try a change with
MOST_CHECKED = 10_000  # records that are read a second time, one by one, before they are reported
_DUMP_LIMIT = 60.0  # seconds for one node to list all its keys
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
        """Reads the URL of a ring, or of one node.

        Raises:
            ConfigurationError: it is wrong, or not memcached's.
        """
        if not url:
            raise ConfigurationError("name the ring: --backend 'memcached://…', or SHAREDSESSION_BACKEND")
        if not url.lower().startswith(("memcached://", "memcacheds://")):
            raise ConfigurationError("only memcached:// has a ring: 'memcached://a=10.0.0.1:11211,b=10.0.0.2:11211'")
        backend, specs = from_url(url), nodes_of(url)
        if isinstance(backend, RingBackend):
            return cls(specs, backend.ring, backend.health()["replicas"])
        return cls(specs, HashRing([spec.place for spec in specs]), 1)

    @classmethod
    def of_backend(cls, backend: object) -> "Layout":
        """Reads the ring, or the one node, that an application has for its store.

        Raises:
            ConfigurationError: it is not memcached's.
        """
        if isinstance(backend, MemcachedBackend):
            place = Place(str(backend.server.guard.address), 1)
            return cls([NodeSpec(place, backend.server.guard.address)], HashRing([place]), 1)
        if not isinstance(backend, RingBackend):
            raise ConfigurationError("only memcached:// has a ring, and this application has another store")
        servers = [server for server in backend.servers if isinstance(server, MemcachedServer)]
        specs = [
            NodeSpec(place, server.guard.address) for place, server in zip(backend.ring.places, servers, strict=True)
        ]
        return cls(specs, backend.ring, backend.health()["replicas"])

    def owners(self, key: str) -> tuple[int, ...]:
        """Returns the indices of the nodes that should hold a key."""
        return self.ring.order(key)[: self.replicas]

    def facts(self) -> Facts:
        """Returns what is known without asking a node."""
        return {"replicas": self.replicas, "layout": self.ring.layout, "fingerprint": self.ring.fingerprint()}


# -- what the nodes report


class Node:
    """One node, asked here and now.

    Args:
        spec: of the node.
        timeout: seconds to wait for each answer.
    """

    def __init__(self, spec: NodeSpec, timeout: float) -> None:
        self._server = MemcachedServer(spec.address, timeout, name=spec.place.name)
        self._timeout = timeout

    def statistics(self) -> Facts:
        """Returns state, items, uptime and evictions."""
        try:
            reported = run(self._store.statistics(protocol.STATISTICS, self._timeout))
        except BackendUnavailable:
            return {"state": "down", "items": None, "uptime": None, "evictions": None}
        numbers = {name: _number(reported, name) for name in ("curr_items", "uptime", "evictions")}
        return {"state": "up", "items": numbers.pop("curr_items"), **numbers}

    def holding(self, key: str) -> Facts:
        """Returns what the node has under a key, and for how many seconds; ``None`` if it has nothing."""
        try:
            found = run(self._store.get(key, None, self._timeout))
        except BackendUnavailable:
            return {"state": "down", "holds": None, "seconds": None}
        holds = {Stored: "record", Ended: "tombstone"}.get(type(found), "nothing")
        return {"state": "up", "holds": holds, "seconds": found.ttl if found else None}

    def keys(self) -> set[str] | None:
        """Returns the keys of all sessions that it holds; ``None`` if it cannot list them."""
        if self.statistics()["state"] == "down":
            return None  # known sooner than the time that a dump may take
        client = BlockingClient(WireProtocol(parser=_DumpParser), self._server.guard)
        request, until = Request(b"lru_crawler metadump all\r\n"), REAL.monotonic() + _DUMP_LIMIT
        try:
            reply: object = "BUSY"
            while reply == "BUSY" and REAL.monotonic() < until:
                reply = run(client.ask(request, _DUMP_LIMIT)).reply
                REAL.sleep(_PAUSE if reply == "BUSY" else 0)
        except BackendUnavailable:
            return None
        finally:
            client.close()
        return reply if isinstance(reply, set) else None

    def close(self) -> None:
        """Closes its connections."""
        run(self._store.close())

    @cached_property
    def _store(self) -> MemcachedStore:
        return self._server.blocking_store()


class _DumpParser:
    """Cuts the reply to ``lru_crawler metadump``: the set of session keys, or the first word of a refusal."""

    def __init__(self) -> None:
        self._rest = b""
        self._keys: set[str] = set()
        self._reply: set[str] | str | None = None

    def feed(self, data: bytes) -> None:
        """Takes bytes as they arrive."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(line.decode("ascii", "replace").strip())

    def pop(self) -> object:
        """Returns the reply, or `INCOMPLETE`."""
        if self._reply is None:
            return INCOMPLETE
        reply, self._reply = self._reply, None
        return reply

    def end(self) -> Exception:
        """Takes the end of the stream: the list is not complete."""
        return EOFError("connection closed")

    def _take(self, line: str) -> None:
        word = line.partition(" ")[0]
        if word.startswith("key="):
            key = unquote(word[4:])
            if key.startswith(PREFIX) and key != REGISTRY_KEY:
                self._keys.add(key)
        elif word == "END":
            self._reply, self._keys = self._keys, set()
        elif word.replace("_", "").isupper():
            self._reply = word
        elif word:
            raise Desynchronised("not a reply of the crawler")


def _number(statistics: dict[str, str], name: str) -> int | None:
    found = statistics.get(name, "")
    return int(found) if found.isdigit() else None


def _ask_all(layout: Layout, timeout: float, ask: Callable[[Node], T]) -> list[T]:
    """Asks all nodes side by side; returns the answers in their order."""
    nodes = [Node(spec, timeout) for spec in layout.specs]
    try:
        with ThreadPoolExecutor(len(nodes)) as pool:
            return list(pool.map(ask, nodes))
    finally:
        for node in nodes:
            node.close()


def nodes(layout: Layout, timeout: float) -> list[Facts]:
    """Returns the nodes: their part of the ring, and what they report."""
    reports = _ask_all(layout, timeout, Node.statistics)
    return [
        {
            "name": spec.place.name,
            "address": str(spec.address),
            "weight": spec.place.weight,
            "share": round(share, 4),
            **facts,
        }
        for spec, share, facts in zip(layout.specs, layout.ring.shares(), reports, strict=True)
    ]


def holders(layout: Layout, key: str, timeout: float) -> list[Facts]:
    """Returns all nodes in the order in which a key prefers them: which should hold it, and which do."""
    found = _ask_all(layout, timeout, lambda node: node.holding(key))
    return [
        {"name": layout.specs[index].place.name, "owner": place < layout.replicas, **found[index]}
        for place, index in enumerate(layout.ring.order(key))
    ]


# -- copies


def survey(layout: Layout, timeout: float) -> Facts:
    """Counts the records by the number of owners that have a copy.

    The nodes list their keys at different moments, while sessions begin and end. So records that seem to lack a copy
    are read a second time, if there are not too many; those that have ended meanwhile are not counted.
    """
    held = _ask_all(layout, timeout, Node.keys)
    unread = [spec.place.name for spec, keys in zip(layout.specs, held, strict=True) if keys is None]
    sets = [keys or set() for keys in held]
    copies = {key: sum(key in sets[node] for node in layout.owners(key)) for key in set().union(*sets)}
    suspects = [key for key, count in copies.items() if count < layout.replicas]
    counts = Counter(copies.values())
    if len(suspects) <= MOST_CHECKED:
        counts = Counter({layout.replicas: counts[layout.replicas]})
        counts.update(_read_again(layout, suspects, timeout))
    return {
        "records": counts.total(),
        "copies": {count: counts[count] for count in range(layout.replicas, -1, -1)},
        "under_replicated": counts.total() - counts[layout.replicas],
        "checked_again": len(suspects) <= MOST_CHECKED,
        "not_walked": unread,
    }


def _read_again(layout: Layout, keys: Sequence[str], timeout: float) -> list[int]:
    """Returns how many owners have a copy now, for each key that has neither ended nor expired."""
    found = _ask_all(layout, timeout, partial(_holdings, keys=keys))
    live = [
        (key, holds) for key, *holds in zip(keys, *found, strict=True) if "record" in holds and "tombstone" not in holds
    ]
    return [sum(holds[node] == "record" for node in layout.owners(key)) for key, holds in live]


def _holdings(node: Node, keys: Sequence[str]) -> list[str | None]:
    return [node.holding(key)["holds"] for key in keys]


# -- a change


def change(old: Layout, new: Layout) -> Facts:
    """Returns what another list of nodes would move, by a sample of keys. It asks no node."""
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
    """Returns what to consider before a change is made."""
    texts = []
    nodes_at_a_time = max(len(moves["added"]), len(moves["removed"])) + len(moves["moved"]) + len(moves["reweighted"])
    if nodes_at_a_time > 1:
        texts.append("more than one node changes: make one change at a time, with an idle timeout between two changes")
    if moves["ring_changes"]:
        texts.append("layout or replicas change: this moves all keys; make no other change at the same time")
    if moves["lost"]:
        texts.append("sessions are lost if all their copies are on nodes that are removed")
    return texts
