"""Flask over real backends: its settings and habits, what a request costs, and what outages and races look like."""

import secrets
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Any
from uuid import UUID

import flask
import pytest
from flask.sessions import SessionMixin
from flask.testing import FlaskClient
from markupsafe import Markup

from sharedsession import ConfigurationError, SessionManager
from sharedsession.frameworks.flask import SharedSession
from sharedsession.manager import engines_of
from tests.support.relay import Relay

SHARED = ("sqlite", "memcached", "redis", "ring")
SECRET = secrets.token_urlsafe(48)
VALUES = {
    "tuple": (1, 2, 3),
    "bytes": b"\xff",
    "markup": Markup("<html>"),
    "uuid": UUID(int=7),
    "datetime": datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
    "offset": datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=5, minutes=30))),
    "tag": {" t": "not a tuple"},
    "tags": {" di": "not a dict", "list": [{" b": "x"}, (b"y",)]},
}


Farm = Callable[..., flask.Flask]


@pytest.fixture
def farm() -> Iterator[Farm]:
    """Makes web nodes: applications with one view, which does what `visit` says."""
    nodes: list[SharedSession] = []

    def made(url: str, **config: Any) -> flask.Flask:
        app = flask.Flask(__name__)
        app.config |= {"SECRET_KEY": SECRET, "SHAREDSESSION_BACKEND": url, "SHAREDSESSION_TIMEOUT": 5.0} | config
        nodes.append(SharedSession(app))
        app.add_url_rule("/", view_func=_view)
        return app

    yield made
    for node in nodes:
        engines_of(node.manager).settings.backend.close()  # type: ignore[unused-coroutine]


def _view() -> str:
    deed = flask.request.environ["test.deed"]
    return str(deed(flask.session) if deed else "")


def visit(client: FlaskClient, deed: Callable[[Any], Any] | None) -> Any:
    """One request that does this to the session; without a deed it is left alone."""
    return client.get("/", environ_overrides={"test.deed": deed})


def text(client: FlaskClient, deed: Callable[[Any], Any]) -> str:
    return str(visit(client, deed).text)


@pytest.fixture
def app(url: str, farm: Farm) -> flask.Flask:
    return farm(url)


@pytest.fixture
def client(app: flask.Flask) -> FlaskClient:
    return app.test_client()


def everywhere(test: Any) -> Any:
    return pytest.mark.parametrize("url", SHARED, indirect=True)(test)


def in_memory(test: Any) -> Any:
    return pytest.mark.parametrize("url", ["memory"], indirect=True)(test)


# -- the session


@everywhere
def test_two_web_nodes_share_one_session(url: str, app: flask.Flask, client: FlaskClient, farm: Farm) -> None:
    """A second application under the same settings reads, counts on and logs out."""
    other = farm(url).test_client()
    assert visit(client, lambda session: session.update(n=1)).status_code == 200
    other.set_cookie("__Host-session", client.get_cookie("__Host-session").value)
    assert text(other, lambda session: session.increment("n")) == "2"
    assert text(client, lambda session: (session["n"], session.new)) == "(2, False)"
    visit(other, lambda session: session.destroy())
    assert text(client, dict) == "{}"


@everywhere
def test_every_value_that_flask_keeps_comes_back_as_itself(client: FlaskClient) -> None:
    """Value and type, at the top and inside."""
    seen: list[Any] = []
    visit(client, lambda session: session.update(VALUES))
    visit(client, lambda session: seen.append(dict(session)))
    assert seen == [VALUES]
    assert [type(value) for value in seen[0].values()] == [type(value) for value in VALUES.values()]


@everywhere
def test_two_requests_at_a_time_are_merged(client: FlaskClient, app: flask.Flask) -> None:
    """A slow request keeps what a fast one wrote meanwhile."""
    visit(client, lambda session: session.update(n=1))
    rival = app.test_client()
    rival.set_cookie("__Host-session", client.get_cookie("__Host-session").value)

    def slow(session: Any) -> None:
        session["slow"] = 1
        visit(rival, lambda session: session.update(fast=1))

    visit(client, slow)
    assert text(client, lambda session: sorted(session)) == "['fast', 'n', 'slow']"


@everywhere
def test_an_untouched_request_costs_nothing(url: str, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """No verb of the store is asked, no header is added; a look costs one verb."""
    visit(client, lambda session: session.update(n=1))
    engine = engines_of(client.application.session_interface.manager).blocking  # type: ignore[attr-defined]
    store = engine._store._store
    asked: list[str] = []
    read = "get_newest" if hasattr(store, "get_newest") else "get"
    for verb in (read, "add", "replace", "end", "touch"):
        monkeypatch.setattr(store, verb, _counted(getattr(store, verb), asked))
    untouched = visit(client, None)
    assert (asked, untouched.headers.getlist("Set-Cookie"), "Vary" in untouched.headers) == ([], [], False)
    visit(client, lambda session: session["n"])
    assert asked == [read]


def _counted(verb: Callable[..., Any], asked: list[str]) -> Callable[..., Any]:
    def counted(*args: Any, **keywords: Any) -> Any:
        asked.append(verb.__name__)
        return verb(*args, **keywords)

    return counted


@pytest.mark.parametrize("kind", ["memcached", "redis"])
def test_round_trips_on_the_wire(request: pytest.FixtureRequest, kind: str, farm: Farm) -> None:
    """Untouched 0, read 1, change 2, login at most 3, logout 1."""
    server = request.getfixturevalue(kind)
    with Relay(server.port) as relay:
        client = farm(server.url.replace(str(server.port), str(relay.port))).test_client()

        def cost(deed: Any) -> int:
            relay.reset_counts()
            assert visit(client, deed).status_code == 200
            return relay.round_trips

        visit(client, lambda session: session.update(n=1))
        assert cost(None) == 0
        assert cost(lambda session: session["n"]) == 1
        assert cost(lambda session: session.update(n=2)) == 2
        assert cost(lambda session: (session.regenerate(), session.update(user=1))) <= 3
        assert cost(lambda session: session.destroy()) == 1
        client.set_cookie("__Host-session", "forged")
        assert cost(dict) == 0


# -- Flask's habits


@in_memory
def test_flashed_messages(client: FlaskClient) -> None:
    """They are there once, with their category."""
    visit(client, lambda session: flask.flash("saved", "info"))
    assert text(client, lambda session: flask.get_flashed_messages(with_categories=True)) == "[('info', 'saved')]"
    assert text(client, lambda session: flask.get_flashed_messages()) == "[]"


@everywhere
def test_session_transaction(client: FlaskClient) -> None:
    """A test can put something into the session, and look what is in it."""
    with client.session_transaction() as session:
        session["user"] = "alice"
    assert text(client, lambda session: session["user"]) == "alice"
    with client.session_transaction() as session:
        assert session == {"user": "alice"}
        assert isinstance(session, SessionMixin)


@in_memory
def test_a_permanent_session(url: str, farm: Farm) -> None:
    """Its cookie has an end, it lives that long unused, and each request that uses it moves the end."""
    client = farm(url, PERMANENT_SESSION_LIFETIME=timedelta(days=3)).test_client()

    def login(session: Any) -> float:
        session["user"], session.permanent = "alice", True
        return session.idle_timeout

    answer = visit(client, login)
    assert answer.text == str(3 * 86400.0)
    assert "Expires=" in answer.headers["Set-Cookie"]
    for _ in range(2):
        answer = visit(client, lambda session: session.permanent)
        assert (answer.text, len(answer.headers.getlist("Set-Cookie"))) == ("True", 1)
    client.application.config["SESSION_REFRESH_EACH_REQUEST"] = False
    assert "Set-Cookie" not in visit(client, dict).headers
    assert "Expires=" not in visit(client, lambda session: setattr(session, "permanent", False)).headers["Set-Cookie"]


@in_memory
def test_the_cookie_of_a_permanent_session(client: FlaskClient) -> None:
    """It has an end, and the attributes that every cookie of ours has."""
    cookies = [
        visit(client, lambda session: session.update(n=1)).headers["Set-Cookie"],
        visit(client, lambda session: setattr(session, "permanent", True)).headers["Set-Cookie"],
    ]
    attributes = [set(cookie.split("; ")[1:]) for cookie in cookies]
    (end,) = attributes[1] - attributes[0]
    assert attributes[0] == attributes[1] - {end} == {"Path=/", "HttpOnly", "Secure", "SameSite=Lax"}
    lifetime = parsedate_to_datetime(end.removeprefix("Expires=")) - datetime.now(UTC)
    assert timedelta(days=30.9) < lifetime < timedelta(days=31.1)


@in_memory
def test_a_page_that_passes_a_permanent_session_by(client: FlaskClient, app: flask.Flask) -> None:
    """It depends on no session; it does if the session was to be permanent, as for visitors who have none yet."""
    visit(client, lambda session: (session.update(n=1), setattr(session, "permanent", True)))
    assert "Vary" not in visit(client, None).headers
    for visitor in (client, app.test_client()):
        answer = visit(visitor, lambda session: setattr(session, "permanent", True))
        assert answer.headers["Vary"] == "Cookie"


@pytest.mark.parametrize("kind", ["redis"])
def test_permanent_before_each_request(request: pytest.FixtureRequest, kind: str, farm: Farm) -> None:
    """What many applications do costs no store operation where the session is permanent already."""
    server = request.getfixturevalue(kind)
    with Relay(server.port) as relay:
        app = farm(server.url.replace(str(server.port), str(relay.port)))
        app.before_request(lambda: setattr(flask.session, "permanent", True))
        client = app.test_client()
        visit(client, lambda session: session.update(n=1))
        relay.reset_counts()
        assert visit(client, None).status_code == 200
        assert relay.round_trips == 0
        assert text(client, lambda session: (session["n"], session.permanent)) == "(1, True)"


@in_memory
def test_a_long_request_does_not_hand_out_its_cookie_again(client: FlaskClient, monkeypatch: Any) -> None:
    """The visitor may have logged in meanwhile: the old cookie would overwrite the new one."""
    monkeypatch.setattr("sharedsession.frameworks.flask.interface._RENEW_WITHIN", 0.0)
    visit(client, lambda session: (session.update(n=1), setattr(session, "permanent", True)))
    assert "Set-Cookie" not in visit(client, dict).headers


@in_memory
def test_an_ordinary_session_ends_with_the_browser(client: FlaskClient) -> None:
    """One cookie when it is new, none for what follows."""
    assert "Expires=" not in visit(client, lambda session: session.update(n=1)).headers["Set-Cookie"]
    assert "Set-Cookie" not in visit(client, lambda session: session.update(n=2)).headers


@in_memory
@pytest.mark.parametrize("empty", [lambda session: session.clear(), lambda session: session.pop("n")])
def test_an_emptied_session_takes_its_cookie_back(client: FlaskClient, empty: Any) -> None:
    """As Flask does; the session is ended for everyone who still has the cookie."""
    visit(client, lambda session: session.update(n=1))
    token = client.get_cookie("__Host-session").value
    assert "Max-Age=0" in visit(client, empty).headers["Set-Cookie"]
    client.set_cookie("__Host-session", token)
    assert text(client, lambda session: session.new) == "True"


@in_memory
def test_a_new_session_that_stays_empty_is_not_stored(client: FlaskClient) -> None:
    """Even if it was made permanent, as many applications do before each request."""
    answer = visit(client, lambda session: setattr(session, "permanent", True))
    assert "Set-Cookie" not in answer.headers
    assert answer.headers["Vary"] == "Cookie"


@in_memory
def test_modified_tells_what_flask_would_say(client: FlaskClient) -> None:
    """Nothing before, and still after the commit; setting it stores once more, and harms an empty session not."""
    with client:
        visit(client, lambda session: session.update(n=1))
        assert flask.session.modified
        assert flask.session.accessed
    with client:
        assert text(client, lambda session: session.modified) == "False"
    visit(client, lambda session: setattr(session, "modified", True))
    assert text(client, lambda session: session["n"]) == "1"


@in_memory
def test_the_old_name_of_regenerate(client: FlaskClient) -> None:
    """``app.session_interface.regenerate(session)`` is what Flask-Session's users call."""
    visit(client, lambda session: session.update(n=1))
    old = client.get_cookie("__Host-session").value
    visit(client, lambda session: client.application.session_interface.regenerate(session))  # type: ignore[attr-defined]
    assert client.get_cookie("__Host-session").value != old
    assert text(client, dict) == "{'n': 1}"


@in_memory
def test_a_login_by_flask_login_changes_the_id(url: str, client: FlaskClient, farm: Farm) -> None:
    """Without a setting: what stands under its key is a login. The setting may name other keys, or none."""
    elsewhere = farm(url, SHAREDSESSION_REGENERATE_ON="user").test_client()
    nowhere = farm(url, SHAREDSESSION_REGENERATE_ON=()).test_client()
    assert [changes_the_id(client, key) for key in ("_user_id", "user")] == [True, False]
    assert [changes_the_id(elsewhere, key) for key in ("_user_id", "user")] == [False, True]
    assert [changes_the_id(nowhere, key) for key in ("_user_id", "user")] == [False, False]


def test_also_with_a_manager_that_other_frameworks_share() -> None:
    """What is Flask's default is Flask's alone; what the manager is told to do is for all."""
    for settings, expected in (({}, [True, False]), ({"regenerate_on": ["user"]}, [False, True])):
        app = flask.Flask(__name__)
        app.add_url_rule("/", view_func=_view)
        SharedSession(app, manager=SessionManager.from_settings(secret_key=SECRET, backend="memory://", **settings))
        client = app.test_client()
        assert [changes_the_id(client, key) for key in ("_user_id", "user")] == expected


@in_memory
def test_a_login_in_an_event_of_flask_socketio_is_kept(client: FlaskClient, caplog: Any) -> None:
    """Nobody sends the response of an event, so the visitor would lose the session by a new ID."""

    def event(session: Any) -> None:
        flask.request.namespace = "/"  # type: ignore[attr-defined]  # as that extension marks it
        session["_user_id"] = "alice"

    visit(client, lambda session: session.update(cart=[]))
    token = client.get_cookie("__Host-session").value
    visit(client, event)
    assert client.get_cookie("__Host-session").value == token
    assert text(client, dict) == "{'cart': [], '_user_id': 'alice'}"
    assert [record.event for record in caplog.records].count("login_kept_id") == 1


def changes_the_id(client: FlaskClient, key: str) -> bool:
    """Whether a visitor with a session gets another token when this key is set."""
    visit(client, lambda session: session.update(cart=[]))
    old = client.get_cookie("__Host-session").value
    visit(client, lambda session: session.update({key: "alice"}))
    changed = client.get_cookie("__Host-session").value != old
    visit(client, lambda session: session.destroy())
    return bool(changed)


@in_memory
def test_changes_in_a_stream_are_saved_at_its_end(client: FlaskClient) -> None:
    """The browser has the ID by then; the head left long before."""

    def stream() -> Iterator[str]:
        yield "head"
        flask.session["late"] = 1

    client.application.add_url_rule("/stream", view_func=lambda: flask.stream_with_context(stream()))
    visit(client, lambda session: session.update(n=1))
    assert client.get("/stream", buffered=True).text == "head"
    assert text(client, dict) == "{'n': 1, 'late': 1}"


@in_memory
def test_nothing_outranks_no_store(client: FlaskClient) -> None:
    """What caches obey before Cache-Control does not leave beside a cookie."""

    def page() -> flask.Response:
        flask.session["n"] = 1
        return flask.Response("", headers={"X-Accel-Expires": "9", "Surrogate-Control": "max-age=9", "X-Other": "1"})

    client.application.add_url_rule("/page", view_func=page)
    headers = client.get("/page").headers
    assert (headers["Cache-Control"], headers["X-Other"]) == ("no-store", "1")
    assert not [name for name in ("X-Accel-Expires", "Surrogate-Control") if name in headers]


# -- Flask's settings


@in_memory
def test_secrets_are_read_when_they_are_used(client: FlaskClient) -> None:
    """A new secret with the old one among the fallbacks logs nobody out; without it the cookie is forged."""
    visit(client, lambda session: session.update(n=1))
    client.application.config |= {"SECRET_KEY": secrets.token_urlsafe(48), "SECRET_KEY_FALLBACKS": [SECRET]}
    assert text(client, dict) == "{'n': 1}"
    client.application.config["SECRET_KEY_FALLBACKS"] = None
    assert text(client, dict) == "{}"


def test_without_a_secret_there_is_flasks_null_session(farm: Farm) -> None:
    """It can be looked at; a write says what is missing. A secret that comes later counts."""
    app = farm("memory://", SECRET_KEY=None)
    client = app.test_client()
    assert text(client, dict) == "{}"
    app.testing = True
    with pytest.raises(RuntimeError, match="secret"):
        visit(client, lambda session: session.update(n=1))
    app.secret_key = SECRET
    visit(client, lambda session: session.update(n=1))
    assert text(client, dict) == "{'n': 1}"


def test_a_weak_secret_fails_at_the_start(farm: Farm) -> None:
    """The message names the setting, not the secret."""
    with pytest.raises(ConfigurationError, match=r"^SECRET_KEY is too short") as caught:
        farm("memory://", SECRET_KEY="dev-dev-dev")
    assert "dev-dev-dev" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "attributes"),
    [
        ({}, "__Host-session; Secure; HttpOnly; Path=/; SameSite=Lax"),
        ({"SHAREDSESSION_DEVELOPMENT": True}, "session; HttpOnly; Path=/; SameSite=Lax"),
        ({"SESSION_COOKIE_NAME": "mine"}, "mine; Secure; HttpOnly; Path=/; SameSite=Lax"),
        ({"SESSION_COOKIE_SAMESITE": "Strict"}, "__Host-session; Secure; HttpOnly; Path=/; SameSite=Strict"),
        ({"SESSION_COOKIE_PATH": "/app"}, "__Secure-session; Secure; HttpOnly; Path=/app; SameSite=Lax"),
        ({"APPLICATION_ROOT": "/app"}, "__Secure-session; Secure; HttpOnly; Path=/app; SameSite=Lax"),
        (
            {"SESSION_COOKIE_DOMAIN": "example.com"},
            "__Secure-session; Domain=example.com; Secure; HttpOnly; Path=/; SameSite=Lax",
        ),
        (
            {"SESSION_COOKIE_PARTITIONED": True, "SESSION_COOKIE_HTTPONLY": False},
            "__Host-session; Secure; Path=/; SameSite=Lax; Partitioned",
        ),
        (
            {"SESSION_COOKIE_NAME": "flasks", "SHAREDSESSION_COOKIE_NAME": "ours"},
            "ours; Secure; HttpOnly; Path=/; SameSite=Lax",
        ),
    ],
)
def test_the_cookie_follows_flasks_settings(config: dict[str, Any], attributes: str, farm: Farm, caplog: Any) -> None:
    """What was left at Flask's default is ours: secure, and named so that no subdomain can plant it."""
    app = farm("memory://", **config)
    told = [record.event for record in caplog.records]
    assert ("http_only_off" in told) is ("HttpOnly" not in attributes)
    set_cookie = visit(app.test_client(), lambda session: session.update(n=1)).headers["Set-Cookie"]
    assert {
        part.partition("=")[0] if not part.startswith(("Dom", "Pa", "Sa")) else part for part in _parts(set_cookie)
    } == set(_parts(attributes))


def _parts(line: str) -> list[str]:
    return [part.strip() for part in line.split(";")]


@in_memory
def test_cookie_settings_may_change(client: FlaskClient) -> None:
    """They are read when they are used, as Flask does."""
    client.application.config["SESSION_COOKIE_NAME"] = "later"
    assert visit(client, lambda session: session.update(n=1)).headers["Set-Cookie"].startswith("later=")
    assert text(client, dict) == "{'n': 1}"


@in_memory
def test_a_subclass_may_name_the_cookie(url: str) -> None:
    """As Flask's documentation shows it for its own interface; nobody called `init_app`."""

    class ByHost(SharedSession):
        def get_cookie_name(self, app: flask.Flask) -> str:
            return "admin" if flask.request.host.startswith("admin") else super().get_cookie_name(app)

    app = flask.Flask(__name__)
    app.config |= {"SECRET_KEY": SECRET, "SHAREDSESSION_BACKEND": url}
    app.session_interface = ByHost()
    app.add_url_rule("/set", view_func=lambda: flask.session.setdefault("host", flask.request.host))
    client = app.test_client()
    for host in ("admin.example.com", "www.example.com"):
        for _ in range(2):
            answer = client.get("/set", base_url=f"https://{host}")
            assert answer.text == host
    assert answer.request.cookies.keys() == {"__Host-session"}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"SHAREDSESSION_IDEL_TIMEOUT": 1},
            "there is no setting 'SHAREDSESSION_IDEL_TIMEOUT'; did you mean 'SHAREDSESS",
        ),
        ({"SHAREDSESSION_IDLE_TIMEOUT": -1}, "SHAREDSESSION_IDLE_TIMEOUT must be a positive number of seconds"),
        ({"SESSION_COOKIE_SAMESITE": "invalid"}, "SESSION_COOKIE_SAMESITE must be 'lax'"),
        ({"SESSION_COOKIE_NAME": ""}, "SESSION_COOKIE_NAME must be a text that is not empty"),
        ({"SESSION_COOKIE_NAME": "a b"}, "SESSION_COOKIE_NAME must be letters"),
        ({"APPLICATION_ROOT": "a b"}, "APPLICATION_ROOT must begin with /"),
        ({"SESSION_COOKIE_PATH": "a b"}, "SESSION_COOKIE_PATH must begin with /"),
        ({"SHAREDSESSION_COOKIE_NAME": ""}, "SHAREDSESSION_COOKIE_NAME must be a text that is not empty"),
        (
            {"SHAREDSESSION_COOKIE_SECURE": False},
            "SHAREDSESSION_COOKIE_SECURE=False sends .* SHAREDSESSION_DEVELOPMENT=True",
        ),
        ({"SHAREDSESSION_BACKEND": "memcachd://localhost"}, "SHAREDSESSION_BACKEND memcachd:// is unknown"),
        ({"SECRET_KEY_FALLBACKS": ["short"]}, r"SECRET_KEY with its fallbacks \(number 2 of 2\) is too short"),
        (
            {"SHAREDSESSION_COOKIE_NAME": "__Host-x", "SESSION_COOKIE_DOMAIN": "shop.example"},
            "SHAREDSESSION_COOKIE_NAME '__Host-x' allows neither SESSION_COOKIE_DOMAIN nor",
        ),
    ],
)
def test_a_wrong_setting_is_named_as_its_key_in_the_configuration(
    config: dict[str, Any], message: str, farm: Farm
) -> None:
    """Flask's own settings by Flask's names, ours by theirs."""
    with pytest.raises(ConfigurationError, match=f"^{message}"):
        farm("memory://", **config)


def test_a_keyword_of_the_extension_is_named_as_a_keyword() -> None:
    """Whoever wrote it in code looks for it there."""
    app = flask.Flask(__name__)
    app.config |= {"SECRET_KEY": SECRET, "SHAREDSESSION_BACKEND": "memory://"}
    with pytest.raises(ConfigurationError, match=r"^idle_timeout must be"):
        SharedSession(app, idle_timeout=-1)
    with pytest.raises(ConfigurationError, match="'idel_timeout'; did you mean 'idle_timeout'"):
        SharedSession(app, idel_timeout=1)  # type: ignore[call-arg]


def test_a_variable_is_named_as_a_variable(monkeypatch: pytest.MonkeyPatch, farm: Farm) -> None:
    """Also where the application is Flask's."""
    monkeypatch.setenv("SHAREDSESSION_MAX_SIZE", "")
    with pytest.raises(ConfigurationError, match=r"^the environment variable SHAREDSESSION_MAX_SIZE is empty"):
        farm("memory://")


def test_a_setting_beside_a_manager_is_named_as_its_key(farm: Farm) -> None:
    """The manager has settings of its own."""
    manager = farm("memory://").session_interface.manager  # type: ignore[attr-defined]
    app = flask.Flask(__name__)
    app.config["SHAREDSESSION_IDLE_TIMEOUT"] = 5
    with pytest.raises(ConfigurationError, match="and SHAREDSESSION_IDLE_TIMEOUT stands beside it"):
        SharedSession(app, manager=manager)


def test_one_extension_serves_several_applications() -> None:
    """`init_app` is called for each; each has its own secret and settings."""
    shared = SharedSession()
    apps = [flask.Flask(name) for name in ("one", "two")]
    for app in apps:
        app.config |= {"SECRET_KEY": secrets.token_urlsafe(48), "SHAREDSESSION_BACKEND": "memory://"}
        shared.init_app(app)
        app.add_url_rule("/", view_func=lambda: str(flask.session.setdefault("app", flask.current_app.name)))
    assert [app.test_client().get("/").text for app in apps] == ["one", "two"]


def test_a_path_without_sessions(farm: Farm) -> None:
    """It can be looked at and is empty; a write says why it cannot be."""
    app = farm("memory://", SHAREDSESSION_EXCLUDE="/static/*")
    with app.test_request_context("/static/logo.png"):
        assert dict(flask.session) == {}
        with pytest.raises(RuntimeError, match="exclude"):
            flask.session["n"] = 1


@in_memory
def test_the_token_in_a_header(url: str, farm: Farm) -> None:
    """For clients without cookies."""
    client = farm(url, SHAREDSESSION_TRANSPORT="header").test_client()
    answer = visit(client, lambda session: session.update(n=1))
    assert "Set-Cookie" not in answer.headers
    headers = {"X-Session-Token": answer.headers["X-Session-Token"]}
    deed: Any = lambda session: session["n"]  # noqa: E731
    assert client.get("/", environ_overrides={"test.deed": deed}, headers=headers).text == "1"


# -- what goes wrong


@pytest.mark.parametrize("kind", ["memcached", "redis"])
@pytest.mark.parametrize("policy", ["error", "anonymous"])
def test_an_outage(fresh: Callable[..., Any], kind: str, policy: str, farm: Farm) -> None:
    """503 or an anonymous answer, never a cookie that is taken back; the session is there afterwards."""
    server = fresh(kind)
    settings = {"SHAREDSESSION_TIMEOUT": 0.1, "SHAREDSESSION_BREAKER_WINDOW": 0.05}
    client = farm(server.url, SHAREDSESSION_ON_OUTAGE=policy, **settings).test_client()
    visit(client, lambda session: session.update(n=1))
    server.freeze()
    answer = visit(client, lambda session: session.get("n"))
    assert "Set-Cookie" not in answer.headers
    if policy == "error":
        assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)
        assert visit(client, lambda session: session.update(n=2)).status_code == 503
    else:
        assert answer.text == "None"
    assert visit(client, lambda session: session.destroy()).status_code == 503
    server.resume()
    answers = iter(lambda: visit(client, lambda session: session.get("n")), None)
    assert next(answer.text for answer in answers if answer.text != "None" and answer.status_code == 200) == "1"


@everywhere
def test_a_logout_during_a_slow_write_stays(client: FlaskClient, app: flask.Flask) -> None:
    """The slow request gets its answer, and neither cookie nor session."""
    visit(client, lambda session: session.update(n=1))
    token = client.get_cookie("__Host-session").value
    rival = app.test_client()
    rival.set_cookie("__Host-session", token)
    began, go = threading.Event(), threading.Event()

    def slow(session: Any) -> None:
        session["slow"] = 1
        began.set()
        assert go.wait(10)

    answers: list[Any] = []
    request = threading.Thread(target=lambda: answers.append(visit(client, slow)))
    request.start()
    assert began.wait(10)
    visit(rival, lambda session: session.destroy())
    go.set()
    request.join()
    assert (answers[0].status_code, "Set-Cookie" in answers[0].headers) == (200, False)
    assert text(client, dict) == "{}"


def test_each_cookie_setting_is_told_from_the_others(farm: Farm) -> None:
    """What was worked out for one setting is never taken for another's."""
    app = farm("memory://", SESSION_COOKIE_SECURE=True)
    assert "Partitioned" not in visit(app.test_client(), lambda session: session.update(n=1)).headers["Set-Cookie"]
    app.config |= {"SESSION_COOKIE_SECURE": False, "SESSION_COOKIE_PARTITIONED": True}
    assert "Partitioned" in visit(app.test_client(), lambda session: session.update(n=1)).headers["Set-Cookie"]
