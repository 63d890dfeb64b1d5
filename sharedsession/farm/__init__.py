"""Whether the web nodes of a farm agree: how they differ, where they announce themselves, who compares."""

from sharedsession.farm import drift
from sharedsession.farm.drift import Disagreement, WebNode
from sharedsession.farm.monitor import Monitor, ThisNode
from sharedsession.farm.registry import PERIOD, Registry

__all__ = ["PERIOD", "Disagreement", "Monitor", "Registry", "ThisNode", "WebNode", "drift"]
