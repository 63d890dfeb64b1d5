"""What a response says of its session, whatever the store: cookie, caches, statuses, streams, in both colours."""

from email.utils import parsedate_to_datetime

import pytest
from django.http import HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.views.decorators.cache import cache_control, never_cache

from sharedsession.frameworks.django import manager
from tests.frameworks.django import site
from tests.frameworks.django.conftest import Browser

pytestmark = pytest.mark.parametrize("url", ["memory://"], indirect=True)


def test_an_untouched_session_leaves_no_trace(browser) -> None:
    """Neither cookie nor `Vary`: the page stays cacheable."""
    browser.go(("set", "a", 1))

    def page(request):
        return 1

    async def apage(request):
        return 1

    answer = browser.visit(page if browser.colour == "sync" else apage)
    assert not answer.cookies
    assert not answer.has_header("Vary")


def test_a_read_says_vary_and_no_more(browser) -> None:
    """Reading is no reason for a cookie; a cookie is a reason for no cache."""
    answer = browser.go(("set", "a", 1))
    assert answer.headers["Cache-Control"] == "no-store"
    answer = browser.go(("get", "a"))
    assert answer.headers["Vary"] == "Cookie"
    assert not answer.has_header("Cache-Control")
    assert not answer.cookies


def test_nothing_outranks_no_store(browser, caplog) -> None:
    """What caches obey before Cache-Control does not leave beside a cookie; Django's own `never_cache` is no alarm."""

    def page(request):
        request.session["a"] = 1
        return HttpResponse(1, headers={"X-Accel-Expires": "60", "CDN-Cache-Control": "max-age=60"})

    async def apage(request):
        await request.session.aset("a", 1)
        return HttpResponse(1, headers={"x-accel-expires": "60", "CDN-Cache-Control": "max-age=60"})

    @never_cache
    def again(request):
        request.session.cycle_key()
        return HttpResponse(1)

    @never_cache
    async def aagain(request):
        await request.session.acycle_key()
        return HttpResponse(1)

    def events():
        return [record.event for record in caplog.records if record.event == "cache_control_overridden"]

    answer = browser.get(site.address(browser.colour, page if browser.colour == "sync" else apage))
    assert (answer.headers["Cache-Control"], answer.cookies["sessionid"].value != "") == ("no-store", True)
    assert not [name for name in ("X-Accel-Expires", "CDN-Cache-Control") if answer.has_header(name)]
    assert len(events()) == 1
    answer = browser.get(site.address(browser.colour, again if browser.colour == "sync" else aagain))
    assert "no-store" in answer.headers["Cache-Control"]
    assert (answer.has_header("Expires"), len(events())) == (False, 1)


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ("max-age=0, no-cache, no-store, must-revalidate, private", None),  # Django's never_cache
        ("private, max-age=0", "private, max-age=0, no-store"),
        ("No-Store", "No-Store"),
        ("private, max-age=60", "private, no-store"),
        ("public, max-age=60, s-maxage=9", "no-store"),
        ("max-age=600, must-revalidate", "must-revalidate, no-store"),
    ],
)
def test_what_a_view_has_forbidden_to_caches_stays_forbidden(browser, said, sent) -> None:
    """Also in the words that caches other than those of HTTP know; what it has allowed goes."""

    def page(request):
        request.session["a"] = 1
        return HttpResponse("1", headers={"Cache-Control": said})

    async def apage(request):
        await request.session.aset("a", 1)
        return HttpResponse("1", headers={"Cache-Control": said})

    answer = browser.visit(page if browser.colour == "sync" else apage)
    assert answer.headers["Cache-Control"] == (sent or said)
    assert answer.headers["Vary"] == "Cookie"


@pytest.mark.parametrize("protect", [never_cache, cache_control(private=True)])
def test_django_s_own_cache_keeps_nothing_of_a_session(browser, protect) -> None:
    """In older versions it knows no `no-store`: what Django's decorators say must arrive there beside our cookie."""
    visits = []

    def page(request):
        visits.append(request.session.get("a"))
        request.session["a"] = len(visits)
        return HttpResponse("1")

    async def apage(request):
        visits.append(await request.session.aget("a"))
        request.session["a"] = len(visits)
        return HttpResponse("1")

    cache = "django.middleware.cache.{}CacheMiddleware"
    with override_settings(MIDDLEWARE=[cache.format("Update"), site.OURS, cache.format("FetchFrom")]):
        visitor = Browser(browser.colour, browser._runner)
        address = site.address(browser.colour, protect(page if browser.colour == "sync" else apage))
        for _ in range(4):
            visitor.get(address)
    assert visits == [None, 1, 2, 3]


def test_a_save_says_vary(browser) -> None:
    """It looks whether the session is there, as Django's does."""
    browser.go(("set", "a", 1))
    assert browser.go(("save",)).headers["Vary"] == "Cookie"


@override_settings(
    SESSION_COOKIE_NAME="sid",
    SESSION_COOKIE_PATH="/sync",
    SESSION_COOKIE_DOMAIN="shop.example",
    SESSION_COOKIE_SAMESITE="Strict",
    SESSION_COOKIE_HTTPONLY=False,
    SESSION_EXPIRE_AT_BROWSER_CLOSE=True,
)
def test_django_s_cookie_settings_hold(browser, caplog) -> None:
    """The cookie is as Django's settings say, and secure unless in development; that scripts can read it is logged."""
    cookie = browser.go(("set", "a", 1)).cookies["sid"].OutputString()
    assert cookie.partition(";")[2] == " Domain=shop.example; Path=/sync; SameSite=Strict; Secure"
    cookie = browser.wait(browser.client.get(_flush(browser), headers={"cookie": cookie.partition(";")[0]})).cookies
    assert (
        cookie["sid"]
        .OutputString()
        .endswith(
            "Domain=shop.example; expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/sync; SameSite=Strict; Secure"
        )
    )
    assert "http_only_off" in [record.event for record in caplog.records if hasattr(record, "event")]


@override_settings(SESSION_COOKIE_SAMESITE=False)
def test_no_samesite(browser) -> None:
    """Django knows a cookie without the attribute."""
    assert browser.go(("set", "a", 1)).cookies["sessionid"]["samesite"] == ""


def test_each_visitor_gets_a_cookie_of_its_own(browser) -> None:
    """What one response says of its cookie is not said by the next; other middlewares may change it."""
    first = browser.go(("set", "a", 1)).cookies["sessionid"]
    first["samesite"] = "Strict"
    second = Browser(browser.colour, browser._runner).go(("set", "a", 1), ("set_expiry", 60)).cookies["sessionid"]
    assert (first["max-age"], second["max-age"]) == (1209600, 60)
    assert (second["samesite"], second["httponly"], second["secure"]) == ("Lax", True, True)
    assert first.value != second.value
    assert parsedate_to_datetime(first["expires"]) > parsedate_to_datetime(second["expires"])


def test_a_partitioned_cookie_in_development_colours(browser, shared) -> None:
    """What Django has no setting for comes from ours."""
    with shared(COOKIE_PARTITIONED=True, COOKIE_SAMESITE="none"):
        cookie = browser.go(("set", "a", 1)).cookies["sessionid"].OutputString()
    assert "; Partitioned" in cookie
    assert "SameSite=None" in cookie


@override_settings(SESSION_SAVE_EVERY_REQUEST=True)
def test_every_request_renews_the_cookie(browser) -> None:
    """Without a write, and without a look by the page."""
    assert not browser.go(("get", "a")).cookies  # no session, nothing to renew
    browser.go(("set", "a", 1))

    def page(request):
        return 1

    async def apage(request):
        return 1

    answer = browser.visit(page if browser.colour == "sync" else apage)
    assert answer.cookies["sessionid"].value == browser.cookie
    assert answer.headers["Vary"] == "Cookie"


@override_settings(SESSION_SAVE_EVERY_REQUEST=True)
def test_a_slow_request_does_not_overwrite_the_cookie_of_a_login(browser, monkeypatch) -> None:
    """The session got a new key while it ran: it must not hand the old one out again."""
    monkeypatch.setattr("sharedsession.frameworks.django.response._FRESH", 0.0)
    browser.go(("set", "a", 1))
    assert browser.go(("get", "a")).cookies  # slow, but the key still holds
    slow = browser.other()
    login = site.address(browser.colour, browser.doing(("cycle_key",)))

    def slow_page(request):
        seen = request.session["a"]
        browser.get(login)
        return seen

    async def aslow_page(request):
        seen = await request.session.aget("a")
        await browser.client.get(login)
        return seen

    answer = slow.visit(slow_page if browser.colour == "sync" else aslow_page)
    assert (answer.seen, dict(answer.cookies)) == (1, {})
    assert browser.go(("get", "a")).seen == 1


def test_a_change_that_was_disowned(browser) -> None:
    """``modified = False`` is Django's way to say: do not save."""
    browser.go(("set", "a", 1))

    def page(request):
        request.session["a"] = 2
        request.session.modified = False

    async def apage(request):
        await request.session.aset("a", 2)
        request.session.modified = False

    browser.visit(page if browser.colour == "sync" else apage)
    assert browser.go(("get", "a")).seen == 1


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_error_saves_nothing_but_logs_out(browser, status) -> None:
    """Django's rule, and nobody stays logged in because the page after the logout failed."""
    browser.go(("set", "a", 1))

    def failing(*deeds):
        done = browser.doing(*deeds)

        def page(request):
            done(request)
            return HttpResponse(status=status)

        async def apage(request):
            await done(request)
            return HttpResponse(status=status)

        return page if browser.colour == "sync" else apage

    assert not browser.visit(failing(("set", "a", 2), ("cycle_key",))).cookies
    assert browser.go(("items",)).seen == [("a", 1)]
    kept = browser.other()
    assert browser.visit(failing(("flush",), ("set", "a", 3))).cookies["sessionid"]["max-age"] == 0
    assert kept.go(("items",)).seen == []


def test_two_genuine_cookies_are_none(browser) -> None:
    """Somebody planted one of them: nobody knows which."""
    browser.go(("set", "a", 1))
    first = browser.cookie
    browser.client.cookies.clear()
    browser.go(("set", "a", 2))
    both = f"sessionid={first}; sessionid={browser.cookie}"
    browser.client.cookies.clear()
    answer = browser.go(("items",), headers={"cookie": both})
    assert answer.seen == []
    assert not answer.cookies


def test_a_forged_cookie_costs_nothing(browser) -> None:
    """It is no session, and the store is not asked: not even one that could not answer."""
    browser.cookie = "x" * 43 + ".abcdef." + "y" * 43
    answer = browser.go(("items",))
    assert answer.seen == []
    assert not answer.cookies
    assert manager().health()["counters"]["forged"] >= 1


def test_the_header_instead_of_the_cookie(browser, shared) -> None:
    """Clients without cookies carry the token in a header."""
    with shared(TRANSPORT="header"):
        answer = browser.go(("set", "a", 1))
        token = answer.headers["X-Session-Token"]
        assert not answer.cookies
        assert browser.go(("items",), headers={"X-Session-Token": token}).seen == [("a", 1)]
        answer = browser.go(("flush",), headers={"X-Session-Token": token})
        assert answer.headers["X-Session-Token"] == ""
        assert browser.go(("items",), headers={"X-Session-Token": token}).seen == []


def test_excluded_paths_have_no_session(browser, shared) -> None:
    """What is written there is written in sand, and no store is asked."""
    browser.go(("set", "a", 1))
    with shared(EXCLUDE=["/static/*"]):
        page = site.address("static", lambda request: request.session.setdefault("a", 2))
        answer = browser.get(page)
    assert answer.content == b"2"
    assert not answer.cookies
    assert not answer.has_header("Vary")


# -- streams


def test_a_change_in_a_stream_is_kept(browser) -> None:
    """The browser has the cookie already, so what comes late is saved when the stream ends."""
    browser.go(("set", "a", 1))

    def body(session):
        yield b"begun"
        session["a"] = 2
        yield b"done"

    async def abody(session):
        yield b"begun"
        await session.aset("a", 2)
        yield b"done"

    def page(request):
        return StreamingHttpResponse(body(request.session))

    async def apage(request):
        return StreamingHttpResponse(abody(request.session))

    answer = browser.visit(page if browser.colour == "sync" else apage)
    assert browser.wait(_body(answer) if browser.colour == "async" else b"".join(answer)) == b"begundone"
    assert browser.go(("get", "a")).seen == 2


async def _body(answer) -> bytes:
    return b"".join([chunk async for chunk in answer.streaming_content])


def _flush(browser) -> str:
    return site.address(browser.colour, browser.doing(("flush",)))
