"""``manage.py check`` finds a wrong setting, and ``check --deploy`` knows that our cookie is ``Secure``."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.frameworks.django.site import OURS, SECRET, THEIRS

PROJECT = f"""
SECRET_KEY = {SECRET!r}
ROOT_URLCONF = "project"
urlpatterns = []
INSTALLED_APPS = ["django.contrib.sessions", "sharedsession.frameworks.django"]
MIDDLEWARE = [{OURS!r}]
SESSION_ENGINE = "sharedsession.frameworks.django"
SHAREDSESSION = {{"BACKEND": "memory://"}}
"""
OF_COOKIES = {"security.W010", "security.W011", "security.W012"}


@pytest.fixture
def check(tmp_path: Path):
    """Runs ``manage.py check`` on a project with more settings; returns what it found, and all that it said."""

    def run(settings: str = "", *options: str) -> tuple[set[str], str]:
        (tmp_path / "project.py").write_text(PROJECT + settings)
        environ = os.environ | {"DJANGO_SETTINGS_MODULE": "project", "PYTHONPATH": f"{Path.cwd()}:{tmp_path}"}
        command = [sys.executable, "-W", "error", "-m", "django", "check", *options]
        done = subprocess.run(command, capture_output=True, text=True, env=environ)
        assert "Traceback" not in done.stderr
        return set(re.findall(r"\((\w+\.[A-Z]\d+)\)", done.stderr)), done.stderr + done.stdout

    return run


def test_a_right_project_has_no_findings(check) -> None:
    """None of ours, nor of Django's about the cookie."""
    assert check() == (set(), "System check identified no issues (0 silenced).\n")
    assert not check("", "--deploy")[0] & (OF_COOKIES | {"sharedsession.W001"})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            'SHAREDSESSION = {"BACKEND": "memory://", "IDLE_TIMOUT": 5}',
            """did you mean 'SHAREDSESSION["IDLE_TIMEOUT"]'""",
        ),
        ('SHAREDSESSION = {"BACKEND": "redsi://h"}', 'SHAREDSESSION["BACKEND"] redsi:// is unknown'),
        ('SESSION_COOKIE_NAME = ""', "SESSION_COOKIE_NAME must be a text that is not empty"),
        ('SECRET_KEY = "short"', "SECRET_KEY is too short"),
        ("SHAREDSESSION = []", "SHAREDSESSION must be a dict"),
    ],
)
def test_a_wrong_setting_is_a_finding(check, settings: str, message: str) -> None:
    """It is what a web process would refuse, in the same words, and one finding among others."""
    found, said = check(settings)
    assert found == {"sharedsession.E001"}
    assert message in said


@pytest.mark.parametrize("engine", ["sharedsession.frameworks.django", "django.contrib.sessions.backends.cache"])
def test_settings_that_nothing_uses_are_not_checked(check, engine: str) -> None:
    """A project may have our app, and Django's sessions on some machines."""
    found, _ = check(f'MIDDLEWARE = [{THEIRS!r}]\nSESSION_ENGINE = "{engine}"\nSHAREDSESSION = []')
    assert found == ({"sharedsession.E001"} if engine.startswith("sharedsession") else set())


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("", set()),
        ("SESSION_COOKIE_SECURE = True", set()),
        ('SHAREDSESSION = {"BACKEND": "memory://", "TRANSPORT": "header"}', set()),
        ('SHAREDSESSION = {"BACKEND": "memory://", "DEVELOPMENT": True}', {"security.W010", "sharedsession.W001"}),
        (f"MIDDLEWARE = [{THEIRS!r}]", {"security.W012"}),
        (f"MIDDLEWARE = [{THEIRS!r}]\nSESSION_COOKIE_SECURE = True", set()),
        ('SHAREDSESSION = {"COOKIE_NAME": ""}', {"security.W010", "sharedsession.E001"}),
        ('MIDDLEWARE = ["nothing.here"]', {"security.W010"}),
    ],
    ids=["ours", "Secure", "header", "development", "theirs", "theirs, Secure", "wrong", "unknown"],
)
def test_a_cookie_that_is_not_secure_is_a_finding_of_a_deployment(check, settings: str, expected: set[str]) -> None:
    """With our middleware it is, whatever Django's own setting says; with Django's, Django is right."""
    found, _ = check(settings, "--deploy")
    assert found & (OF_COOKIES | {"sharedsession.W001", "sharedsession.E001"}) == expected
