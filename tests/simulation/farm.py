"""A farm in the simulator: servers, and web nodes with the whole library, as applications use it.

A web node is `sharedsession.asgi.SessionMiddleware` around an application that does what its request says. Its clock
may be wrong, it may crash in the middle of everything, and come back with other secrets.
"""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from sharedsession import Session, SessionManager
from sharedsession.asgi import SessionMiddleware
from sharedsession.environment import Environment
from tests.simulation.loop import SimulatedLoop
from tests.simulation.memcached import SimulatedMemcached
from tests.simulation.network import SENDER, Host, Network, Sender
from tests.simulation.plan import NODES, REPLICAS, Plan
from tests.simulation.redis import SimulatedRedis
from tests.simulation.story import Story

TIMEOUT = 0.25
BREAKER_WINDOW = 0.5
WEBSOCKET_CHECK = 2.0
SECRETS = ("N2e8XW1r0mYdUqgQ4xkSVZb7tHcLJw3o", "pT6uRk9Zs2VfQ0yMd8hCwXj4GnBe5L1a")
"""The machine keys of the simulated farm: the second takes the place of the first where a plan rotates."""

Deed = Callable[[Session], Awaitable[Any]]
_NAMES = "abcde"


@dataclass
class Answer:
    """What a browser gets.

    Attributes:
        begin: when it asked: virtual seconds.
        end: when it had its answer, or gave up.
        status: of HTTP; 0: there was no answer.
        told: what the deed returned, if the answer is 200.
        cookies: the values of Set-Cookie.
        error: what came out of the middleware.
    """

    begin: float
    end: float = 0.0
    status: int = 0
    told: Any = None
    cookies: list[str] = field(default_factory=list)
    error: BaseException | None = None

    @property
    def cookie(self) -> str:
        """The pair that a browser keeps; empty if it got none."""
        pairs = [line.partition(";")[0] for line in self.cookies]
        return next((pair for pair in pairs if not pair.endswith("=")), "")


class WebNode:
    """One web node.

    Args:
        name: of it.
        farm: it belongs to.
        secrets: its machine keys.
    """

    def __init__(self, name: str, farm: "Farm", secrets: Sequence[str] = SECRETS[:1]) -> None:
        self.name = name
        self.secrets = secrets
        self._farm = farm
        self._skew = 0.0
        self._starts = 0
        self._senders: list[Sender] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self.start()

    def start(self, secrets: Sequence[str] | None = None) -> None:
        """Starts its process, with other machine keys if there are any."""
        self.secrets = secrets or self.secrets
        self._starts += 1
        loop = self._farm.loop
        self._sender = Sender(self.name)
        self._senders.append(self._sender)
        chance = Random(f"{self._farm.plan.seed}-{self.name}-{self._starts}")
        self.environment = Environment(
            clock=lambda: 1_790_000_000.0 + loop._now + self._skew, monotonic=loop.time, random_bytes=chance.randbytes
        )
        self.manager = SessionManager.from_settings(
            environment=self.environment,
            secret_key=list(self.secrets),
            backend=self._farm.url,
            idle_timeout=self._farm.plan.idle,
            timeout=TIMEOUT,
            breaker_window=BREAKER_WINDOW,
            websocket_check=WEBSOCKET_CHECK,
            autoload=self._farm.plan.autoload,
        )
        self._app = SessionMiddleware(_application, manager=self.manager)

    def crash(self) -> None:
        """Ends its process, and those before it, in the middle of everything."""
        for sender in self._senders:
            sender.is_alive = False
            self._farm.network.hang_up(sender)
        for task in list(self._tasks):
            task.cancel()

    def shift_clock(self, seconds: float) -> None:
        """Sets its clock ahead."""
        self._skew += seconds

    def cancel_requests(self) -> None:
        """Cancels all requests, as a server does when its clients are gone."""
        for task in list(self._tasks):
            task.cancel()

    async def request(self, deed: Deed, cookie: str = "") -> Answer:
        """Sends a request, with this Cookie header, whose application does this deed."""
        answer = Answer(self._farm.loop.time())
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        await self._run(self._app(_scope("http", cookie, deed, answer), _nothing_to_receive, send), answer)
        for message in sent:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.cookies = [value.decode() for name, value in message["headers"] if name == b"set-cookie"]
        return answer

    async def verb(self, verb: str, *arguments: Any, **options: Any) -> Answer:
        """Calls a verb of the manager: 200 if it returned."""
        answer = Answer(self._farm.loop.time())

        async def call() -> None:
            answer.told = await getattr(self.manager, verb)(*arguments, **options)
            answer.status = 200

        await self._run(call(), answer)
        return answer

    async def websocket(self, cookie: str, seconds: float, talk: bool) -> "Socket":
        """Opens a websocket, and holds it for so long.

        Args:
            cookie: of the handshake.
            seconds: how long.
            talk: whether the visitor sends something now and then.
        """
        socket = Socket(self._farm.loop.time())
        over = self._farm.loop.create_future()
        answer = Answer(socket.begin)

        async def receive() -> Any:
            if talk:
                done, _ = await asyncio.wait([over], timeout=0.7)
                return {"type": "websocket.disconnect"} if done else {"type": "websocket.receive", "text": "hello"}
            await asyncio.shield(over)
            return {"type": "websocket.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "websocket.accept":
                socket.accepted = self._farm.loop.time()
            if message["type"] == "websocket.close" and not over.done():
                socket.closed, socket.code = self._farm.loop.time(), message.get("code", 1000)
                over.set_result(None)

        async def deed(session: Session) -> Any:
            begin = self._farm.loop.time()
            await session.load()
            looked = (begin, self._farm.loop.time(), dict(session))
            socket.again = () if socket.accepted is None else looked
            return looked[-1]

        timer = self._farm.loop.call_later(seconds, lambda: over.done() or over.set_result(None))
        await self._run(self._app(_scope("websocket", cookie, deed, answer), receive, send), answer)
        timer.cancel()
        socket.told, socket.end, socket.error = answer.told, answer.end, answer.error
        return socket

    async def _run(self, work: Any, answer: Answer) -> None:
        """Runs something in a task of this process; an answer comes with it, or none."""
        context = contextvars.copy_context()
        context.run(SENDER.set, self._sender)
        task = self._farm.loop.create_task(work, context=context)
        self._tasks.add(task)
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()
            self._tasks.discard(task)
            answer.end = self._farm.loop.time()
        if task.cancelled():
            answer.status, answer.cookies = 0, []
        else:
            answer.error = task.exception()


@dataclass
class Socket:
    """A websocket, as its browser knows it.

    Attributes:
        begin: when the handshake began.
        accepted: when it was accepted; ``None``: it was not.
        closed: when the web node closed it; ``None``: it did not.
        code: of that close.
        end: when it was over.
        told: the session's data at the handshake.
        again: when the application looked again at the end, and what it saw; empty if it could not.
        error: what came out of the middleware.
    """

    begin: float
    accepted: float | None = None
    closed: float | None = None
    code: int = 0
    end: float = 0.0
    told: Any = None
    again: tuple[Any, ...] = ()
    error: BaseException | None = None


class Farm:
    """Servers and web nodes of a plan.

    Args:
        plan: what to build.
        loop: everything runs on.
        story: where what happens is told.
    """

    def __init__(self, plan: Plan, loop: SimulatedLoop, story: Story) -> None:
        self.plan = plan
        self.loop = loop
        self.story = story
        self.network = Network(loop, Random(f"{plan.seed}-network"), story)
        self.hosts = [self._host(f"m{number}") for number in range(NODES[plan.store])]
        self.url = self._url()
        self.webs = [WebNode(f"w{number}", self) for number in range(plan.webs)]

    @property
    def keeps_copies(self) -> bool:
        """Whether a record is on several nodes."""
        return self.plan.store in REPLICAS

    def fresh(self, name: str) -> WebNode:
        """Starts one more web node, which knows nothing of what happened."""
        return WebNode(name, self, self.webs[-1].secrets)

    def _host(self, name: str) -> Host:
        host = Host(name, self.loop.time)
        if self.plan.store in {"valkey", "redis"}:
            host.server = SimulatedRedis(host.clock, has_ifeq=self.plan.store == "valkey")
        else:
            host.server = SimulatedMemcached(host.clock)
        self.network.hosts[name] = host
        return host

    def _url(self) -> str:
        if self.plan.store in {"valkey", "redis"}:
            return f"redis://{self.hosts[0].name}:6379"
        if not self.keeps_copies:
            return f"memcached://{self.hosts[0].name}:11211"
        nodes = ",".join(f"{name}={host.name}:11211" for name, host in zip(_NAMES, self.hosts, strict=False))
        return f"memcached://{nodes}?replicas={REPLICAS[self.plan.store]}"


def _scope(kind: str, cookie: str, deed: Deed, answer: Answer) -> dict[str, Any]:
    headers = [(b"cookie", cookie.encode())] if cookie else []
    return {"type": kind, "method": "GET", "path": "/", "scheme": "https", "headers": headers, "deed": (deed, answer)}


async def _nothing_to_receive() -> Any:
    return {"type": "http.disconnect"}


async def _application(scope: Any, receive: Any, send: Any) -> None:
    deed, answer = scope["deed"]
    if scope["type"] == "websocket":
        answer.told = await deed(scope["session"])
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
        await deed(scope["session"])
        return
    answer.told = await deed(scope["session"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})
