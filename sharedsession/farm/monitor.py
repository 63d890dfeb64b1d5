"""Whether this web node agrees with its farm: it announces itself, looks at the others, and logs what differs.

No visitor waits for this: it happens first when a request has found that the store works, then once a minute. Only
``farm_check="refuse"`` lets the first request wait, since it may have to be refused.
"""

import logging
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from sharedsession._version import __version__
from sharedsession.backends.base import AsyncBackend
from sharedsession.concurrency import Driver
from sharedsession.environment import Environment
from sharedsession.errors import FarmDisagrees, SessionError
from sharedsession.farm import drift
from sharedsession.farm.drift import Disagreement, WebNode
from sharedsession.farm.registry import FORGET_AFTER, PERIOD, Registry
from sharedsession.keys import MachineKey
from sharedsession.observe import Observer
from sharedsession.settings import Settings

_ID_BYTES = 9


@dataclass
class _Process:
    """What one process announces and knows. A child after a fork is a web node of its own.

    Attributes:
        pid: its number.
        id: the random ID under which it announces itself.
        next: when it may look again, on the monotonic clock.
        seen: of each other web node, the time of its last announcement by its clock, and when that was new by ours.
        others: the web nodes that announced themselves.
        found: how this one differs from them; ``None``: it has not looked yet.
        logged: what was logged last.
        is_odd: whether it is this one that is wrong.
    """

    pid: int
    id: str
    next: float = 0.0
    seen: dict[str, tuple[float, float]] = field(default_factory=dict)
    others: Sequence[WebNode] = ()
    found: Sequence[Disagreement] | None = None
    logged: Sequence[Disagreement] = ()
    is_odd: bool = False

    def remember(self, nodes: Sequence[WebNode], now: float) -> None:
        """Notes which web nodes have announced something new, at a moment on the monotonic clock."""
        fresh = {node.id: (node.at, now) for node in nodes}
        same = {key: seen for key, seen in self.seen.items() if key in fresh and fresh[key][0] == seen[0]}
        self.seen = fresh | same
        self.others = nodes

    def gone(self, now: float) -> dict[str, float]:
        """Returns the web nodes that are silent for a few periods by our clock, since theirs may be wrong."""
        return {key: at for key, (at, since) in self.seen.items() if now - since > FORGET_AFTER}


class ThisNode:
    """This web node, whatever the colour of the code that asks.

    Args:
        environment: where clocks and random bytes come from.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self.since = environment.clock()
        self._process = self._new()

    @property
    def process(self) -> _Process:
        """What this process announces and knows."""
        if self._process.pid != os.getpid():
            self._process = self._new()
        return self._process

    def facts(self, *, may_refuse: bool) -> dict[str, Any] | None:
        """Returns JSON-able facts: the web nodes, and how they differ; ``None`` before the first announcement."""
        here = self.process
        if here.found is None:
            return None
        return {
            "nodes": [{"name": node.name, "version": node.version} for node in here.others],
            "disagreements": [str(each) for each in here.found if each.difference.is_fault],
            "notes": [str(each) for each in here.found if not each.difference.is_fault],
            "refuses": may_refuse and here.is_odd,
        }

    def _new(self) -> _Process:
        return _Process(os.getpid(), self._environment.random_bytes(_ID_BYTES).hex())


class Monitor:
    """Compares this web node with the others.

    Args:
        settings: of this web node.
        store: the verbs, of the driver's colour.
        driver: of the application's colour.
        observer: told what differs.
        this_node: shared by both colours of one process.

    Attributes:
        may_refuse: whether requests must ask `may_serve`.
    """

    def __init__(
        self, settings: Settings, store: AsyncBackend, driver: Driver, observer: Observer, this_node: ThisNode
    ) -> None:
        self._settings = settings
        self._store = store
        self._registry = Registry(store, observer)
        self._observer = observer
        self._this_node = this_node
        self._clock = settings.environment.clock
        self._monotonic = settings.environment.monotonic
        self._timer = driver.timer(self._tick, at_once=True)
        self.may_refuse = settings.farm_check == "refuse"

    def start(self) -> None:
        """Announces this web node from now on, since a request has heard from the store."""
        if self._settings.farm_check is not None:
            self._timer.ensure(PERIOD)

    async def insist(self) -> None:
        """Checks that this web node may serve sessions.

        Raises:
            FarmDisagrees: it disagrees with its farm.
        """
        if not await self.may_serve():
            raise FarmDisagrees("this web node disagrees with its farm; the log tells on what: farm_disagrees")

    async def may_serve(self) -> bool:
        """Returns whether this web node may serve sessions; looks at the others first if that was never done."""
        if not self.may_refuse:
            return True
        if not self._this_node.process.next:
            await self._tick()
        self.start()
        return not self._this_node.process.is_odd

    async def announce(self) -> Sequence[Disagreement]:
        """Announces this web node, and compares it with the others.

        Raises:
            BackendUnavailable: the store does not answer.
        """
        ours, here = self.described(), self._this_node.process
        others = await self._registry.announce(ours, here.gone(self._monotonic()), self._settings.timeout)
        here.remember(others, self._monotonic())
        here.found = drift.disagreements(ours, others, self._clock())
        here.is_odd = drift.is_odd_one_out(ours, others)
        return here.found

    async def look(self) -> Sequence[WebNode]:
        """Returns the web nodes in the registry; nothing is written."""
        return await self._registry.read(self._settings.timeout)

    def described(self) -> WebNode:
        """Returns this web node as it announces itself."""
        here = self._this_node.process
        store = drift.of_store(self._store.health())
        parts = drift.digests({**store, **self._settings.agreed()})
        return WebNode(
            id=here.id,
            name=f"{socket.gethostname()}:{here.pid}",
            version=__version__,
            app=parts.pop("app_name"),
            secrets=_secrets(self._settings.machine_key()),
            parts=parts,
            at=self._clock(),
            since=self._this_node.since,
            values={**store, **self._settings.agreed_values()},
        )

    async def _tick(self) -> None:
        """Announces, and logs what was found, unless that was done just now. An outage is logged elsewhere."""
        here, now = self._this_node.process, self._monotonic()
        if now >= here.next:
            here.next = now + PERIOD / 2
            with suppress(SessionError):
                self._log(await self.announce())

    def _log(self, found: Sequence[Disagreement]) -> None:
        here = self._this_node.process
        for each in found:
            if each.difference.is_fault:
                self._observer.event("farm_disagrees", f"session farm: {each}", logging.ERROR)
            elif each not in here.logged:
                self._observer.event("farm_differs", f"session farm: {each}", logging.INFO)
        here.logged = found


def _secrets(machine_key: MachineKey) -> tuple[str, ...]:
    """Returns a digest of each secret, whatever the ``app_name``."""
    key = MachineKey(machine_key, app_name="sharedsession-farm", development=True)
    return tuple(drift.digest("secret", name) for name in key.fingerprints())
