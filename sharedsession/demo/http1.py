"""HTTP/1.1 of the front: h11 knows the protocol, asyncio's streams carry the bytes. It knows no web node and no page.

It is stricter than h11 where two readers of one message could disagree, since a front that guesses lets requests be
smuggled (RFC 9112, sections 2.2, 5.2 and 11.2): no bare line feed, no folded header, no chunked request.
"""

import asyncio
import re
from asyncio import IncompleteReadError, LimitOverrunError, StreamReader, StreamWriter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import NamedTuple, Self

import h11

from sharedsession.demo.loopback import HOST
from sharedsession.http import Answer, Headers, RawHeaders, from_asgi

MAX_HEAD = 65536
"""Bytes of a head: first line and headers."""

MAX_BODY = 65536
"""Bytes of a request's body: the demo's forms are far smaller."""

CHUNK = 65536
"""Bytes of an answer's body that are here before the browser gets the first of them."""

_END_OF_HEAD = b"\r\n\r\n"
_AMBIGUOUS = re.compile(rb"(?<!\r)\n|\n[ \t]")


class BadRequest(Exception):
    """A request that the front refuses.

    Attributes:
        status: of the answer.
        fix: what the visitor may do.
    """

    def __init__(self, status: HTTPStatus, fix: str = "") -> None:
        super().__init__(status.phrase)
        self.status = status
        self.fix = fix


class BrokenAnswer(ConnectionError):
    """A web node closed the connection before its answer was complete, or what it sent is not HTTP."""


@dataclass(frozen=True, slots=True)
class BrowserRequest:
    """A whole request of a browser.

    Attributes:
        method: ``GET``, ``POST`` or another one.
        target: path and query.
        headers: in their order, names as they were written.
        body: its bytes.
    """

    method: str
    target: str
    headers: Headers
    body: bytes = b""

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def is_safe(self) -> bool:
        """Whether the request may be sent twice."""
        return self.method in {"GET", "HEAD"}

    def get(self, name: str) -> str | None:
        """Returns the value of a header, several joined by a comma; ``None`` if there is none.

        Args:
            name: in lower case.
        """
        values = [value for known, value in self.headers if known.lower() == name]
        return ", ".join(values) if values else None


class NodeAnswer(NamedTuple):
    """A web node's answer, as far as it is here.

    Attributes:
        status: its status code.
        reason: of the first line.
        headers: names as they were written.
        start: the first bytes of the body: `CHUNK` of them, or the whole body.
        rest: the other bytes, as they arrive.
    """

    status: int
    reason: bytes
    headers: Headers
    start: bytes
    rest: AsyncIterator[bytes]


class BrowserConnection:
    """A browser's connection: one request after another, each with its answer.

    Args:
        reader: with a limit of `MAX_HEAD`.
        writer: towards the browser.
    """

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self._method = ""

    async def read(self) -> BrowserRequest | None:
        """Reads the next request; returns ``None`` if the browser has closed the connection.

        Raises:
            BadRequest: the request is malformed, too large, or not framed by a Content-Length.
        """
        try:
            head = self._parsed(await self._reader.readuntil(_END_OF_HEAD))
            self._method = head.method
            if length := _body_length(head):
                self._http.receive_data(await self._reader.readexactly(length))
            return BrowserRequest(head.method, head.target, head.headers, self._body())
        except h11.RemoteProtocolError as error:
            raise BadRequest(HTTPStatus(error.error_status_hint)) from error
        except LimitOverrunError as error:
            raise BadRequest(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE) from error
        except (IncompleteReadError, ConnectionError):
            return None

    async def answer(self, answer: Answer, *, last: bool = False) -> bool:
        """Sends an answer; a HEAD request gets no body.

        Args:
            answer: of the front itself.
            last: whether to close the connection afterwards.

        Returns:
            Whether another request may follow.
        """
        headers = [*answer.headers, ("Connection", "close")] if last else answer.headers
        self._send(_response(answer.status, answer.status.phrase.encode(), headers))
        if self._method != "HEAD":
            self._send(h11.Data(answer.body))
        return await self._finish()

    async def relay(self, answer: NodeAnswer) -> bool:
        """Same as `answer`, for an answer whose body is still arriving.

        Args:
            answer: of a web node, without the headers of its own connection.

        Raises:
            BrokenAnswer: the rest of the body did not arrive. The browser sees that the answer is incomplete.
        """
        try:
            self._send(_response(answer.status, answer.reason, answer.headers))
            self._send(h11.Data(answer.start))
            async for chunk in answer.rest:
                self._send(h11.Data(chunk))
                await self._writer.drain()
            return await self._finish()
        except h11.LocalProtocolError as error:
            raise BrokenAnswer(str(error)) from error

    def close(self) -> None:
        """Closes the connection."""
        self._writer.close()

    def _parsed(self, head: bytes) -> BrowserRequest:
        if _AMBIGUOUS.search(head):
            raise BadRequest(HTTPStatus.BAD_REQUEST)
        self._http.receive_data(head)
        event = self._http.next_event()
        assert isinstance(event, h11.Request)
        return BrowserRequest(event.method.decode(), event.target.decode(), from_asgi(event.headers.raw_items()))

    def _body(self) -> bytes:
        body = b""
        while isinstance(event := self._http.next_event(), h11.Data):
            body += event.data
        return body

    def _send(self, event: h11.Response | h11.Data | h11.EndOfMessage) -> None:
        self._writer.write(self._http.send(event) or b"")

    async def _finish(self) -> bool:
        self._send(h11.EndOfMessage())
        await self._writer.drain()
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True


class NodeConnection:
    """A connection to a web node, for one request."""

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)

    @classmethod
    async def open(cls, port: int) -> Self:
        """Connects to a port of this machine.

        Raises:
            OSError: no process listens there.
        """
        return cls(*await asyncio.open_connection(HOST, port))

    async def ask(self, request: BrowserRequest) -> NodeAnswer:
        """Sends a request; waits for the head of the answer and the first `CHUNK` bytes of its body.

        Raises:
            BrokenAnswer: the web node did not send that much.
        """
        head = h11.Request(method=request.method, target=request.target, headers=_raw(request.headers))
        for event in (head, h11.Data(request.body), h11.EndOfMessage()):
            self._writer.write(self._http.send(event) or b"")
        response = await self._response()
        rest = self._chunks()
        start = b""
        async for chunk in rest:
            start += chunk
            if len(start) >= CHUNK:
                break
        return NodeAnswer(response.status_code, response.reason, from_asgi(response.headers.raw_items()), start, rest)

    def close(self) -> None:
        """Closes the connection."""
        self._writer.close()

    async def _response(self) -> h11.Response:
        while isinstance(event := await self._next_event(), h11.InformationalResponse):
            pass
        if not isinstance(event, h11.Response):
            raise BrokenAnswer("not the head of an answer")
        return event

    async def _chunks(self) -> AsyncIterator[bytes]:
        while isinstance(event := await self._next_event(), h11.Data):
            yield bytes(event.data)
        if not isinstance(event, h11.EndOfMessage):
            raise BrokenAnswer("not the body of an answer")

    async def _next_event(self) -> object:
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                self._http.receive_data(await self._reader.read(CHUNK))
        except h11.RemoteProtocolError as error:
            raise BrokenAnswer(str(error)) from error
        return event


async def fetch(port: int, path: str, *headers: tuple[str, str]) -> tuple[Headers, bytes]:
    """Gets a page of this machine; returns its headers, names in lower case, and its body.

    Raises:
        OSError: no process listens at the port, or the answer is incomplete.
    """
    node = await NodeConnection.open(port)
    try:
        always = [("Host", f"{HOST}:{port}"), ("Connection", "close")]
        answer = await node.ask(BrowserRequest("GET", path, [*always, *headers]))
        body = answer.start + b"".join([chunk async for chunk in answer.rest])
        return [(name.lower(), value) for name, value in answer.headers], body
    finally:
        node.close()


def _raw(headers: Iterable[tuple[str, str]]) -> RawHeaders:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def _response(status: int, reason: bytes, headers: Headers) -> h11.Response:
    return h11.Response(status_code=status, reason=reason, headers=_raw(headers))


def _body_length(head: BrowserRequest) -> int:
    """Returns the bytes of a request's body; h11 has checked that Content-Length is one number.

    Raises:
        BadRequest: there is no such length, or the body is too large, or the request has no address.
    """
    if head.get("host") is None or head.method == "CONNECT":
        raise BadRequest(HTTPStatus.BAD_REQUEST)
    if head.get("transfer-encoding") is not None:
        raise BadRequest(HTTPStatus.LENGTH_REQUIRED)
    length = head.get("content-length") or "0"
    if len(length) > 9 or int(length) > MAX_BODY:
        raise BadRequest(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    return int(length)
