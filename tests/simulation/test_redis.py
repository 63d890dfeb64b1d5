"""The simulated Redis and Valkey reply as the real ones do, byte by byte, to random sequences of commands.

The real server's clock goes on while the other's stands still. So the lives that they report may differ by the time
that the real one took.
"""

import itertools
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from random import Random
from typing import Any

import hiredis
import pytest

from sharedsession.backends.redis.resp import named
from tests.simulation.duel import SEQUENCES, Line, difference
from tests.simulation.redis import SimulatedRedis
from tests.simulation.redis_commands import KEYS, LIVES, Command, command
from tests.support.servers import Redis, Valkey

LAST = b"*2\r\n$4\r\nECHO\r\n$8\r\nthe last\r\n"
LIFE = re.compile(rb":(\d{3,})")  # no other number is as large
SHORT = 300  # milliseconds: a life that ends between two parts of a sequence, and in none
PAUSE = 0.02  # seconds


class Duel:
    """A real server, and one that is simulated.

    Args:
        server: the real one.
    """

    def __init__(self, server: Redis | Valkey) -> None:
        self.line = Line(server.port)
        self.took = 0.0  # seconds, for the slowest part of this sequence
        self._now = time.monotonic()
        self.simulated = SimulatedRedis(lambda: self._now, has_ifeq=isinstance(server, Valkey))
        self._client = int(self._real(("HELLO", "2")).split(b"\r\n:")[2].split(b"\r\n")[0])
        self.begin()

    def begin(self) -> None:
        """Empties both servers."""
        assert self._real(("FLUSHALL",)).startswith(b"+OK")
        self.simulated.restart()
        self.connection = self.simulated.connect()
        self.connection.client = self._client
        self.took = 0.0

    def play(self, commands: Sequence[Command]) -> None:
        """Sends commands to both, and compares the replies."""
        self._now = time.monotonic()
        real = self._real(*commands)
        self.took = max(self.took, time.monotonic() - self._now)
        simulated = self.connection.receive(_packed(commands) + LAST)
        ours, theirs = simulated.split(b"\r\n"), real.split(b"\r\n")
        found = difference([self._rounded(*pair) for pair in itertools.zip_longest(theirs, ours, fillvalue=b"")], ours)
        assert not found, f"{found}, after\n" + "\n".join(map(repr, commands))

    def _real(self, *commands: Command) -> bytes:
        return self.line.ask(_packed(commands) + LAST, b"the last\r\n")

    def _rounded(self, line: bytes, near: bytes) -> bytes:
        """Returns a line, or the one that it is meant to be, if both tell a life and are as near as can be."""
        ours, theirs = LIFE.fullmatch(near), LIFE.fullmatch(line)
        if ours and theirs and abs(int(ours[1]) - int(theirs[1])) <= self.took * 1000 + 2:
            return near
        return line


def _packed(commands: Sequence[Command]) -> bytes:
    packed: list[bytes] = [hiredis.pack_command(words) for words in commands]
    return b"".join(packed)


@pytest.fixture
def start() -> Iterator[Callable[..., Duel]]:
    """Begins duels."""
    with ExitStack() as lines:

        def begin(server: Redis | Valkey) -> Duel:
            duel = Duel(server)
            lines.enter_context(duel.line)
            return duel

        yield begin


@pytest.fixture(params=["redis", "valkey"])
def duel(request: pytest.FixtureRequest, start: Callable[..., Duel]) -> Duel:
    """With each kind of server."""
    return start(request.getfixturevalue(request.param))


def test_random_sequences(duel: Duel) -> None:
    """Strings, tombstones, versions, lives, faults: whatever a few keys are asked."""
    for number in range(SEQUENCES):
        chance = Random(f"sequence {number}")
        duel.begin()
        duel.play([command(chance) for _ in range(chance.randint(1, 30))])


@pytest.mark.parametrize("batch", range(max(1, SEQUENCES // 1000)))
def test_time_passes(duel: Duel, batch: int) -> None:
    """Sequences side by side, on keys of their own, in three parts; what has a short life is gone in the next part."""
    sequences = 200
    while not _play_three_parts(duel, batch, sequences):
        sequences = max(1, sequences // 2)


def _play_three_parts(duel: Duel, batch: int, sequences: int) -> bool:
    """Returns ``False`` if the real server was so slow that short lives may have ended within a part."""
    chances = [Random(f"time {batch} {number}") for number in range(sequences)]
    duel.begin()
    for _ in range(3):
        for number, chance in enumerate(chances):
            keys = [f"{key}{number}" for key in KEYS]
            duel.play([command(chance, keys, (SHORT, *LIVES)) for _ in range(8)])
            if duel.took * 1000 > SHORT / 2:
                return False
        until = time.monotonic() + 2 * SHORT / 1000
        while time.monotonic() < until:
            time.sleep(PAUSE)
    return True


@pytest.mark.parametrize("kind", ["redis", "valkey"])
@pytest.mark.parametrize(
    ("switch", "on", "off"),
    [
        ("out_of_memory", ("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
        ("is_read_only", ("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
    ],
)
def test_refusals(
    fresh: Callable[..., Any], start: Callable[..., Duel], kind: str, switch: str, on: Command, off: Command
) -> None:
    """What a server without memory refuses, and a replica, and in which command of a script."""
    duel = start(fresh(kind))
    for number in range(max(20, SEQUENCES // 10)):
        chance = Random(f"{switch} {number}")
        duel.begin()
        duel.play([command(chance) for _ in range(5)])
        duel._real(on)
        setattr(duel.simulated, switch, True)
        duel.play([command(chance) for _ in range(15)])
        duel._real(off)
        setattr(duel.simulated, switch, False)


@pytest.mark.parametrize("kind", ["redis", "valkey"])
def test_while_it_reads_its_data(fresh: Callable[..., Any], start: Callable[..., Duel], kind: str) -> None:
    """What a server refuses after a start, and that it says so: the real one reads for ten seconds."""
    server = fresh(kind, "--enable-debug-command", "yes", "--loading-process-events-interval-bytes", "1024")
    duel, reader = start(server), Line(server.port)
    with reader:
        reader.ask(
            _packed([("DEBUG", "POPULATE", "5000"), ("CONFIG", "SET", "key-load-delay", "2000")]), b"+OK\r\n" * 2
        )
        reader.send(_packed([("DEBUG", "RELOAD")]))
        while not duel._real(("GET", "one")).startswith(b"-LOADING"):
            time.sleep(PAUSE)
        duel.simulated.is_loading = True
        for number in range(20):
            chance = Random(f"loading {number}")
            duel.play([command(chance) for _ in range(20)])


@pytest.mark.parametrize("has_ifeq", [True, False])
def test_it_does_not_matter_how_bytes_are_cut(has_ifeq: bool) -> None:
    """The same bytes, byte by byte or in pieces of any length, give the same replies."""
    for number in range(SEQUENCES // 10):
        chance = Random(f"cut {number}")
        whole = SimulatedRedis(lambda: 1000.0, has_ifeq=has_ifeq)
        twin = whole.copy()
        one, other = whole.connect(), twin.connect()
        data = b"".join([named(command(chance), number) for _ in range(20)])
        cuts = sorted(chance.choices(range(len(data)), k=chance.choice((1, 20, len(data)))))
        pieces = [data[begin:end] for begin, end in itertools.pairwise([0, *cuts, len(data)])]
        assert b"".join([other.receive(piece) for piece in pieces]) == one.receive(data)
        assert vars(twin) == vars(whole)


def test_evictions_and_copies() -> None:
    """A key vanishes at the wish of a test, and is counted. A copy goes its own way."""
    clock = [0.0]
    server = SimulatedRedis(lambda: clock[0])
    server.connect().receive(_packed([("SET", "a", "1"), ("SET", "b", "1", "PX", "1000"), ("SET", "c", "1")]))
    clock[0] = 1.0
    assert server.keys() == [b"a", b"b", b"c"]  # through its last millisecond
    clock[0] = 1.01
    twin = server.copy()
    assert [server.evict(key) for key in (b"a", b"a", b"b")] == [True, False, False]
    assert (server.keys(), server.evictions, twin.keys(), twin.evictions) == ([b"c"], 1, [b"a", b"c"], 0)
    server.restart()
    assert server.keys() == []
