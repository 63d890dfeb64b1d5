"""Whole requests to an application: whatever their headers are, it gets its session, and answers."""

import asyncio
from http.cookies import SimpleCookie
from typing import Any

from sharedsession import SessionManager
from sharedsession.asgi import SessionMiddleware as Asgi
from sharedsession.testing import ManualEnvironment, memory_backend
from sharedsession.wsgi import SessionMiddleware as Wsgi
from tests.fuzz.target import target
from tests.fuzz.targets.http import cookie_values
from tests.fuzz.targets.keys import SECRETS

_ENVIRONMENT = ManualEnvironment(seed=1)
_MANAGER = SessionManager.from_settings(
    secret_key=SECRETS[0],
    backend=memory_backend(_ENVIRONMENT),
    transport="cookie+header",
    exclude=["/static/*"],
    environment=_ENVIRONMENT,
)
Head = list[tuple[bytes, bytes]]


def _blocking(environ: Any, start_response: Any) -> list[bytes]:
    session = environ["sharedsession.session"]
    if environ["REQUEST_METHOD"] == "POST":
        session["who"] = "alice"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [session.get("who", "nobody").encode()]


async def _on_loop(scope: Any, _receive: Any, send: Any) -> None:
    who = scope["session"].get("who", "nobody")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": who.encode()})


_WSGI, _ASGI = Wsgi(_blocking, manager=_MANAGER), Asgi(_on_loop, manager=_MANAGER)


def _by_wsgi(method: str, cookie: bytes, token: bytes, path: bytes, agent: bytes) -> tuple[str, Head, bytes]:
    answer: list[Any] = []
    environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path.decode("latin-1"),
        "HTTP_COOKIE": cookie.decode("latin-1"),
        "HTTP_X_SESSION_TOKEN": token.decode("latin-1"),
        "HTTP_USER_AGENT": agent.decode("latin-1"),
        "HTTP_FORWARDED": agent.decode("latin-1"),
        "REMOTE_ADDR": "10.0.0.1",
        "wsgi.url_scheme": "https" if method == "POST" else "http",
    }
    body = _WSGI(environ, lambda status, headers, *_: answer.extend((status, headers)))
    content = b"".join(body)
    getattr(body, "close", lambda: None)()
    status, headers = answer[-2:]
    return status[:3], [(name.lower().encode(), value.encode("latin-1")) for name, value in headers], content


def _by_asgi(cookie: bytes, token: bytes, path: bytes, agent: bytes) -> tuple[str, Head, bytes]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http",
        "method": "GET",
        "path": path.decode("utf-8", "replace"),
        "scheme": "http",
        "client": ("10.0.0.1", 1),
        "headers": [
            (b"cookie", cookie),
            (b"x-session-token", token),
            (b"user-agent", agent),
            (b"forwarded", agent),
        ],
    }
    asyncio.run(_ASGI(scope, receive, send))
    start, *rest = sent
    return str(start["status"]), list(start["headers"]), b"".join(message.get("body", b"") for message in rest)


def _token() -> bytes:
    _, headers, _ = _by_wsgi("POST", b"", b"", b"/", b"")
    return SimpleCookie(dict(headers)[b"set-cookie"].decode())["__Host-session"].value.encode()


_TOKEN = _token()


@target(
    b"__Host-session=%b\n\n/\nFirefox" % _TOKEN,
    b"\n%b\n/\n" % _TOKEN,
    b"a=1; __Host-session=%b; __Host-session=%b\n\n/\nproto=https" % (_TOKEN, _TOKEN),
    words=(b"__Host-session=", _TOKEN, b"; ", b"\n", b"/"),
    tries=400,
)
def request(data: bytes) -> None:
    """A request is answered, by WSGI and ASGI alike: with its session if the token is genuine, else without one."""
    cookie, token, path, agent, *_ = [*data.split(b"\n"), b"", b"", b"", b""]
    path = b"/page/" + path  # none that is excluded
    answers = [_by_wsgi("GET", cookie, token, path, agent), _by_asgi(cookie, token, path, agent)]
    is_alice = _TOKEN in [*cookie_values(cookie), token.strip(b" \t")]
    for status, headers, content in answers:
        assert status == "200"
        assert content == (b"alice" if is_alice else b"nobody")
        assert b"set-cookie" not in dict(headers)
    assert sorted(answers[0][1]) == sorted(answers[1][1])


TARGETS = (request,)
