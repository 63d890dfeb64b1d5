"""`session_key` under our middleware: forty characters that lead to the session, and that are no cookie."""

import asyncio

import pytest
from django.conf import settings
from django.contrib import auth
from django.contrib.auth.signals import user_logged_in
from django.test import override_settings
from django.utils.crypto import get_random_string

from sharedsession import SessionError
from sharedsession.frameworks.django import SessionStore, manager
from sharedsession.frameworks.django.configuration import configuration
from sharedsession.frameworks.django.session_key import keys_are_ids, session_middlewares
from tests.frameworks.django import site
from tests.frameworks.django.conftest import Browser
from tests.support.relay import Relay

MEMORY = pytest.mark.parametrize("url", ["memory://"], indirect=True)
STORED = 40
"""Characters of the column in which other applications keep the key."""


def key_of(browser, *deeds) -> str | None:
    """What a page takes for the session's key, after it has done this."""

    def page(request):
        browser.doing(*deeds)(request)
        return request.session.session_key

    async def apage(request):
        await browser.doing(*deeds)(request)
        return request.session.session_key

    return browser.visit(page if browser.colour == "sync" else apage).seen


def call(browser, store, method, *arguments):
    """What a method of a session's own gives, in the browser's colour."""
    return browser.wait(getattr(store, method if browser.colour == "sync" else f"a{method}")(*arguments))


def test_a_key_is_short_and_leads_to_the_session(browser) -> None:
    """It can be stored in forty characters, loaded, looked for and deleted by, in a script as in a request."""
    browser.go(("set", "a", 1))
    key = key_of(browser, ("get", "a"))
    assert len(key) == STORED
    assert call(browser, SessionStore(session_key=key), "load") == {"a": 1}
    assert call(browser, SessionStore(), "exists", key) is True
    store = SessionStore(key)
    assert call(browser, store, "get", "a") == 1
    assert store.session_key == key
    call(browser, store, "set" if browser.colour == "async" else "__setitem__", "b", 2)
    call(browser, store, "save")
    assert store.session_key == key
    assert browser.go(("items",), ("exists", key), ("items",)).seen == [("a", 1), ("b", 2)]
    call(browser, SessionStore(), "delete", key)
    assert call(browser, SessionStore(), "exists", key) is False
    assert browser.go(("items",)).seen == []


def test_a_key_changes_with_the_session_s(browser) -> None:
    """What `cycle_key`, `create` and `save` show at once is what the next request finds; `flush` leaves none."""
    assert key_of(browser) is None
    assert key_of(browser, ("cycle_key",), ("set", "a", 1)) == browser.cookie[:STORED]
    before = browser.cookie
    for verb in ("cycle_key", "create", "save"):
        shown = key_of(browser, ("get", "a"), (verb,))
        assert shown == key_of(browser) == browser.cookie[:STORED]
        assert browser.cookie.startswith(before) is (verb == "save")
        before = browser.cookie
    store = SessionStore(shown)
    call(browser, store, "cycle_key")
    assert len(store.session_key) == STORED
    assert call(browser, SessionStore(), "exists", shown) is False
    assert call(browser, SessionStore(store.session_key), "get", "a") == 1
    assert key_of(browser, ("flush",)) is None


def sign_in(browser, user, *first):
    """A login, after the page has done something else to the session."""

    def page(request):
        browser.doing(*first)(request)
        auth.login(request, user)

    async def apage(request):
        await browser.doing(*first)(request)
        await auth.alogin(request, user)

    return browser.visit(page if browser.colour == "sync" else apage)


@pytest.fixture
def told():
    """The keys that were read in Django's signal of a login, as allauth does it for its list of sessions."""
    keys = []

    def listen(request, **_):
        keys.append(request.session.session_key)

    user_logged_in.connect(listen)
    yield keys
    user_logged_in.disconnect(listen)


@pytest.mark.parametrize("begins", ["as a stranger", "with a session", "as another", "after a flush"])
def test_the_key_that_a_login_tells(browser, user, told, begins) -> None:
    """It is the one of all requests to come, although the login sets the principal at the end of the request."""
    if begins != "as a stranger":
        browser.go(("set", "a", 1))
    bob = auth.get_user_model().objects.create_user("bob") if begins == "as another" else None
    if bob:
        sign_in(browser, bob)
        assert told == [browser.cookie[:STORED]]
    sign_in(browser, user, *[("flush",)] * (begins == "after a flush"))
    assert told[-1] == key_of(browser) == browser.cookie[:STORED]
    assert call(browser, SessionStore(), "exists", told[-1]) is True
    assert len(manager().list(str(user.pk))) == 1
    if bob:
        bob.delete()


# -- what a key is not


@MEMORY
def test_a_key_is_no_cookie(browser, user) -> None:
    """Who has read it in a database, a log or a backup, is nobody."""
    sign_in(browser, user)
    thief = browser.other()
    for planted in (browser.cookie[:STORED], f"{browser.cookie[:STORED]}.", f"{browser.cookie[:STORED]}.{'A' * 43}"):
        thief.cookie = planted
        assert thief.go(("items",)).seen == []
    with_key = {"headers": {"cookie": f"sessionid={browser.cookie[:STORED]}"}}
    nobody = Browser(browser.colour, browser._runner)
    assert nobody.go(("items",), **with_key).seen == []


@MEMORY
@pytest.mark.parametrize("middleware", [[site.THEIRS], [site.OURS, site.THEIRS], [site.THEIRS, site.OURS], []])
def test_where_a_cookie_becomes_a_key_it_is_signed(browser, middleware) -> None:
    """Under Django's own middleware, or where nobody knows, the key stays the signed token, and an ID is nothing."""
    browser.go(("set", "a", 1))
    with override_settings(MIDDLEWARE=middleware):
        assert SessionStore(browser.cookie)["a"] == 1
        assert SessionStore(browser.cookie[:STORED]).load() == {}
        assert not SessionStore().exists(browser.cookie[:STORED])
        SessionStore().delete(browser.cookie[:STORED])
        plain = browser.other()
        plain.cookie = browser.cookie[:STORED]
        if middleware == [site.THEIRS]:
            assert plain.go(("items",)).seen == []
            plain.cookie = browser.cookie
            assert key_of(plain) == browser.cookie
    assert browser.go(("get", "a")).seen == 1


@MEMORY
def test_an_older_key_still_leads_there(browser) -> None:
    """The signed token, as it was kept in wide columns before."""
    browser.go(("set", "a", 1))
    store = SessionStore(browser.cookie)
    assert store["a"] == 1
    assert store.session_key == browser.cookie
    assert store.exists(browser.cookie)
    store.delete(browser.cookie)
    assert browser.go(("items",)).seen == []


@MEMORY
def test_a_key_of_no_secret(browser) -> None:
    """After the rotation of the secrets, or made up: no session, no error, and never adopted."""
    browser.go(("set", "a", 1))
    key = key_of(browser)
    with override_settings(SECRET_KEY=get_random_string(60), SECRET_KEY_FALLBACKS=[settings.SECRET_KEY]):
        assert SessionStore(key)["a"] == 1
    absurd = [key[:-2] + "--", key[:-2] + "4A", "é" + key[1:], "\ud800" * 40, "." * 40, key[:-1], key + "A"]
    for wrong in absurd:
        store = SessionStore(wrong)
        assert store.load() == {}
        assert store.session_key is None
        assert not store.exists(wrong)
        store.delete(wrong)
        store["b"] = 1
        store.save()
        assert store.session_key != wrong
    with override_settings(SECRET_KEY=get_random_string(60)):
        assert SessionStore(key).load() == {}
        SessionStore().delete(key)
    assert browser.go(("get", "a")).seen == 1


def test_the_store_is_not_asked_for_a_key_of_no_secret(redis, colour) -> None:
    """Nor for a cookie that is only an ID."""
    with Relay(redis.port) as relay, asyncio.Runner() as runner:
        url = str(redis.url).replace(str(redis.port), str(relay.port))
        with override_settings(SHAREDSESSION={"BACKEND": url, "TIMEOUT": 5}):
            browser = Browser(colour, runner)
            browser.go(("set", "a", 1))
            key = key_of(browser)
            foreign = key[:32] + "AAAAAA" + key[38:]
            relay.reset_counts()
            assert call(browser, SessionStore(foreign), "load") == {}
            assert call(browser, SessionStore(), "exists", foreign) is False
            call(browser, SessionStore(), "delete", foreign)
            browser.cookie = key
            assert browser.go(("items",)).seen == []
            assert relay.round_trips == 0
            runner.run(configuration().settings.backend.asynchronous.close())
            configuration().settings.backend.close()


def test_a_middleware_that_cannot_be_imported_is_django_s_to_tell() -> None:
    """And a function is no session middleware."""
    with override_settings(MIDDLEWARE=["nowhere.Middleware", "tests.frameworks.django.site.page", site.OURS]):
        assert [path for path, _ in session_middlewares()] == [site.OURS]
        assert keys_are_ids()
    with override_settings(MIDDLEWARE=[]):
        assert not keys_are_ids()


# -- the others of the same user


def test_the_others_are_logged_out(browser, user) -> None:
    """`revoke_others` on Django's session: in the request of the login, later, and without a middleware."""
    others = [Browser(browser.colour, browser._runner) for _ in range(3)]

    def is_in(visitor) -> bool:
        return visitor.go(("has_key", "_auth_user_id")).seen

    sign_in(others[0], user)
    sign_in(browser, user)
    assert browser.go(("revoke_others",)).status_code == 200
    assert (is_in(browser), is_in(others[0])) == (True, False)

    def page(request):
        auth.login(request, user)
        request.session.revoke_others()

    async def apage(request):
        await auth.alogin(request, user)
        await request.session.arevoke_others()

    others[1].visit(page if browser.colour == "sync" else apage)
    assert (is_in(browser), is_in(others[1])) == (False, True)
    sign_in(others[2], user)
    call(browser, SessionStore(others[2].cookie[:STORED]), "revoke_others")
    assert [is_in(visitor) for visitor in (browser, *others)] == [False, False, False, True]
    with pytest.raises(SessionError, match="principal"):
        call(browser, SessionStore(), "revoke_others")
