"""What Django's requests cost, counted on the wire by a relay in front of the real server, in both colours."""

import asyncio

import pytest
from django.contrib import auth
from django.test import override_settings

from sharedsession.frameworks.django.configuration import configuration
from tests.frameworks.django.conftest import Browser
from tests.support.relay import Relay


@pytest.fixture(params=["memcached", "redis"])
def relay(request):
    server = request.getfixturevalue(request.param)
    with Relay(server.port) as between:
        url = str(server.url).replace(str(server.port), str(between.port))
        with override_settings(SHAREDSESSION={"BACKEND": url, "TIMEOUT": 5}):
            yield between


@pytest.fixture
def browser(relay, colour):
    """A visitor with a session, of a node that is connected already."""
    with asyncio.Runner() as runner:
        browser = Browser(colour, runner)
        browser.go(("set", "a", 1))
        browser.go(("set", "a", 1), ("flush",))
        browser.go(("set", "a", 1))
        yield browser
        runner.run(configuration().settings.backend.asynchronous.close())
    configuration().settings.backend.close()


def cost(relay, browser, *deeds):
    relay.reset_counts()
    assert browser.go(*deeds).status_code == 200
    return relay.round_trips


def test_the_table_of_the_documentation(relay, browser) -> None:
    """Every case of the page on Django."""
    assert cost(relay, browser) == 0
    assert cost(relay, browser, ("get", "a")) == 1
    assert cost(relay, browser, ("get", "a"), ("set", "b", 2)) == 2
    assert cost(relay, browser, ("set_expiry", 0)) == 2
    assert cost(relay, browser, ("cycle_key",), ("set", "a", 3)) == 3
    with override_settings(SESSION_SAVE_EVERY_REQUEST=True):
        assert cost(relay, browser) == 1
        assert cost(relay, browser, ("get", "a")) == 1
    assert cost(relay, browser, ("flush",)) == 1
    assert cost(relay, browser, ("get", "a")) == 0
    assert cost(relay, browser, ("set", "a", 1)) == 1
    browser.cookie = "x" * 43 + ".abcdef." + "y" * 43
    assert cost(relay, browser, ("items",)) == 0


def test_login_and_logout(relay, browser, user) -> None:
    """Of `django.contrib.auth`, on a session that exists: the login sets its principal, which has a stamp."""

    def page(request):
        auth.login(request, user)

    async def apage(request):
        await auth.alogin(request, user)

    async def leave(request):
        await auth.alogout(request)

    logs_in, logs_out = (page, auth.logout) if browser.colour == "sync" else (apage, leave)
    for visit in (logs_in, logs_out):  # what is asked side by side in a blocking application takes a second connection
        assert browser.visit(visit).status_code == 200
    browser.go(("set", "a", 1))
    relay.delay(0.05)  # so that no reply comes between two requests that are sent side by side

    relay.reset_counts()
    assert browser.visit(logs_in).status_code == 200
    assert relay.round_trips == (5 if browser.colour == "sync" else 4)  # two of the five go side by side

    relay.reset_counts()
    assert browser.visit(logs_out).status_code == 200
    assert relay.round_trips == 2  # who logs out is told to a signal, so the session is read
