"""A store that does not answer: 503 and the cookie stays, in both colours; never "no session"."""

import asyncio
import time

import pytest
from asgiref.sync import iscoroutinefunction
from django.http import HttpResponse
from django.test import override_settings
from django.utils.cache import patch_vary_headers
from django.utils.decorators import sync_and_async_middleware

from sharedsession import BackendUnavailable
from sharedsession.frameworks.django import SessionStore
from sharedsession.frameworks.django.configuration import configuration
from tests.frameworks.django import site
from tests.frameworks.django.conftest import Browser
from tests.support.processes import PATIENCE
from tests.support.relay import Relay


@pytest.fixture(params=["memcached", "redis"])
def relay(request):
    server = request.getfixturevalue(request.param)
    with Relay(server.port) as between:
        between.url = str(server.url).replace(str(server.port), str(between.port))
        yield between


@pytest.fixture
def away(relay):
    """Sends the store away, or back."""

    def send(gone=True):
        relay.refuse(gone)
        relay.cut()

    return send


@pytest.fixture
def settings(relay):
    """Sets what a test wants beside the backend; a node that failed is asked again at once."""
    with override_settings(SHAREDSESSION={"BACKEND": relay.url, "TIMEOUT": 2, "BREAKER_WINDOW": 0.001}):
        yield lambda **more: override_settings(
            SHAREDSESSION={"BACKEND": relay.url, "TIMEOUT": 2, "BREAKER_WINDOW": 0.001, **more}
        )


@pytest.fixture
def browser(settings, colour):
    """A visitor with a session. A Django that shows its 500 rather than raising it in the test."""
    with asyncio.Runner() as runner:
        browser = Browser(colour, runner)
        browser.client.raise_request_exception = False
        browser.go(("set", "a", 1))
        yield browser
        runner.run(configuration().settings.backend.asynchronous.close())
    configuration().settings.backend.close()


def refused(answer):
    """Whether this is the answer of an outage, and the cookie was left alone."""
    assert not answer.cookies
    return answer.status_code == 503 and answer.headers["Retry-After"] == "1"


def healed(browser):
    """What the session holds once the breaker lets a request through."""
    deadline = time.monotonic() + PATIENCE
    while True:
        answer = browser.go(("get", "a"))
        if time.monotonic() > deadline or (answer.status_code == 200 and answer.seen):
            return answer.seen


def test_an_outage_is_a_503(browser, away) -> None:
    """Whether the page reads, writes, logs in or out; a page that does not look works; afterwards all is well."""
    away()
    assert refused(browser.go(("get", "a")))
    assert refused(browser.go(("set", "a", 2)))
    assert refused(browser.go(("cycle_key",)))
    assert refused(browser.go(("flush",)))
    assert browser.go().status_code == 200
    with override_settings(SESSION_SAVE_EVERY_REQUEST=True):
        answer = browser.go()
        assert (answer.status_code, dict(answer.cookies)) == (200, {})
    away(False)
    assert healed(browser) == 1


def test_an_outage_between_read_and_write(browser, away) -> None:
    """The page did its work, and its change is not stored: that is no success."""

    def page(request):
        request.session["a"] = 2
        away()

    async def apage(request):
        await request.session.aset("a", 2)
        away()

    assert refused(browser.visit(page if browser.colour == "sync" else apage))
    away(False)
    assert healed(browser) == 1


@pytest.mark.parametrize("ours_first", [True, False], ids=["inside", "outside"])
def test_the_503_keeps_what_every_answer_carries(browser, away, ours_first) -> None:
    """What a middleware adds, wherever it stands, and nothing of the page: the new visitor's write is not saved."""

    def page(request):
        request.session["a"] = 2
        return _download()

    async def apage(request):
        await request.session.aset("a", 2)
        return _download()

    def _download():
        response = HttpResponse(1, headers={"ETag": '"1"', "Content-Disposition": "attachment", "Expires": "0"})
        response.set_cookie("lang", "de")
        return response

    away()
    new = browser.other()  # whose client has not loaded the middlewares yet
    new.client.cookies.clear()
    theirs = f"{__name__}.each_answer"
    with override_settings(MIDDLEWARE=[site.OURS, theirs] if ours_first else [theirs, site.OURS]):
        answer = new.get(site.address(browser.colour, page if browser.colour == "sync" else apage))
    assert (answer.status_code, answer.headers["X-Request-Id"], list(answer.cookies)) == (503, "7", ["lang"])
    assert answer.headers["Vary"] in {"Origin, Cookie", "Cookie, Origin"}
    assert not [name for name in ("ETag", "Content-Disposition", "Expires") if answer.has_header(name)]


@sync_and_async_middleware
def each_answer(get_response):
    """A middleware that has something to say on each answer."""

    def said(response):
        response.headers["X-Request-Id"] = "7"
        patch_vary_headers(response, ["Origin"])
        return response

    async def awaited(request):
        return said(await get_response(request))

    return awaited if iscoroutinefunction(get_response) else lambda request: said(get_response(request))


def test_django_s_500_becomes_our_503(browser, away) -> None:
    """Where an application's own handler or middleware turned the outage into a server error."""

    def page(request):
        try:
            return request.session["a"]
        except BackendUnavailable:
            return HttpResponse(status=500)

    async def apage(request):
        try:
            return await request.session.aget("a")
        except BackendUnavailable:
            return HttpResponse(status=500)

    away()
    assert refused(browser.visit(page if browser.colour == "sync" else apage))


def test_anonymous_by_choice(browser, away, settings) -> None:
    """An empty, read-only session; the cookie stays; a logout that was not carried out is still an error."""
    with settings(ON_OUTAGE="anonymous"):
        away()
        answer = browser.go(("get", "a"))
        assert (answer.seen, dict(answer.cookies)) == (None, {})
        answer = browser.go(("set", "a", 2), ("get", "a"))
        assert (answer.seen, dict(answer.cookies)) == (2, {})
        assert refused(browser.go(("get", "a"), ("flush",)))
        away(False)
        assert healed(browser) == 1


def test_a_session_without_a_middleware(browser, away) -> None:
    """Nothing of it takes an outage for an answer."""
    store = SessionStore(browser.cookie)
    away()
    for verb, *arguments in (("load",), ("exists", browser.cookie), ("get", "a"), ("save",), ("cycle_key",)):
        method = getattr(store, verb if browser.colour == "sync" else f"a{verb}")
        with pytest.raises(BackendUnavailable):
            browser.wait(method(*arguments))
    assert store.session_key == browser.cookie


@pytest.mark.parametrize("middleware", [site.THEIRS])
def test_the_engine_alone_keeps_the_cookie(browser, away, middleware) -> None:
    """Under Django's own middleware an outage is a 500, and nobody is logged out by it."""
    with override_settings(MIDDLEWARE=[middleware]):
        client = Browser(browser.colour, browser._runner)
        client.client.raise_request_exception = False
        client.cookie = browser.cookie
        away()
        answer = client.go(("get", "a"))
        assert (answer.status_code, dict(answer.cookies)) == (500, {})
        away(False)
        assert healed(client) == 1
