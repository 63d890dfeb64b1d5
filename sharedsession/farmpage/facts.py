"""What the page shows: selected name by name from `SessionManager.health`, so that nothing else is shown. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from sharedsession.backends.ring.backend import RingBackend
from sharedsession.farmpage.latency import Sample

Facts = dict[str, Any]
"""JSON-able."""

COPIES = "Copies repaired"
"""Counted on a ring only."""

_TOTALS = (
    ("Sessions created", ("created",)),
    ("Sessions ended", ("destroyed", "revoked", "expired")),
    ("Conflicts merged", ("merged",)),
    (COPIES, ("repairs",)),
    ("Requests without a store", ("unavailable",)),
)


def facts_of(
    health: Mapping[str, Any],
    shares: Sequence[float],
    samples: Sequence[Sample],
    web_nodes: Sequence[Facts] | None = None,
) -> Facts:
    """Returns the facts of the page.

    Args:
        health: of a manager.
        shares: of the keys that each node is the first to own, in the order of the nodes; empty if there is no ring.
        samples: of the store's latency, oldest first.
        web_nodes: that have announced themselves; ``None`` if that is not known.
    """
    backend = health["backend"]
    counters = {**backend.get("counters", {}), **health["counters"]}
    nodes = backend.get("nodes", ())
    return {
        "backend": str(backend.get("kind", "")),
        "replicas": backend.get("replicas"),
        "layout": backend.get("layout"),
        "answers": samples[-1].took is not None if samples else None,
        "nodes": [_node(node, share) for node, share in zip(nodes, _known(shares, len(nodes)), strict=True)],
        "web_nodes": None if web_nodes is None else list(web_nodes),
        "totals": {label: sum(counters.get(name, 0) for name in names) for label, names in _TOTALS},
        "counters": dict(sorted(counters.items())),
        "latency": [{"ago": round(sample.ago, 1), "ms": _milliseconds(sample)} for sample in samples],
        "fingerprint": dict(health["fingerprint"]),
    }


def shares_of(backend: object) -> list[float]:
    """Returns the shares of the nodes of a ring; an empty list for any other backend."""
    return backend.ring.shares() if isinstance(backend, RingBackend) else []


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


def _milliseconds(sample: Sample) -> float | None:
    return None if sample.took is None else round(sample.took * 1000, 2)
