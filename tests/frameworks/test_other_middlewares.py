"""Other session middlewares in one stack, further in or further out: each keeps its own session and its own cookie."""

import asyncio
import warnings
from typing import Any

import flask
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware as Starlettes
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket
from werkzeug.test import Client

from sharedsession import Session
from sharedsession.asgi import SessionMiddleware
from sharedsession.backends import connect
from sharedsession.frameworks.flask import SharedSession
from sharedsession.frameworks.starlette import SessionMiddleware as ForStarlette
from sharedsession.wsgi import SessionMiddleware as WsgiMiddleware
from tests.frameworks.test_starlette import SITE, TestClient
from tests.support.farm import SECRET
from tests.support.webserver import require

require("Litestar", "litestar")
require("starsessions", "starsessions")

with warnings.catch_warnings():  # Litestar's own affair
    warnings.simplefilter("ignore")
    import litestar
    import starsessions
    from litestar.middleware.session.client_side import CookieBackendConfig
    from litestar.middleware.session.server_side import ServerSideSessionConfig
    from litestar.security.session_auth import SessionAuth

OURS: dict[str, Any] = {"secret_key": SECRET, "backend": "memory://"}


# -- a site of ours, and an admin with sessions of its own


async def deed(request: Request) -> PlainTextResponse:
    """Does to the session that it is given what the address says, and shows it."""
    session, what = request.session, request.path_params["deed"]
    if isinstance(session, Session):
        await session.load()
    if what == "login":
        session["user"] = request.scope["root_path"] or "alice"
    elif what == "clear":
        session.clear()
    elif what == "replace":
        request.scope["session"] = {"user": "mallory"}
    return PlainTextResponse(str(session.get("user")))


PAGES = [Route("/{deed}", deed)]


def plain_dict(app: Any) -> Any:
    """Does to the scope what Starlette before 0.47 does for a visitor without a cookie."""

    async def middleware(scope: Any, receive: Any, send: Any) -> None:
        scope["session"] = {}
        await app(scope, receive, send)

    return middleware


def starlettes(app: Any) -> Any:
    return Starlettes(app, secret_key=SECRET, session_cookie="admin")


def starsessions_own(app: Any) -> Any:
    inner = starsessions.SessionAutoloadMiddleware(app)
    store = starsessions.InMemoryStore()
    return starsessions.SessionMiddleware(inner, store=store, cookie_name="admin", lifetime=60)


def another_of_ours(app: Any) -> Any:
    return SessionMiddleware(app, secret_key=SECRET, backend=connect("memory://"), cookie_name="admin")


OTHERS = [plain_dict, starlettes, starsessions_own, another_of_ours]


@pytest.mark.parametrize("theirs", OTHERS)
@pytest.mark.parametrize("kind", [SessionMiddleware, ForStarlette])
@pytest.mark.parametrize("autoload", [True, False])
def test_one_further_in(theirs: Any, kind: Any, autoload: bool) -> None:
    """Whatever a mounted admin does to its session, and to its place in the scope: ours goes on, without a cookie."""
    admin = theirs(Starlette(routes=PAGES))
    site = Starlette(routes=[Mount("/admin", admin), *PAGES])
    browser = TestClient(kind(site, **OURS, autoload=autoload), base_url=SITE)
    browser.get("/login")
    for path in ("/admin/look", "/admin/login", "/admin/clear", "/replace", "/admin/look"):
        answer = browser.get(path)
        assert not [line for line in answer.headers.get_list("set-cookie") if line.startswith("__Host-session")]
        assert browser.get("/look").text == "alice"
    assert browser.get("/clear").headers["set-cookie"].startswith("__Host-session=;")


@pytest.mark.parametrize("theirs", [starlettes, starsessions_own, another_of_ours])
def test_one_further_out(theirs: Any) -> None:
    """The old library goes on serving the site that ours is mounted in; each visitor has both sessions."""
    part = ForStarlette(Starlette(routes=PAGES), **OURS)
    browser = TestClient(theirs(Starlette(routes=[Mount("/part", part), *PAGES])), base_url=SITE)
    browser.get("/login")
    browser.get("/part/login")
    assert (browser.get("/look").text, browser.get("/part/look").text) == ("alice", "/part")
    browser.get("/part/clear")
    assert (browser.get("/look").text, browser.get("/part/look").text) == ("alice", "None")
    browser.get("/part/login")
    browser.get("/clear")
    assert (browser.get("/look").text, browser.get("/part/look").text) == ("None", "/part")


def test_the_scope_of_those_outside_stays_as_it_was() -> None:
    """What is ours is in a copy, also where there is a session already."""
    seen: list[Any] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(scope)

    theirs = {"theirs": 1}
    outer = {"type": "http", "path": "/", "headers": [], "session": theirs, "of the server": 1}
    before = dict(outer)
    asyncio.run(SessionMiddleware(app, **OURS)(outer, None, None))  # type: ignore[arg-type]
    assert outer == before
    assert isinstance(seen[0]["session"], Session)
    assert seen[0]["of the server"] == 1


def test_a_websocket() -> None:
    """The same there."""

    async def chat(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(str(websocket.session.get("user")))
        await websocket.close()

    routes = [WebSocketRoute("/chat", chat), *PAGES]
    site = Starlette(routes=[Mount("/admin", plain_dict(Starlette(routes=routes))), *routes])
    browser = TestClient(ForStarlette(site, **OURS), base_url=SITE)
    browser.get("/login")
    cookie = {"cookie": "; ".join(f"{name}={value}" for name, value in browser.cookies.items())}
    for path, user in (("/admin/chat", "None"), ("/chat", "alice")):
        with browser.websocket_connect(path, headers=cookie) as socket:
            assert socket.receive_text() == user


# -- Litestar, whose `set_session` and `clear_session` mean ours, where it has no middleware of its own


@litestar.get("/{what:str}")
async def deed_of_litestar(request: litestar.Request) -> str:
    """Does the same by Litestar's own names."""
    what = request.path_params["what"]
    if what == "login":
        request.set_session({"user": "carol"})
    elif what == "clear":
        request.clear_session()
    return str(request.session.get("user") if isinstance(request.session, dict) else None)


def _no_user(_session: Any, _connection: Any) -> None:
    return None


LITESTARS = [
    ServerSideSessionConfig(key="admin").middleware,
    CookieBackendConfig(secret=b"x" * 16, key="admin").middleware,
    SessionAuth[Any, Any](
        retrieve_user_handler=_no_user, session_backend_config=ServerSideSessionConfig(key="admin")
    ).middleware,
]


@pytest.mark.parametrize("middleware", LITESTARS)
def test_litestars_own_further_in(middleware: Any) -> None:
    """Then what it sets and clears is its own session."""
    app = litestar.Litestar([deed_of_litestar], middleware=[middleware])
    browser = TestClient(ForStarlette(Starlette(routes=[Mount("/admin", app), *PAGES]), **OURS), base_url=SITE)
    browser.get("/login")
    for path in ("look", "login", "clear", "login", "look"):
        browser.get(f"/admin/{path}")
        assert browser.get("/look").text == "alice"


def test_a_part_in_litestar() -> None:
    """Without one it sets and clears ours; an application that is mounted in Litestar does not."""

    @litestar.asgi("/admin", is_mount=True, copy_scope=False)
    async def admin(scope: Any, receive: Any, send: Any) -> None:
        await plain_dict(PlainTextResponse("admin"))(scope, receive, send)

    browser = TestClient(SessionMiddleware(litestar.Litestar([deed_of_litestar, admin]), **OURS), base_url=SITE)
    browser.get("/login")
    assert browser.get("/look").text == "carol"
    assert browser.get("/admin/").text == "admin"
    assert browser.get("/look").text == "carol"
    assert "Max-Age=0" in browser.get("/clear").headers["set-cookie"]
    assert browser.get("/look").text == "None"


# -- WSGI

KEY = "sharedsession.session"


def part(environ: Any, start_response: Any) -> Any:
    """Counts in the session that it finds."""
    environ[KEY]["n"] = environ[KEY].get("n", 0) + 1
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(environ[KEY]["n"]).encode()]


def replacing(environ: Any, start_response: Any) -> Any:
    """Another library's middleware, which is so impolite as to take our place."""
    environ[KEY] = {"n": 100}
    return part(environ, start_response)


def test_wsgi_one_that_takes_our_place() -> None:
    """What it keeps there is its own; our session is committed as the application left it."""

    def site(environ: Any, start_response: Any) -> Any:
        environ[KEY]["seen"] = environ[KEY].get("seen", 0) + 1
        return (replacing if environ["PATH_INFO"] == "/old" else part)(environ, start_response)

    app = WsgiMiddleware(site, **OURS)
    browser = Client(app)
    visits = [browser.get(path, base_url=SITE) for path in ("/", "/old", "/", "/old", "/")]
    assert [visit.text for visit in visits] == ["1", "101", "2", "101", "3"]
    assert [len(visit.headers.getlist("Set-Cookie")) for visit in visits] == [1, 0, 0, 0, 0]


def test_wsgi_two_of_ours() -> None:
    """With a cookie of its own the inner one is apart, and leaves to the outer one what it has in the environ."""
    admin = WsgiMiddleware(part, **OURS, cookie_name="admin")

    def site(environ: Any, start_response: Any) -> Any:
        if environ["PATH_INFO"] != "/admin":
            return part(environ, start_response)
        before = environ[KEY]
        body = admin(environ, start_response)
        assert environ[KEY] is before
        before["looked at the admin"] = True
        return body

    browser = Client(WsgiMiddleware(site, secret_key=SECRET, backend=connect("memory://")))
    assert [browser.get(path, base_url=SITE).text for path in ("/", "/admin", "/", "/", "/admin")] == list("11232")


# -- two of ours with one cookie


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if getattr(record, "event", "") == "nested_middlewares"]


async def nothing(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def _flask(**settings: Any) -> Any:
    app = flask.Flask(__name__)
    SharedSession(app, **OURS, **settings)
    app.add_url_rule("/", view_func=lambda: "")
    return app


def _in_wsgi(outer: dict[str, Any], inner: dict[str, Any]) -> None:
    app = WsgiMiddleware(WsgiMiddleware(part, **OURS, **inner), **OURS, **outer)
    for _ in range(3):
        Client(app).get("/", base_url=SITE)


def _in_asgi(outer: dict[str, Any], inner: dict[str, Any]) -> None:
    app = SessionMiddleware(ForStarlette(nothing, **OURS, **inner), **OURS, **outer)
    for _ in range(3):
        TestClient(app, base_url=SITE).get("/")


def _in_flask(outer: dict[str, Any], inner: dict[str, Any]) -> None:
    app = WsgiMiddleware(_flask(**inner), **OURS, **outer)
    for _ in range(3):
        Client(app).get("/", base_url=SITE)


@pytest.mark.parametrize("visit", [_in_wsgi, _in_asgi, _in_flask])
@pytest.mark.parametrize(
    ("outer", "inner", "records"),
    [
        ({}, {}, 1),
        ({"transport": "header"}, {"transport": "cookie+header"}, 1),
        ({}, {"cookie_name": "admin"}, 0),
        ({}, {"transport": "header"}, 0),
    ],
)
def test_two_of_ours_are_told(
    visit: Any, outer: dict[str, Any], inner: dict[str, Any], records: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, with the fix, where both would set the same cookie or header."""
    visit(outer, inner)
    found = told(caplog)
    assert len(found) == records
    assert all("cookie_name" in message.lower() for message in found)


def test_a_manager_of_somebody_elses_is_none_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    """What stands under our key decides nothing."""
    app = WsgiMiddleware(part, **OURS)
    Client(app).get("/", base_url=SITE, environ_overrides={"sharedsession.manager": "theirs"})
    assert told(caplog) == []


def test_starlette_twice_in_one_stack(caplog: pytest.LogCaptureFixture) -> None:
    """`add_middleware` called twice, as by two parts of a program."""
    stack = [Middleware(ForStarlette, **OURS), Middleware(ForStarlette, **OURS)]
    browser = TestClient(Starlette(routes=PAGES, middleware=stack), base_url=SITE)
    browser.get("/look")
    assert len(told(caplog)) == 1
