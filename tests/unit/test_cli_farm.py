"""``sharedsession farm`` and ``bench``: what they show, in words and in JSON, and their exit codes."""

import json

import pytest

from sharedsession import MachineKey, SessionManager, Settings
from sharedsession.cli import farm as command
from sharedsession.cli.__main__ import main
from sharedsession.cli.format import span
from sharedsession.concurrency import run
from sharedsession.environment import REAL, Environment
from sharedsession.manager import engines_of

SECRET = MachineKey.generate()


@pytest.fixture
def announce():
    """Web nodes that announce themselves on a store."""
    backends = []

    def made(url, **keywords):
        settings = Settings.load({"secret_key": SECRET, "backend": url, "timeout": 5, **keywords}, {})
        backends.append(settings.backend)
        run(engines_of(SessionManager(settings)).blocking.monitor.announce())

    yield made
    for backend in backends:
        backend.close()


@pytest.fixture
def look(capsys):
    """Runs a command. Returns its exit code, and its JSON or its lines."""

    def ran(*arguments):
        try:
            code = main(arguments)
        except SystemExit as end:
            code = end.code
        out, err = capsys.readouterr()
        assert SECRET not in out + err
        return code, json.loads(out) if "--json" in arguments else (out + err).splitlines()

    return ran


def test_an_empty_farm_says_how_to_fill_it(memcached, look):
    """And it is nothing wrong."""
    code, lines = look("farm", "--backend", memcached.url)
    assert code == 0
    assert lines[1].split()[1:3] == ["memcached", "up"]
    assert lines[-1] == 'no web node has announced itself: set farm_check="warn" on them'


@pytest.mark.parametrize("url", ["sqlite", "redis", "memcached", "ring"], indirect=True)
def test_those_who_have_announced_themselves_are_shown(url, announce, look):
    """Each once, whatever the store; the odd one with what it disagrees on."""
    announce(url)
    announce(url)
    announce(url, idle_timeout=60)
    announce(url, app_name="blog")
    code, said = look("farm", "--backend", url, "--key-file", "of_no_use_here", "--json")
    assert code == 1
    assert {server["state"] for server in said["servers"]} == {"up"}
    assert sorted((node["faults"], node["notes"]) for node in said["web_nodes"]) == [
        ([], []),
        ([], []),
        ([], []),
        (["idle_timeout"], []),
    ]
    assert len({node["application"] for node in said["web_nodes"]}) == 2
    code, lines = look("farm", "--backend", url)
    assert code == 1
    assert sum("DISAGREES on idle_timeout" in line for line in lines) == 1


def test_a_farm_that_agrees_is_exit_code_0(memcached, announce, look):
    """The table has a line for each."""
    announce(memcached.url)
    code, lines = look("farm", "--backend", memcached.url)
    assert (code, lines[3]) == (0, "1 web node")
    assert lines[5].split()[:3] == ["web", "node", "application"]


def test_a_server_that_is_down_is_exit_code_1(ring, announce, look):
    """The others still say who is there."""
    announce(ring.url)
    ring.servers[0].kill()
    code, said = look("farm", "--backend", ring.url, "--json")
    assert (code, [server["state"] for server in said["servers"]]) == (1, ["down", "up", "up"])
    assert "does not answer" in said["servers"][0]["reason"]
    assert len(said["web_nodes"]) == 1
    for server in ring.servers:
        server.kill()
    code, said = look("farm", "--backend", ring.url, "--json")
    assert (code, said["web_nodes"]) == (1, None)
    assert look("farm", "--backend", ring.url)[1][-1].startswith("the store does not answer")


def test_watch_looks_again_until_it_is_interrupted(memcached, monkeypatch, capsys):
    """A picture each time; Ctrl-C is no traceback."""
    pauses = []

    def pause(seconds):
        pauses.append(seconds)
        if len(pauses) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(command, "REAL", Environment(sleep=pause))
    assert main(["farm", "--backend", memcached.url, "--json", "--watch", "0.5"]) == 130
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert pauses == [0.5] * 3


@pytest.mark.parametrize("name", ["farm", "bench"])
@pytest.mark.parametrize("backend", ["sqlite", "nosuch://x", "redis://u:hunter2@h:99999"])
def test_a_wrong_url_is_one_line(look, name, backend):
    """Exit code 2, no password."""
    code, lines = look(name, "--backend", backend)
    assert (code, len(lines)) == (2, 1)
    assert lines[0].startswith(f"sharedsession {name}: backend ")
    assert "hunter2" not in lines[0]


@pytest.mark.parametrize("arguments", [("farm", "--watch", "x"), ("bench", "--rounds", "0"), ("bench", "--size", "a")])
def test_a_wrong_number_is_one_line(look, arguments):
    """As any wrong argument."""
    code, lines = look(*arguments)
    assert (code, len(lines)) == (2, 1)


# -- bench


@pytest.mark.parametrize("url", ["sqlite", "redis", "valkey", "memcached", "memcached+text", "ring"], indirect=True)
def test_bench_measures_and_cleans_up(url, look, request):
    """Reads and changes, median and p99; after a second nothing stays in the store."""
    code, said = look("bench", "--backend", url, "--rounds", "20", "--json")
    assert code == 0
    assert (said["rounds"], said["size"]) == (20, 1024)
    for verb in ("get", "replace"):
        assert 0 < said[verb]["median"] <= said[verb]["p99"] <= said[verb]["worst"]
    kind = url.partition("://")[0]
    if kind in ("redis", "valkey") or (kind == "memcached" and "," not in url):
        left = request.getfixturevalue(kind).dump
        for _ in range(200):
            if not left():
                return
            REAL.sleep(0.02)
        assert left() == {}


def test_bench_is_a_table(memcached, look):
    """Milliseconds of this machine."""
    code, lines = look("bench", "--backend", memcached.url, "--rounds", "10", "--size", "100")
    assert (code, lines[0]) == (0, "memcached: 10 rounds, 100 bytes, one after the other")
    assert [line.split()[0] for line in lines[2:]] == ["median", "get", "replace"]


def test_bench_of_a_server_that_is_down_is_one_line(fresh, look):
    """With the reason, and exit code 2."""
    server = fresh("memcached")
    server.kill()
    code, lines = look("bench", "--backend", server.url)
    assert (code, len(lines)) == (2, 1)
    assert "does not answer" in lines[0]


def test_a_time_is_shown_in_two_units():
    """Nothing is a dash."""
    assert [span(seconds) for seconds in (None, 0, 59.9, 3600, 90000)] == ["-", "0 s", "59 s", "1 h 0 min", "1 d 1 h"]
