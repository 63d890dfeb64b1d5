"""FastAPI: ``CurrentSession`` wherever a session is asked for, and nothing where it is not."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, HTTPException, Request, WebSocket
from starlette.middleware.sessions import SessionMiddleware as Theirs

from sharedsession import SessionError
from sharedsession.backends import connect
from sharedsession.frameworks.starlette import CurrentSession, SessionMiddleware
from tests.support.blocking import never_blocks  # noqa: F401  (autouse)
from tests.support.farm import SECRET
from tests.support.node import Node
from tests.support.relay import Relay

with warnings.catch_warnings():  # Starlette asks for another client than ours; either will do
    warnings.simplefilter("ignore")
    from fastapi.testclient import TestClient

SITE = "https://shop.example"
router = APIRouter()


def signed_in(session: CurrentSession) -> str:
    if "user" not in session:
        raise HTTPException(401)
    return str(session["user"])


async def cart_of(session: CurrentSession) -> list[str]:
    return session.setdefault("cart", [])


User = Annotated[str, Depends(signed_in)]


@router.get("/n")
def count(session: CurrentSession) -> int:
    return session.increment("n")


@router.get("/an")
async def acount(session: CurrentSession) -> int:
    return session.increment("n")


@router.get("/login/{user}")
async def login(session: CurrentSession, user: str) -> str:
    session.regenerate()
    session["user"] = user
    return user


@router.get("/put/{item}")
async def put(
    user: User, session: CurrentSession, cart: Annotated[list[str], Depends(cart_of, use_cache=False)], item: str
) -> list[str]:
    cart.append(item)
    return session["cart"]  # the same list: the session was not loaded again


@router.get("/logout")
async def logout(session: CurrentSession) -> str:
    session.destroy()
    return "bye"


@router.get("/show")
def show(session: CurrentSession) -> Any:
    return dict(session)


@router.get("/request")
def by_request(request: Request) -> Any:
    return dict(request.session)


@router.get("/later")
async def later(session: CurrentSession, tasks: BackgroundTasks) -> str:
    tasks.add_task(session.update, later=True)
    return ""


@router.get("/alive")
async def alive() -> str:
    return "yes"


@router.websocket("/chat")
async def chat(websocket: WebSocket, session: CurrentSession) -> None:
    await websocket.accept()
    await websocket.send_json(dict(session))
    session["chatted"] = True
    await session.asave()
    await websocket.close()


def site(**settings: Any) -> FastAPI:
    app = FastAPI()
    app.include_router(router)
    app.add_middleware(SessionMiddleware, **({"secret_key": SECRET, "backend": "memory://"} | settings))
    return app


@pytest.fixture(params=[True, False], ids=["autoload", "on demand"])
def browser(request: pytest.FixtureRequest) -> Any:
    with TestClient(site(autoload=request.param), base_url=SITE) as client:
        yield client


def cookie_of(browser: TestClient) -> dict[str, str]:
    return {"cookie": "; ".join(f"{name}={value}" for name, value in browser.cookies.items())}


def test_endpoints_of_both_colours(browser: TestClient) -> None:
    """`def` and `async def`, through a router, and beside `request.session`: it is one session."""
    assert [browser.get(path).json() for path in ("/n", "/an", "/n")] == [1, 2, 3]
    assert browser.get("/show").json() == browser.get("/request").json() == {"n": 3}


def test_dependencies(browser: TestClient) -> None:
    """An application's own dependencies ask for it as well; a login gets a new ID, a logout ends it."""
    browser.get("/n")
    before = dict(browser.cookies)
    assert browser.get("/put/book").status_code == 401
    assert browser.get("/login/alice").json() == "alice"
    assert dict(browser.cookies) != before
    assert [browser.get(f"/put/{item}").json() for item in ("book", "pen")] == [["book"], ["book", "pen"]]
    assert browser.get("/show").json() == {"n": 1, "user": "alice", "cart": ["book", "pen"]}
    kept = cookie_of(browser)
    browser.get("/logout")
    assert dict(browser.cookies) == {}
    assert browser.get("/show", headers=kept).json() == {}


def test_background_tasks(browser: TestClient) -> None:
    """What they change is saved where the browser holds the ID, and a loud error where it does not."""
    with pytest.raises(SessionError, match="response has started"):
        browser.get("/later")
    browser.get("/n")
    browser.get("/later")
    assert browser.get("/show").json() == {"n": 1, "later": True}


def test_websockets(browser: TestClient) -> None:
    """The dependency loads for a websocket too."""
    browser.get("/n")
    with browser.websocket_connect("/chat", headers=cookie_of(browser)) as socket:
        assert socket.receive_json() == {"n": 1}
    assert browser.get("/show").json() == {"n": 1, "chatted": True}


def test_what_it_costs(redis: Any) -> None:
    """Counted on the wire: a route that asks for no session costs nothing, one that asks many times asks once."""
    with Relay(redis.port) as relay:
        url = redis.url.replace(str(redis.port), str(relay.port))
        with TestClient(site(backend=url, autoload=False, timeout=5), base_url=SITE) as browser:
            browser.get("/login/alice")
            costs = {}
            for path in ("/alive", "/missing", "/show", "/request", "/put/book", "/logout"):
                relay.reset_counts()
                browser.get(path)
                costs[path] = relay.round_trips
    assert costs == {"/alive": 0, "/missing": 0, "/show": 1, "/request": 1, "/put/book": 2, "/logout": 2}


def test_without_the_middleware() -> None:
    """The error says what is missing, and where it goes; so it does beside Starlette's own middleware."""
    for prepare in (lambda app: None, lambda app: app.add_middleware(Theirs, secret_key=SECRET)):
        app = FastAPI()
        app.include_router(router)
        prepare(app)
        with pytest.raises(SessionError, match=r"add_middleware\(sharedsession.frameworks.starlette.SessionMiddleware"):
            TestClient(app, base_url=SITE).get("/n")
    with pytest.raises(SessionError, match="exclude"):
        TestClient(site(exclude="/n"), base_url=SITE).get("/n")


def test_nothing_of_it_is_in_the_schema() -> None:
    """A session is no parameter of the API."""
    described = site().openapi()["paths"]["/n"]["get"]
    assert "parameters" not in described
    assert "requestBody" not in described


def test_overrides() -> None:
    """FastAPI's own way of testing: another dependency in its place."""
    from sharedsession.frameworks.starlette.dependencies import current_session

    app = FastAPI()
    app.include_router(router)
    session = Node.of(secret_key=SECRET, backend="memory://").open(())
    app.dependency_overrides[current_session] = lambda: session
    assert TestClient(app, base_url=SITE).get("/n").json() == 1
    assert session["n"] == 1


def test_one_session_beside_plain_asgi() -> None:
    """The same secret and backend give the same session to the other middlewares."""
    from sharedsession.asgi import SessionMiddleware as Plain

    backend = connect("memory://")
    browser = TestClient(site(backend=backend), base_url=SITE)
    browser.get("/n")
    bare = FastAPI()
    bare.include_router(router)
    bare.add_middleware(Plain, secret_key=SECRET, backend=backend)
    assert TestClient(bare, base_url=SITE).get("/an", headers=cookie_of(browser)).json() == 2


def test_only_who_asks_imports_fastapi() -> None:
    """Starlette's users need not have it, and `import sharedsession` loads neither."""
    script = """
import sys
import sharedsession
assert "starlette" not in sys.modules
from sharedsession.frameworks import starlette
assert "fastapi" not in sys.modules and "starlette" in sys.modules
try:
    starlette.Misspelt
except AttributeError as error:
    assert "Misspelt" in str(error)
assert starlette.CurrentSession is starlette.CurrentSession
assert "fastapi" in sys.modules
"""
    assert subprocess.run([sys.executable, "-c", script], timeout=60).returncode == 0
