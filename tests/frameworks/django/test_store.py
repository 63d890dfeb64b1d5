"""The session without our middleware: alone, under Django's own, in Channels, with other settings."""

import asyncio
import threading

import httpx
import pytest
from django.conf import settings
from django.contrib.sessions.backends.base import CreateError, UpdateError
from django.core.exceptions import SynchronousOnlyOperation
from django.core.management import call_command
from django.test import Client, RequestFactory, override_settings
from django.utils.crypto import get_random_string

from sharedsession import BackendUnavailable, ConfigurationError
from sharedsession.frameworks.django import SessionMiddleware, SessionStore, SignedSessions, manager
from sharedsession.frameworks.django.configuration import configuration
from sharedsession.wsgi import SessionMiddleware as WsgiMiddleware
from tests.frameworks.django import site
from tests.frameworks.django.conftest import Browser

MEMORY = pytest.mark.parametrize("url", ["memory://"], indirect=True)


@pytest.fixture
def stored(shared):
    """A session with data."""
    session = SessionStore()
    session["a"] = 1
    session.save()
    return session


def test_under_django_s_own_middleware(browser) -> None:
    """The engine alone does what Django's engines do."""
    with override_settings(MIDDLEWARE=[site.THEIRS]):
        plain = Browser(browser.colour, browser._runner)
        assert "sessionid" in plain.go(("set", "a", 1)).cookies
        assert plain.go(("set", "b", [1])).seen is None
        assert plain.go(("append", "b", 2), ("items",)).seen == [("a", 1), ("b", [1, 2])]
        kept = plain.other()
        plain.go(("cycle_key",))
        assert plain.go(("get", "a")).seen == 1
        answer = kept.go(("set", "a", 2))
        assert (answer.status_code, dict(answer.cookies)) == (400, {})
        plain.go(("flush",))
        assert plain.cookie == ""
        assert plain.go(("items",)).seen == []


def test_update_and_create_errors(stored) -> None:
    """Django's own, where Django has them; nothing brings an ended session back."""
    twin = SessionStore(stored.session_key)
    with pytest.raises(CreateError):
        twin.save(must_create=True)
    twin.delete()
    stored["a"] = 2
    with pytest.raises(UpdateError):
        stored.save()
    with pytest.raises(UpdateError):
        SessionStore(stored.session_key).save()
    assert stored.load() == {}


@MEMORY
def test_a_key_that_is_none(shared) -> None:
    """Forged, unknown or absurd: an empty session, no error, and never adopted."""
    for key in ("1", "x" * 500, "\ud800 ünïcode", get_random_string(32), "a.b.c.d.e"):
        session = SessionStore(key)
        assert session.get("a") is None
        assert session.session_key is None
        assert not SessionStore().exists(key)
        SessionStore().delete(key)
        session["a"] = 1
        session.save()
        assert session.session_key != key


@MEMORY
def test_no_io_in_the_event_loop(stored) -> None:
    """A look that would block it is refused with the mend; one that need not ask the store is fine."""

    async def page():
        session = SessionStore(stored.session_key)
        for look in (lambda: session["a"], session.save, session.cycle_key, session.load, session.clear):
            with pytest.raises(SynchronousOnlyOperation, match=r"await request\.session\.aget"):
                look()
        assert await session.aget("a") == 1
        assert session["a"] == 1
        assert SessionStore().get("a") is None
        return session

    asyncio.run(page())


@MEMORY
def test_what_a_thread_loaded_the_loop_may_save(stored) -> None:
    """Asynchronous Django crosses between the two all the time."""
    session = SessionStore(stored.session_key)
    seen = []
    thread = threading.Thread(target=lambda: seen.append(session["a"]))
    thread.start()
    thread.join()

    async def later():
        await session.aset("b", 2)
        await session.asave()

    asyncio.run(later())
    assert seen == [1]
    assert stored.load() == {"a": 1, "b": 2}
    assert manager().health()["counters"]["created"] >= 1


@MEMORY
def test_clearsessions_has_nothing_to_do(stored) -> None:
    """Every backend forgets by itself."""
    call_command("clearsessions")
    asyncio.run(SessionStore.aclear_expired())
    assert stored.load() == {"a": 1}


@MEMORY
def test_the_secrets_rotate(stored) -> None:
    """A session that began under a fallback lives on; once it is taken away, the key is a forgery."""
    new = get_random_string(60)
    with override_settings(SECRET_KEY=new, SECRET_KEY_FALLBACKS=[settings.SECRET_KEY]):
        session = SessionStore(stored.session_key)
        assert session["a"] == 1
        session.cycle_key()
        kept = session.session_key
        assert SessionStore(stored.session_key).get("a") is None
    with override_settings(SECRET_KEY=new):
        assert SessionStore(kept)["a"] == 1
    assert SessionStore(kept).get("a") is None


@MEMORY
@pytest.mark.parametrize("typed", ["{}\n", "\ufeff{}\r\n", "\0{}\0"])
def test_what_stands_around_the_secret_is_no_part_of_it(stored, typed) -> None:
    """A line end, a byte order mark or zero bytes in ``SECRET_KEY``, as files and editors add them: the same secret."""
    with override_settings(SECRET_KEY=typed.format(settings.SECRET_KEY)):
        assert SessionStore(stored.session_key).load() == {"a": 1}


def test_other_frameworks_see_the_same_session(stored, url) -> None:
    """A plain WSGI application under the same secret, name and backend."""

    def app(environ, start_response):
        session = environ["sharedsession.session"]
        start_response("200 OK", [])
        seen = dict(session)
        session["b"] = 2
        return [repr(seen).encode()]

    stored["_auth_user_id"] = "1"
    stored.save()
    other = WsgiMiddleware(
        app,
        secret_key=site.SECRET,
        backend=configuration().settings.backend,
        cookie_name="sessionid",
        idle_timeout=1209600,
        absolute_timeout=None,
    )
    cookies = {"sessionid": stored.session_key}
    with httpx.Client(transport=httpx.WSGITransport(app=other), base_url="https://a.example", cookies=cookies) as web:
        assert web.get("/").text == "{'a': 1, '_auth_user_id': '1'}"
    assert stored.load() == {"a": 1, "_auth_user_id": "1", "b": 2}
    configuration().settings.backend.close()


def test_channels(stored, url) -> None:
    """A consumer's session is this one; it is saved when the consumer says so."""
    sessions = pytest.importorskip("channels.sessions", reason="pip install channels")

    async def consumer(scope, receive, send):
        session = scope["session"]
        assert await session.aget("a") == 1
        session["b"] = 2
        await session.asave()

    async def connect():
        scope = {"type": "websocket", "headers": [(b"cookie", f"sessionid={stored.session_key}".encode())]}
        await sessions.SessionMiddlewareStack(consumer)(scope, None, None)
        native = getattr(configuration().settings.backend, "asynchronous", None)
        if native is not None:
            await native.close()

    asyncio.run(connect())
    assert stored.load() == {"a": 1, "b": 2}
    configuration().settings.backend.close()


@MEMORY
@pytest.mark.parametrize("carried", ["token", "ID"])
def test_a_consumer_s_session_takes_a_signature(stored, shared, carried) -> None:
    """With `SignedSessions` around Channels' stack an ID alone opens nothing; a save and a logout are done at once."""
    sessions = pytest.importorskip("channels.sessions", reason="pip install channels")
    seen = []

    async def consumer(scope, receive, send):
        session = scope["session"]
        seen.append(await session.aget("a"))
        if session.session_key:
            assert len(session.session_key) == 40
            session["b"] = 2
            await session.asave()
            await session.aflush()

    async def connect():
        app = SignedSessions(sessions.SessionMiddlewareStack(consumer))
        value = stored.session_key if carried == "token" else stored.session_key[:40]
        await app({"type": "websocket", "headers": [(b"cookie", f"sessionid={value}".encode())]}, None, None)
        with shared(TRANSPORT="header"):
            await app({"type": "websocket", "headers": [(b"x-session-token", value.encode())]}, None, None)

    asyncio.run(connect())
    assert seen == ([1, None] if carried == "token" else [None, None])
    assert stored.load() == ({} if carried == "token" else {"a": 1})


@MEMORY
def test_a_scope_without_headers_has_no_session(shared) -> None:
    """The lifespan of an application."""
    seen = []

    async def app(scope, receive, send):
        seen.append(scope)

    asyncio.run(SignedSessions(app)({"type": "lifespan"}, None, None))
    assert seen == [{"type": "lifespan"}]


# -- settings


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (
            {"BAKEND": "memory://"},
            r"""no setting 'SHAREDSESSION\["BAKEND"\]'; did you mean 'SHAREDSESSION\["BACKEND"\]'""",
        ),
        ({"backend": "memory://"}, "there is no 'backend'; write 'BACKEND'$"),
        ({5: "memory://"}, "there is no 5$"),
        (["memory://"], "dict"),
        ({"BACKEND": "memory://", "TIMEOUT": -1}, r'^SHAREDSESSION\["TIMEOUT"\] must be'),
        (
            {"BACKEND": "memory://", "COOKIE_NAME": ""},
            r'^SHAREDSESSION\["COOKIE_NAME"\] must be a text that is not empty',
        ),
        ({"BACKEND": "memory://", "COOKIE_SECURE": False}, r'set SHAREDSESSION\["DEVELOPMENT"\]=True'),
        ({"BACKEND": "nonsense://"}, r'^SHAREDSESSION\["BACKEND"\] nonsense:// is unknown'),
    ],
)
def test_a_wrong_setting_is_found_at_start_up(wrong, named) -> None:
    """When Django makes its middlewares, and the message names it as the project wrote it."""
    with override_settings(SHAREDSESSION=wrong), pytest.raises(ConfigurationError, match=named):
        SessionMiddleware(lambda _request: None)


@pytest.mark.parametrize(
    ("theirs", "named"),
    [
        ({"SESSION_COOKIE_AGE": -1}, "SESSION_COOKIE_AGE must be a positive number"),
        ({"SESSION_COOKIE_NAME": ""}, "SESSION_COOKIE_NAME must be a text that is not empty"),
        ({"SESSION_COOKIE_PATH": ""}, "SESSION_COOKIE_PATH must be a text that is not empty"),
        ({"SESSION_COOKIE_SAMESITE": "loose"}, "SESSION_COOKIE_SAMESITE must be 'lax'"),
        ({"SESSION_COOKIE_NAME": "__Host-s", "SESSION_COOKIE_DOMAIN": "shop.example"}, "neither SESSION_COOKIE_DOMAIN"),
        ({"SECRET_KEY": "short", "SECRET_KEY_FALLBACKS": []}, r"^SECRET_KEY is too short.*SHAREDSESSION\["),
        ({"SECRET_KEY_FALLBACKS": ["short"]}, r"^SECRET_KEY with its fallbacks \(number 2 of 2\) is too short"),
    ],
)
def test_django_s_own_settings_have_their_own_names_in_errors(theirs, named) -> None:
    """They are what the project has to change."""
    with override_settings(**theirs), pytest.raises(ConfigurationError, match=named):
        SessionMiddleware(lambda _request: None)


def test_an_age_above_the_absolute_end_is_said_only_where_the_project_wrote_it(caplog) -> None:
    """Django's default of two weeks is nobody's mistake."""
    with override_settings(SHAREDSESSION={"BACKEND": "memory://", "ABSOLUTE_TIMEOUT": 43200}):
        configuration()
        assert caplog.records == []
        with override_settings(SESSION_COOKIE_AGE=86400):
            configuration()
    (record,) = caplog.records
    assert record.event == "idle_above_absolute"
    assert 'SESSION_COOKIE_AGE (86400 seconds) is longer than SHAREDSESSION["ABSOLUTE_TIMEOUT"]' in record.message


def test_an_empty_domain_of_django_s_is_none() -> None:
    """As Django takes it."""
    with override_settings(SESSION_COOKIE_DOMAIN=""):
        assert configuration().settings.transport.cookie.domain is None


def test_a_weak_secret_is_found_at_start_up() -> None:
    """The one of ``startproject`` is printed on every screen."""
    with override_settings(SECRET_KEY="django-insecure-" + "x" * 50), pytest.raises(ConfigurationError):
        SessionMiddleware(lambda _request: None)
    with override_settings(SECRET_KEY="weak", SHAREDSESSION={"BACKEND": "memory://", "DEVELOPMENT": True}):
        SessionMiddleware(lambda _request: None)


def test_ours_beat_django_s() -> None:
    """What ``SHAREDSESSION`` says holds, then the environment, then Django's own settings."""
    ours = {"BACKEND": "memory://", "IDLE_TIMEOUT": 60, "COOKIE_PERSISTENT": False, "COOKIE_SAMESITE": "strict"}
    with override_settings(SHAREDSESSION=ours, SESSION_COOKIE_SAMESITE=False, SESSION_COOKIE_AGE=5):
        assert SessionStore().get_expiry_age() == 60
        assert SessionStore().get_expire_at_browser_close() is True
        assert configuration().samesite == "Strict"
    with override_settings(SESSION_COOKIE_AGE=5):
        assert SessionStore().get_expiry_age() == 5


def test_overriding_a_setting_keeps_the_backend() -> None:
    """One URL is one backend, so that a test's `override_settings` does not lose what is in memory."""
    session = SessionStore()
    session["a"] = 1
    session.save()
    with override_settings(SESSION_COOKIE_NAME="other"):
        assert SessionStore(session.session_key)["a"] == 1
        assert configuration().settings.transport.cookie.name == "other"


class OwnStore(SessionStore):
    """An application's own session."""

    def get_session_cookie_age(self):
        return 77


def test_an_engine_of_the_application_s_own() -> None:
    """What extends our session is what requests get; another engine's is not."""
    with override_settings(SESSION_ENGINE="django.contrib.sessions.backends.db"):
        assert SessionMiddleware(lambda _request: None).SessionStore is SessionStore
    module = type("module", (), {"SessionStore": OwnStore})
    import sys

    sys.modules["own_engine"] = module
    try:
        with override_settings(SESSION_ENGINE="own_engine"):
            assert SessionMiddleware(lambda _request: None).SessionStore is OwnStore
            session = Client().session
            assert session.get_expiry_age() == 77
    finally:
        del sys.modules["own_engine"]


def test_a_session_of_another_engine() -> None:
    """An application may put one in the place of ours: Django's rules hold for it, in both colours."""
    from django.contrib.sessions.backends.signed_cookies import SessionStore as Signed
    from django.http import HttpResponse

    def replace(request):
        request.session = Signed()
        request.session["a"] = 1
        return HttpResponse()

    async def areplace(request):
        return replace(request)

    assert "sessionid" in SessionMiddleware(replace)(RequestFactory().get("/")).cookies
    answer = asyncio.run(SessionMiddleware(areplace)(RequestFactory().get("/")))
    assert "sessionid" in answer.cookies


def test_a_middleware_that_is_called_by_hand() -> None:
    """Outside of Django's handlers an outage is an exception; here it is the 503, too."""

    def page(request):
        raise BackendUnavailable("nobody there")

    async def apage(request):
        raise BackendUnavailable("nobody there")

    assert SessionMiddleware(page)(RequestFactory().get("/")).status_code == 503
    assert asyncio.run(SessionMiddleware(apage)(RequestFactory().get("/"))).status_code == 503


@pytest.mark.parametrize("flush", [True, False])
def test_what_a_request_creates_and_ends(flush) -> None:
    """A session that was stored and ended in one request leaves no cookie."""
    from django.http import HttpResponse

    def page(request):
        request.session.create()
        if flush:
            request.session.flush()
        return HttpResponse()

    assert bool(SessionMiddleware(page)(RequestFactory().get("/")).cookies) is not flush
