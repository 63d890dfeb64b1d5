"""What the servers behind a backend report about themselves, asked here and now, with the time that they took.

It only looks: it reads one key that holds nothing. It keeps no password that a server reports.
"""

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from sharedsession.backends.adapters import for_blocking
from sharedsession.backends.base import AsyncBackend, Backend, ManyNodesBackend
from sharedsession.cli.captured_log import captured_log
from sharedsession.concurrency import run
from sharedsession.environment import Environment
from sharedsession.errors import BackendError
from sharedsession.file_rights import FileRights, rights_of

UNUSED_KEY = "ss:unused"  # those of sessions are longer
_RENEWAL = 60.0  # seconds
_REDIS_SETTINGS = ("bind", "protected-mode", "requirepass", "save", "maxmemory-policy")


@dataclass(frozen=True)
class BackendNode:
    """One server of a store.

    Attributes:
        name: in the backend's health.
        kind: ``memcached``, ``redis``, or that of another backend.
        reason: why it did not answer; ``None`` if it did.
        seconds: the median time of a read.
        clock_ahead: seconds by which its clock is ahead of ours; ``None`` if it does not report its time.
        facts: its statistics and settings, as text.
        max_value: bytes of the largest value.
        file: where its store is one file: the path, and what others may do with it.
    """

    name: str
    kind: str
    reason: str | None = None
    seconds: float | None = None
    clock_ahead: float | None = None
    facts: dict[str, str] = field(default_factory=dict)
    max_value: int = 0
    file: tuple[Path, FileRights] | None = None

    @property
    def is_up(self) -> bool:
        """Whether it answers."""
        return self.reason is None


class _Question(NamedTuple):
    """How each server is asked.

    Attributes:
        timeout: seconds to wait for one answer.
        reads: how many to measure.
        environment: where the clocks come from.
    """

    timeout: float
    reads: int
    environment: Environment


def ask(backend: Backend | AsyncBackend, timeout: float, reads: int, environment: Environment) -> list[BackendNode]:
    """Asks each server of a backend; returns an empty list if the backend has only asynchronous verbs.

    Args:
        backend: the store.
        timeout: seconds to wait for one answer.
        reads: how many to measure.
        environment: where the clocks come from.
    """
    store = for_blocking(backend)
    if store is None:
        return []
    question = _Question(timeout, reads, environment)
    stores = store.node_stores if isinstance(store, ManyNodesBackend) else [store]
    return [_asked(each, question) for each in stores]


def _asked(store: AsyncBackend, question: _Question) -> BackendNode:
    with captured_log() as messages:
        health = store.health()
        kind = str(health.get("kind", ""))
        name = str((health.get("nodes") or [{}])[0].get("name") or kind)
        try:
            seconds = _time_of_a_read(store, question)
            facts, clock_ahead = _REPORTS.get(kind, _no_report)(store, question)
        except BackendError as error:
            return BackendNode(name, kind, reason=messages[0] if messages else str(error))
    file = _file(Path(health["path"])) if kind == "sqlite" else None
    return BackendNode(name, kind, None, seconds, clock_ahead, {**_swap(store), **facts}, store.max_value, file)


def _file(path: Path) -> tuple[Path, FileRights] | None:
    try:
        return path, rights_of(path, path.stat())
    except OSError:
        return None


def _swap(store: AsyncBackend) -> dict[str, str]:
    swap = store.health().get("compare_and_swap")
    return {} if swap is None else {"compare_and_swap": str(swap)}


def _time_of_a_read(store: AsyncBackend, question: _Question) -> float:
    """Returns the median of reads as sessions do them, which renew; the first one, which connects, does not count."""
    monotonic = question.environment.monotonic
    run(store.get(UNUSED_KEY, _RENEWAL, question.timeout))
    times = []
    for _ in range(question.reads):
        started = monotonic()
        run(store.get(UNUSED_KEY, _RENEWAL, question.timeout))
        times.append(monotonic() - started)
    return statistics.median(times) if times else 0.0


# -- what each kind reports

_Report = tuple[dict[str, str], float | None]


def _no_report(_store: Any, _question: _Question) -> _Report:
    return {}, None


def _memcached(store: Any, question: _Question) -> _Report:
    statistics_ = run(store.statistics(b"stats\r\n", question.timeout))
    clock_ahead = _ahead(statistics_.get("time"), question)
    settings = run(store.statistics(b"stats settings\r\n", question.timeout))
    return {**{f"set.{name}": value for name, value in settings.items()}, **statistics_}, clock_ahead


def _redis(store: Any, question: _Question) -> _Report:
    seconds = run(store.about("TIME", timeout=question.timeout))
    clock_ahead = _ahead(_text(seconds[0]), question) if isinstance(seconds, list) and seconds else None
    run(store.try_scripts(UNUSED_KEY, question.timeout))
    lines = _text(run(store.about("INFO", timeout=question.timeout))).splitlines()
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    for name in _REDIS_SETTINGS:
        pair = run(store.about("CONFIG", "GET", name, timeout=question.timeout))
        if isinstance(pair, list) and len(pair) == 2:
            facts[f"set.{name}"] = "given" if name == "requirepass" and pair[1] else _text(pair[1])
    return facts, clock_ahead


_REPORTS: dict[str, Callable[[Any, _Question], _Report]] = {"memcached": _memcached, "redis": _redis}


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value or "")


def _ahead(digits: str | None, question: _Question) -> float | None:
    """Returns by how much a server's whole seconds are ahead of our time."""
    return int(digits) - question.environment.clock() if digits and digits.isdigit() else None
