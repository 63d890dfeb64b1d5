"""Another server than the URL says, or one that lacks what sessions need: 503, the cookie stays, the log has the fix.

One line of the log says it, without a key or another word of the request; `doctor` says the same.
"""

import http.server
import json
import logging
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sharedsession.cli.__main__ import main
from tests.support.farm import Browser, WebNode, everything, write
from tests.support.processes import HOST, free_port
from tests.support.servers import Redis
from tests.support.strangers import ANSWERS, GREETINGS, Stranger, memcached_1_5

SCHEMES = ("memcached", "memcached+text", "redis")
CLUSTER = ("--cluster-enabled", "yes")


class _Page(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def page() -> Iterator[int]:
    """The port of a real web server."""
    with http.server.ThreadingHTTPServer((HOST, 0), _Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def address(scheme: str, port: int) -> str:
    name, _, protocol = scheme.partition("+")
    return f"{name}://{HOST}:{port}{'?protocol=text' if protocol else ''}"


@pytest.fixture
def refused(web_node: Callable[..., WebNode], caplog: pytest.LogCaptureFixture) -> Callable[..., str]:
    """A visitor with a cookie comes to a web node over a URL; returns the first line of the log about the store."""

    def visit(url: str, browser: Browser | None = None, step: Any = everything) -> str:
        browser = browser or Browser([web_node(url, timeout=2.0, breaker_window=0.05)])
        browser.cookie = browser.cookie or a_cookie()
        cookie = browser.cookie
        caplog.clear()
        with caplog.at_level(logging.DEBUG):
            answer = browser.go(step)
        assert (answer.status, answer.set_cookies, browser.cookie) == (503, [], cookie)
        lines = [record.getMessage() for record in caplog.records if record.event in {"node_down", "store_refused"}]
        assert lines, "nothing is said"
        assert all(line.startswith(f"session store {HOST}:") for line in lines)
        assert not re.search(r"\bss:(?!\*)|with args|1200000", caplog.text)
        return lines[0]

    return visit


def a_cookie() -> str:
    """A cookie that a web node must look up: from another one of the same secret."""
    answer = WebNode("wsgi", "memory://").request(write("user", "alice"))
    return answer.set_cookies[0].partition(";")[0]


def doctor(url: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """What `doctor` says of the servers of a store."""
    code = main(["doctor", "--backend", url, "--json"])
    return code, "\n".join(each["text"] for each in json.loads(capsys.readouterr().out)["findings"])


# -- another kind of server


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_other_store(scheme: str, memcached, redis, refused, capsys) -> None:
    """The commonest mistake of the first day: each is called by its name."""
    wanted, there, other = ("Redis", "memcached", memcached) if scheme == "redis" else ("memcached", "Redis", redis)
    said = refused(address(scheme, other.port))
    assert f"what answers there is not {wanted} but {there}" in said
    assert f"write {other.scheme}:// in the backend's URL" in said
    code, found = doctor(address(scheme, other.port), capsys)
    assert code == 1
    assert f"is not {wanted} but {there}" in found


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_web_server(scheme: str, page: int, refused) -> None:
    """It answers in lines, or hangs up behind a page that no line ends."""
    assert re.search("is not (memcached|Redis) but a web server", refused(address(scheme, page)))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("SSH", "an SSH server"),
        ("mail", "a mail or FTP server"),
        ("MySQL", "MySQL or MariaDB"),
        ("nginx", "a web server"),
        ("page", "a web server"),
        ("TLS", "a port with TLS"),
        ("PostgreSQL", "PostgreSQL"),
    ],
)
def test_any_other_server(scheme: str, kind: str, named: str, refused) -> None:
    """Whether it speaks first, or only when it is spoken to."""
    with Stranger(GREETINGS.get(kind, b""), ANSWERS.get(kind, b"")) as stranger:
        said = refused(address(scheme, stranger.port))
    assert re.search(f"is not (memcached|Redis) .*{named}", said), said


@pytest.mark.parametrize("scheme", SCHEMES)
def test_one_that_hangs_up_without_a_word(scheme: str, refused) -> None:
    """Why it may do so is said: TLS above all."""
    with Stranger(answer=b"") as stranger:
        said = refused(address(scheme, stranger.port))
    assert "does not answer, it closes new connections: it may expect TLS (" in said
    assert ("?protocol=text" in said) == (scheme == "memcached")


def test_one_node_of_a_ring_that_is_no_memcached(fresh, redis, web_node, caplog) -> None:
    """The others serve, and the log names the node."""
    nodes = [("a", fresh("memcached").port), ("b", redis.port), ("c", fresh("memcached").port)]
    listed = ",".join(f"{name}={HOST}:{port}" for name, port in nodes)
    node = web_node(f"memcached://{listed}", timeout=2.0)
    for _ in range(9):
        assert Browser([node]).go(write("user", "alice")).status == 200
    title = f"session store node 'b' ({HOST}:{redis.port})"
    downs = [record.getMessage() for record in caplog.records if record.event == "node_down"]
    assert downs[0].startswith(f"{title} cannot be used: what answers there is not memcached but Redis")


# -- memcached that lacks something


def test_a_memcached_without_meta_commands(refused, capsys) -> None:
    """The log names the way around."""
    with memcached_1_5() as old:
        said = refused(address("memcached", old.port))
        assert "it knows no meta commands" in said
        assert "?protocol=text" in said
        code, found = doctor(address("memcached", old.port), capsys)
    assert code == 1
    assert "?protocol=text" in found


def test_a_memcached_without_a_connection_left(refused) -> None:
    """It says so to everybody, and hangs up."""
    with Stranger(b"ERROR Too many open connections\r\n", None) as full:
        assert "larger -c" in refused(address("memcached", full.port))


def test_a_memcached_without_memory(fresh, web_node, refused) -> None:
    """With ``-M`` a change is refused: the visitor is told, and so is the log."""
    server = fresh("memcached", "-M", "-m", "2")
    nodes, large = [web_node(server.url, timeout=2.0, max_size=900_000)], write("x", "x" * 600_000)
    assert any(Browser(nodes).go(large).status == 503 for _ in range(9))
    assert "out of memory; start it with more memory (-m)" in refused(server.url, Browser(nodes), large)


# -- Redis and Valkey that lack something

GETEX = r"refuses GETEX: unknown command to (redis|valkey) [\d.]+; sessions need Redis 6\.2 or newer"
EVAL = r"refuses EVAL or a command in that script: unknown command .*Redis 6\.2"


@pytest.mark.parametrize("kind", ["redis", "valkey"])
@pytest.mark.parametrize(
    ("hidden", "said"), [("GETEX", GETEX), ("EVAL", EVAL), ("RPUSH", EVAL), ("ECHO", "refuses ECHO: unknown command")]
)
def test_a_redis_without_a_command(kind: str, hidden: str, said: str, fresh, web_node, refused, capsys) -> None:
    """Too old, or hidden by its host: reads, ends or all of it are a 503, and never a silent loss."""
    server = fresh(kind, "--rename-command", hidden, "")
    browser = Browser([web_node(server.url, timeout=2.0, breaker_window=0.05)])
    if hidden != "ECHO":
        assert browser.go(write("user", "alice")).status == 200
    step = (lambda session: session.destroy()) if hidden in {"EVAL", "RPUSH"} else everything
    assert re.search(said, refused(server.url, browser, step))
    if hidden != "RPUSH":  # to try that one would be to write
        code, found = doctor(server.url, capsys)
        assert code == 1
        assert re.search(said, found)


@pytest.mark.parametrize(
    ("arguments", "path", "said"),
    [
        ((), "/99", "SELECT: it has no database of this number; write a smaller number"),
        (CLUSTER, "", "it is a node of a Redis Cluster"),
        (CLUSTER, "/1", "it is a node of a Redis Cluster|it has no database of this number"),
        (("--requirepass", "hidden-from-us"), "", "NOAUTH; put user:password@"),
        (("--maxmemory", "1kb"), "", "OOM; its memory is full: raise its maxmemory"),
        (("--min-replicas-to-write", "1"), "", "NOREPLICAS; fewer replicas"),
        (("--replicaof", HOST, "1"), "", "it is a replica"),
    ],
)
@pytest.mark.parametrize("kind", ["redis", "valkey"])
def test_a_redis_that_cannot_serve(kind: str, arguments: tuple[str, ...], path: str, said: str, fresh, refused) -> None:
    """Each with its fix, at a change as at a read."""
    if arguments is CLUSTER:  # by itself it would take a port of those for outgoing connections
        arguments = (*CLUSTER, "--cluster-port", str(free_port()))
    server = fresh(kind, *arguments)
    assert re.search(said, refused(f"{kind}://{HOST}:{server.port}{path}", step=write("x", 1)))


def test_a_redis_that_asks_for_no_password(redis: Redis, refused) -> None:
    """It refuses one that is given; nobody is told which."""
    said = refused(f"redis://:hunter2@{HOST}:{redis.port}/0")
    assert "AUTH: it asks for none; leave user and password out" in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("greeting", "said"),
    [
        (
            b"-DENIED Redis is running in protected mode because protected mode is enabled and no password is set\r\n",
            "DENIED; it is in protected mode",
        ),
        (b"-ERR max number of clients reached\r\n", "max number of clients reached; raise its maxclients"),
    ],
)
def test_a_redis_that_lets_nobody_in(greeting: bytes, said: str, refused) -> None:
    """It says why before it is asked anything, and hangs up."""
    with Stranger(greeting, None) as closed:
        assert said in refused(address("redis", closed.port))
