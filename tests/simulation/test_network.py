"""What the simulated loop and network do, as far as everything above relies on it."""

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import pytest

from tests.simulation.loop import NothingLeft, SimulatedLoop
from tests.simulation.network import FORGOTTEN_AFTER, SENDER, Host, Network, Sender
from tests.simulation.story import Story


class Echo:
    """A server that repeats what it gets, and remembers it."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.closed = False

    def connect(self) -> "Echo":
        return self

    def restart(self) -> None:
        self.heard.clear()

    def receive(self, data: bytes) -> bytes:
        self.heard.append(data)
        return data


class Client(asyncio.Protocol):
    """What arrives at the other end, and when."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop
        self.heard: list[tuple[float, bytes]] = []
        self.lost: list[Exception | None] = []

    def data_received(self, data: bytes) -> None:
        self.heard.append((self._loop.time(), data))

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.append(error)


class Bench:
    """One web node, one host, and the link between them."""

    def __init__(self) -> None:
        self.loop = SimulatedLoop()
        self.network = Network(self.loop, Random(1), Story(self.loop.time))
        self.host = self.network.hosts["m0"] = Host("m0", self.loop.time)
        self.host.server = self.echo = Echo()

    async def opened(self) -> tuple[Any, Client]:
        SENDER.set(Sender("w0"))
        transport, client = await self.loop.create_connection(lambda: Client(self.loop), "m0", 1)
        return transport, client


@pytest.fixture
def bench() -> Bench:
    return Bench()


def run(bench: Bench, story: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
    bench.loop.run(story(bench))
    bench.network.close()


def test_time_passes_only_while_everybody_waits(bench: Bench) -> None:
    async def story(bench: Bench) -> None:
        await asyncio.gather(asyncio.sleep(3600), asyncio.sleep(7200))
        assert bench.loop.time() == pytest.approx(7200)

    run(bench, story)


def test_waiting_for_nothing_is_an_error(bench: Bench) -> None:
    async def story(bench: Bench) -> None:
        await bench.loop.create_future()

    with pytest.raises(NothingLeft):
        run(bench, story)


def test_bytes_arrive_in_order(bench: Bench) -> None:
    async def story(bench: Bench) -> None:
        transport, client = await bench.opened()
        for number in range(100):
            transport.write(b"%d" % number)
        await asyncio.sleep(1)
        assert [data for _, data in client.heard] == [b"%d" % number for number in range(100)]

    run(bench, story)


def test_over_a_link_that_is_cut_bytes_arrive_when_it_is_whole(bench: Bench) -> None:
    async def story(bench: Bench) -> None:
        transport, client = await bench.opened()
        bench.network.link("w0", "m0").sends = False
        transport.write(b"late")
        transport.abort()  # its sender gives up, and the bytes are on their way all the same
        await asyncio.sleep(5)
        assert not bench.echo.heard
        bench.network.mend("w0", "m0")
        await asyncio.sleep(1)
        assert bench.echo.heard == [b"late"]
        assert not client.heard

    run(bench, story)


def test_a_server_that_stood_still_works_off_what_arrived(bench: Bench) -> None:
    async def story(bench: Bench) -> None:
        transport, client = await bench.opened()
        bench.host.stop()
        stopped = bench.loop.time()
        transport.write(b"late")
        await asyncio.sleep(5)
        assert not client.heard
        assert bench.host.clock() == stopped
        bench.host.go_on(without_time=False)
        await asyncio.sleep(1)
        assert client.heard[0][1] == b"late"
        assert bench.host.clock() == bench.loop.time()

    run(bench, story)


def test_a_killed_server_resets_connections_and_refuses_new_ones(bench: Bench) -> None:
    async def story(bench: Bench) -> None:
        _, client = await bench.opened()
        bench.network.kill("m0")
        await asyncio.sleep(1)
        assert isinstance(client.lost[0], ConnectionResetError)
        with pytest.raises(ConnectionRefusedError):
            await bench.opened()
        bench.network.start("m0")
        await bench.opened()

    run(bench, story)


def test_a_forgotten_connection_is_silent_until_keepalive_closes_it(bench: Bench) -> None:
    async def story(bench: Bench) -> None:
        transport, client = await bench.opened()
        bench.network.forget("w0", "m0")
        transport.write(b"lost")
        await asyncio.sleep(FORGOTTEN_AFTER - 1)
        assert not client.lost
        await asyncio.sleep(2)
        assert isinstance(client.lost[0], TimeoutError)
        assert not bench.echo.heard

    run(bench, story)
