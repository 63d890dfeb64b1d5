"""The Django project of these tests in two processes, and what a visitor does there whatever library is installed."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

from sharedsession import MachineKey
from tests.libraries.conftest import TwoProcesses
from tests.libraries.visitor import Visitor

APP = "tests.libraries.apps.django_site"
WEB = {"gunicorn": f"{APP}.web:wsgi", "uvicorn": f"{APP}.web:asgi"}
PASSWORD = "wonderland"


def site(two_processes: TwoProcesses, library: str, database: Path, server: str = "gunicorn") -> list[str]:
    """Makes tables and users, and starts both processes.

    Args:
        two_processes: the fixture.
        library: see the project's settings.
        database: a file of SQLite, which need not exist, or the directory of a PostgreSQL.
        server: the web server.
    """
    env = {"LIBRARY": library, "DATABASE": str(database)}
    alone = {"SHAREDSESSION_SECRET_KEY": MachineKey.generate(), "SHAREDSESSION_BACKEND": "memory://"}
    done = subprocess.run(
        [sys.executable, "-m", f"{APP}.prepare"], env=os.environ | alone | env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return two_processes(WEB[server], server, env)


def me(visitor: Visitor, node: int) -> dict[str, Any]:
    """Returns what the project says about the visitor."""
    return dict(visitor.get(node, "/me").json())


def who(visitor: Visitor, node: int) -> str | None:
    """Returns the name of the user, ``None`` for a stranger."""
    name: str | None = me(visitor, node)["name"]
    return name


def log_in(visitor: Visitor, node: int, name: str = "alice", path: str = "/login", field: str = "username") -> None:
    """Fills in a page for a login."""
    visitor.submit(node, path, {field: name, "password": PASSWORD})


def press(visitor: Visitor, node: int, path: str, fields: dict[str, str] | None = None) -> None:
    """Presses a button of a page that needs a CSRF token: by the token of another page of the project."""
    visitor.submit(node, path, fields or {}, page="/me?form=1")


log_out = partial(press, path="/logout")
SHOPPING: dict[str, Any] = {
    "plant": lambda visitor: visitor.post(0, "/cart", data={"item": "bait"}),
    "who": who,
    "change": lambda visitor, node: visitor.post(node, "/cart", data={"item": "book"}),
    "changed": lambda visitor, node: me(visitor, node)["cart"] == ["bait", "book"],
}
"""What `live_through` asks for, but for the login and the logout."""
