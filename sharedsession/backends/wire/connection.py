"""One connection on an event loop: requests in a queue, replies in the same order.

Where many ask, the requests of one iteration of the loop leave in one write; a request that is alone is not delayed. A
request that was cancelled keeps its place in the queue, so its reply is read and dropped, and never taken for that of
another. One timer watches the whole connection: when one request gets no answer in time, none behind it will, and all
fail. A request of the plain path has its result made when its reply arrives; only then is the task that waits for it
woken, once.
"""

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, cast

from sharedsession.backends.wire.breaker import SLOW
from sharedsession.backends.wire.node_guard import FIRST_BYTE, NodeGuard
from sharedsession.backends.wire.protocol import INCOMPLETE, Check, Desynchronised, Parser, Request, made
from sharedsession.concurrency import background, readable
from sharedsession.errors import BackendError


class Asker(Protocol):
    """What the requests of the plain path come from: a client."""

    def answer(self, reply: "asyncio.Future[Any]", request: Request, found: Any, serial: int) -> None:
        """Gives a request the result that is made of what the server replied."""
        ...

    def give_up(self, reply: "asyncio.Future[Any]", request: Request, deadline: float, error: Exception) -> None:
        """Sees what to do with a request whose connection failed."""
        ...


class _Waiter(NamedTuple):
    """Waits for a reply.

    Attributes:
        reply: of the request; where several travel together, the one of all.
        deadline: on the monotonic clock.
        check: that the reply must pass.
        request: if it is on the plain path: then its result is made before the future is done.
        timeout: seconds that it had.
        together: the replies so far, where several requests travel together: they share this list.
        last: whether it is the only one, or the last of several.
    """

    reply: "asyncio.Future[Any]"
    deadline: float
    check: Check | None
    request: Request | None
    timeout: float
    together: list[Any] | None
    last: bool


class Connection(asyncio.Protocol):
    """One connection: requests in a queue, replies in the same order."""

    _transport: asyncio.Transport  # set by `connection_made`, before anything is sent

    def __init__(self, loop: asyncio.AbstractEventLoop, parser: Parser, guard: NodeGuard, client: Asker) -> None:
        self.loop = loop
        self._client = client
        self._parser = parser
        self._guard = guard
        self._monotonic = guard.monotonic
        self._quiet_since = self._patience = 0.0
        self._waiting: deque[_Waiter] = deque()
        self._outbox: list[bytes] = []
        self._is_crowded = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = math.inf
        self._closed = loop.create_future()
        self._loop_watch: asyncio.Task[None] | None = None
        self._refusal: BackendError | None = None  # what the server said before it was asked anything
        self.is_closed = False
        self.is_new = True  # nothing was asked over it before
        self.takes_requests = True  # of all tasks; not while the connection has to prove itself
        self.heard = False
        self.used = 0.0  # on the monotonic clock
        self.serial = 0

    def send(
        self,
        request: bytes,
        deadline: float,
        check: Check | None,
        more: Sequence[Check | None] = (),
        plain: Request | None = None,
        timeout: float = 0.0,
    ) -> "asyncio.Future[Any]":
        """Queues a request. The future is its reply; with more checks, the list of as many more replies.

        Of a request on the plain path it is what is made of them, and the client sees to it when the connection fails.
        """
        reply: asyncio.Future[Any] = asyncio.Future(loop=self.loop)
        if self.is_closed:
            reply.set_exception(self._refusal or ConnectionResetError("connection closed"))
            return reply
        if self._outbox:
            self._outbox.append(request)
        elif self._waiting or self._is_crowded:
            self._outbox.append(request)
            self.loop.call_soon(self._flush)
        else:
            self._transport.write(request)  # alone: to collect others would cost an iteration of the loop
        if not self._waiting:
            self._quiet_since = now = self._monotonic()
            self._patience = (deadline - now) * FIRST_BYTE
            if self._timer is None:
                self._set_timer(now + self._patience)
        if more:
            together: list[Any] = []
            for each in (check, *more[:-1]):
                self._waiting.append(made(_Waiter, (reply, deadline, each, plain, timeout, together, False)))
            self._waiting.append(made(_Waiter, (reply, deadline, more[-1], plain, timeout, together, True)))
        else:
            self._waiting.append(made(_Waiter, (reply, deadline, check, plain, timeout, None, True)))
        if deadline < self._timer_due:
            self._set_timer(deadline)
        return reply

    def fail(self, error: Exception) -> None:
        """Closes the connection; all requests that wait get the error."""
        self.is_closed, self.takes_requests = True, False
        self._refusal = error if isinstance(error, BackendError) else None
        if self.loop.is_closed():  # by hand, so no task of it was cancelled: it can do nothing, and nothing waits on it
            return
        if not self._closed.done():
            self._closed.set_result(None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._transport.abort()
        while self._waiting:
            waiter = self._waiting.popleft()
            if waiter.reply.done() or not waiter.last:
                continue
            if waiter.request is None:
                waiter.reply.set_exception(error)
            else:
                self._client.give_up(waiter.reply, waiter.request, waiter.deadline, error)

    def has_ended(self) -> bool:
        """Returns whether the server has closed the connection, or sent what nobody asked for."""
        fileno = self._transport.get_extra_info("socket").fileno()
        return fileno < 0 or bool(readable([fileno], 0))

    def close_with_loop(self) -> None:
        """Closes the connection when its loop ends: a loop that ends cancels its tasks, and this starts one."""
        self._loop_watch = background(self.loop, self._wait_for_loop())

    async def _wait_for_loop(self) -> None:
        try:
            await self._closed
        finally:
            self.fail(ConnectionAbortedError("the event loop ended"))

    # -- called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Takes the transport of the connection."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Takes bytes, and answers the requests whose replies they complete."""
        self.heard = True
        self._quiet_since = self._monotonic()
        try:
            self._parser.feed(data)
            while (reply := self._parser.pop()) is not INCOMPLETE:
                self._answer(reply)
        except Exception as error:  # noqa: BLE001  (no waiter may be left behind, whatever fails over a reply)
            self.fail(error if isinstance(error, BackendError) else Desynchronised("a malformed reply"))

    def connection_lost(self, error: Exception | None) -> None:
        """Takes the end of the connection."""
        self.fail(self._parser.end())

    # -- inside

    def _flush(self) -> None:
        self._is_crowded = len(self._outbox) > 1
        if not self.is_closed:
            self._transport.write(b"".join(self._outbox))
        self._outbox.clear()

    def _answer(self, reply: Any) -> None:
        if not self._waiting:
            raise Desynchronised("a reply without a request")
        waiter, deadline, check, request, timeout, together, is_last = self._waiting[0]
        if check is not None:
            answers, key, opaque = check
            if not answers(reply, key, opaque):
                raise Desynchronised("a reply to another request")
        self._waiting.popleft()
        if together is not None:
            together.append(reply)
            reply = together
        if not is_last or waiter.done():
            return
        if request is None:
            waiter.set_result(reply)
            return
        took = self._quiet_since - deadline + timeout
        if took > timeout * SLOW:
            self._guard.worked(took, timeout)
        self._client.answer(waiter, request, reply, self.serial)

    def _set_timer(self, deadline: float) -> None:
        """Sets the one timer, however many wait."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer_due = deadline
        self._timer = self.loop.call_later(max(0.0, deadline - self._monotonic()), self._check_deadlines)

    def _check_deadlines(self) -> None:
        """Fails the connection if a deadline has passed, or if it may have gone deaf; else sets the timer once more."""
        self._timer, self._timer_due = None, math.inf
        if not self._waiting:
            return
        now, earliest = self._monotonic(), min(waiter.deadline for waiter in self._waiting)
        if earliest <= now:
            self.fail(TimeoutError("no answer in time"))
        elif not self.is_new and self.takes_requests and self._is_silent(now) and self._guard.may_doubt(now):
            self.fail(ConnectionResetError("silent"))
        else:
            self._set_timer(min(earliest, now + self._patience))

    def _is_silent(self, now: float) -> bool:
        return now - self._quiet_since >= self._patience
