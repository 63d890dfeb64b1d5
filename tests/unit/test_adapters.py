"""A backend of one colour as the other colour calls it: which powers come through."""

from typing import Any

import pytest

from sharedsession.backends.adapters import AsyncAdapter, for_blocking, for_event_loop, is_asynchronous
from sharedsession.backends.base import DoubtingBackend, Ended, Stored
from sharedsession.backends.memory import MemoryBackend
from sharedsession.concurrency import run
from sharedsession.testing import memory_backend


class Waiting(MemoryBackend):
    """A blocking backend that may have to wait, and renews by itself."""

    never_waits = False
    renews_when_due = True


class Doubting(MemoryBackend):
    """A backend whose replies name no request."""

    def get_afresh(self, key: str, doubted: Stored, timeout: float) -> Stored | Ended | None:
        return self.get(key, None, timeout)


@pytest.mark.parametrize(("backend", "needs_thread"), [(MemoryBackend(), False), (Waiting(), True)])
def test_only_a_backend_that_may_wait_needs_a_thread(backend: Any, needs_thread: bool) -> None:
    """An event loop calls the other one itself."""
    assert for_event_loop(backend)[1] is needs_thread


def test_a_backend_that_renews_when_due_still_does() -> None:
    """The library leaves out no renewal then."""
    assert AsyncAdapter(Waiting()).renews_when_due
    assert not AsyncAdapter(memory_backend()).renews_when_due


def test_doubt_reaches_the_backend() -> None:
    """One that has no such power stays with what it said."""
    doubting, doubted = AsyncAdapter(Doubting()), Stored(b"another's", 1)
    assert isinstance(doubting, DoubtingBackend)
    assert run(doubting.get_afresh("ss:k", doubted, 1)) is None
    assert run(AsyncAdapter(memory_backend()).get_afresh("ss:k", doubted, 1)) is doubted


def test_an_asynchronous_backend_serves_no_blocking_application() -> None:
    """There is nothing to call."""
    asynchronous: Any = AsyncAdapter(memory_backend())
    assert is_asynchronous(asynchronous)
    assert for_blocking(asynchronous) is None
    assert for_event_loop(asynchronous) == (asynchronous, False)
