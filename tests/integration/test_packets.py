"""Several requests in one packet, in both colours: whatever happens to a connection, all are sent anew, or none."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from sharedsession.backends.memcached import protocol as meta
from sharedsession.backends.memcached import text
from sharedsession.backends.memcached.server import MemcachedServer
from sharedsession.backends.wire.multiplexed_client import MultiplexedClient
from sharedsession.backends.wire.protocol import Address, Answer, Request, StaleToken, together
from sharedsession.concurrency import BlockingDriver, run
from sharedsession.environment import Environment
from sharedsession.errors import BackendUnavailable
from tests.support.processes import HOST
from tests.support.relay import Relay
from tests.support.servers import Memcached

KEYS = [f"ss:{number}" for number in range(5)]


class Line:
    """A client of one colour to a memcached behind a relay, and a clock of its own."""

    def __init__(self, colour: str, protocol: Any, relay: Relay, **options: Any) -> None:
        self.passed = 0.0
        environment = Environment(monotonic=lambda: time.monotonic() + self.passed)
        address = Address(host=HOST, port=relay.port)
        self.protocol, self.relay = protocol, relay
        self.server = MemcachedServer(address, 2.0, protocol=protocol, environment=environment, **options)
        self.client: Any = self.server.blocking_client()
        self._runner = asyncio.Runner() if colour == "asgi" else None
        if self._runner:
            self.client = MultiplexedClient(self.server._protocol, self.server.guard)

    def ask(self, request: Request, timeout: float = 2.0, *, afresh: bool = False) -> Answer:
        async def asked() -> Answer:
            return await (self.client.ask_afresh if afresh else self.client.ask)(request, timeout)

        return self._runner.run(asked()) if self._runner else run(asked())

    def packet(self, keys: Sequence[str] = KEYS, newest_serial: int | None = None) -> Request:
        """Reads some keys in one packet."""
        answers = self.protocol.answers_get
        requests = [
            Request(self.protocol.get(key, None, number), (answers, key, number), newest_serial)
            for number, key in enumerate(keys, 1)
        ]
        return together(requests)

    def close(self) -> None:
        if self._runner:

            async def close() -> None:
                self.client.close()

            self._runner.run(close())
            self._runner.close()
        else:
            self.client.close()


@pytest.fixture(params=["meta", "text"])
def protocol(request: pytest.FixtureRequest) -> Any:
    return {"meta": meta, "text": text}[request.param]


@pytest.fixture
def line(colour: str, protocol: Any, memcached: Memcached) -> Iterator[Line]:
    for key in KEYS:
        memcached.command("set", key, 0, 60, len(key), b"\r\n" + key.encode())
    with Relay(memcached.port) as relay, opened(Line(colour, protocol, relay)) as line:
        line.ask(line.packet())
        yield line


@contextmanager
def opened(line: Line) -> Iterator[Line]:
    try:
        yield line
    finally:
        line.close()


def values(answer: Answer) -> list[str]:
    return [reply.value.decode() for reply in answer.reply]


def failures(line: Line) -> int:
    return int(line.server.guard.facts()["failures"])


def test_one_round_trip(line: Line) -> None:
    """All replies, in the order of the requests."""
    line.relay.reset_counts()
    assert values(line.ask(line.packet())) == KEYS
    assert (line.relay.round_trips, line.relay.requests) == (1, 1)


def cut(line: Line) -> None:
    line.relay.cut()


def out_of_step(line: Line) -> None:
    waiting = [b"END\r\n"]
    line.relay.on_reply(lambda data: (waiting.pop() if waiting else b"") + data)


def half_a_reply(line: Line) -> None:
    """The connection ends after the second reply of five."""
    done: list[bool] = []

    def halved(data: bytes) -> bytes:
        if done or b"ss:1" not in data:
            return data
        done.append(True)
        for client in [end for end in line.relay._ends if type(end).__name__ == "_Client"]:
            client.relay._loop.call_soon(client.reply, None)
        return data[: data.index(b"ss:1") + 2]

    line.relay.on_reply(halved)


def deaf(line: Line) -> None:
    line.passed += 31
    line.relay.deafen()


def mute(line: Line) -> None:
    line.passed += 31
    line.relay.deafen(hears=True)


def asleep(line: Line) -> None:
    line.passed += 31


TROUBLES = [cut, out_of_step, half_a_reply, deaf, mute, asleep]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_packet_is_sent_anew(line: Line, trouble: Callable[[Line], None]) -> None:
    """As a whole, once; nobody is told a reply of the first try in the place of another."""
    trouble(line)
    assert values(line.ask(line.packet())) == KEYS
    assert values(line.ask(line.packet(KEYS[::-1]))) == KEYS[::-1]
    assert failures(line) == 0


@pytest.mark.parametrize("trouble", [cut, out_of_step, half_a_reply, deaf, mute])
def test_a_packet_with_a_token_is_not(line: Line, trouble: Callable[[Line], None]) -> None:
    """A token means nothing on a connection that is newer."""
    serial = line.ask(line.packet()).newest_serial
    trouble(line)
    with pytest.raises(StaleToken):
        line.ask(line.packet(newest_serial=serial))
    assert values(line.ask(line.packet())) == KEYS
    assert failures(line) == 0


def test_a_packet_over_a_connection_of_its_own(line: Line) -> None:
    """Whatever the others are like; afterwards it is closed."""
    line.relay.deafen()
    assert values(line.ask(line.packet(), afresh=True)) == KEYS
    line.relay.refuse()
    with pytest.raises(BackendUnavailable):
        line.ask(line.packet(), afresh=True)
    assert failures(line) == 1


def test_a_packet_that_is_too_late(line: Line) -> None:
    """It is sent again over another connection once, and counts once."""
    line.relay.reset_counts()
    line.relay.hold()
    with pytest.raises(BackendUnavailable):
        line.ask(line.packet(), 0.2)
    assert line.relay.requests <= 2
    assert failures(line) == 1
    line.relay.release()


def test_packets_side_by_side(protocol: Any, memcached: Memcached) -> None:
    """In a ring one thread asks several nodes at a time, also over connections that have gone deaf."""
    for key in KEYS:
        memcached.command("set", key, 0, 60, len(key), b"\r\n" + key.encode())
    with Relay(memcached.port) as relay:
        lines = [Line("wsgi", protocol, relay, in_ring=True) for _ in range(3)]
        for line in lines:
            line.ask(line.packet())
            line.passed += 31
        relay.deafen()
        driver = BlockingDriver(Environment(monotonic=lines[0].server.guard.monotonic))
        began = time.monotonic()
        answers = run(driver.gather([line.client.ask(line.packet(), 2.0) for line in lines]))
        assert [values(answer) for answer in answers] == [KEYS] * 3
        assert time.monotonic() - began < 1.4  # one silence of half a second, not three
        for line in lines:
            line.close()


@pytest.mark.parametrize("trouble", [deaf, mute, asleep])
@pytest.mark.parametrize("colour", ["asgi"])
def test_a_request_that_is_cancelled_while_a_connection_proves_itself(
    line: Line, trouble: Callable[[Line], None]
) -> None:
    """The next one finds out instead, and nothing is left over."""
    trouble(line)
    line.relay.delay(0.1)

    async def give_up() -> None:
        asking = asyncio.ensure_future(line.client.ask(line.packet(), 2.0))
        await asyncio.sleep(0.02)
        asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled()

    assert line._runner
    line._runner.run(give_up())
    line.relay.delay(0)
    assert values(line.ask(line.packet())) == KEYS
    assert values(line.ask(line.packet(KEYS[::-1]))) == KEYS[::-1]
    assert failures(line) == 0
