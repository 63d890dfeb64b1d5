"""The round-robin front: one address, every request to the next web node, also on one connection.

A node that refuses the connection is passed over. A node that dies before it answered is passed over as well
if the request is safe; a POST it may have carried out is not sent twice. The client gets its first byte when the
first 64 KiB of the answer are here, so a death in the middle of a page is no matter either. Each request has a
number, so a node can tell that one was asked before and already counted.

Besides, it carries out ``POST /farm/kill/<node>`` and ``/farm/start/<node>``, for the shop's page only, and shows the
farm page at ``/farm``, which `console` makes.
"""

import asyncio
import socket
from asyncio import IncompleteReadError, StreamReader, StreamWriter
from collections.abc import Sequence
from http import HTTPStatus
from typing import NamedTuple

from sharedsession.demo import console, page
from sharedsession.demo.loopback import HOST, port_of
from sharedsession.demo.processes import FarmError
from sharedsession.demo.webnode import WebNode
from sharedsession.demo.wire import END_OF_HEAD, BadRequest, Head, Request, head_of, own_answer, read_request
from sharedsession.farmpage.auth import authority_of

ANSWER_LIMIT = 10.0
"""Seconds a node has to begin its answer."""

CHUNK = 65536
HOP_BY_HOP = ("connection", "keep-alive", "expect", "upgrade", "te", "proxy-connection")
OURS = ("x-farm", "x-farm-request", "x-forwarded-for", "x-forwarded-proto", "forwarded")
FARM_COMMANDS = "/farm/"


class NotAnswered(Exception):
    """A node gave no answer.

    Attributes:
        untouched: it is certain that the node did not see the request.
    """

    def __init__(self, *, untouched: bool) -> None:
        super().__init__()
        self.untouched = untouched


class Answer(NamedTuple):
    """An answer as far as it is here.

    Attributes:
        head: its head.
        length: the bytes of its body, if it says so.
        start: the first of them, all of them if there are few.
        reader: where the rest comes from.
        writer: the node's end of the line, to be closed.
    """

    head: Head
    length: int | None
    start: bytes
    reader: StreamReader
    writer: StreamWriter


class Front:
    """Spreads requests over web nodes.

    Args:
        nodes: the farm, in the order of the rounds.
        farm_page: what answers at ``/farm``.
    """

    def __init__(self, nodes: Sequence[WebNode], farm_page: console.Console | None = None) -> None:
        self._nodes = nodes
        self._farm_page = farm_page
        self._rounds = 0
        self._clients: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def open(self, listener: socket.socket) -> int:
        """Begins to serve, and returns the port."""
        self._server = await asyncio.start_server(self._welcome, sock=listener)
        return port_of(listener)

    async def close(self) -> None:
        """Hangs up on everybody, so that nobody starts a node while the farm ends."""
        if self._server:
            self._server.close()
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    def _welcome(self, client: StreamReader, back: StreamWriter) -> None:
        task = asyncio.create_task(self._serve(client, back))
        self._clients.add(task)
        task.add_done_callback(self._clients.discard)

    async def _serve(self, client: StreamReader, back: StreamWriter) -> None:
        """Answers one client connection, request after request."""
        try:
            while await self._exchange(client, back):
                await back.drain()
        except ConnectionError:
            pass  # the client left, or a node died in the middle of its answer
        finally:
            back.close()

    async def _exchange(self, client: StreamReader, back: StreamWriter) -> bool:
        """Reads one request and answers it; returns whether another may follow."""
        try:
            request = await read_request(client)
            if request is None:
                return False
            refuse_strangers(request)
            if request.path == console.PATH and self._farm_page:
                return await self._show_farm(self._farm_page, request, back)
            if request.path.startswith(FARM_COMMANDS):
                return await self._command(request, back)
            return await self._relay(request, back)
        except BadRequest as fault:
            return _reply(back, fault.status, page.notice(fault.status.phrase, "Nothing was changed."))
        except FarmError as fault:
            return _reply(back, HTTPStatus.INTERNAL_SERVER_ERROR, page.notice("It did not start", str(fault)))

    async def _show_farm(self, farm_page: console.Console, request: Request, back: StreamWriter) -> bool:
        answer = await farm_page.answer(request)
        keep_alive = request.keeps_alive
        back.write(head_of(answer.status, answer.sized_fields, keep_alive=keep_alive))
        back.write(b"" if request.method == "HEAD" else answer.body)
        return keep_alive

    async def _command(self, request: Request, back: StreamWriter) -> bool:
        verb, _, name = request.path.removeprefix(FARM_COMMANDS).partition("/")
        node = next((node for node in self._nodes if node.name == name), None)
        if node is None or verb not in {"kill", "start"}:
            raise BadRequest(HTTPStatus.NOT_FOUND)
        if request.method != "POST":
            raise BadRequest(HTTPStatus.METHOD_NOT_ALLOWED)
        await (node.kill() if verb == "kill" else node.start())
        return _reply(back, HTTPStatus.SEE_OTHER, "", ("Location", "/"), keep_alive=request.keeps_alive)

    async def _relay(self, request: Request, back: StreamWriter) -> bool:
        nodes = self._next_nodes()
        message = self._for_node(request.head).encode() + request.body
        for node in nodes:
            try:
                answer = await _ask(node, message, bodyless=request.method == "HEAD")
            except NotAnswered as failure:
                if failure.untouched or request.is_safe:
                    continue
                text = f"{node.name} died before it answered. It may have done what you asked, or not."
                return _reply(back, HTTPStatus.BAD_GATEWAY, page.notice("No answer", text))
            try:
                return await _copy(answer, back, keep_alive=request.keeps_alive)
            finally:
                answer.writer.close()
        return _reply(back, HTTPStatus.SERVICE_UNAVAILABLE, page.outage(self._state()), ("Retry-After", "1"))

    def _next_nodes(self) -> list[WebNode]:
        """The nodes that are up, beginning with the one whose turn it is."""
        up = [node for node in self._nodes if node.is_up]
        turn = self._rounds % len(up) if up else 0
        self._rounds += 1
        return up[turn:] + up[:turn]

    def _state(self) -> dict[str, bool]:
        return {node.name: node.is_up for node in self._nodes}

    def _for_node(self, head: Head) -> Head:
        state = ",".join(f"{name}={'up' if up else 'down'}" for name, up in self._state().items())
        return head.without((*HOP_BY_HOP, *OURS)).plus(
            ("Connection", "close"),
            ("X-Forwarded-For", HOST),
            ("X-Forwarded-Proto", "http"),
            ("X-Farm", state),
            ("X-Farm-Request", str(self._rounds)),
        )


def refuse_strangers(request: Request) -> None:
    """Lets a request that changes something come from the farm's own pages, or from no page at all.

    Raises:
        BadRequest: another site's page sent it.
    """
    if request.is_safe:
        return
    site = request.head.get("sec-fetch-site") or "none"
    origin = request.head.get("origin")
    foreign = origin is not None and authority_of(origin) != request.head.get("host")
    if foreign or site not in {"same-origin", "none"}:
        raise BadRequest(HTTPStatus.FORBIDDEN)


async def _ask(node: WebNode, message: bytes, *, bodyless: bool) -> Answer:
    """Sends a request to a node and waits for the beginning of its answer."""
    try:
        reader, writer = await asyncio.open_connection(HOST, node.port)
    except OSError as fault:
        raise NotAnswered(untouched=True) from fault
    try:
        writer.write(message)
        async with asyncio.timeout(ANSWER_LIMIT):
            return await _begun(reader, writer, bodyless=bodyless)
    except (OSError, IncompleteReadError) as fault:  # TimeoutError is an OSError
        writer.close()
        raise NotAnswered(untouched=False) from fault


async def _begun(reader: StreamReader, writer: StreamWriter, *, bodyless: bool) -> Answer:
    head = Head.parse(await reader.readuntil(END_OF_HEAD))
    said = head.get("content-length")
    length = 0 if bodyless else int(said) if said else None
    start = await reader.readexactly(min(length or 0, CHUNK))
    return Answer(head, length, start, reader, writer)


async def _copy(answer: Answer, back: StreamWriter, *, keep_alive: bool) -> bool:
    """Streams an answer to the client; returns whether the client can tell where it ended."""
    keep_alive = keep_alive and answer.length is not None
    connection = ("Connection", "keep-alive" if keep_alive else "close")
    back.write(answer.head.without(HOP_BY_HOP).plus(connection).encode() + answer.start)
    left = (answer.length or 0) - len(answer.start)
    while chunk := await answer.reader.read(CHUNK):
        back.write(chunk)
        await back.drain()
        left -= len(chunk)
    return keep_alive and left == 0


def _reply(
    back: StreamWriter, status: HTTPStatus, html: str, *fields: tuple[str, str], keep_alive: bool = False
) -> bool:
    back.write(own_answer(status, html, (*page.HEADERS, *fields), keep_alive=keep_alive))
    return keep_alive
