"""The simulated memcached replies as the real one does, byte by byte, to random sequences of commands.

Both begin at the same second and at the same CAS number. A sequence during which the real server's clock ticked counts
for nothing, and is played again.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from random import Random
from typing import Any

import pytest

from sharedsession.backends.memcached import protocol
from tests.simulation.duel import SEQUENCES, Line, difference
from tests.simulation.memcached import SimulatedMemcached
from tests.simulation.memcached_commands import KEYS, command
from tests.support.servers import Memcached

CLOCK = 2_000_000_000  # a date to which the clocks count down
LOOK, LOOKED = b"ms clock 0 c T%d\r\n\r\nmg clock t Olast\r\n" % CLOCK, b" Olast\r\n"
PADDING = b"\r\n\r\n"  # for a command that lacks some bytes
PAUSE = 0.01  # seconds


class Duel:
    """A real memcached, and one that is simulated.

    Args:
        server: the real one.
        options: of the simulated one.

    Attributes:
        date: what both clocks show, in whole seconds since the epoch.
    """

    def __init__(self, server: Memcached, **options: Any) -> None:
        self.line = Line(server.port)
        told = _statistics(self.line.ask(protocol.STATISTICS, b"END\r\n"))
        self.date = int(told[b"time"]) - int(told[b"uptime"]) + 2
        self.simulated = SimulatedMemcached(lambda: float(self.date), **options)
        self.connection = self.simulated.connect()

    def begin(self) -> None:
        """Empties both servers."""
        data = b"flush_all\r\n" + LOOK
        real = self.line.ask(data, LOOKED)
        self.date = CLOCK - _left(real)
        self.simulated._newest_cas = int(real.splitlines()[1].removeprefix(b"HD c")) - 2
        self.connection = self.simulated.connect()
        assert self.connection.receive(data) == real

    def pass_second(self) -> None:
        """Waits until the real server's clock ticks; the other's follows."""
        before = self.date
        while self.date == before:
            time.sleep(PAUSE)
            self.date = CLOCK - _left(self.line.ask(LOOK, LOOKED))
            self.connection.receive(LOOK)

    def play(self, commands: Sequence[bytes]) -> bool:
        """Sends commands to both, and compares the replies. Returns ``False`` if the real server's clock ticked."""
        data = b"".join(commands) + PADDING + LOOK
        real = self.line.ask(data, LOOKED)
        if CLOCK - _left(real) != self.date:
            return False
        found = difference(real.splitlines(), self.connection.receive(data).splitlines())
        assert not found, f"{found}, after\n" + "\n".join(map(repr, commands))
        return True

    def commands(self, chance: Random, number: int, **options: Any) -> list[bytes]:
        """Returns random commands that fit to what the simulated server holds, and to what they change."""
        twin = self.simulated.copy()
        connection, made = twin.connect(), []
        for _ in range(number):
            made.append(command(chance, twin, self.date, **options))
            connection.receive(made[-1])
        return made

    def play_random(self, seed: str, **options: Any) -> None:
        """Plays a sequence that depends on the seed, on empty servers."""
        while True:
            chance = Random(seed)
            self.begin()
            if self.play(self.commands(chance, chance.randint(1, 30), **options)):
                return


def _left(reply: bytes) -> int:
    return int(reply.splitlines()[-1].split()[1].removeprefix(b"t"))


@pytest.fixture
def start() -> Iterator[Callable[..., Duel]]:
    """Begins duels."""
    with ExitStack() as lines:

        def begin(*arguments: Any, **options: Any) -> Duel:
            duel = Duel(*arguments, **options)
            lines.enter_context(duel.line)
            return duel

        yield begin


@pytest.fixture
def duel(memcached: Memcached, start: Callable[..., Duel]) -> Duel:
    """With a memcached as it is by default."""
    return start(memcached)


def test_random_sequences(duel: Duel) -> None:
    """Values, lives, CAS numbers, faults: whatever a few keys are asked."""
    for number in range(SEQUENCES):
        duel.play_random(f"sequence {number}")


def test_sizes(fresh: Callable[..., Memcached], start: Callable[..., Duel]) -> None:
    """What is too large by a byte is refused, and what it costs the item that was there."""
    duel = start(fresh("memcached", "-I", "4k", "-o", "slab_chunk_max=4096"), item_size_max=4096)
    for number in range(SEQUENCES // 10):
        duel.play_random(f"sizes {number}", faults=0.0)


@pytest.mark.parametrize("batch", range(max(1, SEQUENCES // 1000)))
def test_time_passes(duel: Duel, batch: int) -> None:
    """Sequences side by side, on keys of their own, in three seconds of the server's clock."""
    sequences = 200
    while not _play_three_seconds(duel, batch, sequences):
        sequences = max(1, sequences // 2)


def _play_three_seconds(duel: Duel, batch: int, sequences: int) -> bool:
    """Returns ``False`` if a second was too short for so many sequences."""
    chances = [Random(f"time {batch} {number}") for number in range(sequences)]
    duel.begin()
    for _ in range(3):
        duel.pass_second()
        for number, chance in enumerate(chances):
            keys = [f"{key}{number}" for key in KEYS]
            commands = [made for made in duel.commands(chance, 8, keys=keys) if not made.startswith(b"flush_all")]
            if not duel.play(commands):
                return False
    return True


def test_it_does_not_matter_how_bytes_are_cut() -> None:
    """The same bytes, byte by byte or in pieces of any length, give the same replies."""
    for number in range(SEQUENCES // 10):
        chance = Random(f"cut {number}")
        whole = SimulatedMemcached(lambda: 1000.0)
        twin = whole.copy()
        one, other = whole.connect(), twin.connect()
        data = b"".join([command(chance, whole, 1000) for _ in range(20)])
        cuts = sorted(chance.choices(range(len(data)), k=chance.choice((1, 20, len(data)))))
        pieces = [data[begin:end] for begin, end in itertools.pairwise([0, *cuts, len(data)])]
        assert b"".join([other.receive(piece) for piece in pieces]) == one.receive(data)
        assert vars(twin) == vars(whole)


def test_without_memory(fresh: Callable[..., Memcached], start: Callable[..., Duel]) -> None:
    """What a full node refuses, and that some refusals delete what is there, whether it was to be replaced or not."""
    duel = start(fresh("memcached", "-M", "-m", "2"))
    fillers = itertools.count()
    for tried in ON_A_FULL_NODE:
        cas = _fill(duel, fillers)
        duel.simulated.restart()
        duel.simulated._newest_cas = cas - 1
        duel.connection.receive(_storing(b"held", b" c"))
        duel.simulated.out_of_memory = True
        line = tried % cas if b"%d" in tried else tried
        data = line + b"\r\n" + (VALUE if b"1000" in line else b"") + b"mg held c f s\r\nmn\r\n"
        assert (line, duel.connection.receive(data)) == (line, duel.line.ask(data, b"MN\r\n"))
        duel.simulated.out_of_memory = False


VALUE = b"x" * 1000 + b"\r\n"
ON_A_FULL_NODE = (
    b"ms held 1000 T99",
    b"ms held 1000 ME T99",
    b"ms held 1000 MR T99",
    b"ms held 1000 C%d T99",
    b"ms held 1000 C1 T99",
    b"ms other 1000 ME T99",
    b"set held 0 99 1000",
    b"add held 0 99 1000",
    b"replace held 0 99 1000",
    b"cas held 0 99 1000 %d",
    b"cas held 0 99 1000 1",
    b"cas other 0 99 1000 1",
    b"md held I T99",
    b"md held",
    b"mg held s T99",
    b"gat 99 held",
    b"touch held 99",
)


def _fill(duel: Duel, fillers: Iterator[int]) -> int:
    """Fills a node, so that it holds an item under ``held``, and no other finds memory. Returns the CAS number."""
    duel.line.ask(b"md held\r\n", b"\r\n")
    for filler in fillers:
        key = b"filler%d" % filler
        if duel.line.ask(_storing(key), b"\r\n") == b"SERVER_ERROR out of memory storing object\r\n":
            break
    freed = duel.line.ask(b"md filler%d\r\n" % (filler - 1), b"\r\n")
    stored = duel.line.ask(_storing(b"held", b" c"), b"\r\n")
    assert (freed[:2], stored[:2]) == (b"HD", b"HD")
    return int(stored.split()[1][1:])


def _storing(key: bytes, flags: bytes = b"") -> bytes:
    return b"ms %b 1000%b\r\n%b" % (key, flags, VALUE)


@pytest.mark.parametrize("last", [b"quit\r\n", b"GET / HTTP/1.1\r\n", b"x" * 3000, b"quit now\r\nmn\r\n"])
def test_it_hangs_up(duel: Duel, last: bytes) -> None:
    """When it is asked to, on a request of HTTP, and on a line that does not end."""
    data = b"mn\r\n" + last
    assert duel.line.rest(data) == duel.connection.receive(data)
    assert duel.connection.closed
    assert duel.connection.receive(b"mn\r\n") == b""


def test_a_restart(memcached: Memcached, start: Callable[..., Duel]) -> None:
    """CAS numbers begin at 1 again, and the uptime at 2 seconds."""
    began = time.monotonic()
    memcached.restart()
    uptime = int(memcached.stat("uptime"))
    duel = start(memcached)
    data = b"ms a 1 c\r\nx\r\n"
    assert duel.line.ask(data, b"\r\n") == duel.connection.receive(data) == b"HD c1\r\n"
    assert 2 <= uptime <= 2 + 1 + time.monotonic() - began
    assert _statistics(duel.connection.receive(protocol.STATISTICS))[b"uptime"] == b"2"
    duel.simulated.restart()
    assert duel.simulated.connect().receive(b"mg a\r\n" + data) == b"EN\r\nHD c1\r\n"


def test_evictions() -> None:
    """An item vanishes at the wish of a test, and is counted; what has expired was not evicted."""
    clock = [0.0]
    server = SimulatedMemcached(lambda: clock[0])
    connection = server.connect()
    connection.receive(b"ms a 0\r\n\r\nms b 0 T1\r\n\r\nms c 0\r\n\r\nmg a T60\r\n")
    clock[0] = 1.0
    assert server.keys() == [b"a", b"c"]
    assert [server.evict(key) for key in (b"a", b"a", b"b")] == [True, False, False]
    assert connection.receive(b"mg a\r\nmg c\r\n") == b"EN\r\nHD\r\n"
    assert _statistics(connection.receive(protocol.STATISTICS))[b"evictions"] == b"1"


def test_a_clock_that_is_held() -> None:
    """As that of a process that was stopped: nothing expires until it ticks again."""
    clock = [0.0]
    server = SimulatedMemcached(lambda: clock[0])
    connection = server.connect()
    connection.receive(b"ms a 0 T5\r\n\r\n")
    server.is_held, clock[0] = True, 100.0
    assert connection.receive(b"mg a t\r\n") == b"HD t5\r\n"
    server.tick()
    assert connection.receive(b"mg a t\r\n") == b"EN\r\n"


def test_a_copy_goes_its_own_way() -> None:
    """It knows what the first one knows, and from then on neither changes the other."""
    server = SimulatedMemcached(lambda: 0.0)
    server.connect().receive(b"ms a 0\r\n\r\n")
    twin = server.copy()
    assert server.connect().receive(b"ms b 0 c\r\n\r\n") == twin.connect().receive(b"ms c 0 c\r\n\r\n") == b"HD c2\r\n"
    assert (server.keys(), twin.keys()) == ([b"a", b"b"], [b"a", b"c"])


def test_statistics(duel: Duel) -> None:
    """What it reports of itself, the real one reports as well, except that this one counts what has expired."""
    while True:
        duel.begin()
        real = [_statistics(duel.line.ask(request, b"END\r\n")) for request in protocol.GREETING]
        simulated = [_statistics(duel.connection.receive(request)) for request in protocol.GREETING]
        if duel.play([]):
            break
    assert simulated[0].pop(b"curr_items") == b"1"
    assert all(ours.items() <= theirs.items() for ours, theirs in zip(simulated, real, strict=True))


def _statistics(reply: bytes) -> Any:
    parser = protocol.Parser()
    parser.feed(reply)
    return parser.pop()
