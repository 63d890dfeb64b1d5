"""Whether this web node agrees with its farm: it announces itself, looks at the others, and says what differs.

All of it happens behind the back of visitors: first when a request has found the store at work, then once a minute.
Only ``farm_check="refuse"`` lets the first request wait, since it may have to be refused.
"""

import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from sharedsession.backends.base import AsyncBackend
from sharedsession.engine.renewal import Step, Ticker
from sharedsession.errors import FarmDisagrees, SessionError
from sharedsession.farm import drift as agreement
from sharedsession.farm.drift import Disagreement, WebNode
from sharedsession.farm.registry import FORGET_AFTER, PERIOD, Register
from sharedsession.keys.machine_key import MachineKey
from sharedsession.observe import Observer
from sharedsession.session.state import Kept
from sharedsession.settings.settings import Settings


class MakeTicker(Protocol):
    """Makes what does a step at once, and then again and again."""

    def __call__(self, step: Step, *, at_once: bool) -> Ticker:
        """The ticker."""
        ...


@dataclass
class _Process:
    """What one process says and knows; a child after a fork is a web node of its own.

    Attributes:
        pid: its number.
        id: under which it announces itself.
        next: when it may look again, on the monotonic clock.
        seen: of each other one the time that it said last, by its clock, and when that was new to us, by ours.
        others: those that announced themselves.
        found: in what this one differs from them; ``None``: it has not looked yet.
        told: what the log was told last.
        is_odd: whether it is this one that should give way.
    """

    pid: int
    id: str = field(default_factory=lambda: secrets.token_urlsafe(9))
    next: float = 0.0
    seen: dict[str, tuple[float, float]] = field(default_factory=dict)
    others: Sequence[WebNode] = ()
    found: Sequence[Disagreement] | None = None
    told: Sequence[Disagreement] = ()
    is_odd: bool = False

    def remember(self, nodes: Sequence[WebNode]) -> None:
        """Notes who has said something new."""
        now = time.monotonic()
        fresh = {node.id: (node.at, now) for node in nodes}
        same = {key: seen for key, seen in self.seen.items() if key in fresh and fresh[key][0] == seen[0]}
        self.seen = fresh | same
        self.others = nodes

    def gone(self) -> dict[str, float]:
        """What those said last who have said nothing new for a few periods; by our clock, since theirs may be wrong."""
        now = time.monotonic()
        return {key: at for key, (at, since) in self.seen.items() if now - since > FORGET_AFTER}


class FarmCheck:
    """What a web node knows of the others.

    Args:
        settings: of this web node.
        store: the verbs, of the application's colour.
        ticker: makes what does a step again and again.
        observer: told what differs.
        clock: seconds since the epoch.

    Attributes:
        may_refuse: whether requests must ask `admit`.
    """

    def __init__(
        self,
        settings: Settings,
        store: AsyncBackend,
        ticker: MakeTicker,
        observer: Observer,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._store = store
        self._register = Register(store)
        self._observer = observer
        self._clock = clock
        self._ticker = ticker(self._tick, at_once=True)
        self._since = clock()
        self._process = _Process(os.getpid())
        self.may_refuse = settings.farm_check == "refuse"

    def begin(self) -> None:
        """A request has heard from the store: from now on this web node announces itself."""
        if self._settings.farm_check is not None:
            self._ticker.ensure(PERIOD)

    async def admit(self, session: Kept) -> None:
        """Before a request asks the store for its session.

        Raises:
            FarmDisagrees: this web node disagrees with its farm and must not serve sessions.
        """
        if not await self.may_serve():
            session.unavailable = True
            raise FarmDisagrees("this web node disagrees with its farm; the log says on what: farm_disagrees")

    async def may_serve(self) -> bool:
        """Whether sessions may be served; looks at the others if nobody has yet, and may refuse only then."""
        if not self.may_refuse:
            return True
        if not self._here.next:
            await self._tick()
        self.begin()
        return not self._here.is_odd

    async def announce(self) -> Sequence[Disagreement]:
        """Announces this web node, and compares it with the others.

        Raises:
            BackendUnavailable: the store does not answer.
        """
        ours, here = self.described(), self._here
        others = await self._register.announce(ours, here.gone(), self._settings.timeout)
        here.remember(others)
        here.found = agreement.disagreements(ours, others, self._clock())
        here.is_odd = agreement.is_odd_one_out(ours, others)
        return here.found

    async def look(self) -> Sequence[WebNode]:
        """The web nodes in the register; nothing is written."""
        return await self._register.read(self._settings.timeout)

    def described(self) -> WebNode:
        """This web node, as it announces itself."""
        here = self._here
        parts = agreement.digests({**agreement.of_store(self._store.health()), **self._settings.agreed()})
        return WebNode(
            id=here.id,
            name=f"{socket.gethostname()}:{here.pid}",
            version=_version(),
            app=parts.pop("app_name"),
            secrets=_secrets(self._settings.machine_key()),
            parts=parts,
            at=self._clock(),
            since=self._since,
        )

    def facts(self) -> dict[str, Any] | None:
        """JSON-able: who is there, and what differs; ``None`` before the first announcement."""
        here = self._here
        if here.found is None:
            return None
        return {
            "nodes": [{"name": node.name, "version": node.version} for node in here.others],
            "disagreements": [str(each) for each in here.found if each.difference.is_fault],
            "notes": [str(each) for each in here.found if not each.difference.is_fault],
            "refuses": self.may_refuse and here.is_odd,
        }

    @property
    def _here(self) -> _Process:
        if self._process.pid != os.getpid():
            self._process = _Process(os.getpid())
        return self._process

    async def _tick(self) -> None:
        """Announces, and says what was found, unless that was done just now; an outage is others' business."""
        here, now = self._here, time.monotonic()
        if now >= here.next:
            here.next = now + PERIOD / 2
            with suppress(SessionError):
                self._say(await self.announce())

    def _say(self, found: Sequence[Disagreement]) -> None:
        here = self._here
        for each in found:
            if each.difference.is_fault:
                self._observer.event("farm_disagrees", str(each), logging.ERROR)
            elif each not in here.told:
                self._observer.event("farm_differs", str(each), logging.INFO)
        here.told = found


def _secrets(machine_key: MachineKey) -> tuple[str, ...]:
    """A digest of each secret, whatever the ``app_name``."""
    key = MachineKey(machine_key, app_name="sharedsession-farm", development=True)
    return tuple(agreement.digest("secret", name) for name in key.fingerprints())


def _version() -> str:
    from sharedsession import __version__  # noqa: PLC0415 - the package imports this file

    return __version__
