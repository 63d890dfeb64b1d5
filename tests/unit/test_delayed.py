"""A step that is taken a little later, unless it is called off."""

import asyncio
from typing import Any

import pytest

from sharedsession.concurrency import Delayed
from tests.support.on_loop import on_loop

LONG = 60.0


class Work:
    """Counts how often it was done; it may take until it is told to end, or fail."""

    def __init__(self, error: Exception | None = None, *, takes: bool = False) -> None:
        self.begun = self.ended = 0
        self.begins, self.may_end = asyncio.Event(), asyncio.Event()
        self._error = error
        if not takes:
            self.may_end.set()

    async def step(self) -> None:
        self.begun += 1
        self.begins.set()
        await self.may_end.wait()
        if self._error:
            raise self._error
        self.ended += 1


def timers() -> list[Any]:
    """What the running loop has put off."""
    return [timer for timer in asyncio.get_running_loop()._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]


@on_loop
async def test_what_is_called_off_at_once_costs_no_timer_and_no_task() -> None:
    """As the first chunk of an answer that is no stream."""
    work, tasks = Work(), asyncio.all_tasks()
    delayed = Delayed(LONG, work.step)
    assert delayed.call_off()
    await asyncio.sleep(0)
    assert (work.begun, timers(), asyncio.all_tasks() - tasks) == (0, [], set())


@on_loop
async def test_it_is_taken_by_itself() -> None:
    """When its time is over, and once."""
    work = Work()
    delayed = Delayed(0.001, work.step)
    await work.begins.wait()
    assert not delayed.call_off()
    await delayed.end()
    assert (work.begun, work.ended) == (1, 1)


@on_loop
async def test_what_is_being_taken_is_waited_for() -> None:
    """Nothing may come before the end of the step."""
    work = Work(takes=True)
    delayed = Delayed(0.001, work.step)
    await work.begins.wait()
    asyncio.get_running_loop().call_soon(work.may_end.set)
    await delayed.end()
    assert (work.begun, work.ended) == (1, 1)


@on_loop
async def test_its_error_is_raised_where_its_end_is_awaited() -> None:
    """As that of a client that has gone."""
    work = Work(OSError("gone"), takes=True)
    delayed = Delayed(0.001, work.step)
    await work.begins.wait()
    work.may_end.set()
    with pytest.raises(OSError, match="gone"):
        await delayed.end()


@pytest.mark.parametrize("when", ["before its turn", "before its time", "while it is taken", "after it has failed"])
@on_loop
async def test_stopped_it_leaves_nothing_behind(when: str, caplog: pytest.LogCaptureFixture) -> None:
    """Neither timer nor task, nor an error that nobody asked for."""
    work, tasks = Work(OSError("gone"), takes=when == "while it is taken"), asyncio.all_tasks()
    delayed = Delayed(LONG if when == "before its time" else 0.001, work.step)
    if when == "before its time":
        await asyncio.sleep(0)
    elif when != "before its turn":
        await work.begins.wait()
    await delayed.stop()
    await asyncio.sleep(0.005)
    assert (work.begun, timers(), asyncio.all_tasks() - tasks) == (when.startswith(("while", "after")), [], set())
    assert caplog.records == []


@on_loop
async def test_one_who_waits_and_is_cancelled_cancels_the_step() -> None:
    """A client that has gone ends the whole answer."""
    work = Work(takes=True)
    delayed = Delayed(0.001, work.step)
    await work.begins.wait()
    waiting = asyncio.ensure_future(delayed.end())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await delayed.stop()
    assert work.ended == 0
