"""Django's own applications over the session: users, admin, messages, CSRF tokens, the test client."""

import re

import pytest
from django.conf import settings
from django.contrib import auth, messages
from django.test import override_settings

from sharedsession import MachineKey
from sharedsession.frameworks.django import manager
from tests.frameworks.django import site

NEWER = MachineKey.generate()


def who(browser):
    """Who the next page takes the browser for."""

    def page(request):
        return request.user.get_username()

    async def apage(request):
        return (await request.auser()).get_username()

    return browser.visit(page if browser.colour == "sync" else apage).seen


def sign_in(browser, password="wonderland"):
    def page(request):
        auth.login(request, auth.authenticate(request, username="alice", password=password))

    async def apage(request):
        await auth.alogin(request, await auth.aauthenticate(request, username="alice", password=password))

    return browser.visit(page if browser.colour == "sync" else apage)


def test_login_and_logout(browser, user) -> None:
    """A login gets a new key and keeps the data; after a logout nobody is there, whoever kept the cookie."""
    browser.go(("set", "cart", 1))
    before = browser.other()
    sign_in(browser)
    assert browser.cookie != before.cookie
    assert (who(browser), who(before)) == ("alice", "")
    assert browser.go(("get", "cart")).seen == 1
    kept = browser.other()

    async def leave(request):
        await auth.alogout(request)

    browser.visit(auth.logout if browser.colour == "sync" else leave)
    assert browser.cookie == ""
    assert (who(browser), who(kept)) == ("", "")


@pytest.mark.parametrize("url", ["redis"], indirect=True)
@pytest.mark.parametrize("stack", [site.OURS, site.THEIRS])
def test_a_login_of_another_library_gets_a_new_key(browser, shared, stack) -> None:
    """`regenerate_on`, with our middleware and with Django's."""
    with shared(REGENERATE_ON=["token"]), override_settings(MIDDLEWARE=[stack, *site.OTHERS]):
        browser.go(("set", "cart", 1))
        before = browser.other()
        browser.go(("set", "token", "alice"))
        assert browser.cookie != before.cookie
        assert (browser.go(("keys",)).seen, before.go(("keys",)).seen) == (["cart", "token"], [])


@pytest.mark.parametrize("url", ["redis"], indirect=True)
def test_a_new_password_ends_all_other_sessions(browser, user) -> None:
    """`_auth_user_hash` is kept under its own name and does what it is for."""
    sign_in(browser)
    assert who(browser) == "alice"
    user.set_password("looking glass")
    user.save()
    assert who(browser) == ""
    sign_in(browser, "looking glass")
    assert who(browser) == "alice"


def change_password(browser, password):
    """What the view of a password form does."""

    def page(request):
        request.user.set_password(password)
        request.user.save()
        auth.update_session_auth_hash(request, request.user)

    async def apage(request):
        user = await request.auser()
        user.set_password(password)
        await user.asave()
        request.user = user  # Django looks at it without waiting
        await auth.aupdate_session_auth_hash(request, user)

    return browser.visit(page if browser.colour == "sync" else apage)


def test_a_login_sets_the_principal(browser, user) -> None:
    """Django's own, without a line in the application; a logout takes it back."""
    principal = str(user.pk)
    sign_in(browser)
    assert len(manager().list(principal)) == 1
    assert browser.go(("get", "a")).status_code == 200
    assert manager().revoke_all(principal) == 1
    assert who(browser) == ""
    assert manager().list(principal) == []


def test_a_changed_password_ends_the_others_in_the_store(browser, user) -> None:
    """The visitor who changed it stays, in all requests to come; the others are out, and in no list any more."""
    sign_in(browser)
    others = [browser.other() for _ in range(2)]
    for other in others:
        other.cookie = ""
        sign_in(other)
    assert len(manager().list(str(user.pk))) == 3
    before = browser.cookie
    assert change_password(browser, "looking glass").status_code == 200
    assert browser.cookie != before
    assert (who(browser), who(browser)) == ("alice", "alice")
    assert [who(other) for other in others] == ["", ""]
    assert len(manager().list(str(user.pk))) == 1


@pytest.mark.parametrize("url", ["redis"], indirect=True)
def test_a_rotated_secret_is_no_new_password(browser, user) -> None:
    """Django makes the hash in the session anew, and nobody is logged out."""
    sign_in(browser)
    other = browser.other()
    other.cookie = ""
    sign_in(other)
    with override_settings(SECRET_KEY=NEWER, SECRET_KEY_FALLBACKS=[settings.SECRET_KEY]):
        assert (who(browser), who(other), who(browser), who(other)) == ("alice",) * 4


@pytest.mark.parametrize("url", ["redis"], indirect=True)
def test_a_principal_of_the_application_s_own_stays(browser, user) -> None:
    """What a request sets itself is not replaced."""

    def page(request):
        auth.login(request, user)
        request.session.principal = "customer:7"

    async def apage(request):
        await auth.alogin(request, user)
        await request.session.aset_principal("customer:7")

    browser.visit(page if browser.colour == "sync" else apage)
    assert who(browser) == "alice"
    browser.go(("set", "a", 1))
    assert len(manager().list("customer:7")) == 1
    assert manager().list(str(user.pk)) == []


@pytest.mark.parametrize("url", ["redis"], indirect=True)
def test_another_user_gets_nothing_of_the_session(browser, user) -> None:
    """A login over somebody else's session begins a new one."""
    bob = auth.get_user_model().objects.create_user("bob")
    sign_in(browser)
    browser.go(("set", "secret", 1))

    def page(request):
        auth.login(request, bob)

    async def apage(request):
        await auth.alogin(request, bob)

    kept = browser.other()
    browser.visit(page if browser.colour == "sync" else apage)
    assert who(browser) == "bob"
    assert browser.go(("get", "secret")).seen is None
    assert who(kept) == ""
    bob.delete()


@pytest.mark.parametrize("url", ["redis"], indirect=True)
@pytest.mark.parametrize("csrf_in_session", [False, True])
def test_the_admin(browser, user, csrf_in_session) -> None:
    """Its login page, with the CSRF token in a cookie or in the session, and its way out."""
    with override_settings(CSRF_USE_SESSIONS=csrf_in_session):
        browser.client.handler.enforce_csrf_checks = True
        page = browser.get("/admin/login/").content.decode()
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)[1]
        form = {"username": "alice", "password": "wonderland", "next": "/admin/"}
        assert browser.post("/admin/login/", form).status_code == 403
        answer = browser.post("/admin/login/", form | {"csrfmiddlewaretoken": token})
        assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/")
        inside = browser.get("/admin/").content.decode()
        assert "alice" in inside
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', inside)[1]
        assert browser.post("/admin/logout/", {"csrfmiddlewaretoken": token}).status_code == 200
        assert browser.get("/admin/").status_code == 302


@pytest.mark.parametrize("url", ["redis"], indirect=True)
@override_settings(MESSAGE_STORAGE="django.contrib.messages.storage.session.SessionStorage")
def test_messages_in_the_session(browser) -> None:
    """They are shown once."""

    def say(request):
        messages.success(request, "saved")

    def hear(request):
        return [str(message) for message in messages.get_messages(request)]

    async def asay(request):
        await request.session.aget("")
        say(request)

    async def ahear(request):
        await request.session.aget("")
        return hear(request)

    speak, listen = (say, hear) if browser.colour == "sync" else (asay, ahear)
    browser.visit(speak)
    assert browser.visit(listen).seen == ["saved"]
    assert browser.visit(listen).seen == []


def test_the_test_client(browser, user) -> None:
    """`force_login` and `client.session` work, without a word to the test."""
    client = browser.client
    if browser.colour == "sync":
        client.force_login(user)
        session = client.session
        session["a"] = 1
        session.save()
    else:
        browser.wait(client.aforce_login(user))
        session = browser.wait(client.asession())
        browser.wait(session.aset("a", 1))
        browser.wait(session.asave())
    assert who(browser) == "alice"
    assert browser.go(("get", "a")).seen == 1
    client.logout() if browser.colour == "sync" else browser.wait(client.alogout())
    assert who(browser) == ""


def test_the_admin_is_content_with_the_middleware() -> None:
    """Its check wants Django's own, or one that is derived from it."""
    from django.core.checks import run_checks

    assert [problem for problem in run_checks() if problem.id.startswith("admin.E4")] == []
    assert site.OURS
