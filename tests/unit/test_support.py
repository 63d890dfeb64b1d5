"""The tests' own tools, on real servers: what they say of a server is true, and nothing stays behind."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hiredis
import pytest

from tests.support import binaries, fetch, processes
from tests.support.processes import HOST, NotStartedError
from tests.support.servers import KINDS, Memcached, Redis

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=sorted(KINDS))
def server(request: pytest.FixtureRequest) -> Any:
    """The shared server of each kind."""
    return request.getfixturevalue(request.param)


@pytest.fixture(params=sorted(KINDS))
def own(request: pytest.FixtureRequest, fresh: Callable[..., Any]) -> Any:
    """A server of each kind to break."""
    return fresh(request.param)


def _connect(port: int, timeout: float = 5.0) -> socket.socket:
    return socket.create_connection((HOST, port), timeout=timeout)


def _ask(connection: socket.socket, request: bytes = b"mn\r\n") -> bytes:
    connection.sendall(request)
    return connection.recv(65536)


def _soon(happens: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not (happened := happens()) and time.monotonic() < deadline:
        time.sleep(0.001)
    return happened


def _refused(port: int) -> bool:
    try:
        _connect(port).close()
    except ConnectionRefusedError:
        return True
    return False


# --- servers ---------------------------------------------------------------------------------------------


def test_dump_gives_back_what_put_stored(server: Any) -> None:
    """Also bytes that look like protocol."""
    server.put("a:b-c_D", b"x\r\nEND\r\n\x00")
    server.put("b", b"")
    assert server.dump() == {"a:b-c_D": b"x\r\nEND\r\n\x00", "b": b""}


def test_the_next_test_finds_the_server_empty_even_after_a_kill(server: Any) -> None:
    """Runs after the one above, on the same server; leaves it dead for the next."""
    assert server.dump() == {}
    server.kill()


def test_flush_forgets_what_was_stored_in_the_same_second(server: Any) -> None:
    """Memcached counts in seconds; here that does no harm."""
    server.put("a", b"1")
    server.flush()
    assert server.dump() == {}
    server.put("a", b"2")
    assert server.dump() == {"a": b"2"}


def test_put_keeps_flags_and_time_to_live_of_a_memcached_item(memcached: Memcached) -> None:
    """Unless flags are given."""
    assert memcached.command("set a 7 1000 1\r\nx") == b"STORED"
    memcached.put("a", b"yy")
    flags, ttl = memcached.command("mg a f t").split()[1:]
    assert (flags, int(ttl[1:]) > 900) == (b"f7", True)
    memcached.put("a", b"z", flags=3)
    assert memcached.command("mg a f v") == b"VA 1 f3\r\nz"


def test_put_keeps_the_time_to_live_of_a_redis_key(redis: Redis) -> None:
    """A new one gets a short one."""
    redis.command("SET", "a", "x", "EX", 1000)
    redis.put("a", b"y")
    redis.put("b", b"y")
    assert redis.command("TTL", "a") > 900
    assert 0 < redis.command("TTL", "b") <= 60


def test_replies_of_every_shape_are_read_whole(memcached: Memcached) -> None:
    """Lines, values, statistics, numbers, errors."""
    memcached.put("a", b"END\r\n")
    assert memcached.command("get", "a", "b") == b"VALUE a 0 5\r\nEND\r\n\r\nEND"
    assert memcached.command("nonsense") == b"ERROR"
    assert memcached.command("version").startswith(b"VERSION ")
    assert int(memcached.stat("pid")) == memcached.pid


def test_a_redis_error_is_raised_and_a_password_is_used(fresh: Callable[..., Any]) -> None:
    """Both are needed to test how the library speaks to Redis."""
    server = fresh("redis", "--requirepass", "secret")
    assert server.url == f"redis://:secret@{HOST}:{server.port}/0"
    assert server.command("PING") == b"PONG"
    assert int(server.stat("process_id")) == server.pid
    with pytest.raises(hiredis.ReplyError):
        server.command("INCR")


def test_a_frozen_server_accepts_but_does_not_answer_until_resumed(own: Any) -> None:
    """The hard kind of failure: not a refusal but silence."""
    own.freeze()
    with _connect(own.port, timeout=0.05) as connection:
        with pytest.raises(TimeoutError):
            _ask(connection, b"PING\r\n")
        own.resume()
        connection.settimeout(5)
        assert connection.recv(100)


def test_a_killed_server_refuses_and_comes_back_empty_on_its_port(own: Any) -> None:
    """As after a crash and a reboot."""
    own.put("a", b"x")
    old = own.pid
    own.freeze()
    own.kill()
    assert not own.alive
    assert _refused(own.port)
    own.restart()
    assert own.pid != old
    assert own.dump() == {}


def test_stop_ends_even_a_frozen_server_and_may_be_repeated(own: Any) -> None:
    """Nothing of it stays, on disk neither."""
    own.freeze()
    own.stop()
    own.stop()
    assert _refused(own.port)
    assert not own.directory.exists()


def test_a_server_that_cannot_start_says_why(memcached: Memcached) -> None:
    """With its own words."""
    with pytest.raises(NotStartedError, match="--no-such-option"):
        Memcached.start(["--no-such-option"])


def test_a_port_taken_by_somebody_else_is_given_up(memcached: Memcached, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer of another server is not taken for ours."""
    ports = iter([memcached.port, processes.free_port()])
    monkeypatch.setattr(processes, "free_port", lambda: next(ports))
    with Memcached.start() as server:
        assert server.port != memcached.port


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties processes together")
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_no_server_outlives_a_killed_runner(kind: str, fresh: Callable[..., Any], tmp_path: Path) -> None:
    """Although nothing of the runner gets to run any more."""
    fresh(kind)
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    code = f"""if True:
        import time
        from tests.support.servers import KINDS
        print(KINDS[{kind!r}].start().port, flush=True)
        time.sleep(60)"""
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=env, stdout=subprocess.PIPE) as runner:
        assert runner.stdout
        port = int(runner.stdout.readline())
        assert not _refused(port)
        runner.kill()
    assert _soon(lambda: _refused(port))


def test_a_runner_that_forgets_its_server_ends_it_on_exit(memcached: Memcached) -> None:
    """And removes its directory."""
    code = "from tests.support.servers import *; s = Memcached.start(); print(s.port, s.directory)"
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, text=True)
    port, directory = told.stdout.split()
    assert _refused(int(port))
    assert not Path(directory).exists()


# --- finding and fetching --------------------------------------------------------------------------------


def test_a_missing_server_says_in_one_line_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every kind."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(binaries, "SERVERS", tmp_path)
    for name in fetch.PACKAGES:
        with pytest.raises(binaries.MissingServerError, match=r"^.* is missing: install the package .*$"):
            binaries.binary(name)


def test_a_fetched_server_gets_its_libraries(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And one of the system keeps the environment as it is."""
    (tmp_path / "usr/lib/x86_64-linux-gnu").mkdir(parents=True)
    monkeypatch.setattr(binaries, "SERVERS", tmp_path)
    found = binaries.environment(tmp_path / "usr/bin/memcached")["LD_LIBRARY_PATH"]
    assert found == str(tmp_path / "usr/lib/x86_64-linux-gnu")
    assert binaries.environment(Path("/usr/bin/memcached")) == dict(os.environ)


def test_fetch_of_one_server_fetches_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the demo asks for it: neither the rest of the tests' servers, nor what the library is compared with."""
    fetched: list[str] = []
    monkeypatch.setattr(fetch, "works", lambda _name: False)
    monkeypatch.setattr(fetch, "fetch", lambda names: fetched.extend(names) or "")
    fetch.main(["memcached"])
    assert fetched == ["memcached"]


@pytest.mark.parametrize(("ci", "status"), [("true", 1), ("", 0)])
def test_fetch_without_apt_tells_one_line_per_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], ci: str, status: int
) -> None:
    """An error in CI only."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(binaries, "SERVERS", tmp_path / "servers")
    assert fetch.main() == status
    assert len(capsys.readouterr().out.splitlines()) == len(fetch.PACKAGES)
    assert not (tmp_path / "servers").exists()
