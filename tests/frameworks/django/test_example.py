"""The example does what its first lines say: under real servers of both colours, over HTTP."""

from functools import partial
from pathlib import Path

import httpx
import pytest

from sharedsession import MachineKey
from tests.support.processes import PATIENCE
from tests.support.webserver import ROOT, serving

RUNS = [
    (server, backend)
    for server in ("gunicorn app:application", "uvicorn app:app")
    for backend in ("sqlite", "redis", "ring")
]


@pytest.fixture
def env(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """What a reader puts into the environment."""
    kind = request.param
    url = f"sqlite:///{tmp_path}/s.db" if kind == "sqlite" else request.getfixturevalue(kind).url
    settings = {"backend": url, "secret_key": MachineKey.generate(), "development": "1", "timeout": "5"}
    return {f"SHAREDSESSION_{name.upper()}": value for name, value in settings.items()}


@pytest.mark.parametrize(("command", "env"), RUNS, indirect=["env"])
def test_a_visit_to_the_shop(command: str, env: dict[str, str]) -> None:
    """Counter, login, cart and logout of one visitor, over two processes; another visitor sees nothing of it."""
    server, app = command.split()
    with serving(server, app, env=env, cwd=ROOT / "examples" / "django") as url:
        web = partial(httpx.Client, base_url=url, timeout=PATIENCE)
        with web() as browser, web() as other:
            assert browser.get("/").text.startswith("nobody, visit 1, cart: nothing, process ")
            before = dict(browser.cookies)
            assert browser.post("/login", params={"user": "alice"}).text == "hello alice\n"
            assert dict(browser.cookies) != before
            assert browser.post("/cart", params={"item": "book"}).text == "1 in the cart\n"
            assert browser.post("/cart", params={"item": "pen"}).text == "2 in the cart\n"
            assert browser.get("/").text.startswith("alice, visit 2, cart: book, pen, process ")
            assert other.get("/").text.startswith("nobody, visit 1, cart: nothing")
            kept = dict(browser.cookies)
            assert browser.post("/logout").text == "goodbye\n"
            assert dict(browser.cookies) == {}
        with web(cookies=kept) as thief:
            assert thief.get("/").text.startswith("nobody, visit 1")


def test_the_commands_at_its_top_are_those_that_run_here() -> None:
    """Nobody is told to type what was never tried."""
    text = (ROOT / "examples" / "django" / "app.py").read_text()
    for server, app in {tuple(command.split()) for command, _ in RUNS}:
        assert f"{server} --workers 4 {app}\n" in text
