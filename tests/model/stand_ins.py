"""What takes the place of sockets and event loops: the explorer decides what is answered, and in which order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from typing import Any, Protocol

from sharedsession.backends.memcached.server import MemcachedServer
from sharedsession.backends.wire.protocol import (
    INCOMPLETE,
    Check,
    FollowUp,
    Request,
    checked,
    result_of,
    result_of_stale,
)
from sharedsession.errors import BackendUnavailable
from tests.model.nodes import LOST, Reply

TIMEOUT = 1.0  # seconds that a web node waits for one answer


class Host(Protocol):
    """The web node that they belong to."""

    is_closed: bool

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Runs something beside the program."""


class Ask:
    """Waits for an answer."""

    __slots__ = ("data", "node", "run")

    def __init__(self, node: int, data: bytes, run: int | None) -> None:
        self.node = node
        self.data = data
        self.run = run

    def __await__(self) -> Generator[Ask, Reply, Reply]:
        return (yield self)


class Together:
    """Waits for several coroutines."""

    __slots__ = ("coroutines",)

    def __init__(self, coroutines: Sequence[Coroutine[Any, Any, Any]]) -> None:
        self.coroutines = coroutines

    def __await__(self) -> Generator[Together, list[Any], list[Any]]:
        return (yield self)


class ModelClient:
    """Same as `sharedsession.backends.wire.client.Client`: one connection, which is opened with the first request.

    As the real clients it closes the connection after a failure, sends no token over a newer one, and sends a request
    without a token once more where it finds the connection closed.
    """

    def __init__(self, web: Host, node: int, server: MemcachedServer) -> None:
        self._web = web
        self._node = node
        self._server = server
        self._serial = 0  # of the connection; 0: there is none
        self._run = -1

    async def ask(self, request: Request, timeout: float) -> Any:
        """Same as `Client.ask`."""
        del timeout  # the explorer decides what comes too late
        if self._web.is_closed:
            raise BackendUnavailable("over")
        guard, token = self._server.guard, request.newest_serial
        guard.begin(anyway=request.anyway)
        if token is not None and not 0 < self._serial <= token:
            return result_of_stale(request)
        reply = await Ask(self._node, request.data, None if token is None else self._run)
        if reply is LOST:
            self._serial = 0
            raise guard.failed(TimeoutError())
        if reply.data is None:
            self._serial = 0
            return result_of_stale(request)
        if not self._serial or self._run != reply.run:
            self._open(reply)
        guard.worked(0.0, TIMEOUT)
        result = result_of(request, self._parsed(request, reply.data), self._serial)
        return await result.work if type(result) is FollowUp else result

    async def ask_afresh(self, request: Request, timeout: float) -> Any:
        """Same as `Client.ask_afresh`."""
        return await self.ask(request, timeout)

    def close(self) -> None:
        """Same as `Client.close`."""
        self._serial = 0

    def _open(self, reply: Reply) -> None:
        self._run = reply.run
        self._serial = self._server.guard.next_serial()
        self._server._greeted([{b"uptime": b"%d" % reply.uptime}, {}])

    def _parsed(self, request: Request, data: bytes) -> Any:
        parser = self._server.protocol.Parser()
        parser.feed(data)

        def following(check: Check | None) -> Any:
            reply = parser.pop()
            assert reply is not INCOMPLETE
            return checked(reply, check)

        first = following(request.check)
        return [first, *[following(check) for check in request.more]] if request.more else first


class ModelDriver:
    """Same as `sharedsession.concurrency.Driver`: what it gathers waits side by side; the explorer picks who is first.

    What repeats does not; a program asks for it where that matters.
    """

    blocking = False

    def __init__(self, web: Host) -> None:
        self._web = web

    def run(self, step: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> Awaitable[Any]:
        return step(*arguments)

    async def gather(self, coroutines: Sequence[Coroutine[Any, Any, Any]]) -> list[Any]:
        if self._web.is_closed:
            for coroutine in coroutines:
                coroutine.close()
            raise BackendUnavailable("over")
        found: list[Any] = await Together(coroutines)
        return found

    async def outcomes(self, works: Sequence[Coroutine[Any, Any, Any]]) -> list[Any]:
        if self._web.is_closed:
            return await self.gather(works)
        return await self.gather([_outcome(work) for work in works])

    def queue(self) -> ModelQueue:
        return ModelQueue()

    def timer(self, step: object, *, at_once: bool = False) -> ModelDriver:
        del step, at_once
        return self

    def ensure(self, seconds: float) -> None:
        """Same as `Timer.ensure`."""

    def repeat(self, seconds: float, step: object) -> Callable[[], Awaitable[None]]:
        del seconds, step
        return _stop

    def background(self, step: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._web.start(step())

    async def pause(self, seconds: float) -> None:
        del seconds


async def _outcome(work: Awaitable[Any]) -> Any:
    try:
        return await work
    except BackendUnavailable as error:
        return error


async def _stop() -> None:
    """Nothing repeats."""


class ModelQueue:
    """Same as `KeyedQueue`, for a web node that serves one request at a time."""

    def __init__(self) -> None:
        self._held: set[str] = set()

    def acquire(self, key: str) -> bool:
        is_free = key not in self._held
        self._held.add(key)
        return is_free

    async def wait(self, key: str, timeout: float) -> bool:
        raise AssertionError("one request at a time")

    def release(self, key: str) -> None:
        self._held.discard(key)

    def waiting(self, key: str) -> int:
        del key
        return 0
