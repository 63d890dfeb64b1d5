"""A ring of three real memcached nodes, and web nodes with lines of their own to each of them: one relay a line.

So one web node can be cut off from one node, and its requests or their replies can be late, while all others go on.
"""

import itertools
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Self

from sharedsession.backends.ring.backend import RingBackend
from sharedsession.keys import Identity
from sharedsession.manager import engines_of
from tests.support.farm import WebNode, read
from tests.support.relay import Relay
from tests.support.servers import Memcached

NAMES = "abc"


class Line(Relay):
    """The line from one web node to one node."""

    def cut_off(self) -> None:
        """No request arrives any more, and each one fails at once. What is held back is still under way."""
        self.refuse()
        self.cut()

    def heal(self) -> None:
        self.refuse(False)


class Lines:
    """The nodes and the web nodes; a context manager.

    Attributes:
        servers: the three nodes.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.servers = [self._stack.enter_context(Memcached.start()) for _ in NAMES]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: Any) -> None:
        self._stack.__exit__(*details)

    def line_up(self) -> list[Line]:
        """New lines for one web node, one to each node."""
        return [self._stack.enter_context(Line(server.port)) for server in self.servers]

    def web(self, colour: str, lines: Sequence[Line] | None = None, **settings: Any) -> WebNode:
        """Starts a web node over these lines, or straight on."""
        ports = [line.port for line in lines] if lines else [server.port for server in self.servers]
        nodes = ",".join(f"{name}=127.0.0.1:{port}" for name, port in zip(NAMES, ports, strict=True))
        settings = {"timeout": 5.0, "breaker_window": 0.1} | settings
        return self._stack.enter_context(WebNode(colour, f"memcached://{nodes}?replicas=2", **settings))

    def on_node(self, index: int, identity: Identity) -> bytes | None:
        """The bytes that a node has of a record; ``None`` if it has nothing."""
        reply = self.servers[index].command("mg", identity.store_key, "v")
        return reply.split(b"\r\n", 1)[1] if reply.startswith(b"VA ") else None

    def life(self, index: int, identity: Identity) -> int:
        """The seconds that a record, or a tombstone, has left to live on a node."""
        return int(self.servers[index].command("mg", identity.store_key, "t").split()[1][1:])


def identity_of(web: WebNode, cookie: str) -> Identity:
    """What a cookie stands for."""
    identity = engines_of(web.manager).settings.machine_key().verify(cookie.partition("=")[2].encode())
    assert identity is not None
    return identity


def order_of(web: WebNode, identity: Identity) -> Sequence[int]:
    """The nodes of a record: two owners, and the third."""
    backend: RingBackend = engines_of(web.manager).settings.backend
    return backend.ring.order(identity.store_key)


def seen(webs: Sequence[WebNode], cookies: Sequence[str], key: str = "user") -> list[str]:
    """What each web node shows of each cookie, but for what shows nothing; each is asked until it answers."""
    shown = []
    for web, cookie in itertools.product(webs, cookies):
        answers = (web.request(read(key), cookie) for _ in range(1000))
        answer = next(answer for answer in answers if answer.status == 200)
        if answer.body != "None":
            shown.append(answer.body)
    return shown
