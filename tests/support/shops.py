"""A shop in each framework, written into a directory of its own: its settings are its own, none is in the environment.

`Shop.write` makes one; its `serve` runs a web node of it under a real server, its `command` the command line on it.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx

from tests.support.webserver import ROOT, running

_HEAD = """
import json, pathlib, time
GIVEN = json.loads((pathlib.Path(__file__).parent / "settings.json").read_text())
OFF = GIVEN.pop("clock_off", 0)
if OFF:  # the clock of this machine is wrong
    from sharedsession.environment import Environment
    from sharedsession.manager import SessionManager
    GIVEN = {"manager": SessionManager.from_settings(environment=Environment(clock=lambda: time.time() + OFF), **GIVEN)}
"""

_SOURCES = {
    "wsgi": """
from sharedsession.wsgi import SessionMiddleware

def shop(environ, start_response):
    environ["sharedsession.session"]["seen"] = True
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"served"]

application = SessionMiddleware(shop, **GIVEN)
""",
    "flask": """
from flask import Flask, session
from sharedsession.frameworks.flask import SharedSession

def create_app():
    app = Flask(__name__)
    app.config["SECRET_KEY"] = GIVEN.pop("secret_key")
    app.config.update({f"SHAREDSESSION_{name.upper()}": value for name, value in GIVEN.items()})
    SharedSession(app)

    @app.get("/")
    def shop():
        session["seen"] = True
        return "served"

    return app
""",
    "django": """
import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

def shop(request):
    request.session["seen"] = True
    return HttpResponse("served")

first, *older = GIVEN.pop("secret_key")
settings.configure(
    ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=["sharedsession.frameworks.django"],
    MIDDLEWARE=["sharedsession.frameworks.django.SessionMiddleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY=first,
    SECRET_KEY_FALLBACKS=older,
    SESSION_COOKIE_AGE=GIVEN.pop("idle_timeout", 1209600),
    SHAREDSESSION={name.upper(): value for name, value in GIVEN.items()},
)
django.setup()
urlpatterns = [path("", shop)]
application = get_wsgi_application()
""",
    "fastapi": """
from fastapi import FastAPI, Request
from sharedsession.frameworks.starlette import SessionMiddleware

app = FastAPI()
app.add_middleware(SessionMiddleware, **GIVEN)

@app.get("/")
def shop(request: Request):
    request.session["seen"] = True
    return "served"
""",
}
_SERVED = {  # the web server, and the application as that server and `--app` name it
    "wsgi": ("gunicorn", "shop:application"),
    "flask": ("gunicorn", "shop:create_app()"),
    "django": ("gunicorn", "shop:application"),
    "fastapi": ("uvicorn", "shop:app"),
}
FRAMEWORKS = tuple(_SERVED)
_MANAGE = "import shop, sys\nfrom django.core.management import execute_from_command_line as run\nrun(sys.argv)\n"
_AT_HOME = {"flask": ("-m", "flask", "--app", "shop", "sharedsession"), "django": ("manage.py", "sharedsession")}


@dataclass(frozen=True)
class Shop:
    """The application of one framework.

    Attributes:
        framework: one of `FRAMEWORKS`.
        directory: where it stands.
    """

    framework: str
    directory: Path

    @classmethod
    def write(cls, framework: str, directory: Path, **settings: Any) -> Self:
        """Writes it, with these settings."""
        directory.mkdir(exist_ok=True)
        (directory / "shop.py").write_text(_HEAD + _SOURCES[framework])
        (directory / "settings.json").write_text(json.dumps(settings))
        if framework == "django":
            (directory / "manage.py").write_text(_MANAGE)
        return cls(framework, directory)

    @property
    def name(self) -> str:
        """How it is named for a server, and for ``--app``."""
        return _SERVED[self.framework][1]

    @contextlib.contextmanager
    def serve(self) -> Iterator[None]:
        """Runs one web node that has served a visitor."""
        server, app = _SERVED[self.framework]
        with running(server, app, workers=1, cwd=self.directory) as web:
            assert "served" in httpx.get(web.url, timeout=30).text
            yield

    def command(self, *arguments: str, at_home: bool = False) -> tuple[int, Any]:
        """Runs a command in a process of its own. Returns its exit code, and its JSON or its lines."""
        alone = ("-m", "sharedsession")
        words = [*(_AT_HOME.get(self.framework, alone) if at_home else alone), *arguments]
        words += [] if words[0] == "manage.py" or words[1] == "flask" else ["--app", self.name]
        done = subprocess.run(
            [sys.executable, *words],
            cwd=self.directory,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        return done.returncode, _read(done) if "--json" in arguments else (done.stdout + done.stderr).splitlines()


def _read(done: "subprocess.CompletedProcess[str]") -> Any:
    assert done.stderr == "", done.stderr
    return json.loads(done.stdout)
