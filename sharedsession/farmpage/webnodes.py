"""The web nodes of the farm, as they announced themselves in the store: who disagrees in what.

They are asked for every few seconds at most, however many visitors the page has. Each is compared with the most of its
application that agree, as ``sharedsession farm`` does it.
"""

from collections.abc import Sequence

from sharedsession.environment import Environment
from sharedsession.errors import BackendUnavailable
from sharedsession.farm import Monitor, WebNode, disagreements, leading
from sharedsession.farmpage.facts import Facts

_INTERVAL = 5.0  # seconds: a web node announces itself once a minute


class WebNodes:
    """What the page knows of the web nodes.

    Args:
        environment: where clocks come from.
    """

    def __init__(self, environment: Environment) -> None:
        self._clock = environment.clock
        self._monotonic = environment.monotonic
        self._next = float("-inf")
        self._announced: Sequence[WebNode] | None = None

    async def look(self, monitor: Monitor) -> None:
        """Asks the store, unless that was done just now.

        Args:
            monitor: of the application's colour.
        """
        now = self._monotonic()
        if now < self._next:
            return
        self._next = now + _INTERVAL
        try:
            self._announced = await monitor.look()
        except BackendUnavailable:
            self._announced = None

    def facts(self) -> list[Facts] | None:
        """Returns JSON-able facts about each; ``None``: the store did not answer."""
        return None if self._announced is None else compared(self._announced, self._clock())


def compared(nodes: Sequence[WebNode], now: float) -> list[Facts]:
    """Returns JSON-able facts about web nodes: those of one application together, by name.

    Args:
        nodes: as they announced themselves.
        now: by the clock of this web node.
    """
    leaders = leading(nodes)
    ordered = sorted(nodes, key=lambda node: (node.app, node.name))
    return [_facts(node, leaders[node.app], now) for node in ordered]


def _facts(node: WebNode, leader: WebNode, now: float) -> Facts:
    found = [each.difference for each in disagreements(leader, [node], now)]
    return {
        "name": node.name,
        "application": node.app,
        "version": node.version,
        "up_for": max(0.0, round(now - node.since, 1)),
        "announced_ago": max(0.0, round(now - node.at, 1)),
        "faults": [{"what": each.seen_by_most, "fix": each.fix} for each in found if each.is_fault],
        "notes": [{"what": each.seen_by_most, "fix": each.fix} for each in found if not each.is_fault],
    }
