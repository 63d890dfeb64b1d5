"""Stores that ask who is there: users and passwords, TLS, UNIX sockets; on real servers, in both colours."""

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sharedsession.backends import connect
from sharedsession.manager import engines_of
from tests.support.binaries import MissingServerError
from tests.support.certificates import Authority
from tests.support.farm import Answer, Browser, WebNode, everything, read, write
from tests.support.processes import HOST
from tests.support.secured import KINDS, PASSWORD, QUOTED, USER, TlsFront, tls_arguments

WRONG = "Not-the-Passw0rd"
SCHEMES = {"memcached": ("memcached", "memcacheds"), "redis": ("redis", "rediss"), "valkey": ("valkey", "valkeys")}
PROTOCOLS = ("meta", "text")


@pytest.fixture
def locked() -> Iterator[Callable[..., Any]]:
    """Starts locked servers: ``locked("memcached", "-Y", file)``."""
    servers: list[Any] = []

    def start(kind: str, *arguments: str) -> Any:
        try:
            servers.append(KINDS[kind].start(arguments))
        except MissingServerError as missing:
            pytest.skip(str(missing))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def users(tmp_path: Path) -> str:
    """A file for memcached's ``-Y``."""
    file = tmp_path / "users"
    file.write_text(f"{USER}:{PASSWORD}\nsomebody:else\n")
    return str(file)


@pytest.fixture
def visit(web_node: Callable[..., WebNode]) -> Callable[[str], Browser]:
    """A browser of a web node over a URL."""
    return lambda url: Browser([web_node(url, timeout=5.0, breaker_window=60.0)])


def works(browser: Browser) -> None:
    """A session is kept and found, by the node and by the one that it becomes when it connects anew."""
    assert browser.go(write("user", "alice")).status == 200
    assert browser.go(read("user")).body == repr("alice")
    assert browser.go(write("x", 1)).status == 200
    assert browser.go(everything).body == repr({"user": "alice", "x": 1})


def fails(browser: Browser, caplog: pytest.LogCaptureFixture, event: str, *words: str) -> Answer:
    """A 503 that leaves the cookie alone, an event with these words; no secret anywhere."""
    cookie = browser.cookie = browser.cookie or _token(browser)
    with caplog.at_level(logging.DEBUG):
        answer = browser.go(everything)
    assert (answer.status, answer.set_cookies, browser.cookie) == (503, [], cookie)
    told = [record.getMessage() for record in caplog.records if getattr(record, "event", "") == event]
    assert told, caplog.text
    assert all(word in told[0] for word in words), told
    shows_nothing(browser, caplog, answer)
    return answer


def _token(browser: Browser) -> str:
    """A cookie that the node must look up: from another one of the same secret."""
    other = WebNode("wsgi", "memory://")
    answer = other.request(write("user", "alice"))
    return answer.set_cookies[0].partition(";")[0]


def shows_nothing(browser: Browser, caplog: pytest.LogCaptureFixture, *answers: Answer) -> None:
    """Neither user nor password stands in the log, the answers, in health, in a repr."""
    manager = browser.nodes[0].manager
    backend = engines_of(manager).settings.backend
    shown = [caplog.text, *(repr(vars(record)) for record in caplog.records), *map(repr, answers)]
    shown += [repr(manager.health()), repr(engines_of(manager).settings), repr(backend), repr(vars(backend))]
    for secret in (USER, PASSWORD, QUOTED, WRONG):
        assert secret not in "\n".join(shown)


def pair(user: str = USER, password: str = QUOTED) -> str:
    return f"{user}:{password}@"


# -- memcached: users


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_memcached_lets_in_whom_its_file_names(locked, users, visit, caplog, protocol: str) -> None:
    """The password is decoded; the limits of the server are read after it, in the same batch."""
    server = locked("memcached", "-Y", users, "-I", "2m")
    browser = visit(f"memcached://{pair()}{HOST}:{server.port}?protocol={protocol}")
    works(browser)
    if protocol == "meta":
        assert engines_of(browser.nodes[0].manager).settings.backend.max_value > 2_000_000
    shows_nothing(browser, caplog)
    assert len(server.dump()) == 1


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("login", [pair(password=WRONG), pair(user="nobody"), pair(user="somebody")])
def test_memcached_refuses_a_wrong_login(locked, users, visit, caplog, protocol: str, login: str) -> None:
    """An outage with a reason and a mend, not an anonymous visitor."""
    server = locked("memcached", "-Y", users)
    browser = visit(f"memcached://{login}{HOST}:{server.port}?protocol={protocol}")
    fails(browser, caplog, "store_refused", f"{HOST}:{server.port}", "compare", "-Y")
    assert browser.nodes[0].manager.health()["backend"]["nodes"][0]["state"] == "down"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_memcached_refuses_whoever_does_not_log_in(locked, users, visit, caplog, protocol: str) -> None:
    """The log says what to put into the URL. Writing is refused as well, however its data look."""
    server = locked("memcached", "-Y", users)
    browser = visit(f"{server.url}?protocol={protocol}")
    fails(browser, caplog, "store_refused", "asks for user and password")
    assert browser.go(write("x", 1)).status == 503
    assert server.dump() == {}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_memcached_that_asks_nobody_keeps_no_password(locked, visit, protocol: str) -> None:
    """It takes the login for an item: one that has expired before it is stored."""
    server = locked("memcached")
    works(visit(f"memcached://{pair()}{HOST}:{server.port}?protocol={protocol}"))
    assert server.command("get", "ss:login") == b"END"
    assert not any(PASSWORD.encode() in value for value in server.dump().values())


def test_a_password_is_changed_without_a_restart(locked, users, web_node) -> None:
    """As the documentation says: both in the file, a signal, the new URL; who is connected stays."""
    server = locked("memcached", "-Y", users)
    old, new = (
        Browser([web_node(f"memcached://{login}{HOST}:{server.port}", timeout=5.0, breaker_window=0.01)])
        for login in (pair(), pair(password=WRONG))
    )
    works(old)
    new.cookie = old.cookie
    assert new.go(read("user")).status == 503
    with Path(users).open("a") as file:
        file.write(f"{USER}:{WRONG}\n")
    os.kill(server.pid, signal.SIGHUP)
    deadline = time.monotonic() + 10
    while (answer := new.go(read("user"))).status == 503:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert answer.body == old.go(read("user")).body == repr("alice")


def test_one_login_counts_for_all_nodes_of_a_ring(locked, users, visit, caplog) -> None:
    """Each node has its copy; the fingerprint is that of the ring without a login."""
    servers = [locked("memcached", "-Y", users) for _ in range(3)]
    listed = ",".join(f"n{number}={HOST}:{server.port}" for number, server in enumerate(servers))
    browser = visit(f"memcached://{pair()}{listed}?replicas=2")
    works(browser)
    assert sum(len(server.dump()) for server in servers) == 2
    shows_nothing(browser, caplog)
    plain: Any = connect(f"memcached://{listed}?replicas=2")
    facts = browser.nodes[0].manager.health()["backend"]
    assert facts["fingerprint"] == plain.health()["fingerprint"]


def test_a_node_of_a_ring_that_refuses_us_is_one_that_is_away(locked, users, visit, caplog, tmp_path) -> None:
    """Nobody loses a session, and the log says which node and why."""
    (tmp_path / "others").write_text("another:pair\n")
    servers = [locked("memcached", "-Y", file) for file in (users, users, str(tmp_path / "others"))]
    listed = ",".join(f"n{number}={HOST}:{server.port}" for number, server in enumerate(servers))
    browser = visit(f"memcached://{pair()}{listed}?replicas=2")
    for _ in range(5):
        browser.cookie = ""
        works(browser)
    told = [record.getMessage() for record in caplog.records if getattr(record, "event", "") == "store_refused"]
    assert told
    assert all("n2" in line for line in told)
    shows_nothing(browser, caplog)


# -- TLS


@pytest.fixture
def tls_url(locked, authority: Authority) -> Iterator[Callable[..., str]]:
    """Starts a server with TLS; for one that was built without, a front. Returns its URL, without the authority."""
    fronts: list[TlsFront] = []

    def start(kind: str, shown: Any = None, host: str = HOST, *, asks_client: bool = False) -> str:
        if kind != "valkey":
            port = locked(kind, *tls_arguments(kind, authority, pair=shown, asks_client=asks_client)).port
        else:
            context = (shown or authority.server).server_context()
            fronts.append(TlsFront(locked(kind).port, context).__enter__())
            port = fronts[-1].port
        return f"{SCHEMES[kind][1]}://{host}:{port}"

    yield start
    for front in fronts:
        front.__exit__()


@pytest.mark.parametrize("host", [HOST, "localhost"])
@pytest.mark.parametrize("kind", SCHEMES)
def test_tls_with_an_authority_of_our_own(kind: str, host: str, tls_url, visit, authority) -> None:
    """Number or name, as the certificate says."""
    works(visit(f"{tls_url(kind, host=host)}?ssl_ca_certs={authority.file}"))


@pytest.mark.parametrize("kind", SCHEMES)
def test_tls_carries_long_records(kind: str, tls_url, visit, authority) -> None:
    """Longer than one record of TLS, in both directions."""
    browser = visit(f"{tls_url(kind)}?ssl_ca_certs={authority.file}")
    long = "x" * 60_000
    assert browser.go(write("long", long)).status == 200
    assert browser.go(read("long")).body == repr(long)


@pytest.mark.parametrize("kind", SCHEMES)
@pytest.mark.parametrize(
    ("flaw", "words"),
    [("expired", "expired"), ("other host", "mismatch"), ("other authority", "unable to get local issuer")],
)
def test_a_certificate_with_a_flaw_is_refused(
    kind: str, flaw: str, words: str, tls_url, visit, authority, caplog, tmp_path
) -> None:
    """An outage; the log says which flaw."""
    shown = {
        "expired": lambda: authority.issue("expired", [HOST], -timedelta(days=1)),
        "other host": lambda: authority.issue("elsewhere", ["10.1.2.3", "elsewhere.test"]),
        "other authority": lambda: Authority(tmp_path, "somebody").server,
    }[flaw]()
    browser = visit(f"{tls_url(kind, shown)}?ssl_ca_certs={authority.file}")
    fails(browser, caplog, "node_down", "its certificate is refused", words)


@pytest.mark.parametrize("kind", SCHEMES)
def test_a_private_authority_must_be_named(kind: str, tls_url, visit, caplog) -> None:
    """Without it those of the system count, and none of them knows the server."""
    fails(visit(tls_url(kind)), caplog, "node_down", "its certificate is refused")


@pytest.mark.parametrize("kind", SCHEMES)
def test_verification_can_be_switched_off_on_purpose(kind: str, tls_url, visit, authority) -> None:
    """The name alone, or all of it."""
    url = tls_url(kind, authority.issue("elsewhere", ["elsewhere.test"]))
    works(visit(f"{url}?ssl_ca_certs={authority.file}&ssl_check_hostname=false"))
    works(visit(f"{url}?ssl_cert_reqs=none"))


@pytest.mark.parametrize("kind", ["memcached", "redis"])
def test_a_server_that_asks_for_a_certificate_of_ours(kind: str, tls_url, visit, authority, caplog) -> None:
    """It gets it; whoever has none is refused, and that is an outage."""
    ours = f"ssl_certfile={authority.client.certificate}&ssl_keyfile={authority.client.key}"
    url = tls_url(kind, asks_client=True)
    works(visit(f"{url}?ssl_ca_certs={authority.file}&{ours}"))
    fails(visit(f"{url}?ssl_ca_certs={authority.file}"), caplog, "node_down", "certificate of ours", "ssl_certfile")


@pytest.mark.parametrize("kind", SCHEMES)
def test_tls_to_a_server_without_it(kind: str, locked, web_node, caplog) -> None:
    """An outage within the time of the request; Redis only waits for the end of what it takes for a line."""
    url = f"{SCHEMES[kind][1]}://{HOST}:{locked(kind).port}?ssl_cert_reqs=none"
    browser = Browser([web_node(url, timeout=0.5, breaker_window=60.0)])
    fails(
        browser, caplog, "node_down", "does it speak TLS?" if kind != "memcached" else "speaks no TLS: write memcached:"
    )


@pytest.mark.parametrize("kind", ["memcached", "redis"])
def test_no_tls_to_a_server_that_has_it(kind: str, tls_url, visit, caplog) -> None:
    """The same the other way round."""
    browser = visit(tls_url(kind).replace("s://", "://", 1))
    fails(browser, caplog, "node_down", f"it may expect TLS ({SCHEMES[kind][1]}://)")


@pytest.mark.parametrize("kind", ["memcached", "redis"])
def test_a_restarted_server_with_tls_costs_no_error(kind: str, locked, visit, authority) -> None:
    """A connection that was closed while it lay idle is replaced."""
    server = locked(kind, *tls_arguments(kind, authority))
    browser = visit(f"{SCHEMES[kind][1]}://{HOST}:{server.port}?ssl_ca_certs={authority.file}")
    works(browser)
    server.restart()
    works(browser)


@pytest.mark.parametrize("kind", ["memcached", "redis"])
def test_a_server_with_tls_that_hangs_is_an_outage_in_time(kind: str, locked, web_node, authority, caplog) -> None:
    """On a connection that is open, and on one that has to be opened."""
    server = locked(kind, *tls_arguments(kind, authority))
    url = f"{SCHEMES[kind][1]}://{HOST}:{server.port}?ssl_ca_certs={authority.file}"
    browsers = [Browser([web_node(url, timeout=1.0, breaker_window=60.0)]) for _ in range(2)]
    works(browsers[0])
    server.freeze()
    for browser in browsers:
        fails(browser, caplog, "node_down", "does not answer")


def test_a_ring_with_tls_and_a_login(locked, users, visit, authority, caplog) -> None:
    """All of it at once; one node may die."""
    servers = [locked("memcached", "-Y", users, *tls_arguments("memcached", authority)) for _ in range(3)]
    listed = ",".join(f"n{number}={HOST}:{server.port}" for number, server in enumerate(servers))
    browser = visit(f"memcacheds://{pair()}{listed}?ssl_ca_certs={authority.file}")
    works(browser)
    holder = next(server for server in servers if server.dump())
    holder.kill()
    assert browser.go(everything).body == repr({"user": "alice", "x": 1})
    shows_nothing(browser, caplog)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_ring_with_tls_does_not_wait_for_nodes_that_hang(locked, web_node, authority, protocol: str) -> None:
    """One does not matter. Where none answers, that is known when the time is over, without waiting again."""
    servers = [locked("memcached", *tls_arguments("memcached", authority)) for _ in range(3)]
    listed = ",".join(f"n{number}={HOST}:{server.port}" for number, server in enumerate(servers))
    url = f"memcacheds://{listed}?ssl_ca_certs={authority.file}&protocol={protocol}"
    browser = Browser([web_node(url, timeout=1.0, breaker_window=60.0)])
    works(browser)
    next(server for server in servers if server.dump()).freeze()
    assert browser.go(everything).body == repr({"user": "alice", "x": 1})
    for server in servers:
        server.freeze()
    answer = browser.go(read("user"))
    assert (answer.status, answer.set_cookies) == (503, [])


# -- Redis and Valkey: users


RIGHTS = "~ss:* +get +getex +getrange +set +del +eval +echo +type +lindex +rpush +pexpire +pttl +hello +select"


@pytest.fixture(params=["redis", "valkey"])
def acl(request: pytest.FixtureRequest, locked, tmp_path: Path) -> Callable[..., str]:
    """Starts a server whose users stand in a file; returns its address."""

    def start(rights: str = RIGHTS) -> str:
        file = tmp_path / "users.acl"
        file.write_text(f"user default on nopass ~* &* +@all\nuser {USER} on >{PASSWORD} {rights}\n")
        return f"{HOST}:{locked(request.param, '--aclfile', str(file)).port}"

    return start


def test_a_user_with_the_documented_rights_is_enough(acl, visit, caplog) -> None:
    """No command beyond those that the documentation lists is sent."""
    browser = visit(f"redis://{pair()}{acl()}/0")
    works(browser)
    assert browser.go(lambda session: session.destroy()).status == 200
    shows_nothing(browser, caplog)


@pytest.mark.parametrize("login", [pair(password=WRONG), pair(user="nobody"), f":{WRONG}@"])
def test_redis_refuses_a_wrong_login(acl, visit, caplog, login: str) -> None:
    """An outage with a reason and a mend, not an anonymous visitor."""
    url = acl()
    if login.startswith(":"):
        _command(url, "CONFIG", "SET", "requirepass", PASSWORD)
    fails(visit(f"redis://{login}{url}/0"), caplog, "store_refused", "AUTH: WRONGPASS", "compare")


def test_redis_refuses_whoever_does_not_log_in(acl, visit, caplog) -> None:
    """The log says what to put into the URL."""
    url = acl()
    _command(url, "CONFIG", "SET", "requirepass", PASSWORD)
    fails(visit(f"redis://{url}/0"), caplog, "store_refused", "NOAUTH", "user:password@")


@pytest.mark.parametrize(
    "rights",
    ["~ss:* +hello", RIGHTS.replace("ss:", "other:"), "~ss:* +get +getrange +set", RIGHTS.replace("+echo ", "")],
)
def test_a_user_without_the_rights_is_an_outage(acl, visit, caplog, rights: str) -> None:
    """Whether the commands are missing, all or some, or the keys."""
    fails(visit(f"redis://{pair()}{acl(rights)}/0"), caplog, "store_refused", "NOPERM", "rights", "ss:*")


def test_a_user_without_the_rights_to_change_is_an_outage(acl, visit, caplog) -> None:
    """Inside the script or outside of it: nothing names the user."""
    browser = visit(f"redis://{pair()}{acl('~ss:* +get +getex +set +eval +type +hello +echo -getrange')}/0")
    browser.go(write("user", "alice"))
    if browser.nodes[0].manager.health()["backend"]["compare_and_swap"] == "script":
        with caplog.at_level(logging.DEBUG):
            assert browser.go(write("x", 1)).status == 503
        assert "NOPERM" in caplog.text
    shows_nothing(browser, caplog)


def test_a_user_who_may_not_select_is_told_at_the_door(acl, visit, caplog) -> None:
    """The greeting needs rights, too."""
    url = acl("~ss:* +get +getex +hello")
    fails(visit(f"redis://{pair()}{url}/1"), caplog, "store_refused", "SELECT: NOPERM")


def test_rights_that_are_taken_away_while_we_are_connected(acl, visit, caplog) -> None:
    """A connection that was let in is refused from then on; given back, the session is there."""
    url = acl()
    browser = visit(f"redis://{pair()}{url}/0")
    works(browser)
    _command(url, "ACL", "SETUSER", USER, "-getex", "-get")
    fails(browser, caplog, "store_refused", "NOPERM")
    _command(url, "ACL", "SETUSER", USER, "+getex", "+get")
    assert browser.go(read("user")).body == repr("alice")


def test_redis_with_tls_and_a_user(locked, tmp_path, visit, authority, caplog) -> None:
    """All of it at once."""
    file = tmp_path / "users.acl"
    file.write_text(f"user default on nopass ~* &* +@all\nuser {USER} on >{PASSWORD} {RIGHTS}\n")
    server = locked("redis", "--aclfile", str(file), *tls_arguments("redis", authority))
    browser = visit(f"rediss://{pair()}{HOST}:{server.port}/0?ssl_ca_certs={authority.file}")
    works(browser)
    shows_nothing(browser, caplog)


def _command(address: str, *words: str) -> None:
    """Sends a command as the default user."""
    server = KINDS["redis"](int(address.rpartition(":")[2]), [])
    server.command(*words)
    server.stop()


# -- UNIX sockets


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("login", ["", pair()])
def test_memcached_behind_a_unix_socket(locked, users, visit, tmp_path, protocol: str, login: str) -> None:
    """With a login and without."""
    path = f"{tmp_path}/memcached.sock"
    server = locked("memcached", "-s", path, *(["-Y", users] if login else []))
    works(visit(f"memcached://{login}{path}?protocol={protocol}"))
    assert len(server.dump()) == 1


def test_a_ring_of_unix_sockets(locked, visit, tmp_path) -> None:
    """Each node has a copy."""
    paths = [f"{tmp_path}/{name}.sock" for name in "ab"]
    servers = [locked("memcached", "-s", path) for path in paths]
    works(visit(f"memcached://a={paths[0]},b={paths[1]}"))
    assert [len(server.dump()) for server in servers] == [1, 1]


@pytest.mark.parametrize("kind", ["redis", "valkey"])
@pytest.mark.parametrize("login", ["", pair()])
def test_redis_behind_a_unix_socket(kind: str, locked, visit, tmp_path, login: str) -> None:
    """With a user and without."""
    path = f"{tmp_path}/{kind}.sock"
    server = locked(kind, "--unixsocket", path)
    server.command("ACL", "SETUSER", USER, "on", f">{PASSWORD}", *RIGHTS.split())
    works(visit(f"unix://{login}{path}?db=0"))
    assert len(server.dump()) == 1
