"""Whether the web nodes of a farm agree: how they differ, where they announce themselves, who compares."""

from sharedsession.farm import drift
from sharedsession.farm.drift import CLOCK_LEEWAY, Disagreement, WebNode, disagreements, leading
from sharedsession.farm.monitor import Monitor, ThisNode
from sharedsession.farm.registry import KEY, PERIOD, Registry

__all__ = [
    "CLOCK_LEEWAY",
    "KEY",
    "PERIOD",
    "Disagreement",
    "Monitor",
    "Registry",
    "ThisNode",
    "WebNode",
    "disagreements",
    "drift",
    "leading",
]
