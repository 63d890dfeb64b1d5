"""The numbers of `SessionManager.health` for Prometheus: read when they are asked for; nothing is stored twice.

They are of one process, since its start. No label holds a secret, an ID or a user: only names of events and nodes.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sharedsession.extras import needs
from sharedsession.manager import SessionManager, engines_of

with needs("prometheus"):
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
    from prometheus_client.registry import Collector as PrometheusCollector

# What `health` has of each node -> the kind of a metric, its name, its help.
_OF_NODES: dict[str, tuple[type[CounterMetricFamily] | type[GaugeMetricFamily], str, str]] = {
    "state": (GaugeMetricFamily, "node_up", "Whether this process asks the node: its breaker is closed."),
    "failures": (CounterMetricFamily, "node_failures", "Requests that the node did not answer."),
    "connections_opened": (CounterMetricFamily, "node_connections", "Connections opened to the node."),
    "evictions": (GaugeMetricFamily, "node_evictions", "What the node told when it was connected to last."),
    "tombstones_waiting": (
        GaugeMetricFamily,
        "node_tombstones_waiting",
        "Ends of sessions that the node must still be told.",
    ),
}


class Collector(PrometheusCollector):
    """Gives a Prometheus registry what a manager counts: ``REGISTRY.register(Collector(manager))``.

    Args:
        manager: of the application.
    """

    def __init__(self, manager: SessionManager) -> None:
        self._manager = manager

    def __repr__(self) -> str:
        return f"<Collector of {engines_of(self._manager).settings.app_name!r}>"

    def collect(self) -> Iterator[Metric]:
        """Yields the numbers of now; the store is not asked."""
        health = self._manager.health()
        backend = health["backend"]
        yield _events("events", "What happened to sessions.", health["counters"])
        yield _events("backend_events", "What happened in the backend.", backend.get("counters", {}))
        nodes = backend.get("nodes", ())
        yield from (_of_nodes(fact, nodes) for fact in _OF_NODES if any(fact in node for node in nodes))
        yield _node_events(nodes)


def _events(name: str, text: str, counters: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(f"sharedsession_{name}", text, labels=["event"])
    for event, times in counters.items():
        family.add_metric([event], times)
    return family


def _of_nodes(fact: str, nodes: Iterable[Mapping[str, Any]]) -> Metric:
    kind, name, text = _OF_NODES[fact]
    family = kind(f"sharedsession_{name}", text, labels=["node"])
    for node in nodes:
        if fact in node:
            family.add_metric([node["name"]], node["state"] == "up" if fact == "state" else node[fact])
    return family


def _node_events(nodes: Iterable[Mapping[str, Any]]) -> Metric:
    family = CounterMetricFamily("sharedsession_node_events", "What happened to the node.", labels=["node", "event"])
    for node in nodes:
        for event, times in node.get("counters", {}).items():
            family.add_metric([node["name"], event], times)
    return family
