"""What a client must know of a protocol: how replies are cut, how a connection begins. It knows no commands."""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Any, NamedTuple, Protocol

from sharedsession.errors import BackendError

INCOMPLETE = object()
"""What a parser returns while a reply has not arrived as a whole."""


class Desynchronised(BackendError):
    """A connection carried bytes that cannot be the reply to its request; it must be closed."""


class StaleToken(Exception):
    """Every connection that is open is newer than the token that the request carries."""


STALE = object()
"""What a `Reading` gets in the place of a reply for a `StaleToken`."""


class Parser(Protocol):
    """Cuts a stream of bytes into replies."""

    def feed(self, data: bytes) -> None:
        """Takes bytes as they arrive."""
        ...

    def pop(self) -> Any:
        """Returns the next reply, or `INCOMPLETE`.

        Raises:
            Desynchronised: the bytes are not of this protocol.
        """
        ...

    def end(self) -> Exception:
        """Takes the end of the stream. Returns what it means: that a server hung up, or was none of this protocol."""
        ...


Check = tuple[Callable[[Any, str, int], bool], str, int]
"""A function that returns whether a reply can answer a request, with the key and the opaque number of the request."""


Reading = Callable[[Any, int, Any], Any]
"""Makes the result of a reply, the newest serial number of its `Answer`, and the context of the request."""


class Request(NamedTuple):
    """What is sent in one packet: a request, or several that travel together.

    Attributes:
        data: its bytes.
        check: decides whether a reply can be the answer. If it cannot, the connection is closed.
        newest_serial: of the `Answer` that the request's token came with; newer connections must not carry it.
            ``None``: the request has no token.
        anyway: whether it is sent even to a node that is skipped because it failed.
        more: the checks of the second and all later replies, where several requests travel together.
        reading: makes what `Client.ask` returns, as soon as the reply is there: so whoever waits for it is woken once,
            with the result. It may return a `FollowUp`. ``None``: the `Answer` is returned as it is.
        context: passed to it.
    """

    data: bytes
    check: Check | None = None
    newest_serial: int | None = None
    anyway: bool = False
    more: Sequence[Check | None] = ()
    reading: Reading | None = None
    context: Any = None

    def __repr__(self) -> str:
        return f"<Request of {len(self.data)} bytes>"


class Answer(NamedTuple):
    """A reply, with what it takes to use a token from it on another connection.

    Attributes:
        reply: as the parser cut it; a list of replies where several requests travelled together.
        newest_serial: connections with a serial number up to this one were open when the request was sent. As long as
            such a connection stays open it leads to the same run of the same server.
    """

    reply: Any
    newest_serial: int

    def __repr__(self) -> str:
        return f"<Answer, newest serial {self.newest_serial}>"


class FollowUp(NamedTuple):
    """What a `Reading` returns where the reply alone is not enough.

    Attributes:
        work: asks for more. Its result is the result.
    """

    work: Coroutine[Any, Any, Any]


made = tuple.__new__
"""Makes a named tuple of all its fields. Its own constructor takes twice as long, and each request makes four."""


def result_of(request: Request, reply: Any, newest_serial: int) -> Any:
    """Returns what a request has for its reply, or the `FollowUp` that finds it out."""
    reading = request.reading
    return made(Answer, (reply, newest_serial)) if reading is None else reading(reply, newest_serial, request.context)


def result_of_stale(request: Request) -> Any:
    """Returns what a request has whose token is stale.

    Raises:
        StaleToken: it has no `Reading`.
    """
    if request.reading is None:
        raise StaleToken
    return request.reading(STALE, 0, request.context)


@dataclass(frozen=True)
class Login:
    """User and password for a server; never shown."""

    user: bytes = field(repr=False)
    password: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a server listens, and what it takes to be admitted.

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
        greeting: requests that are sent first on each connection, together.
        admits: checks each reply to the greeting when it arrives. Raises `BackendError` if the server refuses us:
            it may send nothing more then.
        greeted: takes all replies to the greeting; may refuse the server in the same way.
        echoes: whether a reply names its request. Where it does not, a surplus reply would be taken for the next one.
    """

    parser: Callable[[], Parser]
    greeting: Sequence[bytes] = field(default=(), repr=False)
    admits: Check | None = None
    greeted: Callable[[Sequence[Any]], None] = lambda _replies: None
    echoes: bool = True


def together(requests: Sequence[Request], reading: Reading | None = None, context: Any = None) -> Request:
    """Returns one request that sends several in one packet; the `Answer`, or what is read, gets the list of replies."""
    serials = [request.newest_serial for request in requests if request.newest_serial is not None]
    return Request(
        b"".join([request.data for request in requests]),
        requests[0].check,
        min(serials, default=None),
        more=[request.check for request in requests[1:]],
        reading=reading,
        context=context,
    )


def checked(reply: Any, check: Check | None) -> Any:
    """Returns a reply if it can be the answer.

    Raises:
        Desynchronised: it cannot.
    """
    if check is not None:
        answers, key, opaque = check
        if not answers(reply, key, opaque):
            raise Desynchronised("a reply to another request")
    return reply
