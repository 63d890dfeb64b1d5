"""What can happen to one memcached node: each nemesis breaks it on entry and mends it on exit, as far as it can be."""

import random
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from tests.farm.laboratory import StoreNode, meanwhile
from tests.support.servers import Memcached

Healths = Sequence[dict[str, Any]]  # of the backend, one a web node
Strike = Callable[[StoreNode], AbstractContextManager[None]]
SLOW = 0.3  # seconds; longer than an operation may take


def _noticed(node: StoreNode, healths: Healths) -> int:
    """How often the node failed a web node."""
    return sum(fact["failures"] for health in healths for fact in health["nodes"] if fact["name"] == node.name)


def _widened(_node: StoreNode, healths: Healths) -> int:
    """How often owners disagreed."""
    return sum(health["counters"].get("reads_widened", 0) for health in healths)


def _felt(node: StoreNode, healths: Healths) -> int:
    """Either: a wrong byte may be in the head of a reply, or in what does not open then."""
    return _noticed(node, healths) + _widened(node, healths)


@dataclass(frozen=True)
class Nemesis:
    """One kind of fault.

    Attributes:
        strike: breaks a node.
        bit: tells from what the web nodes say, or the store node, that it was felt.
        relayed: whether it works on the wire.
        arguments: that the node is started with.
    """

    strike: Strike
    bit: Callable[[StoreNode, Healths], int] = _noticed
    relayed: bool = False
    arguments: tuple[str, ...] = ()


@contextmanager
def _kill(node: StoreNode) -> Iterator[None]:
    """It dies, and stays dead."""
    node.server.kill()
    yield


@contextmanager
def _stop(node: StoreNode) -> Iterator[None]:
    """It stands still, accepts and answers nothing; later it goes on with all it was sent."""
    node.server.freeze()
    yield
    node.server.resume()


@contextmanager
def _restart(node: StoreNode) -> Iterator[None]:
    """It dies and is back at once, without memory."""
    node.server.restart()
    yield


@contextmanager
def _slow(node: StoreNode) -> Iterator[None]:
    """It does all it is asked, and answers too late."""
    node.wire.delay(SLOW)
    yield
    node.wire.delay(0)


@contextmanager
def _sluggish(node: StoreNode) -> Iterator[None]:
    """It answers in time, but over half of the time is gone."""
    node.wire.delay(0.15)
    yield
    node.wire.delay(0)


@contextmanager
def _zombie(node: StoreNode) -> Iterator[None]:
    """Nobody reaches it; it comes back with what it knew."""
    node.wire.refuse()
    node.wire.cut()
    yield
    node.wire.refuse(False)


@contextmanager
def _cut(node: StoreNode) -> Iterator[None]:
    """All connections to it are reset, again and again."""
    with meanwhile(node.wire.cut, every=0.01):
        yield


def _rewriting(make: Callable[[random.Random], Callable[[bytes], bytes]]) -> Strike:
    @contextmanager
    def strike(node: StoreNode) -> Iterator[None]:
        node.wire.on_reply(make(random.Random(node.name)))
        yield
        node.wire.on_reply(None)

    return strike


def _corrupt(chance: random.Random) -> Callable[[bytes], bytes]:
    """One reply in four has a wrong byte; not in the client flags, on which a tombstone stands unsigned."""

    def rewrite(data: bytes) -> bytes:
        at = chance.randrange(len(data))
        if chance.random() < 0.75 or data[max(0, at - 2) : at].startswith((b" f", b"f")):
            return data
        return data[:at] + bytes([data[at] ^ chance.randrange(1, 256)]) + data[at + 1 :]

    return rewrite


def _truncate(chance: random.Random) -> Callable[[bytes], bytes]:
    """One reply in four loses its end, and the connection goes on."""

    def rewrite(data: bytes) -> bytes:
        return data[: chance.randrange(len(data))] if chance.random() < 0.25 else data

    return rewrite


def _swap(_chance: random.Random) -> Callable[[bytes], bytes]:
    """Each value is that of the read before, whoever's it was, behind the head that belongs here."""
    last = [b""]

    def rewrite(data: bytes) -> bytes:
        head, end, body = data.partition(b"\r\n")
        words = head.split(b" ")
        if words[0] != b"VA" or len(body) != int(words[1]) + 2:
            return data
        last[0], other = body[:-2], last[0] or body[:-2]
        return b" ".join([b"VA", b"%d" % len(other), *words[2:]]) + end + other + b"\r\n"

    return rewrite


@contextmanager
def _fill(node: StoreNode) -> Iterator[None]:
    """Somebody else's items fill its memory, over and over."""
    flood(node.server)
    with meanwhile(lambda: flood(node.server, 2000), every=0.05):
        yield


def flood(server: Memcached, items: int = 20_000) -> None:
    """Stores items of all sizes that sessions and tombstones have; they drive others out, or are refused."""
    chance = random.Random(items)
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        for _ in range(items // 500):
            sizes = [chance.choice((1, 150, 200, 250, 300, 350, 400)) for _ in range(500)]
            batch = [b"ms junk%d %d q\r\n%b\r\n" % (chance.getrandbits(40), size, b"x" * size) for size in sizes]
            connection.sendall(b"".join(batch) + b"mn\r\n")
            while not connection.recv(65536).endswith(b"MN\r\n"):
                pass


NEMESES = {
    "kill": Nemesis(_kill),
    "stop": Nemesis(_stop),
    "restart empty": Nemesis(_restart, _widened),
    "slow": Nemesis(_slow, relayed=True),
    "sluggish": Nemesis(_sluggish, relayed=True),
    "zombie": Nemesis(_zombie, relayed=True),
    "cut": Nemesis(_cut, lambda node, _healths: node.wire.connections > 4, relayed=True),
    "corrupt": Nemesis(_rewriting(_corrupt), _felt, relayed=True),
    "truncate": Nemesis(_rewriting(_truncate), relayed=True),
    "swap": Nemesis(_rewriting(_swap), _widened, relayed=True),
    "full": Nemesis(_fill, lambda node, _healths: int(node.server.stat("evictions")), arguments=("-m", "2")),
    "full, never evicts": Nemesis(_fill, _widened, arguments=("-m", "2", "-M")),
}
