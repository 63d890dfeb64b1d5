"""Each library over two processes: log in on one, change on the other, log out; a planted ID and the old cookie die."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.libraries.conftest import TwoProcesses
from tests.libraries.visitor import Visitor, live_through
from tests.support.webserver import serving

LogIn = Callable[[Visitor, int], object]
WSGI, ASGI = "gunicorn-gthread", "uvicorn"


def by_form(path: str = "/login", page: str = "", **fields: str) -> LogIn:
    """A form, with the hidden token that it has, if any."""
    return lambda visitor, node: visitor.submit(node, path, fields, page)


def by_post(**fields: str) -> LogIn:
    """A login by a request without a page."""
    return lambda visitor, node: visitor.post(node, "/login", data=fields)


def elsewhere(visitor: Visitor, node: int) -> None:
    """A login at another server, which sends the visitor back to the other process."""
    visitor.get(node, "/login", params={"callback": f"{visitor.nodes[1 - node]}/callback"})


def get(path: str) -> LogIn:
    return lambda visitor, node: visitor.get(node, path)


def post(path: str) -> LogIn:
    return lambda visitor, node: visitor.post(node, path)


CORRECT = "correct horse"
# module: (kind of web server, how to log in, how to log out)
LIBRARIES = {
    "flask_login": (WSGI, by_post(name="alice"), post("/logout")),
    "flask_security": (WSGI, by_form(email="alice@example.com", password=CORRECT), post("/logout")),
    "flask_appbuilder": (WSGI, by_form("/login/", username="alice", password=CORRECT), get("/logout/")),
    "sqladmin": (ASGI, by_form("/admin/login", username="alice", password=CORRECT), get("/admin/logout")),
    "starlette_admin": (
        ASGI,
        by_form("/admin/login", username="alice", password=CORRECT),
        by_form("/admin/logout", page="/admin/"),
    ),
    "fasthtml": (ASGI, by_post(name="alice"), post("/logout")),
    "authlib_flask": (WSGI, elsewhere, post("/logout")),
    "authlib_starlette": (ASGI, elsewhere, post("/logout")),
    "pyramid": (WSGI, by_post(name="alice"), post("/logout")),
    "nicegui": (ASGI, by_post(name="alice"), post("/logout")),
}


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_login_lives_on_both_processes_and_ends_on_both(
    two_processes: TwoProcesses, library: str, tmp_path: Any
) -> None:
    """As the library's row on the page of libraries says, without a line about session IDs."""
    server, log_in, log_out = LIBRARIES[library]
    with serving("gunicorn-gthread", "tests.libraries.apps.oauth_server:app", workers=1) as oauth_server:
        live_through(
            two_processes(
                f"tests.libraries.apps.{library}:app",
                server,
                {"OAUTH_SERVER": oauth_server, "NICEGUI_STORAGE_PATH": str(tmp_path)},
            ),
            plant=lambda visitor: visitor.post(0, "/cart", data={"item": "bait"}),
            log_in=log_in,
            who=lambda visitor, node: visitor.get(node, "/me").json()["name"],
            change=lambda visitor, node: visitor.post(node, "/cart", data={"item": "book"}),
            changed=lambda visitor, node: visitor.get(node, "/me").json()["cart"] == ["bait", "book"],
            log_out=log_out,
        )
