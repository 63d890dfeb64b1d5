"""The registry of a farm: its web nodes, as they announce themselves in the store.

It lies under a name that depends on no setting and is sealed with no secret, since nodes that disagree about those must
find each other. So anyone who can write to the store can write here, and nothing that is read is trusted: it is cut to
size, compared and shown; what is too large to be one is not even parsed, and replaced at the next announcement. What is
written is cut to the same size. It has digests, names, times and settings of which none is secret.

A ring is asked node by node: web nodes whose lists differ meet on any node that they share.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sharedsession.backends.base import AsyncBackend, ManyNodesBackend, Stored, Version
from sharedsession.errors import BackendUnavailable
from sharedsession.farm.drift import WebNode
from sharedsession.observe import Observer

KEY = "ss:farm"  # those of sessions are longer; a server's access rules often allow no more than ss:*
PERIOD = 60.0  # seconds between two announcements of a web node
FORGET_AFTER = 3 * PERIOD  # seconds without one
_ATTEMPTS = 20  # of all that announce themselves at a time, one succeeds
_MOST_NODES = 500  # some hundred kilobytes
_LONGEST = 80  # characters of a text
_MOST_BYTES = 1_000_000  # of the whole registry


class Registry:
    """The registry in one store.

    Args:
        store: the verbs, of the application's colour.
        observer: told of a registry that is refused.
    """

    def __init__(self, store: AsyncBackend, observer: Observer | None = None) -> None:
        self._observer = observer or Observer()
        self._stores: Sequence[AsyncBackend] = store.node_stores if isinstance(store, ManyNodesBackend) else (store,)

    async def read(self, timeout: float) -> list[WebNode]:
        """Returns the web nodes that have announced themselves; nothing is written.

        Args:
            timeout: seconds to wait for one node.

        Raises:
            BackendUnavailable: no node answers.
        """
        return await self._on_each(None, {}, timeout)

    async def announce(self, ours: WebNode, gone: Mapping[str, float], timeout: float) -> list[WebNode]:
        """Writes a web node's description, and removes those that are gone.

        Args:
            ours: the description.
            gone: the IDs of web nodes that no longer announce themselves, and the time of their last announcement.
            timeout: seconds to wait for one answer.

        Returns:
            The other web nodes.

        Raises:
            BackendUnavailable: no node answers.
        """
        return await self._on_each(ours, gone, timeout)

    async def _on_each(self, ours: WebNode | None, gone: Mapping[str, float], timeout: float) -> list[WebNode]:
        """Asks one node after the other: no visitor waits for this."""
        known: dict[str, WebNode] = {}
        fault: BackendUnavailable | None = None
        answered = False
        for store in self._stores:
            try:
                found = await self._exchange(store, ours, gone, timeout)
            except BackendUnavailable as error:
                fault = error
            else:
                answered = True
                known |= {key: node for key, node in found.items() if key not in known or known[key].at < node.at}
        if fault is not None and not answered:
            raise fault
        return [node for node in known.values() if ours is None or node.id != ours.id]

    async def _exchange(
        self, store: AsyncBackend, ours: WebNode | None, gone: Mapping[str, float], timeout: float
    ) -> dict[str, WebNode]:
        """Reads the registry on one node and, with something to announce, changes it by compare-and-swap."""
        known: dict[str, WebNode] = {}
        for _ in range(_ATTEMPTS):
            found = await store.get(KEY, None, timeout)
            stored = found if isinstance(found, Stored) else None
            nodes = self._decoded(store, stored.value if stored else b"")
            known = {key: node for key, node in nodes.items() if gone.get(key) != node.at}
            if (
                ours is None
                or await _put(store, stored, _fitting(store, {**known, ours.id: ours}), timeout) is not None
            ):
                break
        return known

    def _decoded(self, store: AsyncBackend, value: bytes) -> dict[str, WebNode]:
        if len(value) <= _MOST_BYTES:
            return decoded(value)
        self._observer.event(
            "registry_refused",
            f"session farm: the registry of web nodes on {_name(store)} has {len(value):,} bytes, and no farm's has "
            f"more than {_MOST_BYTES:,}: it was not read, and is replaced by the next web node that announces itself; "
            "find out who else can write to this store",
        )
        return {}


def _name(store: AsyncBackend) -> str:
    health = store.health()
    nodes = health.get("nodes") or [{}]
    return str(nodes[0].get("name") or health.get("kind", "the store"))


def _fitting(store: AsyncBackend, nodes: Mapping[str, WebNode]) -> bytes:
    return encoded(nodes, min(_MOST_BYTES, store.max_value))


async def _put(store: AsyncBackend, stored: Stored | None, value: bytes, timeout: float) -> Version | None:
    if stored is None:
        return await store.add(KEY, value, FORGET_AFTER, timeout)
    return await store.replace(KEY, value, FORGET_AFTER, stored.version, timeout)


# -- bytes


def encoded(nodes: Mapping[str, WebNode], most: int = _MOST_BYTES) -> bytes:
    """Returns the registry as bytes; of too many web nodes, those that announced themselves last.

    Args:
        nodes: by their IDs.
        most: bytes.
    """
    entries: list[str] = []
    left = most - 2
    for node in sorted(nodes.values(), key=lambda node: node.at, reverse=True)[:_MOST_NODES]:
        entry = _entry(node)
        left -= len(entry) + 1
        if left < 0:
            break
        entries.append(entry)
    return f"{{{','.join(reversed(entries))}}}".encode()


def _entry(node: WebNode) -> str:
    """Returns one web node, cut to the size to which whoever reads it cuts it."""
    cut = _node(asdict(node)) or node
    return f"{json.dumps(cut.id)}:{json.dumps(asdict(cut), separators=(',', ':'))}"


def decoded(value: bytes) -> dict[str, WebNode]:
    """Returns the web nodes in a registry; what cannot be read is left out."""
    try:
        read = json.loads(value)
    except (ValueError, RecursionError):
        return {}
    found = [node for entry in read.values() if (node := _node(entry))] if isinstance(read, dict) else []
    return {node.id: node for node in found[:_MOST_NODES]}


def _node(entry: Any) -> WebNode | None:
    """Returns one web node; ``None`` if it is none, or one that a later version describes otherwise."""
    try:
        return WebNode(
            **{name: _text(entry[name]) for name in ("id", "name", "version", "app")},
            secrets=tuple(map(_text, entry["secrets"]))[:_LONGEST],
            parts=_texts(entry["parts"]),
            at=_time(entry["at"]),
            since=_time(entry["since"]),
            values=_texts(entry.get("values", {})),  # earlier versions have none
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _texts(entries: Any) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in list(dict(entries).items())[:_LONGEST]}


def _text(value: Any) -> str:
    """Returns text that may stand in a log and on a terminal."""
    if not isinstance(value, str):
        raise TypeError
    return "".join(letter for letter in value[:_LONGEST] if letter.isprintable())


def _time(value: Any) -> float:
    moment = float(value)
    if not math.isfinite(moment):
        raise ValueError
    return moment
