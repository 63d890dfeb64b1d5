"""The round-robin front: one address, each request to the next web node, also on one connection.

The front skips a web node that refuses the connection. It also skips one that dies before it has answered, if the
request is safe; it never sends a POST twice that a web node may have carried out. The browser gets the first byte when
the first 64 KiB of the answer are here, so a death in the middle of a page does no harm either. Each request has a
number, so that a web node knows a request that another one has counted already. It answers to names of this machine
only, whatever is asked for.

The front itself carries out ``POST /farm/kill/<process>`` and ``POST /farm/start/<process>``, for the shop's page only,
and shows the farm page at ``/farm``, which `console` makes. In the place of a web node's 503 it sends a page that says
which server is down and starts it: a shop stays a shop while its store is away.
"""

import asyncio
import socket
from asyncio import StreamReader, StreamWriter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus

from sharedsession.demo import page
from sharedsession.demo.console import Console
from sharedsession.demo.http1 import (
    MAX_HEAD,
    BadRequest,
    BrowserConnection,
    BrowserRequest,
    NodeAnswer,
    NodeConnection,
)
from sharedsession.demo.loopback import HOST, is_own_host, port_of
from sharedsession.demo.names import (
    COMMANDS,
    FARM_PAGE,
    NUMBER_HEADER,
    STATES_HEADER,
    STORE_HEADER,
    WEB_NODE_HEADER,
)
from sharedsession.demo.processes import Child, DemoError
from sharedsession.demo.servers import Store, farm_of
from sharedsession.demo.webprocess import WebProcess
from sharedsession.farmpage.auth import authority_of
from sharedsession.http import Answer, Headers, page_answer

ANSWER_LIMIT = 10.0
"""Seconds that a web node has to begin its answer."""

_HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "expect")
)  # RFC 9110, section 7.6.1
_FORWARDED = frozenset(
    (
        STATES_HEADER.lower(),
        STORE_HEADER.lower(),
        NUMBER_HEADER.lower(),
        "x-forwarded-for",
        "x-forwarded-proto",
        "forwarded",
    )
)


class NotAnswered(Exception):
    """A web node gave no answer.

    Attributes:
        is_unsent: whether it is certain that the web node did not get the request.
    """

    def __init__(self, *, is_unsent: bool) -> None:
        super().__init__()
        self.is_unsent = is_unsent


class Front:
    """Spreads requests over web nodes.

    Args:
        nodes: the web nodes, in the order of the rounds.
        store: what they share; ``None``: it is not shown.
        console: answers at ``/farm``.
    """

    def __init__(self, nodes: Sequence[WebProcess], store: Store | None = None, console: Console | None = None) -> None:
        self._nodes = nodes
        self._store = store or Store("", "", "")
        self._console = console
        self._rounds = 0
        self._browsers: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._port = 0

    async def open(self, listener: socket.socket) -> int:
        """Starts to serve; returns the port."""
        self._port = port_of(listener)
        self._server = await asyncio.start_server(self._accept, sock=listener, limit=MAX_HEAD)
        return self._port

    async def close(self) -> None:
        """Closes all connections, so that no request starts a web node while the farm shuts down."""
        if self._server:
            self._server.close()
        for browser in self._browsers:
            browser.cancel()
        await asyncio.gather(*self._browsers, return_exceptions=True)

    def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.create_task(self._serve(BrowserConnection(reader, writer)))
        self._browsers.add(task)
        task.add_done_callback(self._browsers.discard)

    async def _serve(self, browser: BrowserConnection) -> None:
        """Answers one connection, request after request."""
        try:
            while await self._exchange(browser):
                pass
        except ConnectionError:
            pass  # the browser closed it, or a web node died in the middle of its answer
        finally:
            browser.close()

    async def _exchange(self, browser: BrowserConnection) -> bool:
        """Reads one request and answers it; returns whether another may follow."""
        try:
            request = await browser.read()
            if request is None:
                return False
            self._refuse_other_hosts(request)
            _refuse_other_sites(request)
            if request.path == FARM_PAGE and self._console:
                return await browser.answer(await self._console.answer(request))
            if request.path.startswith(COMMANDS):
                return await browser.answer(await self._carry_out(request))
            return await self._relay(request, browser)
        except BadRequest as error:
            text = page.notice(error.status.phrase, error.fix or "Nothing was changed.")
            return await browser.answer(_answer(error.status, text), last=True)
        except DemoError as error:
            text = page.notice("It did not start", str(error))
            return await browser.answer(_answer(HTTPStatus.INTERNAL_SERVER_ERROR, text), last=True)

    def _refuse_other_hosts(self, request: BrowserRequest) -> None:
        """Lets a request in that was sent to this machine by its own name.

        Raises:
            BadRequest: it was sent to another name, which led here.
        """
        if not request.target.startswith("/"):
            raise BadRequest(HTTPStatus.BAD_REQUEST)  # another host may stand in it (RFC 9112, section 3.2.2)
        if not is_own_host(request.get("host"), self._port):
            raise BadRequest(
                HTTPStatus.MISDIRECTED_REQUEST, f"The demo answers at http://{HOST}:{self._port} and to no other name."
            )

    async def _carry_out(self, request: BrowserRequest) -> Answer:
        verb, _, name = request.path.removeprefix(COMMANDS).partition("/")
        processes: Sequence[Child] = (*self._nodes, *self._store.servers)
        process = next((process for process in processes if process.name == name), None)
        if process is None or verb not in {"kill", "start"}:
            raise BadRequest(HTTPStatus.NOT_FOUND)
        if request.method != "POST":
            raise BadRequest(HTTPStatus.METHOD_NOT_ALLOWED)
        await (process.kill() if verb == "kill" else process.start())
        return _answer(HTTPStatus.SEE_OTHER, "", ("Location", "/"))

    async def _relay(self, request: BrowserRequest, browser: BrowserConnection) -> bool:
        nodes = self._next_nodes()
        forwarded = self._forwarded(request)
        for node in nodes:
            try:
                connection, answer = await _ask(node, forwarded)
            except NotAnswered as failure:
                if failure.is_unsent or request.is_safe:
                    continue
                text = f"{node.name} died before it answered. It may have carried out your request, or not."
                return await browser.answer(_answer(HTTPStatus.BAD_GATEWAY, page.notice("No answer", text)), last=True)
            try:
                if answer.status == HTTPStatus.SERVICE_UNAVAILABLE:
                    return await browser.answer(self._store_down(node, answer))
                return await browser.relay(answer)
            finally:
                connection.close()
        outage = page.outage(farm_of(self._nodes, self._store))
        answer_of_front = _answer(HTTPStatus.SERVICE_UNAVAILABLE, outage, ("Retry-After", "1"))
        return await browser.answer(answer_of_front, last=True)

    def _next_nodes(self) -> list[WebProcess]:
        """Returns the web nodes that are up, beginning with the one whose turn it is."""
        up = [node for node in self._nodes if node.is_up]
        turn = self._rounds % len(up) if up else 0
        self._rounds += 1
        return up[turn:] + up[:turn]

    def _store_down(self, node: WebProcess, answer: NodeAnswer) -> Answer:
        """Returns the page in the place of a web node's 503; how long to wait is the web node's own word."""
        waits = [(name, value) for name, value in answer.headers if name.lower() == "retry-after"]
        text = page.store_down(node.name, farm_of(self._nodes, self._store))
        return _answer(HTTPStatus.SERVICE_UNAVAILABLE, text, *waits, (WEB_NODE_HEADER, node.name))

    def _forwarded(self, request: BrowserRequest) -> BrowserRequest:
        """Returns a request as a web node gets it."""
        farm = farm_of(self._nodes, self._store)
        headers = [
            *_without(request.headers, _HOP_BY_HOP | _FORWARDED),
            ("Connection", "close"),
            ("X-Forwarded-For", HOST),
            ("X-Forwarded-Proto", "http"),
            (STATES_HEADER, _listed(farm.nodes)),
            (STORE_HEADER, f"{farm.backend} {_listed(farm.servers)}".strip()),
            (NUMBER_HEADER, str(self._rounds)),
        ]
        return replace(request, headers=headers)


def _refuse_other_sites(request: BrowserRequest) -> None:
    """Lets a request that changes something come from the farm's own pages, or from a program.

    Raises:
        BadRequest: the page of another site sent it.
    """
    if request.is_safe:
        return
    site = request.get("sec-fetch-site") or "none"
    origin = request.get("origin")
    is_foreign = origin is not None and authority_of(origin) != request.get("host")
    if is_foreign or site not in {"same-origin", "none"}:
        raise BadRequest(HTTPStatus.FORBIDDEN)


async def _ask(node: WebProcess, request: BrowserRequest) -> tuple[NodeConnection, NodeAnswer]:
    """Sends a request to a web node and waits for the beginning of its answer.

    Raises:
        NotAnswered: there was none.
    """
    try:
        connection = await NodeConnection.open(node.port or 0)
    except OSError as error:
        raise NotAnswered(is_unsent=True) from error
    try:
        async with asyncio.timeout(ANSWER_LIMIT):
            answer = await connection.ask(request)
    except OSError as error:  # TimeoutError and BrokenAnswer among them
        connection.close()
        raise NotAnswered(is_unsent=False) from error
    return connection, answer._replace(headers=_without(answer.headers, _HOP_BY_HOP))


def _listed(states: Mapping[str, bool]) -> str:
    return ",".join(f"{name}={'up' if is_up else 'down'}" for name, is_up in states.items())


def _without(headers: Headers, names: frozenset[str]) -> Headers:
    return [(name, value) for name, value in headers if name.lower() not in names]


def _answer(status: HTTPStatus, text: str, *headers: tuple[str, str]) -> Answer:
    return page_answer(status, text, [*page.HEADERS, *headers])
