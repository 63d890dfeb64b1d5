"""A farm in one process: web nodes of either colour behind one interface, and browsers that visit them.

A handler is a plain function of the session. Under ASGI it runs in a worker thread while the middleware lives on an
event loop of the node's own, so one test says the same of both colours. A coroutine function runs on that loop.
"""

import asyncio
import inspect
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Self

from sharedsession import MachineKey, Session, SessionManager
from sharedsession.asgi import SessionMiddleware as AsgiMiddleware
from sharedsession.environment import REAL, Environment
from sharedsession.manager import engines_of
from sharedsession.wsgi import SessionMiddleware as WsgiMiddleware

Handler = Callable[[Session], Any]
SECRET = os.environ.setdefault("SUITE_SECRET", MachineKey.generate())  # the same in processes that tests start
COLOURS = ("wsgi", "asgi")


@dataclass(frozen=True)
class Answer:
    """What a browser sees."""

    status: int
    headers: list[tuple[str, str]]
    body: str

    @property
    def set_cookies(self) -> list[str]:
        return self.all("set-cookie")

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name]


class WebNode:
    """One web node; a context manager."""

    def __init__(self, colour: str, backend: Any, environment: Environment = REAL, **settings: Any) -> None:
        self.colour = colour
        settings = {"secret_key": SECRET, "backend": backend} | settings
        self.manager = SessionManager.from_settings(environment=environment, **settings)
        if colour == "wsgi":
            self.app: Any = WsgiMiddleware(_wsgi_app, manager=self.manager)
        else:
            self.app = AsgiMiddleware(_asgi_app, manager=self.manager)
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()

    def request(self, handler: Handler, cookie: str = "", path: str = "/") -> Answer:
        """Sends one request, with this Cookie header, that is served by this handler."""
        if self.colour == "wsgi":
            return self._wsgi(handler, cookie, path)
        return asyncio.run_coroutine_threadsafe(self._asgi(handler, cookie, path), self._loop).result(60)

    def do(self, coroutine: Any) -> Any:
        """Runs a coroutine on the node's event loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    def close(self) -> None:
        if self.colour == "asgi":
            self._loop.call_soon_threadsafe(self._ending.set_result, None)
            self._thread.join(10)
        backend = engines_of(self.manager).settings.backend
        if not inspect.iscoroutinefunction(backend.close):  # what blocking verbs of an asynchronous manager opened, too
            backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        self._loop.set_default_executor(ThreadPoolExecutor(64))  # handlers may wait for one another
        self._ending = self._loop.create_future()

        async def until_the_end() -> None:
            await self._ending
            native = getattr(engines_of(self.manager).settings.backend, "asynchronous", None)
            if native is not None:
                await native.close()
            await asyncio.sleep(0)

        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(until_the_end())

    def _wsgi(self, handler: Handler, cookie: str, path: str) -> Answer:
        head: list[Any] = []
        environ = {"PATH_INFO": path, "test.handler": handler} | ({"HTTP_COOKIE": cookie} if cookie else {})
        body = self.app(environ, lambda status, headers, exc_info=None: head.append((status, headers)))
        try:
            text = b"".join(body)
        finally:
            getattr(body, "close", lambda: None)()
        status, headers = head[-1]
        return Answer(int(status.split()[0]), headers, text.decode())

    async def _asgi(self, handler: Handler, cookie: str, path: str) -> Answer:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "http.disconnect"}

        headers = [(b"cookie", cookie.encode("latin-1"))] if cookie else []
        scope = {"type": "http", "path": path, "headers": headers, "test.handler": handler}
        await self.app(scope, receive, send)
        answered = [(name.decode(), value.decode("latin-1")) for name, value in sent[0]["headers"]]
        return Answer(sent[0]["status"], answered, b"".join(m.get("body", b"") for m in sent[1:]).decode())


@dataclass
class Browser:
    """One cookie jar; it visits the nodes in turn."""

    nodes: list[WebNode]
    cookie: str = ""
    visits: int = field(default=0)

    def go(self, handler: Handler, path: str = "/") -> Answer:
        node = self.nodes[self.visits % len(self.nodes)]
        self.visits += 1
        answer = node.request(handler, self.cookie, path)
        for line in answer.set_cookies:
            pair = line.partition(";")[0]
            self.cookie = "" if pair.endswith("=") else pair
        return answer


def read(key: str) -> Handler:
    """A handler that answers with the value of a key."""
    return lambda session: session.get(key)


def write(key: str, value: Any) -> Handler:
    """A handler that sets a key."""
    return lambda session: session.__setitem__(key, value)


def everything(session: Session) -> dict[str, Any]:
    """A handler that answers with the whole session."""
    return dict(session)


def untouched(session: Session) -> None:
    """A handler that never looks at the session."""


def destroy(session: Session) -> None:
    """A handler that logs out."""
    session.destroy()


def _wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
    result = environ["test.handler"](environ["sharedsession.session"])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [repr(result).encode()]


async def _asgi_app(scope: Any, receive: Any, send: Any) -> None:
    handler = scope["test.handler"]
    if inspect.iscoroutinefunction(handler):
        result = await handler(scope["session"])
    else:
        result = await asyncio.to_thread(handler, scope["session"])
    headers = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": repr(result).encode()})
