"""The queues within a process: one at a time, in order; who gave up delays no other."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sharedsession.concurrency.keyed_queue import LoopQueue, ThreadQueue


def test_threads_take_turns():
    """Two hundred that want one thing have it one at a time; nobody waits in vain."""
    queue, inside, most = ThreadQueue(), [0], [0]

    def work(_: int) -> bool:
        got = queue.acquire("x") or asyncio.run(queue.wait("x", 30))
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        inside[0] -= 1
        queue.release("x")
        return got

    with ThreadPoolExecutor(20) as pool:
        assert all(pool.map(work, range(200)))
    assert most == [1]
    assert queue.acquire("x")


def test_tasks_take_turns_in_order():
    """Whoever came first gets it first."""

    async def main() -> list[int]:
        queue, order = LoopQueue(), []

        async def work(number: int) -> None:
            assert queue.acquire("x") or await queue.wait("x", 30)
            order.append(number)
            await asyncio.sleep(0)
            queue.release("x")

        await asyncio.gather(*map(work, range(50)))
        assert queue.acquire("x")
        return order

    assert asyncio.run(main()) == list(range(50))


def test_other_things_are_free():
    """A line is for one thing only."""
    queue = ThreadQueue()
    assert queue.acquire("x")
    assert queue.acquire("y")
    assert not queue.acquire("x")
    assert queue.waiting("x") == queue.waiting("z") == 0


def test_a_thread_that_gives_up_is_passed_over():
    """It says so, and the next one is not kept waiting."""
    queue = ThreadQueue()
    assert queue.acquire("x")
    assert not asyncio.run(queue.wait("x", 0.01))
    assert queue.waiting("x") == 0
    queue.release("x")
    assert queue.acquire("x")


@pytest.mark.parametrize("granted", [False, True])
def test_a_task_that_is_cancelled_is_passed_over(granted: bool):
    """Even if its turn had just come."""

    async def main() -> None:
        queue = LoopQueue()
        assert queue.acquire("x")
        waiting = [asyncio.create_task(queue.wait("x", 30)) for _ in range(3)]
        await asyncio.sleep(0)
        if granted:
            queue.release("x")
        waiting[0].cancel()
        if not granted:
            await asyncio.sleep(0)
            queue.release("x")
        assert await waiting[1]
        queue.release("x")
        assert await waiting[2]

    asyncio.run(main())


def test_a_task_whose_time_is_up_is_passed_over():
    """It says so."""

    async def main() -> Any:
        queue = LoopQueue()
        assert queue.acquire("x")
        late = asyncio.create_task(queue.wait("x", 0.01))
        patient = asyncio.create_task(queue.wait("x", 30))
        assert not await late
        queue.release("x")
        return await patient

    assert asyncio.run(main())


def test_loops_have_lines_of_their_own():
    """What a task of one loop has, a task of another one may have as well: other processes may, too."""
    queue, answers = LoopQueue(), []

    async def take() -> None:
        answers.append(queue.acquire("x"))

    for _ in range(2):
        thread = threading.Thread(target=lambda: asyncio.run(take()))
        thread.start()
        thread.join()
    assert answers == [True, True]
