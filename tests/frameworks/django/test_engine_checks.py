"""Which mixes of session middleware and engine are refused by `manage.py check`, and which are not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.checks import run_checks
from django.test import override_settings

from sharedsession.frameworks.django import SessionMiddleware
from sharedsession.frameworks.django import SessionStore as SessionStore  # this module is an engine, too
from tests.frameworks.django import site
from tests.support.webserver import ROOT

ENGINE = "sharedsession.frameworks.django"
CACHE = "django.contrib.sessions.backends.cache"
HERE = "tests.frameworks.django.test_engine_checks"


class OwnMiddleware(SessionMiddleware):
    """An application's own, built on ours."""


def own_middleware(get_response):
    """One that hides what it is built on."""
    return SessionMiddleware(get_response)


class Foreign:
    """What django-user-sessions has: it is called like Django's, and is not built on it."""

    class SessionMiddleware:
        def __init__(self, get_response):
            self.get_response = get_response


foreign_middleware = Foreign.SessionMiddleware
FOREIGN = f"{HERE}.foreign_middleware"
OWN = f"{HERE}.OwnMiddleware"


def found() -> set[str]:
    """The IDs of what our checks say."""
    return {problem.id for problem in run_checks() if problem.id.startswith("sharedsession.E10")}


@pytest.mark.parametrize(
    ("middleware", "engine", "says"),
    [
        ([site.OURS], ENGINE, set()),
        ([OWN], ENGINE, set()),
        ([site.OURS], HERE, set()),
        ([site.THEIRS], ENGINE, set()),
        ([site.THEIRS], CACHE, set()),
        ([FOREIGN], CACHE, set()),
        ([site.THEIRS, site.THEIRS], CACHE, set()),  # Django's to tell
        ([], ENGINE, set()),
        ([f"{HERE}.own_middleware"], ENGINE, set()),
        ([site.OURS], CACHE, {"sharedsession.E102"}),
        ([OWN], "django.contrib.sessions.backends.db", {"sharedsession.E102"}),
        ([site.OURS], "tests.frameworks.django.site", {"sharedsession.E102"}),
        ([site.OURS], "nowhere.engine", {"sharedsession.E102"}),
        ([site.OURS, site.THEIRS], ENGINE, {"sharedsession.E101"}),
        ([site.THEIRS, site.OURS], ENGINE, {"sharedsession.E101"}),
        ([site.OURS, site.OURS], ENGINE, {"sharedsession.E101"}),
        ([site.THEIRS, site.THEIRS], ENGINE, {"sharedsession.E101"}),
        ([site.OURS, site.THEIRS], CACHE, {"sharedsession.E101", "sharedsession.E102"}),
        ([FOREIGN, site.OURS], ENGINE, {"sharedsession.E101"}),
        ([FOREIGN], ENGINE, {"sharedsession.E103"}),
    ],
)
def test_a_mix(middleware, engine, says) -> None:
    """A healthy one is not reported; any other by one line for each fault."""
    with override_settings(MIDDLEWARE=[*middleware, *site.OTHERS], SESSION_ENGINE=engine):
        assert found() == says


def test_a_web_process_logs_it(caplog) -> None:
    """Nobody runs the checks there."""
    with override_settings(SESSION_ENGINE=CACHE):
        SessionMiddleware(lambda _request: None)
    (record,) = [record for record in caplog.records if getattr(record, "event", "") == "wrong_mix"]
    assert "SESSION_ENGINE = 'sharedsession.frameworks.django'" in record.getMessage()


PROJECT = """
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["sharedsession.frameworks.django"]
MIDDLEWARE = {middleware}
ROOT_URLCONF = "project"
SECRET_KEY = "{secret}"
SHAREDSESSION = {{"BACKEND": "memory://"}}
urlpatterns = []
{more}
"""


def check_project(folder: Path) -> "subprocess.CompletedProcess[str]":
    """Runs ``manage.py check`` of the project in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "django", "check"],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "project", "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("middleware", "more", "status"),
    [
        ([site.OURS], "", 0),
        ([site.OURS], f"SESSION_ENGINE = '{ENGINE}'", 0),
        ([site.THEIRS], f"SESSION_ENGINE = '{ENGINE}'", 0),
        ([site.OURS], f"SESSION_ENGINE = '{CACHE}'", 1),
        ([site.OURS, site.THEIRS], "", 1),
    ],
)
def test_manage_py_check(middleware, more, status, tmp_path: Path) -> None:
    """In a project of its own that lists our application, before any request."""
    (tmp_path / "project.py").write_text(PROJECT.format(middleware=middleware, secret=site.SECRET, more=more))
    done = check_project(tmp_path)
    assert done.returncode == status, done.stderr
    assert ("sharedsession.E10" in done.stderr) is bool(status)


@pytest.mark.parametrize(("silenced", "warned"), [([], True), (["sharedsession.W101"], False)])
def test_channels_is_warned_of(silenced, warned, tmp_path: Path) -> None:
    """It would take an ID for a cookie; who has put `SignedSessions` around it silences the check."""
    pytest.importorskip("channels", reason="pip install channels")
    more = f"INSTALLED_APPS.append('channels')\nSILENCED_SYSTEM_CHECKS = {silenced}\nSESSION_ENGINE = '{ENGINE}'"
    (tmp_path / "project.py").write_text(PROJECT.format(middleware=[site.OURS], secret=site.SECRET, more=more))
    done = check_project(tmp_path)
    assert done.returncode == 0, done.stderr
    assert ("sharedsession.W101" in done.stderr) is warned
