"""What the next kill will cost, said before it happens. Pure: the state of the farm in, words out."""

from collections.abc import Mapping
from dataclasses import dataclass, field

GOOD, CAREFUL, BAD = "good", "careful", "bad"

WEB_NODES = "No web node keeps a session. Kill any of them, or all: when one is back, the count goes on."

_STORES = {
    "sqlite": "a file (SQLite)",
    "redis": "Redis",
    "memcached": "a ring of three memcached nodes (two copies of each session)",
}
_FILE = "The store is a file. It outlives all web nodes, and there is no server of it to kill."
_DISK = (
    "Redis writes each change to its disk before it answers. While it is down the shop answers 503 and keeps your "
    "cookie; started again, it has every session."
)
_DISK_DOWN = "Redis is down. Nothing is lost: start it again, and every session is back from its disk."
_RING = {
    3: "memcached keeps its data in memory only, each session on two of the three nodes. Kill any one of them: nothing "
    "is lost. Kill all three, and every session is lost for good.",
    2: "One node is down, and nothing is lost. A session that was used since is on both of the others; one that was "
    "not may have its last copy on the next node that you kill. Start the first one again before you do.",
    1: "Only one node is left. Some sessions may get a 503 until another is back. Kill this one too, and EVERY session "
    "is lost for good: its data are in memory only. All visitors begin anew, logged out, with empty carts.",
    0: "All nodes of the store are down. Their data were in memory only: every session is lost. Start them again, and "
    "all visitors begin anew.",
}
_LEVELS = {3: GOOD, 2: CAREFUL, 1: BAD, 0: BAD}


@dataclass(frozen=True, slots=True)
class Farm:
    """The processes of the farm, as a page shows them.

    Attributes:
        nodes: every web node by name, and whether it is up.
        servers: every server of the store by name, and whether it is up.
        backend: ``sqlite``, ``memcached`` or ``redis``; empty if it is not known.
    """

    nodes: Mapping[str, bool]
    servers: Mapping[str, bool] = field(default_factory=dict)
    backend: str = ""

    @property
    def store(self) -> str:
        """What the store is, in words."""
        return _STORES.get(self.backend, "the store")

    @property
    def has_lost_all(self) -> bool:
        """Whether no server is left that could know a session: what is on a disk does not count as lost."""
        return self.backend == "memcached" and not any(self.servers.values())


def without_web_nodes(farm: Farm) -> str:
    """Returns what a visitor may expect when no web node is up, and what to do."""
    if farm.has_lost_all:
        return "The store is down as well, and had its data in memory only: start both, and the count begins anew."
    return "The session is safe in the store: start a web node, and the count continues."


def after_outage(farm: Farm) -> str:
    """Returns what a visitor who got a 503 may expect, and what to do."""
    if farm.has_lost_all:
        return "Your cookie is kept, but what it stood for is gone. Start the store again below, then begin anew."
    fix = "Visit again in a moment." if all(farm.servers.values()) else "Start the store again below, then visit again."
    return f"What you sent just now may not be saved. Your cookie is kept: you are not logged out. {fix}"


def on_store(farm: Farm) -> tuple[str, str]:
    """Returns how bad the next kill of a server would be (`GOOD`, `CAREFUL` or `BAD`), and a sentence on it."""
    up = sum(farm.servers.values())
    if not farm.servers:
        return GOOD, _FILE
    if farm.backend == "memcached":
        return _LEVELS[up], _RING[up]
    return (GOOD, _DISK) if up else (CAREFUL, _DISK_DOWN)
