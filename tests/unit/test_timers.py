"""What goes on in the background of a blocking application ends with what it is for."""

import gc
import threading
import time
from collections.abc import Callable

from sharedsession.concurrency.timers import ThreadTimer


class Worker:
    """Counts how often it was called."""

    def __init__(self, *, at_once: bool) -> None:
        self.times = 0
        self.timer = ThreadTimer(self.work, at_once=at_once)

    async def work(self) -> None:
        self.times += 1


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def timers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "sharedsession-timer"]


def test_it_goes_on_and_gets_sooner():
    """A shorter time counts at once; a longer one changes nothing."""
    worker = Worker(at_once=False)
    worker.timer.ensure(3600)
    worker.timer.ensure(0.01)
    worker.timer.ensure(3600)
    until(lambda: worker.times >= 3)


def test_at_once():
    """The first time does not have to wait."""
    worker = Worker(at_once=True)
    worker.timer.ensure(3600)
    until(lambda: worker.times == 1)


def test_the_thread_ends_with_its_owner():
    """A manager that nobody needs any more leaves no thread behind, though it would have slept for an hour."""
    before = timers()
    worker = Worker(at_once=False)
    worker.timer.ensure(3600)
    (thread,) = set(timers()) - set(before)
    del worker
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()
