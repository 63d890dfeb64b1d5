"""Requests through Django with the middleware: what is kept, what the browser is told, in both colours."""

from datetime import timedelta

import pytest
from django.utils import timezone

from sharedsession.frameworks.django import SessionStore
from sharedsession.frameworks.django import manager as farm_manager
from sharedsession.keys import has_idle_timeout
from tests.frameworks.django import site


def test_data_live_from_request_to_request(browser) -> None:
    """Everything that a session can do, every ``a*`` twin included, is kept."""
    answer = browser.go(("set", "a", 1), ("setdefault", "b", [1]), ("update", {"c": {"d": 2}}), ("increment", "n"))
    assert "sessionid" in answer.cookies
    assert browser.go(("items",)).seen == [("a", 1), ("b", [1]), ("c", {"d": 2}), ("n", 1)]
    assert browser.go(("pop", "a")).seen == 1
    assert browser.go(("pop", "a", 5)).seen == 5
    assert browser.go(("append", "b", 2), ("get", "b")).seen == [1, 2]
    assert browser.go(("has_key", "a")).seen is False
    assert browser.go(("keys",)).seen == ["b", "c", "n"]
    assert browser.go(("set_test_cookie",), ("test_cookie_worked",)).seen is True
    assert browser.go(("test_cookie_worked",)).seen is True
    assert browser.go(("delete_test_cookie",), ("test_cookie_worked",)).seen is False


def test_a_nested_change_is_kept(browser) -> None:
    """Nobody has to say ``modified = True``."""
    browser.go(("set", "cart", {"books": []}))

    def page(request):
        request.session["cart"]["books"].append("Dune")

    async def apage(request):
        (await request.session.aget("cart"))["books"].append("Dune")

    browser.visit(page if browser.colour == "sync" else apage)
    assert browser.go(("get", "cart")).seen == {"books": ["Dune"]}


def test_two_requests_at_a_time_both_count(browser) -> None:
    """A change of another key, made meanwhile, is not lost."""
    browser.go(("set", "a", 1), ("set", "n", 0))
    second = browser.other()

    def page(request):
        request.session["a"] = 2
        request.session.increment("n")
        second.go(("set", "b", 3), ("increment", "n"))

    async def apage(request):
        await request.session.aset("a", 2)
        await request.session.aincrement("n")
        await second.client.get(second_address)

    second_address = site.address("async", second.doing(("set", "b", 3), ("increment", "n")))
    browser.visit(page if browser.colour == "sync" else apage)
    assert browser.go(("items",)).seen == [("a", 2), ("b", 3), ("n", 2)]


def test_flush_ends_the_session_everywhere(browser) -> None:
    """The cookie is taken back, and is worth nothing to whoever kept it."""
    browser.go(("set", "a", 1))
    thief = browser.other()
    answer = browser.go(("flush",))
    assert answer.cookies["sessionid"]["max-age"] == 0
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Vary"] == "Cookie"
    answer = thief.go(("items",))
    assert answer.seen == []
    assert not answer.cookies


def test_cycle_key_keeps_the_data_under_a_new_key(browser) -> None:
    """The key that the page sees is the one that the browser gets; the old one is worth nothing."""
    browser.go(("set", "a", 1))
    old = browser.other()

    def page(request):
        request.session.cycle_key()
        return request.session.session_key

    async def apage(request):
        await request.session.acycle_key()
        return request.session.session_key

    answer = browser.visit(page if browser.colour == "sync" else apage)
    assert browser.cookie.startswith(f"{answer.seen}.")
    assert browser.cookie != old.cookie
    assert browser.go(("items",)).seen == [("a", 1)]
    answer = old.go(("set", "b", 2))
    assert not answer.cookies  # in flight with the dead key: it must not overwrite the new cookie
    assert browser.go(("items",)).seen == [("a", 1)]


def test_a_session_that_was_ended_meanwhile_stays_ended(browser) -> None:
    """A request that was running during the logout gets Django's 400, and brings nothing back."""
    browser.go(("set", "a", 1))
    second = browser.other()
    logout = site.address(browser.colour, second.doing(("flush",)))

    def page(request):
        request.session["a"] = 2
        second.get(logout)

    async def apage(request):
        await request.session.aset("a", 2)
        await second.client.get(logout)

    answer = browser.visit(page if browser.colour == "sync" else apage)
    assert (answer.status_code, dict(answer.cookies)) == (400, {})
    assert browser.go(("items",)).seen == []


def test_an_emptied_session_lives_on(browser) -> None:
    """`clear` takes the data out; only `flush` ends the session."""
    browser.go(("set", "a", 1))

    def page(request):
        request.session.clear()

    async def apage(request):
        await request.session.aget("a")
        request.session.clear()

    answer = browser.visit(page if browser.colour == "sync" else apage)
    assert answer.cookies["sessionid"].value == browser.cookie
    assert browser.wait(_store(browser).aexists(browser.cookie)) is True
    assert browser.go(("items",)).seen == []


def test_create_and_save_are_done_at_once(browser) -> None:
    """``if not session.session_key: session.create()`` gives a key that is worth something."""

    def page(request):
        request.session.create()
        return request.session.session_key, request.session.exists(request.session.session_key)

    async def apage(request):
        await request.session.acreate()
        return request.session.session_key, await request.session.aexists(request.session.session_key)

    answer = browser.visit(page if browser.colour == "sync" else apage)
    assert answer.seen == (browser.cookie[:40], True)
    assert browser.go(("set", "a", 1), ("save",), ("exists", browser.cookie)).seen is True
    assert browser.go(("load",)).seen == {"a": 1}
    assert browser.go(("delete",), ("exists", browser.cookie)).seen is False


# -- expiry


def test_a_session_with_an_idle_timeout_of_its_own(browser) -> None:
    """A number of seconds is part of the key; the same number again changes nothing."""
    browser.go(("set", "a", 1))
    before = browser.cookie
    answer = browser.go(("set_expiry", 300), ("get_expiry_age",))
    assert answer.seen == 300
    assert answer.cookies["sessionid"]["max-age"] == 300
    assert has_idle_timeout(browser.cookie.encode())
    assert not has_idle_timeout(before.encode())
    after = browser.cookie
    browser.go(("set_expiry", 300))
    assert browser.cookie == after
    assert browser.go(("get_expiry_age",)).seen == 300
    browser.go(("set_expiry", None))
    assert browser.go(("get_expiry_age",)).seen == 1209600
    assert browser.go(("get", "a")).seen == 1


@pytest.mark.parametrize("url", ["redis"], indirect=True)
def test_a_request_in_flight_reads_on_while_the_timeout_changes(browser) -> None:
    """A new timeout is no change of rights, so the old key shows the data for a few seconds, read-only."""
    browser.go(("set", "a", 1))
    late = browser.other()
    browser.go(("set_expiry", 300))
    assert late.go(("get", "a")).seen == 1


@pytest.mark.parametrize("url", ["redis"], indirect=True)
def test_a_session_of_the_browser(browser) -> None:
    """0 ends with the browser: the cookie has no age."""
    answer = browser.go(("set_expiry", 0), ("get_expire_at_browser_close",))
    assert answer.seen is True
    assert answer.cookies["sessionid"]["max-age"] == ""
    assert browser.go(("get_expire_at_browser_close",)).seen is True


@pytest.mark.parametrize("url", ["redis"], indirect=True)
def test_a_cookie_with_an_age_becomes_one_of_the_browser(browser) -> None:
    """On a public computer, after the login: the browser must hear of it, and once is enough."""
    assert browser.go(("set", "a", 1)).cookies["sessionid"]["max-age"] == 1209600
    assert browser.go(("set_expiry", 0)).cookies["sessionid"]["max-age"] == ""
    assert "sessionid" not in browser.go(("set", "a", 2)).cookies


@pytest.mark.parametrize("url", ["redis"], indirect=True)
@pytest.mark.parametrize("over", [-1, timedelta(seconds=-1)])
def test_a_session_whose_time_has_come(browser, over) -> None:
    """An end that has passed is a logout."""
    browser.go(("set", "a", 1))
    kept = browser.other()
    answer = browser.go(("set_expiry", over))
    assert answer.cookies["sessionid"]["max-age"] == 0
    assert kept.go(("items",)).seen == []


@pytest.mark.parametrize("url", ["redis"], indirect=True)
def test_an_absolute_end(browser, monkeypatch) -> None:
    """A date ends the session however often it is used."""
    browser.go(("set", "a", 1), ("set_expiry", timedelta(seconds=60)))
    assert browser.go(("get", "a")).seen == 1
    assert 50 < browser.go(("get_expiry_age",)).seen <= 60
    later = timezone.now() + timedelta(seconds=61)
    monkeypatch.setattr(timezone, "now", lambda: later)
    assert browser.go(("items",)).seen == []


# -- the session without a request


def _store(browser):
    """A session of its own, whose methods are called as if they were asynchronous."""
    store = SessionStore(browser.cookie)

    class Both:
        def __getattr__(self, name):
            return getattr(store, name if browser.colour == "async" else name[1:])

    return Both()


def test_one_at_a_time_under_the_lock(browser) -> None:
    """`request.session.lock()`: inside it is fresh, and afterwards everybody sees what was written."""
    browser.go(("set", "n", 1))
    second = browser.other()

    def page(request):
        assert request.session["n"] == 1
        second.go(("set", "n", 2))
        with request.session.lock(timeout=1) as session:
            session["n"] += 1
        return second.go(("get", "n")).seen

    async def apage(request):
        assert await request.session.aget("n") == 1
        await second.client.get(site.address("async", second.doing(("set", "n", 2))))
        async with request.session.lock(timeout=1) as session:
            await session.aset("n", await session.aget("n") + 1)
        return await request.session.aget("n")

    assert browser.visit(page if browser.colour == "sync" else apage).seen == 3
    assert browser.go(("get", "n")).seen == 3


def test_log_out_everywhere(browser) -> None:
    """A session that says whose it is can be listed and ended, in either colour."""
    browser.go(("set", "a", 1), ("set_principal", "user:1"))
    other, manager = browser.other(), farm_manager()
    other.cookie = ""
    other.go(("set", "a", 2), ("set_principal", "user:1"))

    def page(request):
        return len(manager.list("user:1")), manager.revoke_all("user:1", except_=request.session.id)

    async def apage(request):
        await request.session.aget("a")
        listed = await manager.alist("user:1")
        return len(listed), await manager.arevoke_all("user:1", except_=request.session.id)

    assert browser.visit(page if browser.colour == "sync" else apage).seen == (2, 1)
    assert browser.go(("get", "a")).seen == 1
    assert other.go(("get", "a")).seen is None
