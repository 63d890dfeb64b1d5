"""What is under way is awaited without a task each; nothing is left behind when one fails or the task is cancelled."""

import asyncio
import gc
from typing import Any

import pytest

from sharedsession.concurrency import BlockingDriver, LoopDriver, abandon, are_under_way
from sharedsession.errors import BackendUnavailable


async def nothing() -> str:
    return "nothing"


async def fails() -> str:
    raise BackendUnavailable("no answer")


async def breaks() -> str:
    raise ValueError("a bug")


def test_only_futures_are_under_way() -> None:
    async def main() -> None:
        future = asyncio.get_running_loop().create_future()
        task = asyncio.ensure_future(nothing())
        work = nothing()
        assert are_under_way([future, task])
        assert not are_under_way([future, work])
        await task
        work.close()

    asyncio.run(main())


def test_outcomes_come_in_order_whatever_has_begun() -> None:
    """An outage is the outcome of the one that has it, in both colours."""

    async def main() -> list[Any]:
        future = asyncio.get_running_loop().create_future()
        refused = asyncio.get_running_loop().create_future()
        refused.set_exception(BackendUnavailable("refused"))
        asyncio.get_running_loop().call_soon(future.set_result, "late")
        return await LoopDriver.outcomes([nothing(), future, fails(), refused])

    first, second, third, fourth = asyncio.run(main())
    assert (first, second, str(third), str(fourth)) == ("nothing", "late", "no answer", "refused")
    work = BlockingDriver().outcomes([nothing(), fails()])
    with pytest.raises(StopIteration) as done:
        work.send(None)
    result, outage = done.value.value
    assert (result, str(outage)) == ("nothing", "no answer")


def test_after_a_bug_nothing_goes_on() -> None:
    async def main() -> None:
        future = asyncio.get_running_loop().create_future()
        with pytest.raises(ValueError, match="a bug"):
            await LoopDriver.outcomes([breaks(), future])
        assert future.cancelled()

    asyncio.run(main())


def test_who_is_cancelled_leaves_nothing_under_way() -> None:
    async def main() -> None:
        future = asyncio.get_running_loop().create_future()
        task = asyncio.ensure_future(LoopDriver.outcomes([future, nothing()]))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert future.cancelled()

    asyncio.run(main())


def test_who_is_cancelled_at_once_leaves_no_coroutine_behind() -> None:
    """Python warns of one that was never begun."""

    async def main() -> None:
        outcomes = LoopDriver.outcomes([nothing(), nothing()])
        outcomes.send(None)
        outcomes.close()
        await asyncio.sleep(0)

    asyncio.run(main())
    gc.collect()


def test_an_error_that_nobody_awaits_is_seen() -> None:
    """Else asyncio would log that it never was."""

    async def main() -> list[Any]:
        logged: list[Any] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: logged.append(context))
        failed, done, pending = loop.create_future(), loop.create_future(), loop.create_future()
        failed.set_exception(BackendUnavailable("no answer"))
        done.set_result(1)
        abandon([failed, done, pending])
        assert pending.cancelled()
        del failed, done, pending
        gc.collect()
        return logged

    assert asyncio.run(main()) == []


def test_of_a_loop_that_was_closed_nothing_is_touched() -> None:
    loop = asyncio.new_event_loop()
    future = loop.create_future()
    future.add_done_callback(print)  # a cancellation would have to tell it, on a loop that takes nothing any more
    loop.close()
    abandon([future])
    assert not future.done()
