"""``--app``: what a name may stand for, how the manager is found in it, and what is told where there is none."""

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import flask
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from sharedsession import ConfigurationError, MachineKey, SessionManager, asgi, wsgi
from sharedsession.cli.__main__ import main
from sharedsession.cli.application import ApplicationNotFoundError, find, imported
from sharedsession.frameworks.flask import SharedSession
from sharedsession.frameworks.starlette import SessionMiddleware

SECRET = MachineKey.generate()


def manager() -> SessionManager:
    return SessionManager.from_settings(secret_key=SECRET, backend="memory://")


def plain(environ: Any, start_response: Any) -> list[bytes]:
    """An application of WSGI without sessions."""
    return []


async def plain_asgi(scope: Any, receive: Any, send: Any) -> None:
    """One of ASGI."""


# -- where the manager is


def middleware() -> wsgi.SessionMiddleware:
    return wsgi.SessionMiddleware(plain, secret_key=SECRET, backend="memory://")


def test_a_manager_and_our_middlewares_are_found():
    """Both colours, and the manager itself."""
    mine, app = manager(), middleware()
    assert find(mine) is mine
    assert find(app) is app.manager
    assert find(asgi.SessionMiddleware(plain_asgi, manager=mine)) is mine


def closed_over(app: Any) -> Any:
    def wrapper(environ: Any, start_response: Any) -> Any:
        return app(environ, start_response)

    return wrapper


def decorated(app: Any) -> Any:
    @functools.wraps(plain)
    def wrapper(environ: Any, start_response: Any) -> Any:
        raise NotImplementedError

    wrapper.__wrapped__ = app
    return wrapper


SITE = middleware()


def site(environ: Any, start_response: Any) -> Any:
    """Refers to a global name."""
    return SITE(environ, start_response)


@pytest.mark.parametrize(
    "wrap",
    [
        ProxyFix,
        lambda app: ProxyFix(ProxyFix(app)),
        lambda app: DispatcherMiddleware(plain, {"/shop": app}),
        lambda app: functools.partial(app),
        lambda app: SimpleNamespace(application=app),  # WhiteNoise
        lambda app: SimpleNamespace(wsgi_application=app),  # asgiref's WsgiToAsgi
        lambda app: SimpleNamespace(application_mapping={"http": app}),  # Channels' router
        closed_over,
        decorated,
    ],
)
def test_wrappers_are_looked_through(wrap):
    """Those of Werkzeug, of other libraries, and functions."""
    app = middleware()
    assert find(wrap(app)) is app.manager


def test_a_function_leads_to_what_it_refers_to():
    """As a site that has its readiness page beside its application."""
    assert find(site) is SITE.manager
    assert find(ProxyFix(site)) is SITE.manager


def test_a_flask_application_is_found_by_its_extension_or_its_wrapper():
    """And one without shared sessions is not taken for one."""
    app = flask.Flask("shop")
    app.config.update(SECRET_KEY=SECRET, SHAREDSESSION_BACKEND="memory://")
    assert find(app) is None
    extension = SharedSession(app)
    assert find(app) is extension.manager
    assert find(ProxyFix(app)) is extension.manager
    other = flask.Flask("other")
    other.wsgi_app = ProxyFix(wsgi.SessionMiddleware(other.wsgi_app, manager=extension.manager))  # type: ignore[method-assign]
    assert find(other) is extension.manager


@pytest.mark.parametrize("kind", [asgi.SessionMiddleware, SessionMiddleware])
@pytest.mark.parametrize("application", [Starlette, FastAPI])
def test_an_added_middleware_is_made_alone(application, kind):
    """No other one is, since they may do more than ours when they are made."""

    class Other:
        def __init__(self, app: Any) -> None:
            raise AssertionError("it was made")

    mine = manager()
    app = application()
    app.add_middleware(kind, manager=mine)
    app.add_middleware(Other)
    assert find(app) is mine
    app = application(middleware=[Middleware(Other), Middleware(kind, secret_key=SECRET, backend="memory://")])
    assert isinstance(find(app), SessionManager)


def test_a_mounted_application_is_found():
    """Starlette's mounts."""
    mine = manager()
    inner = Starlette(middleware=[Middleware(SessionMiddleware, manager=mine)])
    assert find(Starlette(routes=[Mount("/shop", inner)])) is mine
    assert find(Starlette(routes=[Mount("/shop", asgi.SessionMiddleware(plain_asgi, manager=mine))])) is mine


def test_a_circle_of_wrappers_ends():
    """Nothing is looked at twice."""
    one, other = SimpleNamespace(), SimpleNamespace()
    one.app, other.app = closed_over(other), closed_over(one)
    assert find(one) is None
    assert find(None) is None


# -- what a name stands for


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Writes a module into the working directory. Returns its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))

    def write(text: str) -> str:
        (tmp_path / "corner_shop.py").write_text(text)
        return "corner_shop"

    return write


GOOD = f"""
from sharedsession.wsgi import SessionMiddleware
def plain(environ, start_response): ...
def create_app(name="shop", *more):
    return SessionMiddleware(plain, secret_key={SECRET!r}, backend="memory://", app_name=name)
class shops:
    main = create_app("main")
"""


@pytest.mark.parametrize(
    ("name", "app_name"),
    [
        ("corner_shop:create_app()", "shop"),
        ("corner_shop:create_app('till')", "till"),
        ("corner_shop:create_app", "shop"),
        ("corner_shop:shops.main", "main"),
        ("corner_shop", "shop"),
    ],
)
def test_a_name_is_read_as_web_servers_read_it(module, name, app_name):
    """A factory is called; without a name the usual ones are tried."""
    module(GOOD)
    with imported(name) as found:
        assert repr(found) == f"<SessionManager of {app_name!r} over memory>"


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("corner_shop.py:app", "", "write MODULE:NAME as for your web server, like shop:app"),
        ("shops/corner_shop:app", "", "write MODULE:NAME"),
        (":app", "", "write MODULE:NAME"),
        ("corner_shpo:app", "", "there is no module 'corner_shpo' in /"),
        ("corner_shop:app", "import no_such_library", "ModuleNotFoundError: No module named 'no_such_library' (/"),
        ("corner_shop:app", "1 / 0", "importing corner_shop failed: ZeroDivisionError: division by zero (/"),
        ("corner_shop:app", "raise SystemExit('no database')", "SystemExit: no database"),
        ("corner_shop:app", "site = 1", "module corner_shop has no 'app'"),
        ("corner_shop:app", GOOD + "site = create_app()", "has no 'app'; shared sessions are in site"),
        (
            "corner_shop:app",
            "def app(environ, start_response): ...",
            "function app has no shared sessions: expected is",
        ),
        ("corner_shop:app", "app = object()", "an object of builtins.object has no shared sessions"),
        ("corner_shop:app()", "def app(): return {}", "an object of builtins.dict has no shared"),
        ("corner_shop:app()", "def app(): open('nothing')", "calling app() failed: FileNotFoundError"),
        ("corner_shop:app()", "def app(): import nothing_here", "calling app() failed: ModuleNotFoundError"),
        ("corner_shop:app(x=1)", "def app(x): ...", "is no call of a factory with plain values"),
        ("corner_shop:app(open('x'))", "def app(x): ...", "is no call of a factory with plain values"),
        ("corner_shop:app)", "", "is no call of a factory with plain values"),
    ],
)
def test_what_is_wrong_is_one_line_with_what_is_expected(module, capsys, name, text, told):
    """Exit code 2, and the same in JSON."""
    module(text)
    assert main(["list", "user:42", "--app", name]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert told in err
    assert err.startswith(f"sharedsession list: --app {name}: ")
    sys.modules.pop("corner_shop", None)
    assert main(["doctor", "--app", name, "--json"]) == 2
    out, err = capsys.readouterr()
    assert err == ""
    assert told in json.loads(out)["error"]


def test_a_wrong_setting_of_an_application_keeps_its_words(module, capsys):
    """To `doctor` it is a finding like any other."""
    module("from sharedsession import SessionManager\nshop = SessionManager.from_settings(secret_key='changeme')")
    with pytest.raises(ConfigurationError, match=r"^secret_key is too short"), imported("corner_shop:shop"):
        pass
    assert main(["list", "user:42", "--app", "corner_shop:shop"]) == 2
    assert capsys.readouterr().err.startswith("sharedsession list: secret_key is too short")
    assert main(["doctor", "--app", "corner_shop:shop", "--json"]) == 1
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert (finding["level"], finding["topic"]) == ("fault", "settings")


def test_a_framework_s_secret_that_is_missing_is_found_and_the_store_is_looked_at(module, capsys):
    """Flask's is read when it is used."""
    module(
        "from flask import Flask\nfrom sharedsession.frameworks.flask import SharedSession\n"
        "app = Flask('shop')\napp.config['SHAREDSESSION_BACKEND'] = 'sqlite:///s.db'\nSharedSession(app)"
    )
    assert main(["doctor", "--app", "corner_shop", "--json"]) == 1
    first, *others = json.loads(capsys.readouterr().out)["findings"]
    assert (first["level"], first["topic"]) == ("fault", "settings")
    assert "SECRET_KEY" in first["text"].upper()
    assert "reachable" in [finding["topic"] for finding in others]


@pytest.mark.parametrize("flag", ["--backend", "--key-file", "--app-name"])
def test_an_application_has_all_settings(module, capsys, flag):
    """A flag beside it would be one too many: which of the two counts?"""
    module(GOOD)
    assert main(["doctor", "--app", "corner_shop", flag, "x"]) == 2
    assert f"leave out {flag}, or --app" in capsys.readouterr().err


def test_a_factory_s_application_lives_as_long_as_it_is_needed(module):
    """Flask's secrets are read from the application when they are used."""
    module(
        "from flask import Flask\nfrom sharedsession.frameworks.flask import SharedSession\n"
        f"def create_app():\n    app = Flask('shop')\n    app.config.update(SECRET_KEY={SECRET!r}, "
        "SHAREDSESSION_BACKEND='memory://')\n    SharedSession(app)\n    return app\n"
    )
    with imported("corner_shop") as found:
        assert found.list("user:42") == []


def test_what_an_application_prints_stays_out_of_the_json(module, capsys):
    """It goes to standard error."""
    module(f"{GOOD}\nprint('the shop is loaded')")
    assert main(["list", "user:42", "--app", "corner_shop", "--json"]) == 0
    assert capsys.readouterr() == ("[]\n", "the shop is loaded\n")


def test_the_error_is_one_of_the_configuration():
    """So that each command ends with the same exit code for it."""
    assert issubclass(ApplicationNotFoundError, ConfigurationError)
