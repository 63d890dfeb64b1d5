"""What the servers behind a backend say of themselves, asked here and now, with how long they took.

Only looks: one key that nobody uses is read. No password that a server tells is kept.
"""

import logging
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sharedsession.backends.base import AsyncBackend, Backend
from sharedsession.concurrency.driver import for_blocking, run
from sharedsession.errors import BackendError
from sharedsession.observe import LOGGER

NOBODYS = "ss:nobodys"  # a key that no session has
_TOLD = ("bind", "protected-mode", "requirepass", "save", "maxmemory-policy")


@dataclass(frozen=True)
class Server:
    """One server.

    Attributes:
        name: as the backend calls it.
        kind: ``memcached``, ``redis``, or that of another backend.
        reason: why it did not answer; ``None``: it did.
        seconds: the median time of a read.
        ahead: seconds by which its clock is ahead of ours; ``None``: it does not tell.
        says: its statistics and settings, as text.
        takes: bytes of the largest value.
    """

    name: str
    kind: str
    reason: str | None = None
    seconds: float | None = None
    ahead: float | None = None
    says: dict[str, str] = field(default_factory=dict)
    takes: int = 0

    @property
    def is_up(self) -> bool:
        """Whether it answers."""
        return self.reason is None


def ask(backend: Backend, within: float, reads: int, clock: Callable[[], float]) -> list[Server]:
    """Asks each server of a backend.

    Args:
        backend: one of blocking verbs.
        within: seconds to wait for one answer.
        reads: how often to read, to tell how long that takes.
        clock: seconds since the epoch.
    """
    store = for_blocking(backend)
    if store is None:
        return []
    return [_asked(verbs, within, reads, clock) for verbs in getattr(store, "members_verbs", None) or [store]]


def _asked(verbs: AsyncBackend, within: float, reads: int, clock: Callable[[], float]) -> Server:
    with overheard() as heard:
        health = verbs.health()
        kind, name = str(health.get("kind", "")), str(_first(health).get("name") or health.get("kind", ""))
        try:
            seconds = _time_of_a_read(verbs, within, reads)
            says, ahead = _ABOUT.get(kind, _nothing)(verbs, within, clock)
        except BackendError as error:
            return Server(name, kind, reason=heard[-1] if heard else str(error))
    return Server(name, kind, None, seconds, ahead, {**_cas(verbs), **says}, verbs.max_value)


def _first(health: dict[str, Any]) -> dict[str, Any]:
    nodes = health.get("nodes") or [{}]
    return dict(nodes[0])


def _cas(verbs: AsyncBackend) -> dict[str, str]:
    swap = verbs.health().get("compare_and_swap")
    return {} if swap is None else {"compare_and_swap": str(swap)}


def _time_of_a_read(verbs: AsyncBackend, within: float, reads: int) -> float:
    """The median; the first one, which connects, does not count."""
    run(verbs.get(NOBODYS, None, within))
    taken = []
    for _ in range(reads):
        started = time.perf_counter()
        run(verbs.get(NOBODYS, None, within))
        taken.append(time.perf_counter() - started)
    return statistics.median(taken) if taken else 0.0


# -- what each kind says

_About = tuple[dict[str, str], float | None]


def _nothing(_verbs: Any, _within: float, _clock: Callable[[], float]) -> _About:
    return {}, None


def _memcached(verbs: Any, within: float, clock: Callable[[], float]) -> _About:
    said = run(verbs.statistics(b"stats\r\n", within))
    ahead = _ahead(said.get("time"), clock)
    settings = run(verbs.statistics(b"stats settings\r\n", within))
    return {**{f"set.{name}": value for name, value in settings.items()}, **said}, ahead


def _redis(verbs: Any, within: float, clock: Callable[[], float]) -> _About:
    seconds = run(verbs.about("TIME", within=within))
    ahead = _ahead(_text(seconds[0]), clock) if isinstance(seconds, list) and seconds else None
    lines = _text(run(verbs.about("INFO", within=within))).splitlines()
    said = dict(line.split(":", 1) for line in lines if ":" in line)
    for name in _TOLD:
        pair = run(verbs.about("CONFIG", "GET", name, within=within))
        if isinstance(pair, list) and len(pair) == 2:
            said[f"set.{name}"] = "given" if name == "requirepass" and pair[1] else _text(pair[1])
    return said, ahead


_ABOUT: dict[str, Callable[[Any, float, Callable[[], float]], _About]] = {"memcached": _memcached, "redis": _redis}


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value or "")


def _ahead(digits: str | None, clock: Callable[[], float]) -> float | None:
    """What a server's whole seconds are ahead of our time."""
    return int(digits) - clock() if digits and digits.isdigit() else None


@contextmanager
def overheard() -> Iterator[list[str]]:
    """What the library tells the log meanwhile: it knows why a server does not answer, and the mend."""
    heard: list[str] = []

    class _Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if getattr(record, "event", "") in {"node_down", "store_refused", "store_failed"}:
                heard.append(record.getMessage())

    listener = _Listener()
    LOGGER.addHandler(listener)
    try:
        yield heard
    finally:
        LOGGER.removeHandler(listener)
