"""Several sockets in one thread: all send, then whoever is answered first goes on first."""

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from sharedsession.concurrency import BlockingDriver, Readable, run
from sharedsession.concurrency.blocking import gather
from sharedsession.errors import BackendUnavailable

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pairs() -> Iterator[list[Pair]]:
    made = [socket.socketpair() for _ in range(3)]
    yield made
    for ours, theirs in made:
        ours.close()
        theirs.close()


def asks(pair: Pair, order: list[str], name: str, *, times: int = 1, within: float = 5.0) -> Any:
    """A request as a blocking client makes it: it waits to be told that there is something to read."""

    async def ask() -> bytes:
        for _ in range(times):
            order.append(f"send {name}")
            await Readable(pair[0].fileno()).until(time.monotonic() + within)
            pair[0].settimeout(within)
            order.append(f"receive {name}")
            try:
                answer = pair[0].recv(1)
            except TimeoutError:
                raise BackendUnavailable("no answer") from None
        return answer

    return ask()


def test_whoever_is_answered_goes_on_first(pairs: list[Pair]) -> None:
    order: list[str] = []
    pairs[0][1].sendall(b"a")
    pairs[1][1].sendall(b"b")
    works = [asks(pairs[0], order, "a"), asks(pairs[1], order, "b"), asks(pairs[2], order, "c", within=0.05)]
    answers = run(gather(works, time.monotonic))
    assert answers[:2] == [b"a", b"b"]
    assert isinstance(answers[2], BackendUnavailable)
    assert order == ["send a", "send b", "send c", "receive a", "receive b", "receive c"]


def test_one_that_has_more_to_send_does_not_wait_for_one_that_stands_still(pairs: list[Pair]) -> None:
    """As over a connection that is new: it sends its request when it was greeted."""
    order: list[str] = []
    pairs[0][1].sendall(b"ab")
    silent = asks(pairs[1], order, "silent", within=0.2)
    answers = run(BlockingDriver().outcomes([asks(pairs[0], order, "a", times=2), silent]))
    assert answers[0] == b"b"
    assert isinstance(answers[1], BackendUnavailable)
    assert order == ["send a", "send silent", "receive a", "send a", "receive a", "receive silent"]


def test_what_is_interrupted_closes_the_others(pairs: list[Pair]) -> None:
    order: list[str] = []

    async def interrupted() -> bytes:
        raise KeyboardInterrupt

    waiting = asks(pairs[0], order, "a")
    with pytest.raises(KeyboardInterrupt):
        run(gather([waiting, interrupted()], time.monotonic))
    with pytest.raises(RuntimeError, match="already awaited"):
        waiting.send(None)


def test_inside_of_another_each_waits_with_all(pairs: list[Pair]) -> None:
    order: list[str] = []
    driver = BlockingDriver()
    pairs[0][1].sendall(b"a")
    pairs[1][1].sendall(b"b")
    pairs[2][1].sendall(b"c")

    async def inner() -> Any:
        return await driver.outcomes([asks(pairs[0], order, "a"), asks(pairs[1], order, "b")])

    assert run(driver.gather([inner(), asks(pairs[2], order, "c")])) == [[b"a", b"b"], b"c"]
