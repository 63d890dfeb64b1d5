"""What the page shows: chosen one by one from `SessionManager.health`, so that nothing else gets onto it. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from sharedsession.backends.ring.hashring import HashRing
from sharedsession.farmpage.latency import Beat

Facts = dict[str, Any]
"""JSON-able."""

_TOTALS = (
    ("Sessions created", ("created",)),
    ("Sessions ended", ("destroyed", "revoked", "expired")),
    ("Conflicts merged", ("merged",)),
    ("Copies repaired", ("repairs",)),
    ("Requests without a store", ("unavailable",)),
)


def facts_of(health: Mapping[str, Any], shares: Sequence[float], beats: Sequence[Beat]) -> Facts:
    """Makes the page's facts.

    Args:
        health: of a manager.
        shares: of the keys that each node is the first to own, in the order of the nodes; empty if there is no ring.
        beats: of the pulse.
    """
    backend = health["backend"]
    counters = {**backend.get("counters", {}), **health["counters"]}
    nodes = backend.get("nodes", ())
    return {
        "backend": str(backend.get("kind", "")),
        "replicas": backend.get("replicas"),
        "layout": backend.get("layout"),
        "answers": beats[-1].took is not None if beats else None,
        "nodes": [_node(node, share) for node, share in zip(nodes, _known(shares, len(nodes)), strict=True)],
        "totals": {label: sum(counters.get(name, 0) for name in names) for label, names in _TOTALS},
        "counters": dict(sorted(counters.items())),
        "latency": [{"ago": round(beat.ago, 1), "ms": _milliseconds(beat)} for beat in beats],
        "fingerprint": dict(health["fingerprint"]),
    }


def shares_of(backend: object) -> list[float]:
    """The shares of the nodes of a ring; of any other backend nothing."""
    ring = getattr(backend, "ring", None)
    return ring.shares() if isinstance(ring, HashRing) else []


def _known(shares: Sequence[float], count: int) -> Sequence[float | None]:
    if len(shares) == count:
        return shares
    return [1.0 if count == 1 else None] * count


def _node(node: Mapping[str, Any], share: float | None) -> Facts:
    return {
        "name": str(node.get("name", "")),
        "address": str(node.get("address", "")),
        "state": "up" if node.get("state") == "up" else "down",
        "share": share,
        "failures": node.get("failures", 0),
        "evictions": node.get("evictions"),
        "tombstones_waiting": node.get("tombstones_waiting", 0),
    }


def _milliseconds(beat: Beat) -> float | None:
    return None if beat.took is None else round(beat.took * 1000, 2)
