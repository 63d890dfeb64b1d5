"""Turns within a process: one at a time, in order, and nobody who gave up holds up the others."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sharedsession.concurrency.keyed_queue import LoopTurns, ThreadTurns


def test_threads_take_turns():
    """Two hundred that want one thing have it one at a time; nobody waits in vain."""
    turns, inside, most = ThreadTurns(), [0], [0]

    def work(_: int) -> bool:
        got = turns.take("x") or asyncio.run(turns.wait("x", 30))
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        inside[0] -= 1
        turns.leave("x")
        return got

    with ThreadPoolExecutor(20) as pool:
        assert all(pool.map(work, range(200)))
    assert most == [1]
    assert turns.take("x")


def test_tasks_take_turns_in_order():
    """Whoever came first gets it first."""

    async def main() -> list[int]:
        turns, order = LoopTurns(), []

        async def work(number: int) -> None:
            assert turns.take("x") or await turns.wait("x", 30)
            order.append(number)
            await asyncio.sleep(0)
            turns.leave("x")

        await asyncio.gather(*map(work, range(50)))
        assert turns.take("x")
        return order

    assert asyncio.run(main()) == list(range(50))


def test_other_things_are_free():
    """A line is for one thing only."""
    turns = ThreadTurns()
    assert turns.take("x")
    assert turns.take("y")
    assert not turns.take("x")
    assert turns.waiting("x") == turns.waiting("z") == 0


def test_a_thread_that_gives_up_is_passed_over():
    """It says so, and the next one is not kept waiting."""
    turns = ThreadTurns()
    assert turns.take("x")
    assert not asyncio.run(turns.wait("x", 0.01))
    assert turns.waiting("x") == 0
    turns.leave("x")
    assert turns.take("x")


@pytest.mark.parametrize("granted", [False, True])
def test_a_task_that_is_cancelled_is_passed_over(granted: bool):
    """Even if its turn had just come."""

    async def main() -> None:
        turns = LoopTurns()
        assert turns.take("x")
        waiting = [asyncio.create_task(turns.wait("x", 30)) for _ in range(3)]
        await asyncio.sleep(0)
        if granted:
            turns.leave("x")
        waiting[0].cancel()
        if not granted:
            await asyncio.sleep(0)
            turns.leave("x")
        assert await waiting[1]
        turns.leave("x")
        assert await waiting[2]

    asyncio.run(main())


def test_a_task_whose_time_is_up_is_passed_over():
    """It says so."""

    async def main() -> Any:
        turns = LoopTurns()
        assert turns.take("x")
        late = asyncio.create_task(turns.wait("x", 0.01))
        patient = asyncio.create_task(turns.wait("x", 30))
        assert not await late
        turns.leave("x")
        return await patient

    assert asyncio.run(main())


def test_loops_have_lines_of_their_own():
    """What a task of one loop has, a task of another one may have as well: other processes may, too."""
    turns, answers = LoopTurns(), []

    async def take() -> None:
        answers.append(turns.take("x"))

    for _ in range(2):
        thread = threading.Thread(target=lambda: asyncio.run(take()))
        thread.start()
        thread.join()
    assert answers == [True, True]
