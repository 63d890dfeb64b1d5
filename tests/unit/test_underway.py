"""Work that one task awaits for a while, and to its end later."""

import asyncio
import contextvars
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from sharedsession.concurrency import Underway
from tests.support.on_loop import on_loop

LONG = 60.0
SHORT = 0.005
MARK: contextvars.ContextVar[str] = contextvars.ContextVar("mark", default="none")


@on_loop
async def test_work_that_does_not_wait_is_done_at_once() -> None:
    """Without a turn of the loop."""
    turns: list[int] = []
    asyncio.get_running_loop().call_soon(turns.append, 1)

    async def work() -> str:
        return "done"

    underway = Underway(work())
    await underway.go_on(LONG)
    assert (await underway, turns) == ("done", [])


@pytest.mark.parametrize("pause", [0, 0.001], ids=["a turn", "a timer"])
@on_loop
async def test_work_that_takes_a_moment_is_waited_for(pause: float) -> None:
    """Whatever it waits for."""
    ended: list[str] = []

    async def work() -> str:
        for _ in range(3):
            await asyncio.sleep(pause)
        ended.append("yes")
        return "done"

    underway = Underway(work())
    await underway.go_on(LONG)
    assert ended == ["yes"]
    assert await underway == "done"


@pytest.mark.parametrize("waits_by", ["future", "task", "turns"])
@on_loop
async def test_work_that_takes_long_goes_on_later(waits_by: str) -> None:
    """In the same task and the same context, and with the result of what it waited for."""
    told: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def waited() -> str:
        while waits_by == "turns" and not told.done():  # noqa: ASYNC110  (the point)
            await asyncio.sleep(0)
        return await (asyncio.ensure_future(asyncio.wait_for(told, LONG)) if waits_by == "task" else told)

    async def work() -> tuple[Any, ...]:
        MARK.set("inside")
        async with asyncio.timeout(LONG), asyncio.TaskGroup():
            first = asyncio.current_task()
            return await waited(), first is asyncio.current_task(), MARK.get()

    underway = Underway(work())
    await underway.go_on(SHORT)
    asyncio.get_running_loop().call_later(SHORT, told.set_result, "news")
    assert await underway == ("news", True, "inside")


@pytest.mark.parametrize("seconds", [0.0, LONG], ids=["later", "at first"])
@on_loop
async def test_an_error_is_raised_where_the_work_is_awaited(seconds: float) -> None:
    """That of the work, and that of what it waits for."""

    async def fails() -> None:
        await asyncio.sleep(0.001)
        raise ValueError("on purpose")

    async def work() -> None:
        await asyncio.ensure_future(fails())

    with pytest.raises(ValueError, match="on purpose"):
        await _done(Underway(work()), seconds)


@on_loop
async def test_a_timeout_of_the_work_is_its_own() -> None:
    """It ends what the work waits for, though the task waits elsewhere."""

    async def work() -> str:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SHORT):
                await asyncio.sleep(LONG)
        return "too late"

    underway = Underway(work())
    await underway.go_on(LONG)
    assert await underway == "too late"


@pytest.mark.parametrize("seconds", [0.0, LONG], ids=["later", "at first"])
@pytest.mark.parametrize("waits_for", [lambda: asyncio.sleep(LONG), lambda: _turns()], ids=["a timer", "turns"])
@on_loop
async def test_cancelled_the_work_is_cancelled(seconds: float, waits_for: Callable[[], Any]) -> None:
    """It may clean up, and wait for that; then the task has ended, too."""
    said: list[str] = []

    async def work() -> None:
        try:
            await waits_for()
        except asyncio.CancelledError:
            await asyncio.sleep(0.001)
            said.append("cleaned up")
            raise

    task = asyncio.ensure_future(_done(Underway(work()), seconds))
    await asyncio.sleep(SHORT)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert said == ["cleaned up"]


@on_loop
async def test_an_asynchronous_generator_goes_on() -> None:
    """The first value as underway, the others after it."""

    async def numbers() -> AsyncIterator[int]:
        async with asyncio.timeout(LONG):
            for number in range(3):
                await asyncio.sleep(SHORT)
                yield number

    values = numbers()
    first = Underway(values.__anext__())
    await first.go_on(0.0)
    assert [await first, *[value async for value in values]] == [0, 1, 2]


async def _turns() -> None:
    while True:  # noqa: ASYNC110  (the point)
        await asyncio.sleep(0)


async def _done(underway: Underway[Any], seconds: float) -> Any:
    """Goes on for so long, then to the end."""
    await underway.go_on(seconds)
    return await underway
