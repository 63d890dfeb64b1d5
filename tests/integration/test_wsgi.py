"""The WSGI middleware against what servers and applications do with PEP 3333."""

import threading
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import httpx
import pytest

from sharedsession import ConfigurationError, SessionError
from sharedsession.backends import connect
from sharedsession.manager import engines_of
from sharedsession.wsgi import SessionMiddleware
from tests.support.farm import SECRET

KEY = "sharedsession.session"


def make(app, **settings):
    return SessionMiddleware(app, **({"secret_key": SECRET, "backend": "memory://", "timeout": 5.0} | settings))


def call(app, cookie="", path="/", **environ):
    """Calls a WSGI application as a server does; returns the status, the headers and the chunks."""
    sent = []

    def start_response(status, headers, exc_info=None):
        if exc_info and sent and sent[-1] == "sent":
            raise exc_info[1].with_traceback(exc_info[2])
        sent.append((status, list(headers)))
        return lambda data: sent.append(data)

    environ = {"PATH_INFO": path, "SCRIPT_NAME": "", "HTTP_COOKIE": cookie} | environ
    body = app(environ, start_response)
    chunks = list(body)
    getattr(body, "close", lambda: None)()
    status, headers = [item for item in sent if isinstance(item, tuple)][-1]
    return status, headers, [item for item in sent if isinstance(item, bytes)] + chunks


def ok(start_response, body=()):
    """Starts an ordinary response and returns its body."""
    start_response("200 OK", [])
    return body


def cookies(headers):
    return [value for name, value in headers if name == "Set-Cookie"]


def jar(headers):
    return cookies(headers)[0].partition(";")[0]


def test_a_late_generator_still_gets_its_cookie() -> None:
    """A generator that looks at the session before its first chunk is in time."""

    def app(environ, start_response):
        start_response("200 OK", [])
        environ[KEY]["x"] = 1
        yield b""
        environ[KEY]["y"] = 2
        yield b"one"
        yield b"two"

    middleware = make(app)
    status, headers, chunks = call(middleware)
    assert (status, b"".join(chunks)) == ("200 OK", b"onetwo")
    seen = []
    middleware.app = lambda environ, start_response: seen.append(dict(environ[KEY])) or ok(start_response)
    call(middleware, jar(headers))
    assert seen == [{"x": 1, "y": 2}]


def test_streams_pass_unbuffered() -> None:
    """The first chunk is out before the second is made."""
    made = []

    def app(environ, start_response):
        start_response("200 OK", [])
        for n in range(3):
            made.append(n)
            yield b"%d" % n

    chunks = iter(make(app)({"PATH_INFO": "/"}, lambda *_: None))
    assert next(chunks) == b"0"
    assert made == [0]


def test_changes_after_the_first_byte() -> None:
    """Where the browser holds the ID they are saved at the end; else the line that makes one raises."""
    backend = connect("memory://")

    def write_first(environ, start_response):
        environ[KEY]["x"] = 0
        start_response("200 OK", [])
        return [b""]

    _, headers, _ = call(make(write_first, backend=backend))

    def stream(environ, start_response):
        start_response("200 OK", [])
        yield b"first"
        environ[KEY]["x"] = 1
        yield b"second"

    assert call(make(stream, backend=backend), jar(headers))[2] == [b"first", b"second"]
    seen = []
    call(make(lambda e, s: seen.append(dict(e[KEY])) or ok(s), backend=backend), jar(headers))
    assert seen == [{"x": 1}]
    with pytest.raises(SessionError, match="response has started"):
        call(make(stream, backend=backend))


def test_the_write_callable() -> None:
    """Old applications write instead of returning; the head still waits for the commit."""

    def app(environ, start_response):
        write = start_response("200 OK", [])
        environ[KEY]["x"] = 1
        write(b"old ")
        return [b"style"]

    _, headers, chunks = call(make(app))
    assert (len(cookies(headers)), b"".join(chunks)) == (1, b"old style")


def test_a_second_start_response_replaces_the_first() -> None:
    """An application that fails before its first byte may change its mind."""

    def app(environ, start_response):
        start_response("200 OK", [])
        try:
            raise ValueError
        except ValueError:
            import sys

            start_response("500 Oops", [("X-Error", "1")], sys.exc_info())
        return [b"sorry"]

    status, headers, _ = call(make(app))
    assert (status, ("X-Error", "1") in headers) == ("500 Oops", True)


def test_an_exception_saves_nothing() -> None:
    """A handler that raises leaves no record and no cookie."""

    def app(environ, start_response):
        environ[KEY]["x"] = 1
        raise ValueError("mine")

    middleware = make(app)
    with pytest.raises(ValueError, match="mine"):
        call(middleware)
    assert middleware.manager.health()["backend"]["records"] == 0


def test_close_is_called_once(tmp_path) -> None:
    """The application's iterable is closed, however the response ends."""
    closed = []

    class Body:
        def __iter__(self):
            return iter([b"x"])

        def close(self):
            closed.append(1)

    call(make(lambda e, s: ok(s, Body())))
    assert closed == [1]


def test_files_reach_the_server_as_they_are(tmp_path) -> None:
    """What a server would send by sendfile is not wrapped."""
    path = tmp_path / "file"
    path.write_bytes(b"content")

    def app(environ, start_response):
        environ[KEY]["x"] = 1
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](path.open("rb"))

    body = make(app)({"PATH_INFO": "/", "wsgi.file_wrapper": FileWrapper}, lambda *_: None)
    assert type(body) is FileWrapper
    body.close()


def test_it_is_valid_wsgi() -> None:
    """Wsgiref's validator finds nothing on either side of the middleware."""
    from wsgiref.util import setup_testing_defaults

    def app(environ, start_response):
        environ[KEY]["x"] = 1
        start_response("200 OK", [("Content-Type", "text/plain")])
        return iter([b"ok"])

    environ: dict = {}
    setup_testing_defaults(environ)
    environ["QUERY_STRING"] = ""
    body = validator(make(validator(app)))(environ, lambda status, headers, exc_info=None: lambda data: None)
    assert b"".join(body) == b"ok"
    body.close()


def test_excluded_paths_have_no_session() -> None:
    """A pattern keeps the middleware out altogether."""
    seen = []
    app = make(lambda e, s: seen.append(KEY in e) or ok(s), exclude=["/static/*"])
    call(app, path="/static/x.css")
    call(app, path="/page")
    assert seen == [False, True]


def test_the_header_transport() -> None:
    """Clients without cookies get and send the same token in a header."""

    def app(environ, start_response):
        environ[KEY]["n"] = environ[KEY].get("n", 0) + 1
        start_response("200 OK", [])
        return [str(environ[KEY]["n"]).encode()]

    middleware = make(app, transport="header")
    _, headers, _ = call(middleware)
    token = dict(headers)["X-Session-Token"]
    assert cookies(headers) == []
    assert dict(headers)["Vary"] == "X-Session-Token"
    assert call(middleware, HTTP_X_SESSION_TOKEN=token)[2] == [b"2"]
    both = make(app, transport="cookie+header", backend=engines_of(middleware.manager).settings.backend)
    assert call(both, f"__Host-session={token}")[2] == [b"3"]
    assert call(both, f"__Host-session={token}", HTTP_X_SESSION_TOKEN=token)[2] == [b"4"]


def test_two_living_sessions_are_nobody() -> None:
    """A planted second cookie makes the visitor anonymous, not somebody else, until the next login ends both."""

    def app(environ, start_response):
        result = dict(environ[KEY])
        if "test.who" in environ:
            environ[KEY]["who"] = environ["test.who"]
        start_response("200 OK", [])
        return [repr(result).encode()]

    middleware = make(app)
    one, two = (jar(call(middleware, **{"test.who": who})[1]) for who in ("alice", "bob"))
    assert call(middleware, one, **{"test.who": "alice"})[2] == [b"{'who': 'alice'}"]
    assert call(middleware, f"{one}; {two}")[2] == [b"{}"]
    assert call(middleware, f"{one}; {one}")[2] == [b"{'who': 'alice'}"]
    assert call(middleware, f"x=1; __Host-session=forged; {two}")[2] == [b"{'who': 'bob'}"]
    three = jar(call(middleware, f"{one}; {two}", **{"test.who": "carol"})[1])
    assert call(middleware, f"{one}; {two}; {three}")[2] == [b"{'who': 'carol'}"]


@pytest.mark.parametrize(
    "hostile",
    [
        ";" * 65536,
        "__Host-session=" * 4369,
        "__Host-session=x;" * 3855,
        '__Host-session="' + '\\"' * 32760,
        " " * 65536,
        "\x85__Host-session=x; \xa0__Host-session=y;" + "é" * 65000,
        "__Host-session=" + "a." * 32760,
        "__Host-session=\x00\r\nSet-Cookie: x",
        "=__Host-session=x",
        "🍪",
    ],
    ids=range(10),
)
def test_hostile_cookies(hostile: str) -> None:
    """64 kB of anything: no error, no cookie, no record."""

    def app(environ, start_response):
        body = repr(dict(environ[KEY])).encode()
        start_response("200 OK", [])
        return [body]

    status, headers, chunks = call(make(app), hostile)
    assert (status, chunks, cookies(headers)) == ("200 OK", [b"{}"], [])


def test_caches_are_told() -> None:
    """A cookie makes the response nobody's to store, whatever the application said; Vary is merged."""

    def app(environ, start_response):
        environ[KEY]["x"] = 1
        start_response(
            "200 OK", [("Cache-Control", "public, max-age=60"), ("Vary", "Accept"), ("X-Accel-Expires", "9")]
        )
        return [b""]

    _, headers, _ = call(make(app))
    assert "X-Accel-Expires" not in dict(headers)
    assert [value for name, value in headers if name == "Cache-Control"] == ["no-store"]
    assert [value for name, value in headers if name == "Vary"] == ["Accept, Cookie"]


def test_an_asynchronous_backend_fails_at_start_up() -> None:
    """The wrong colour is a configuration error with the mend, not a surprise at the first request."""

    class AsyncOnly:
        max_value = 1000

        async def get(self, *_):
            return None

        add = replace = end = touch = get

    with pytest.raises(ConfigurationError, match="asynchronous"):
        make(lambda e, s: [], backend=AsyncOnly())


def test_under_a_threaded_server(tmp_path) -> None:
    """Real HTTP: wsgiref's server with a thread a request, forty requests, one counter."""
    import socketserver
    from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

    class Quiet(WSGIRequestHandler):
        def log_message(self, *_):
            pass

    class Threaded(socketserver.ThreadingMixIn, WSGIServer):
        daemon_threads = True

    def app(environ, start_response):
        session = environ[KEY]
        session["n"] = session.get("n", 0) + 1
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(session["n"]).encode()]

    middleware = make(app, backend=f"sqlite:///{tmp_path}/s.db", development=True)
    with make_server("127.0.0.1", 0, middleware, server_class=Threaded, handler_class=Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}") as client:
            assert [client.get("/").text for _ in range(40)] == [str(n) for n in range(1, 41)]
        server.shutdown()
    engines_of(middleware.manager).settings.backend.close()
