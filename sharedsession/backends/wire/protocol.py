"""What a client must know of a protocol, and nothing of commands: how replies are cut, how a connection begins."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Any, NamedTuple, Protocol

from sharedsession.errors import BackendError

INCOMPLETE = object()
"""What a parser returns while a reply is not all there."""


class Desynchronised(BackendError):
    """A connection said something that cannot be the answer to what was asked; it must be closed."""


class Parser(Protocol):
    """Cuts a stream of bytes into replies."""

    def feed(self, data: bytes) -> None:
        """Takes bytes as they come."""
        ...

    def pop(self) -> Any:
        """The next reply, or `INCOMPLETE`.

        Raises:
            Desynchronised: the bytes are not of this protocol.
        """
        ...


class Answer(NamedTuple):
    """A reply, and what it takes to use a token from it on another connection.

    Attributes:
        reply: as the parser cut it.
        mark: every connection with a serial number up to this one was open when the reply was asked for, so as long
            as it stays open it speaks to the same run of the same server.
    """

    reply: Any
    mark: int


made = tuple.__new__
"""Makes a named tuple of all its fields; its own constructor takes twice as long, and each request makes three."""


class StaleMark(Exception):
    """The only connections left are newer than the token that the request carries."""


Check = tuple[Callable[[Any, str, int], bool], str, int]
"""Who says whether a reply can be the answer to a request, and the key and the opaque number of that request."""


@dataclass(frozen=True)
class Login:
    """Who we are to a server; never shown."""

    user: bytes = field(repr=False)
    password: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a server listens, and what it takes to be let in.

    Attributes:
        host: name or number; not used with ``path``.
        port: of TCP.
        path: of a UNIX socket.
        tls: the context to wrap the connection with.
        login: user and password, where the protocol takes them with the address.
    """

    host: str = "127.0.0.1"
    port: int = 0
    path: str | None = None
    tls: SSLContext | None = field(default=None, repr=False)
    login: Login | None = field(default=None, repr=False)

    def __str__(self) -> str:
        if self.path:
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, kw_only=True)
class WireProtocol:
    """A protocol as a client sees it.

    Attributes:
        parser: makes a parser for a new connection.
        greeting: requests sent first on each connection, together.
        admits: sees each reply to the greeting when it comes; raises `BackendError` if the server refuses us, who may
            say nothing more then.
        greeted: takes all of them; may refuse the server in the same way.
        echoes: whether a reply names its request. Where it does not, a reply too many would be taken for the next one.
    """

    parser: Callable[[], Parser]
    greeting: Sequence[bytes] = field(default=(), repr=False)
    admits: Check | None = None
    greeted: Callable[[Sequence[Any]], None] = lambda _replies: None
    echoes: bool = True


def checked(reply: Any, check: Check | None) -> Any:
    """The reply, if it can be the answer.

    Raises:
        Desynchronised: it cannot.
    """
    if check is not None:
        answers, key, opaque = check
        if not answers(reply, key, opaque):
            raise Desynchronised("an answer to another request")
    return reply
