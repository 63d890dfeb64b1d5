"""Plain WSGI and ASGI under the servers that people deploy: several workers, one visitor, one counter, a clean end."""

import http.client
import re
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import flask
import httpx
import pytest

from sharedsession import ConfigurationError, MachineKey
from sharedsession.asgi import SessionMiddleware as AsgiMiddleware
from sharedsession.backends import connect
from sharedsession.frameworks.starlette import SessionMiddleware as ForStarlette
from sharedsession.wsgi import SessionMiddleware
from tests.support.farm import SECRET
from tests.support.processes import PATIENCE
from tests.support.webserver import ROOT, SERVERS, WebServer, running, serving

CROWD = 8
VISITS = 40
# Every server, every backend; where a worker is forked from what was imported before, every backend.
RUNS = [
    ("gunicorn", "sqlite"),
    ("gunicorn", "ring"),
    ("gunicorn-gthread", "redis"),
    ("gunicorn-gthread", "ring"),
    ("gunicorn-gevent", "redis"),
    ("gunicorn-gevent", "memcached"),
    ("gunicorn-gevent", "ring"),
    ("hypercorn-wsgi", "sqlite"),
    ("granian-wsgi", "memcached"),
    ("uvicorn", "sqlite"),
    ("uvicorn", "ring"),
    ("uvicorn-uvloop", "redis"),
    ("hypercorn", "memcached"),
    ("granian", "ring"),
]
APPS = {"wsgi": "shop:application", "asgi": "shop:app"}


@pytest.fixture
def env(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """The settings of a farm on one kind of backend."""
    kind = request.param
    url = f"sqlite:///{tmp_path}/s.db" if kind == "sqlite" else request.getfixturevalue(kind).url
    settings = {"backend": url, "secret_key": MachineKey.generate(), "development": "1", "timeout": "5"}
    ours = {f"SHAREDSESSION_{name.upper()}": value for name, value in settings.items()}
    return ours | {"TMPDIR": str(tmp_path)}  # where no worker has said anything yet


class Visitor:
    """One cookie, a new connection for each request, and what the shop said."""

    def __init__(self, web: WebServer) -> None:
        self._address = web.url.removeprefix("http://")
        self._cookie = ""
        self.visits = 0
        self.workers: set[str] = set()
        self.visit()

    def visit(self, _number: int = 0) -> int:
        """Returns the count that the page shows."""
        text, cookies = self._get()
        assert len(cookies) == (not self._cookie)  # set once, by whoever answers first
        self._cookie = self._cookie or cookies[0].partition(";")[0]
        visit, worker = re.findall(r"visit (\d+), .* process (\d+)", text)[0]
        self.workers.add(worker)
        self.visits += 1
        return int(visit)

    def _get(self) -> tuple[str, list[str]]:
        connection = http.client.HTTPConnection(self._address, timeout=PATIENCE)
        try:
            connection.request("GET", "/", headers={"Cookie": self._cookie} if self._cookie else {})
            reply = connection.getresponse()
            assert reply.status == 200
            return reply.read().decode(), reply.headers.get_all("Set-Cookie", [])
        finally:
            connection.close()

    def meet(self, workers: int) -> None:
        """Visits, one after another, until every worker answered."""
        deadline = time.monotonic() + PATIENCE
        while len(self.workers) < workers:
            assert self.visit() == self.visits
            assert time.monotonic() < deadline, f"only {self.workers} answered"


def grow(web: WebServer, workers: int = 2) -> None:
    """One visitor over all workers: counted exactly, one by one and in a crowd."""
    visitor = Visitor(web)
    visitor.meet(workers)
    with ThreadPoolExecutor(CROWD) as crowd:
        list(crowd.map(visitor.visit, range(VISITS)))
    assert visitor.visit() == visitor.visits
    assert set(map(int, visitor.workers)) <= set(web.processes())


@pytest.mark.parametrize(("server", "env"), RUNS, indirect=["env"])
def test_one_visitor_over_all_workers(server: str, env: dict[str, str]) -> None:
    """Whichever worker answers, no visit is lost; the server stops when asked, and no process is left.

    What each worker would say of the settings, one says for all.
    """
    colour = SERVERS[server].colour
    with running(server, APPS[colour], env=env, cwd=ROOT / "examples" / colour) as web:
        grow(web)
        web.stop()
        assert "Traceback" not in web.log, web.log
        assert web.log.count("SHAREDSESSION_DEVELOPMENT=True") == 1, web.log


@pytest.mark.parametrize("env", ["ring", "redis"], indirect=True)
def test_green_threads_of_eventlet(env: dict[str, str]) -> None:
    """It takes `poll` out of the module `select`; a ring waits for several servers all the same."""
    with running("eventlet", "shop:application", env=env, cwd=ROOT / "examples" / "wsgi") as web:
        grow(web, workers=1)
        web.stop()
        assert "Traceback" not in web.log, web.log


WARM = """
import sys
sys.path.insert(0, {shop!r})
from shop import application

def visit():
    environ = {{"REQUEST_METHOD": "GET", "PATH_INFO": "/", "QUERY_STRING": ""}}
    body = application(environ, lambda status, headers, exc_info=None: print)
    list(body)

visit()  # in the parent: its connections are open when the workers are forked
"""


@pytest.mark.parametrize("env", ["sqlite", "redis", "memcached", "ring"], indirect=True)
def test_workers_forked_from_a_process_that_used_the_store(env: dict[str, str], tmp_path: Path) -> None:
    """With `--preload` the workers inherit the parent's connections, and none of them speaks on them."""
    (tmp_path / "warm.py").write_text(WARM.format(shop=str(ROOT / "examples" / "wsgi")))
    with running("gunicorn-preload", "warm:application", env=env, cwd=tmp_path, workers=3) as web:
        grow(web, workers=3)
        web.stop()
        assert "Traceback" not in web.log, web.log


# -- what PEP 3333 allows, seen from outside


def late(environ: Any, start_response: Any) -> Iterator[bytes]:
    """Calls `start_response` when it is first asked for a chunk."""
    environ["sharedsession.session"]["late"] = 1
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"late"


def write(environ: Any, start_response: Any) -> list[bytes]:
    """Writes, as very old applications do."""
    environ["sharedsession.session"]["written"] = 1
    start_response("200 OK", [("Content-Type", "text/plain")])(b"written ")
    return [b"and returned"]


def sorry(environ: Any, start_response: Any) -> list[bytes]:
    """Begins a response, fails, and begins another."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    try:
        environ["sharedsession.session"]["sorry"] = 1
        raise ValueError("on purpose")
    except ValueError:
        start_response("500 Sorry", [("Content-Type", "text/plain")], sys.exc_info())
    return [b"sorry"]


class Closing:
    """A body that says in the session's own store that it was closed."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._chunks = iter([b"one ", b"two"])

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def close(self) -> None:
        self._session.increment("closed")


def closing(environ: Any, start_response: Any) -> Closing:
    """Changes the session when its body is closed, the last moment that there is."""
    environ["sharedsession.session"].setdefault("begun", 1)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return Closing(environ["sharedsession.session"])


def show(environ: Any, start_response: Any) -> list[bytes]:
    """Shows everything that the session holds."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [repr(sorted(environ["sharedsession.session"].items())).encode()]


WAYS = {f"/{way.__name__}": way for way in (late, write, sorry, closing, show)}


def pedantic(environ: Any, start_response: Any) -> Any:
    """The application of the test below, between two of wsgiref's validators."""
    return _checked()({**environ, "SERVER_PORT": str(environ["SERVER_PORT"])}, start_response)  # Hypercorn's is no text


def _checked(made: list[Any] = []) -> Any:  # noqa: B006  (one middleware a process)
    if not made:
        inner = validator(lambda environ, start_response: WAYS[environ["PATH_INFO"]](environ, start_response))
        made.append(validator(SessionMiddleware(inner)))
    return made[0]


ANSWERS = {
    "/late": (200, "late", "late"),
    "/write": (200, "written and returned", "written"),
    "/sorry": (500, "sorry", "sorry"),
    "/closing": (200, "one two", "closed"),
}
NO_WRITE = {"hypercorn-wsgi", "granian-wsgi"}  # their `start_response` returns nothing to write with


@pytest.mark.parametrize(
    "server",
    ["gunicorn", "gunicorn-gthread", "hypercorn-wsgi", "granian-wsgi"],
)
@pytest.mark.parametrize("env", ["sqlite"], indirect=True)
def test_every_way_to_answer(server: str, env: dict[str, str]) -> None:
    """Late, by `write`, twice, and changed in `close`: each keeps its change, and wsgiref's validator is content."""
    with serving(server, "tests.frameworks.test_servers:pedantic", env=env, workers=1) as url:
        for path, (status, text, key) in ANSWERS.items():
            if path == "/write" and server in NO_WRITE:
                continue
            with httpx.Client(base_url=url) as browser:
                reply = browser.get(path)
                assert (reply.status_code, reply.text) == (status, text)
                assert len(reply.headers.get_list("set-cookie")) == 1
                assert f"('{key}', 1)" in browser.get("/show").text


def test_a_late_start_response_of_a_body_without_chunks() -> None:
    """A generator that never yields still sends its head, with its cookie."""

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        environ["sharedsession.session"]["x"] = 1
        start_response("204 No Content", [])
        return
        yield b""

    sent: list[Any] = []
    body = SessionMiddleware(app, secret_key=SECRET, backend="memory://")(
        {"PATH_INFO": "/"}, lambda *head: sent.append(head) or sent.append
    )
    assert list(body) == []
    assert sent[0][0] == "204 No Content"
    assert [name for name, _ in sent[0][1]].count("Set-Cookie") == 1


def test_a_change_of_mind_after_the_first_byte_is_the_servers_affair() -> None:
    """`start_response` with `exc_info` behind the first byte reaches the server, which raises as PEP 3333 asks."""

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"begun"
        try:
            raise ValueError("on purpose")
        except ValueError:
            start_response("500 Oops", [], sys.exc_info())

    def server(status: str, headers: Any, exc_info: Any = None) -> Any:
        if exc_info:
            raise exc_info[1]
        return print

    body = iter(SessionMiddleware(app, secret_key=SECRET, backend="memory://")({"PATH_INFO": "/"}, server))
    assert next(body) == b"begun"
    with pytest.raises(ValueError, match="on purpose"):
        next(body)


def test_a_change_of_mind_before_the_first_byte_stays_inside() -> None:
    """The server hears of one head, so it gets no `exc_info`: uWSGI fails where a first call has it."""
    heads: list[Any] = []

    def app(environ: Any, start_response: Any) -> Any:
        environ["sharedsession.session"]["x"] = 1
        start_response("200 OK", [("X-First", "1")])
        try:
            raise ValueError("on purpose")
        except ValueError:
            start_response("500 Oops", [("X-Second", "1")], sys.exc_info())
        return [b"sorry"]

    def uwsgi(*head: Any) -> Any:
        heads.append(head)

    body = SessionMiddleware(app, secret_key=SECRET, backend="memory://")({"PATH_INFO": "/"}, uwsgi)
    assert list(body) == [b"sorry"]
    assert [(len(head), head[0], head[1][0]) for head in heads] == [(2, "500 Oops", ("X-Second", "1"))]


# -- the wrong kind


async def asgi(_scope: Any, _receive: Any, _send: Any) -> None:
    """An ASGI application."""


class Asgi:
    """Another one."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


class Wsgi:
    """A WSGI application, as Flask's are."""

    def __call__(self, environ: Any, start_response: Any) -> Any: ...


@pytest.mark.parametrize("app", [asgi, Asgi(), SessionMiddleware])
def test_an_application_of_the_wrong_kind_under_wsgi(app: Any) -> None:
    """Is told at the start what to use instead."""
    if app is SessionMiddleware:
        app = AsgiMiddleware(asgi, secret_key=SECRET, backend="memory://")
    with pytest.raises(ConfigurationError, match=r"ASGI application use SessionMiddleware of sharedsession\.asgi$"):
        SessionMiddleware(app, secret_key=SECRET, backend="memory://")


@pytest.mark.parametrize("middleware", [AsgiMiddleware, ForStarlette])
@pytest.mark.parametrize("app", [late, Wsgi(), flask.Flask("shop"), SessionMiddleware])
def test_an_application_of_the_wrong_kind_under_asgi(middleware: Any, app: Any) -> None:
    """The same."""
    if app is SessionMiddleware:
        app = SessionMiddleware(late, secret_key=SECRET, backend="memory://")
    with pytest.raises(ConfigurationError, match=r"WSGI application use SessionMiddleware of sharedsession\.wsgi"):
        middleware(app, secret_key=SECRET, backend="memory://")


def test_an_application_that_does_not_tell_its_parameters() -> None:
    """Is taken as it is."""
    middleware = AsgiMiddleware(dict.update, secret_key=SECRET, backend="memory://")  # type: ignore[arg-type]
    assert middleware.app is dict.update


@pytest.mark.parametrize(
    ("server", "app"), [("uvicorn", "wrong_wsgi"), ("granian", "wrong_wsgi"), ("gunicorn", "wrong_asgi")]
)
def test_a_server_of_the_wrong_kind(server: str, app: str) -> None:
    """Its log says in one line what to use instead."""
    with running(server, f"tests.support.wrong_servers:{app}", workers=1) as web:
        assert httpx.get(web.url).status_code == 500
        said = "for ASGI use sharedsession.asgi" if app == "wrong_wsgi" else "for WSGI use sharedsession.wsgi"
        polls, deadline = threading.Event(), time.monotonic() + PATIENCE
        while said not in web.log and time.monotonic() < deadline:  # some servers answer before they write it
            polls.wait(0.01)
        assert said in web.log


def test_a_server_that_gives_nothing_to_write_with() -> None:
    """Hypercorn's and Granian's `start_response` returns nothing: the head leaves once, late changes are saved."""
    backend = connect("memory://")
    heads: list[Any] = []

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        environ["sharedsession.session"]["x"] = 1
        start_response("200 OK", [])
        yield b"one"
        environ["sharedsession.session"]["x"] = 2
        yield b"two"
        environ["sharedsession.session"]["x"] = 3

    def visit(environ: Any) -> list[bytes]:
        body = middleware({"PATH_INFO": "/", **environ}, lambda *head: heads.append(head))
        chunks = list(body)
        getattr(body, "close", lambda: None)()
        return chunks

    middleware = SessionMiddleware(app, secret_key=SECRET, backend=backend)
    assert visit({}) == [b"one", b"two"]
    assert len(heads) == 1
    cookie = next(value for name, value in heads[0][1] if name == "Set-Cookie").partition(";")[0]
    middleware.app = show
    assert visit({"HTTP_COOKIE": cookie}) == [b"[('x', 3)]"]
