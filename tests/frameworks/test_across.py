"""One cookie through Flask, Django, FastAPI, Starlette, WSGI and ASGI applications behind one nginx."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from sharedsession import MachineKey
from tests.support.nginx import by_path, nginx
from tests.support.webserver import ROOT, serving

SHOPS = {
    "flask": ("gunicorn", "shop:app"),
    "django": ("gunicorn", "shop:application"),
    "fastapi": ("uvicorn", "shop:app"),
    "starlette": ("uvicorn", "shop:app"),
    "wsgi": ("gunicorn", "shop"),
    "asgi": ("uvicorn", "shop:app"),
}


@pytest.fixture(scope="module", params=["sqlite", "redis", "ring"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a site whose parts are written with six frameworks."""
    shared = request.getfixturevalue("_shared" if request.param == "redis" else "_ring")
    urls: dict[str, Any] = {
        "sqlite": lambda: f"sqlite:///{tmp_path_factory.mktemp('site')}/sessions.db",
        "redis": lambda: shared("redis").url,
        "ring": lambda: shared.url,
    }
    settings = {
        "backend": urls[request.param](),
        "secret_key": MachineKey.generate(),
        "cookie_name": "shop",
        "development": "1",
        "timeout": "5",
        "idle_timeout": "1200",
        "absolute_timeout": "43200",
    }
    env = {f"SHAREDSESSION_{name.upper()}": value for name, value in settings.items()}
    with ExitStack() as stack:
        upstreams = {
            name: stack.enter_context(serving(server, app, env=env, cwd=ROOT / "examples" / name, workers=1))
            for name, (server, app) in SHOPS.items()
        }
        yield stack.enter_context(nginx(by_path(upstreams)))


@pytest.fixture
def browser(site: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=site) as client:
        yield client


def test_one_visit_after_another(browser: httpx.Client) -> None:
    """Each part of the site counts on where the last one stopped; one cookie, set once."""
    for number, name in enumerate(SHOPS, 1):
        answer = browser.get(f"/{name}/")
        assert answer.text.startswith(f"nobody, visit {number}, cart: nothing")
        assert answer.headers.get_list("set-cookie") == [] or number == 1 or name == "django"
    assert list(browser.cookies) == ["shop"]


@pytest.mark.parametrize(
    ("begins", "ends"),
    [
        ("django", "fastapi"),
        ("flask", "django"),
        ("fastapi", "flask"),
        ("starlette", "wsgi"),
        ("wsgi", "asgi"),
        ("asgi", "starlette"),
    ],
)
def test_login_here_and_logout_there(browser: httpx.Client, begins: str, ends: str) -> None:
    """Logged in in one part is logged in in all, with one cart; logged out in one is logged out in all."""
    assert browser.post(f"/{begins}/login", params={"user": "alice"}).text == "hello alice\n"
    for number, name in enumerate(SHOPS, 1):
        assert browser.post(f"/{name}/cart", params={"item": name}).text == f"{number} in the cart\n"
    for name in SHOPS:
        assert browser.get(f"/{name}/").text.partition(", visit")[0] == "alice"
        assert f"cart: {', '.join(SHOPS)}," in browser.get(f"/{name}/").text
    kept = browser.cookies["shop"]
    assert browser.post(f"/{ends}/logout").text == "goodbye\n"
    assert "shop" not in browser.cookies
    for name in SHOPS:
        with httpx.Client(base_url=browser.base_url, cookies={"shop": kept}) as thief:
            assert thief.get(f"/{name}/").text.startswith("nobody, visit 1")
