"""What a manager says of itself: how it is, what it must agree on with its farm, whether it can serve."""

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from sharedsession.backends.base import AsyncBackend
from sharedsession.concurrency import driver as _drive
from sharedsession.farm import drift as agreement
from sharedsession.farm.monitor import FarmCheck
from sharedsession.observe import Observer
from sharedsession.records.sealed_store import Allowance, Vault
from sharedsession.settings.settings import Settings

T = TypeVar("T")


class Vitals:
    """The facts of a manager.

    Attributes:
        settings: of the farm.
        observer: what it has counted.
        farm: what it knows of other web nodes.
    """

    settings: Settings
    observer: Observer
    farm: FarmCheck
    _store: AsyncBackend
    _vault: Vault

    def health(self) -> dict[str, Any]:
        """JSON-able: the backend, its nodes and breakers, the counters, the farm if it is known. No I/O, no secret."""
        facts = {
            "backend": self._store.health(),
            "counters": dict(self.observer.counters),
            "fingerprint": self.fingerprint(),
        }
        farm = self.farm.facts()
        return facts if farm is None else {**facts, "farm": farm}

    async def ahealth(self) -> dict[str, Any]:
        """Same as `health`."""
        return self.health()

    def fingerprint(self) -> dict[str, str]:
        """What all nodes of the farm must agree on, as short digests: compare them part by part."""
        secrets = " ".join(self.settings.machine_key().fingerprints())
        store = agreement.of_store(self._store.health())
        return agreement.digests({"secret_key": secrets, **store, **self.settings.agreed()})

    async def afingerprint(self) -> dict[str, str]:
        """Same as `fingerprint`."""
        return self.fingerprint()

    def ready(self) -> bool:
        """Asks the store for a sign of life, within ``timeout``; not at all while it is known to be down.

        With ``farm_check="refuse"`` a web node that disagrees with its farm is not ready, either.
        """
        return _drive.run(self._ready())

    async def aready(self) -> bool:
        """Same as `ready`."""
        return await self.do(self._ready)

    async def _ready(self) -> bool:
        return await self._vault.answers(Allowance(self.settings.timeout)) and await self.farm.may_serve()

    @abstractmethod
    def do(self, step: Callable[[], Coroutine[Any, Any, T]]) -> Awaitable[T]:
        """Carries a step out: at once where the manager blocks, else when awaited."""
