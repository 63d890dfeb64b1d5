"""The names that applications see are the documented ones: an internal name would hide a key in a template."""

import asyncio
from collections.abc import Callable
from typing import Any

import flask
import pytest
from flask.sessions import SessionMixin

from sharedsession import MachineKey, Session, SessionManager, asgi, wsgi
from sharedsession.frameworks import starlette
from sharedsession.frameworks.flask import FlaskSession, SharedSession
from sharedsession.frameworks.starlette import StarletteSession

SETTINGS: dict[str, Any] = {"secret_key": MachineKey.generate(), "backend": "memory://"}
SESSION = {
    "accessed",
    "append",
    "asave",
    "created_at",
    "destroy",
    "expires_at",
    "id",
    "idle_timeout",
    "increment",
    "is_new",
    "load",
    "lock",
    "modified",
    "persistent",
    "principal",
    "regenerate",
    "revoke_others",
    "save",
}
STARTER = {"mark_accessed", "mark_modified"}  # of Starlette's own session
VERBS = ("list", "revoke", "revoke_all", "begin_login", "health", "fingerprint")
MANAGER = {verb for name in VERBS for verb in (name, f"a{name}")}


def names_of(thing: object) -> set[str]:
    """The names that `dir` shows, but for those that begin with an underscore."""
    return {name for name in dir(thing) if not name.startswith("_")}


DICT = names_of(dict)
FLASK = names_of(SessionMixin)


def under_wsgi() -> Any:
    """The session of a request to a WSGI application."""
    seen: list[Any] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        seen.append(environ["sharedsession.session"])
        start_response("200 OK", [])
        return []

    wsgi.SessionMiddleware(app, **SETTINGS)({}, lambda *_: lambda _: None)
    return seen[0]


def under_asgi(middleware: Any = asgi.SessionMiddleware) -> Any:
    """The session of a request to an ASGI application."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["session"])

    asyncio.run(middleware(app, **SETTINGS)({"type": "http", "path": "/", "headers": []}, None, None))
    return seen[0]


def under_starlette() -> Any:
    """The session of a request to a Starlette application."""
    return under_asgi(starlette.SessionMiddleware)


def under_flask() -> Any:
    """The session of a request to a Flask application."""
    app = flask.Flask("shop")
    SharedSession(app, **SETTINGS)
    with app.test_request_context():
        return flask.session._get_current_object()  # type: ignore[attr-defined]  # of werkzeug's proxy


def test_a_session_has_the_documented_names_and_a_dict_s():
    """Nothing that the library needs for itself is among them."""
    assert names_of(Session) - DICT == SESSION
    assert names_of(Session) >= DICT


@pytest.mark.parametrize(
    ("open_session", "kind", "more"),
    [
        (under_wsgi, Session, set()),
        (under_asgi, Session, set()),
        (under_starlette, StarletteSession, STARTER),
        (under_flask, FlaskSession, FLASK),
    ],
    ids=["wsgi", "asgi", "starlette", "flask"],
)
def test_so_has_the_session_of_a_request(open_session: Callable[[], Any], kind: type, more: set[str]):
    """A framework's session has the names of the framework's own as well, and no others."""
    session = open_session()
    assert type(session) is kind
    assert names_of(session) == DICT | SESSION | more


def test_a_manager_has_its_verbs_in_both_colours():
    """And the way to make one."""
    assert names_of(SessionManager) == MANAGER | {"from_settings"}
    assert names_of(SessionManager.from_settings(**SETTINGS)) == MANAGER | {"from_settings"}
