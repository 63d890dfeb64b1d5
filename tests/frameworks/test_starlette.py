"""Starlette: what it and its users do to a session, in coroutines and in worker threads."""

import asyncio
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, StreamingResponse
from starlette.routing import Route

from sharedsession import BackendUnavailable, SessionError, SessionNotLoaded
from sharedsession.frameworks.starlette import SessionMiddleware
from tests.support.blocking import never_blocks  # noqa: F401  (autouse)
from tests.support.farm import SECRET
from tests.support.relay import Relay

with warnings.catch_warnings():  # Starlette asks for another client than ours; either will do
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

SITE = "https://shop.example"


def sessions(**settings: Any) -> Middleware:
    return Middleware(SessionMiddleware, **({"secret_key": SECRET, "backend": "memory://"} | settings))


def site(*routes: Any, stack: list[Middleware] | None = None, **settings: Any) -> TestClient:
    """A browser on a site of these routes, and one that shows the whole session."""
    app = Starlette(routes=[*routes, Route("/show", show)], middleware=stack or [sessions(**settings)])
    return TestClient(app, base_url=SITE)


def show(request: Request) -> JSONResponse:
    return JSONResponse(dict(request.session))


def count(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(request.session.increment("n")))  # type: ignore[attr-defined]


async def acount(request: Request) -> PlainTextResponse:
    return count(request)


def cookie_of(browser: TestClient) -> dict[str, str]:
    return {"cookie": "; ".join(f"{name}={value}" for name, value in browser.cookies.items())}


# -- what Starlette and its users do to a session


def test_request_session() -> None:
    """`def` and `async def` endpoints read, write, change in place and log out."""

    def cart(request: Request) -> PlainTextResponse:
        request.session.setdefault("cart", []).append("book")
        return PlainTextResponse("put")

    def logout(request: Request) -> PlainTextResponse:
        request.session.clear()
        return PlainTextResponse("bye")

    browser = site(Route("/n", count), Route("/an", acount), Route("/cart", cart), Route("/logout", logout))
    assert [browser.get(path).text for path in ("/n", "/an", "/cart", "/cart")] == ["1", "2", "put", "put"]
    assert browser.get("/show").json() == {"n": 2, "cart": ["book", "book"]}
    assert "Max-Age=0" in browser.get("/logout").headers["set-cookie"]
    assert browser.get("/show").json() == {}


def test_oauth_clients() -> None:
    """What Authlib and its like do: state in, state out, one round trip to somebody else between."""

    def login(request: Request) -> RedirectResponse:
        request.session["_state_idp_xyz"] = {"data": {"nonce": "n"}, "exp": 1.5}
        return RedirectResponse("https://idp.example/")

    def callback(request: Request) -> JSONResponse:
        for key in list(request.session.keys()):
            if not key.startswith("_state_"):
                request.session.pop(key)
        return JSONResponse(request.session.pop("_state_idp_xyz", None))

    browser = site(Route("/login", login), Route("/callback", callback))
    reply = browser.get("/login", follow_redirects=False)
    assert (reply.status_code, len(reply.headers.get_list("set-cookie"))) == (307, 1)
    assert browser.get("/callback").json() == {"data": {"nonce": "n"}, "exp": 1.5}
    assert browser.get("/show").json() == {}
    assert browser.get("/callback").json() is None


def test_marks() -> None:
    """`request.session` alone makes the response depend on it; `mark_modified` does no harm, and saves."""

    def touch(request: Request) -> PlainTextResponse:
        request.session  # noqa: B018  (the property is what is tested)
        return PlainTextResponse("")

    def mark(request: Request) -> PlainTextResponse:
        request.session.mark_modified()  # type: ignore[attr-defined]
        return PlainTextResponse(str(request.session.modified))  # type: ignore[attr-defined]

    browser = site(Route("/touch", touch), Route("/mark", mark), Route("/n", count))
    assert browser.get("/touch").headers["vary"] == "Cookie"
    assert (browser.get("/mark").text, dict(browser.cookies)) == ("False", {})  # nothing is in it: nothing is stored
    browser.get("/n")
    assert browser.get("/mark").text == "True"


@pytest.mark.parametrize("path", ["/def", "/save", "/stream", "/task"])
def test_a_worker_thread_loads_by_itself(path: str) -> None:
    """With `autoload=False` a look in a `def` endpoint waits for the store, and so does `save()`."""

    def save(request: Request) -> PlainTextResponse:
        request.session["saved"] = True
        request.session.save()  # type: ignore[attr-defined]
        return PlainTextResponse("")

    def stream(request: Request) -> StreamingResponse:
        def chunks() -> Iterator[bytes]:
            request.session["streamed"] = True  # at the first chunk: the head has left, the ID is known
            yield b"one"

        return StreamingResponse(chunks())

    def task(request: Request) -> PlainTextResponse:
        return PlainTextResponse("", background=BackgroundTask(lambda: request.session.update(task=True)))

    routes = [Route("/def", count), Route("/save", save), Route("/stream", stream), Route("/task", task)]
    browser = site(*routes, autoload=False)
    assert browser.get("/def").text == "1"
    assert browser.get(path).status_code == 200
    kept = {"/def": {"n": 2}, "/save": {"saved": True}, "/stream": {"streamed": True}, "/task": {"task": True}}
    assert browser.get("/show").json() == {"n": 1} | kept[path]


def test_elsewhere_the_error_is_clear() -> None:
    """On the event loop, and in a thread that the loop knows nothing of, a look before `load` says what to do."""

    async def unloaded(request: Request) -> PlainTextResponse:
        with pytest.raises(SessionNotLoaded, match=r"await session.load"):
            request.session.get("n")
        with pytest.raises(SessionNotLoaded, match=r"await session.load"):
            await asyncio.to_thread(request.session.get, "n")
        with pytest.raises(SessionError, match="asave"):
            request.session.save()  # type: ignore[attr-defined]
        await request.session.load()  # type: ignore[attr-defined]
        return PlainTextResponse(str(request.session["n"]))

    browser = site(Route("/n", count), Route("/unloaded", unloaded), autoload=False)
    browser.get("/n")
    assert browser.get("/unloaded").text == "1"


def test_an_error_of_the_store_stays_itself() -> None:
    """What the store raises reaches the endpoint's thread as it is, and the visitor gets the 503."""

    class Silent:
        max_value = 1_000_000

        def __init__(self, error: Exception) -> None:
            self._error = error

        async def get(self, *_: object) -> None:
            raise self._error

        add = replace = end = touch = get

        def health(self) -> dict[str, Any]:
            return {"kind": "silent"}

    def catch(request: Request) -> PlainTextResponse:
        with pytest.raises(BackendUnavailable):
            request.session.get("n")
        return PlainTextResponse("in my own words")

    browser = site(Route("/n", count))
    browser.get("/n")
    silent, buggy = Silent(BackendUnavailable("no answer")), Silent(RuntimeError("a backend's own bug"))
    broken = site(Route("/n", count), Route("/catch", catch), backend=silent, autoload=False)
    answers = [broken.get(path, headers=cookie_of(browser)) for path in ("/n", "/catch")]
    assert [answer.status_code for answer in answers] == [503, 200]
    assert [answer.headers.get("retry-after") for answer in answers] == ["2", None]
    with pytest.raises(RuntimeError, match="own bug"):
        site(Route("/n", count), backend=buggy, autoload=False).get("/n", headers=cookie_of(browser))


def test_what_it_costs(redis: Any) -> None:
    """Counted on the wire: no look, no round trip; a look is one, from a worker thread too."""
    with Relay(redis.port) as relay:
        routes = [Route("/n", count), Route("/none", lambda _request: PlainTextResponse(""))]
        app = Starlette(
            routes=[*routes, Route("/show", show)],
            middleware=[
                sessions(backend=redis.url.replace(str(redis.port), str(relay.port)), autoload=False, timeout=5)
            ],
        )
        with TestClient(app, base_url=SITE) as browser:  # one event loop for all requests
            costs = []
            for path in ("/n", "/none", "/show", "/n"):
                relay.reset_counts()
                assert browser.get(path).status_code == 200
                costs.append(relay.round_trips)
    assert costs[1:] == [0, 1, 2]
