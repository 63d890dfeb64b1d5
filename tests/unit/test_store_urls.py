"""URLs of stores with users, passwords and TLS: what they are taken for, and that no password is ever shown."""

import ssl
from pathlib import Path
from typing import Any

import hiredis
import pytest

from sharedsession.backends import connect
from sharedsession.backends.memcached import login as logins
from sharedsession.backends.memcached import protocol, text
from sharedsession.backends.memcached.urls import nodes_of
from sharedsession.backends.wire.protocol import Login
from sharedsession.backends.wire.urls import redacted
from sharedsession.cli.__main__ import main
from sharedsession.errors import BackendUnavailable, ConfigurationError
from tests.support.certificates import Authority

SECRET = "hunter2"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


def mistake(url: str) -> str:
    """The message of the error that a URL raises."""
    with pytest.raises(ConfigurationError) as caught:
        connect(url)
    return str(caught.value)


# -- user and password of memcached


@pytest.mark.parametrize(
    ("written", "user", "password"),
    [
        ("web:hunter2", b"web", b"hunter2"),
        ("web:a%2Fb%2Cc%40d%23e%3Ff%25g", b"web", b"a/b,c@d#e?f%g"),
        ("w%40b:x", b"w@b", b"x"),
        ("web:base64==", b"web", b"base64=="),
        ("web:a:b", b"web", b"a:b"),
        ("web:p%C3%A4ss", b"web", "päss".encode()),
        ("web:%zz", b"web", b"%zz"),
    ],
)
@pytest.mark.parametrize("nodes", ["h1", "a=h1:11212", "[::1]:11212", "/run/m.sock", "a=h1,b=h2", "a=/run/m,b=h2"])
def test_a_login_stands_in_front_of_the_whole_list(written: str, user: bytes, password: bytes, nodes: str) -> None:
    """One for all nodes, and the nodes are read as without it."""
    found = nodes_of(f"memcached://{written}@{nodes}")
    assert {spec.address.login for spec in found} == {Login(user, password)}
    assert [str(spec.address) for spec in found] == [str(spec.address) for spec in nodes_of(f"memcached://{nodes}")]


@pytest.mark.parametrize(
    "url",
    [
        "memcached://web:hunter2@h1,web:hunter2@h2",
        "memcached://web:one@h1,web:hunter2@h2",
        "memcached://h1,web:hunter2@h2",
        "memcached://a=h1,b=web:hunter2@h2",
        "memcached://a=web:hunter2@h1",
        "memcached://hunter2@h1",
        "memcached://:hunter2@h1",
        "memcached://hunter2:@h1",
        "memcached://@h1",
        "memcached://web:p@hunter2@h1",
        "memcached://web:p/hunter2@h1",
        "memcached://web:p#hunter2@h1",
        "memcached://web:p,hunter2@h1",
        "memcacheds://web:hunter2@h1,web:hunter2@h2",
    ],
)
def test_any_other_login_is_told_how_it_is_written(url: str) -> None:
    """One pair of its own for a node, half a pair, characters that end a password."""
    message = mistake(url)
    assert "one user:password@ in front of the whole list" in message
    assert SECRET not in message


@pytest.mark.parametrize("login", ["web:hunter2%20x", "web:hunter2%0d%0aflush_all", "w%20b:hunter2", "w%3Ab:hunter2"])
def test_what_memcached_cannot_take_is_refused(login: str) -> None:
    """A space parts user and password there, and a line end would begin another command."""
    message = mistake(f"memcached://{login}@h1")
    assert "no spaces" in message
    assert SECRET not in message


@pytest.mark.parametrize(
    "url",
    [
        "memcached://web:p?hunter2@h1",
        "memcached://web:12?hunter2@h1",
        "memcached://web:12?hunter2=x@h1",
        "memcached://web:hunter2?x@h1",
        "memcached://web:hunter2@h1:99999",
        "memcached://web:hunter2@h1,h1",
        "memcached://web:hunter2@h1?replica=2",
        "memcached://web:hunter2@h1?replicas=9",
        "memcached://web:hunter2@h1?ssl_ca_certs=/x",
        "memcacheds://web:hunter2@h1?ssl_ca_certs=/no/such/file",
        "memcacheds://web:hunter2@/run/m.sock",
        "redis://web:p/hunter2@h1",
        "redis://web:p#hunter2@h1",
        "redis://web:hunter2?@h1:x",
        "redis://web:p@hunter2@h1:x",
        "redis://web:x?hunter2@h1",
        "redis://web:12?hunter2=x@h1",
        "redis://hunter2@h1",
        "redis://h1?password=hunter2&nosuch=1",
        "redis://web:hunter2@h1?ssl_ca_certs=/x",
        "rediss://web:hunter2@h1?ssl_ca_certs=/no/such/file",
        "valkeys://web:hunter2@h1?ssl_cert_reqs=maybe",
        "unix://web:hunter2@/run/redis.sock?nosuch=1",
        "nosuch://web:hunter2@h1",
        "web:hunter2@redis://h1",
        "redis://web:hunter2",
        "redis://h1?passwd=hunter2",
        "redis://h1?hunter2=1",
        "redis://h1?db=hunter2",
        "redis://web:x@h1?auth=hunter2",
        "rediss://h1?ssl_password=hunter2",
        "unix:///run/redis.sock?secret=hunter2",
        "valkeys://h1?token=hunter2",
        "memcached://h1?password=hunter2",
        "memcached://h1?hunter2=x",
        "memcached://h1?hunter2",
        "memcached://web:hunter2",
        "memcached://a=h1,b=web:hunter2",
        "memcached://a=h1,b=h2?replicas=hunter2",
        "memcached://a=h1,b=h2?layout=hunter2",
        "memcacheds://h1?ssl_keyfile_password=hunter2",
        "sqlite:///x.db?key=hunter2",
        "memory://?key=hunter2",
    ],
)
def test_a_mistake_beside_a_password_does_not_show_it(url: str) -> None:
    """Not even where it was cut in the middle, or taken for a port or an option."""
    assert SECRET not in mistake(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://web:hunter2@h:1/0", "redis://***@h:1/0"),
        ("redis://:hunter2@h", "redis://***@h"),
        ("redis://a:b@hunter2@h", "redis://***@h"),
        ("redis://a:b/hunter2@h?x=1", "redis://***@h?x=***"),
        ("redis://h?db=1&password=hunter2&x=2", "redis://h?db=1&password=***&x=***"),
        ("redis://h?passwd=hunter2", "redis://h?passwd=***"),
        ("redis://h?hunter2", "redis://h?***"),
        ("redis://h?hunter2=1;db=2", "redis://h?***;db=2"),
        ("redis://h#hunter2", "redis://h#***"),
        ("redis://web:hunter2", "redis://web:***"),
        ("redis://[::1]:6379/0?ssl_cert_reqs=none", "redis://[::1]:6379/0?ssl_cert_reqs=none"),
        ("memcached://a=h1:1,b=h2:hunter2", "memcached://a=h1:1,b=h2:***"),
        ("memcached://a=h1,b=h2?replicas=2", "memcached://a=h1,b=h2?replicas=2"),
    ],
)
def test_a_url_is_shown_without_user_and_password(url: str, shown: str) -> None:
    """Rather too little than too much."""
    assert redacted(url) == shown


@pytest.mark.parametrize("words", [["doctor", "--bakend"], ["farm", "--backend", "redis://h", "--json"], ["nosuch"]])
def test_the_command_line_repeats_no_password(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt flag is named, the URL behind it without its password."""
    with pytest.raises(SystemExit):
        main([*words, "redis://web:hunter2@h:1?passwd=hunter2"])
    assert SECRET not in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    "url", ["memcached://web:hunter2@h1", "memcached://web:hunter2@a=h1,b=h2", "redis://web:hunter2@h"]
)
def test_no_repr_holds_a_password(url: str) -> None:
    """Of the backend, of its parts, of what health tells."""
    backend: Any = connect(url)
    inside = getattr(backend, "_server", None) or getattr(backend, "server", backend)
    parts = [backend, *vars(backend).values(), *vars(inside).values(), backend.health()]
    parts += [spec for spec in nodes_of(url) if url.startswith("memcached")] if "memcached" in url else []
    assert SECRET not in repr(parts)
    assert "web" not in repr(parts)


def test_a_login_is_a_command_of_its_own_length() -> None:
    """Bytes are counted, not characters; for a server without logins it has expired."""
    assert logins.request(Login(b"web", "pä".encode())) == b"set ss:login 0 -1 7\r\nweb p\xc3\xa4\r\n"


@pytest.mark.parametrize("cutter", [protocol, text])
@pytest.mark.parametrize("line", ["unauthenticated", "authentication failure", "bad authentication token format"])
def test_a_refusal_has_a_fix(cutter: Any, line: str) -> None:
    """Another one for those who gave a login than for those who did not."""
    parser = cutter.Parser()
    parser.feed(f"CLIENT_ERROR {line}\r\n".encode())
    refusal = parser.pop()
    assert logins.fix(refusal, None) == logins.NONE
    assert logins.fix(refusal, Login(b"u", b"p")) == logins.OTHER
    assert not logins.is_admitted(refusal)


@pytest.mark.parametrize("cutter", [protocol, text])
def test_other_errors_are_no_refusal(cutter: Any) -> None:
    """They have their own words."""
    parser = cutter.Parser()
    parser.feed(b"CLIENT_ERROR bad data chunk\r\nSTORED\r\n")
    assert logins.fix(parser.pop(), None) is None
    assert logins.is_admitted(parser.pop())


@pytest.mark.parametrize("name", ["meta", "text"])
def test_whatever_else_answers_a_login_is_a_refusal(name: str, caplog) -> None:
    """A proxy without a login, a server out of memory: it is unknown whom it takes us for."""
    server = connect(f"memcached://web:hunter2@h1?protocol={name}").server
    for line in (b"ERROR\r\n", b"SERVER_ERROR out of memory storing object\r\n"):
        parser = server.protocol.Parser()
        parser.feed(line)
        with pytest.raises(BackendUnavailable, match="refuses user and password"):
            server._greeted([parser.pop()])
    assert [record.event for record in caplog.records] == ["store_refused"] * 2
    assert SECRET not in caplog.text


# -- TLS


@pytest.mark.parametrize("scheme", ["memcacheds", "MEMCACHEDS"])
def test_all_nodes_share_one_context_that_verifies(scheme: str, authority: Authority) -> None:
    """It is read once, when the URL is."""
    contexts = {spec.address.tls for spec in nodes_of(f"{scheme}://a=h1,b=h2?ssl_ca_certs={authority.file}")}
    (context,) = contexts
    assert isinstance(context, ssl.SSLContext)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert nodes_of("memcached://h1")[0].address.tls is None


@pytest.mark.parametrize(
    ("query", "mode", "checks_host"),
    [
        ("", ssl.CERT_REQUIRED, True),
        ("ssl_cert_reqs=required", ssl.CERT_REQUIRED, True),
        ("ssl_cert_reqs=optional", ssl.CERT_REQUIRED, True),
        ("ssl_cert_reqs=none", ssl.CERT_NONE, False),
        ("ssl_check_hostname=false", ssl.CERT_REQUIRED, False),
        ("ssl_check_hostname=0", ssl.CERT_REQUIRED, False),
        ("ssl_check_hostname=True", ssl.CERT_REQUIRED, True),
        ("ssl_cert_reqs=none&ssl_check_hostname=true", ssl.CERT_NONE, False),
    ],
)
@pytest.mark.parametrize("scheme", ["memcacheds", "rediss", "valkeys", "REDISS"])
def test_what_is_verified_is_the_same_for_every_store(
    scheme: str, query: str, mode: ssl.VerifyMode, checks_host: bool
) -> None:
    """All, unless the URL says otherwise."""
    backend: Any = connect(f"{scheme}://h1?{query}")
    guard = backend.server.guard if scheme == "memcacheds" else backend._guard
    assert (guard.address.tls.verify_mode, guard.address.tls.check_hostname) == (mode, checks_host)


def test_tls_makes_no_ring_of_one_node(authority: Authority) -> None:
    """Its options are none of a ring."""
    assert connect(f"memcacheds://h1?ssl_ca_certs={authority.file}").health()["kind"] == "memcached"
    assert connect(f"memcacheds://a=h1,b=h2?ssl_ca_certs={authority.file}").health()["kind"] == "ring"


def test_our_own_certificate_is_read(authority: Authority) -> None:
    """With its key in a file of its own, or in the same one."""
    both = authority.file.with_name("both.pem")
    both.write_bytes(authority.client.certificate.read_bytes() + authority.client.key.read_bytes())
    assert connect(f"memcacheds://h1?ssl_certfile={authority.client.certificate}&ssl_keyfile={authority.client.key}")
    assert connect(f"rediss://h1?ssl_certfile={both}")


@pytest.mark.parametrize("scheme", ["memcacheds", "rediss", "valkeys"])
def test_a_wrong_option_of_tls_is_named(scheme: str, authority: Authority, tmp_path: Path) -> None:
    """At start-up, and no password is asked for at the terminal."""
    locked = authority.issue("locked", ["h1"], password=b"x")
    (tmp_path / "empty.pem").write_text("")
    wrong = {
        "ssl_ca_certs=/no/such/file": "ssl_ca_certs or ssl_ca_path names cannot be used",
        f"ssl_ca_certs={tmp_path}/empty.pem": "ssl_ca_certs or ssl_ca_path names cannot be used",
        "ssl_certfile=/no/such/file": "ssl_certfile or ssl_keyfile names cannot be used",
        f"ssl_certfile={authority.client.certificate}": "ssl_certfile or ssl_keyfile names cannot be used",
        f"ssl_certfile={locked.certificate}&ssl_keyfile={locked.key}": "ssl_certfile or ssl_keyfile",
        f"ssl_keyfile={authority.client.key}": "ssl_keyfile without ssl_certfile",
        "ssl_cert_reqs=maybe": "ssl_cert_reqs=required, optional (the same) or none",
        "ssl_certs=x": "no option 'ssl_certs'",
    }
    assert {query: text in mistake(f"{scheme}://h1?{query}") for query, text in wrong.items()} == dict.fromkeys(
        wrong, True
    )
    assert "true or false" in mistake("memcacheds://h1?ssl_check_hostname=maybe")


@pytest.mark.parametrize(
    ("scheme", "instead"), [("memcached", "memcacheds"), ("redis", "rediss"), ("valkey", "rediss")]
)
def test_options_of_tls_without_tls_are_refused(scheme: str, instead: str) -> None:
    """Their author believes that the connection is safe."""
    assert f"write {instead}://" in mistake(f"{scheme}://h1?ssl_ca_certs=/etc/ssl/ca.pem")


def test_a_unix_socket_has_no_tls() -> None:
    """Nor does it need it."""
    assert "UNIX socket" in mistake("memcacheds:///run/memcached.sock")
    assert "UNIX socket" in mistake("memcacheds://a=h1,b=/run/memcached.sock")


@pytest.mark.parametrize(
    ("reply", "logged"),
    [
        ("NOPERM User web has no permissions to run the 'get' command", "NOPERM; give the user"),
        ("ERR The user executing the script can't run this command or subcommand script: 7d", "NOPERM; give the user"),
        ("ERR ACL failure in script: User web has no permissions to run the 'set' command", "NOPERM; give the user"),
        ("WRONGPASS invalid username-password pair or user is disabled.", "WRONGPASS; compare user and password"),
        ("NOAUTH Authentication required.", "NOAUTH; put user:password@"),
        ("OOM command not allowed when used memory > 'maxmemory'.", "OOM; its memory is full"),
    ],
)
def test_what_redis_refuses_has_a_fix_and_names_no_user(reply: str, logged: str, caplog) -> None:
    """Its own words are kept where they can name no user."""
    backend: Any = connect("redis://web:hunter2@h1")
    error = backend._server.refused("GET", hiredis.ReplyError(reply), ("web",))
    assert logged in caplog.text
    assert "web" not in caplog.text + str(error)
    assert logged in str(error)


def test_a_user_of_redis_without_a_password_is_refused() -> None:
    """It would be ignored, and another user admitted."""
    assert "user without a password" in mistake("redis://web@h1")


# -- URLs that would be read as something else


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("redis://h/abc", "databases are numbers"),
        ("redis://h/1/2", "databases are numbers"),
        ("redis://h/-1", "databases are numbers"),
        ("redis://h/0x1", "databases are numbers"),
        ("redis://h//1", "databases are numbers"),
        ("valkey://h/abc", "databases are numbers"),
        ("valkeys://h/mymaster/0", "databases are numbers"),
        ("rediss://h?db=abc", "db that is no number"),
        ("redis://h?db=-1", "db that is no number"),
        ("unix:///run/redis.sock?db=x", "db that is no number"),
        ("redis://h/1?db=2", "names two databases"),
        ("redis://h?db=1&db=2", "an option twice"),
        ("redis://h?db=", "without a value"),
        ("rediss://h?ssl_ca_certs=", "without a value"),
        ("redis://", "names no host"),
        ("redis:///0", "names no host"),
        ("redis://:6379/0", "names no host"),
        ("redis://:hunter2@/0", "names no host"),
        ("redis://h:/0", "a host that is none"),
        ("redis://h1..h2/0", "a host that is none"),
        ("redis:///0?host=h1..h2", "a host that is none"),
        (f"redis://{'h' * 64}/0", "a host that is none"),
        ("redis://u:hunter2\udcff@h", "no UTF-8"),
        ("redis://h1,h2/0", "and no list"),
        ("redis://h1:1,h2:2/0", "and no list"),
        ("redis://${HOST}/0", "a host that is none"),
        ("redis://h:0/0", "ports are numbers"),
        ("redis://h:70000/0", "its port is a number"),
        ("redis://h?port=0", "ports are numbers"),
        ("redis://h?port=hunter2", "ports are numbers"),
        ("redis://::1/0", "redis://[::1]:6379/0"),
        ("redis://[::1/0", "in [brackets]"),
        ("redis://h 1/0", "a space"),
        ("redis://h\n1/0", "a space or a line end"),
        ("redis://:p w@h/0", "a space"),
        ("redis://h/0#x", "has a #"),
        ("redis://:hunt#er2@h/0", "has a #"),
        ("redis://:p@ss/word@h/0", "in front of an @"),
        ("redis://:12/34@h/0", "in front of an @"),
        ("redis://u:12?34@h/0", "in a user or password write"),
        ("unix://", "names no socket"),
        ("unix:///", "names no socket"),
        ("unix://run/redis.sock", "names no socket"),
        ("unix://:p@ss/word@/run/redis.sock", "in front of an @"),
        ("unix://redis.sock?db=0", "names no socket"),
        ("memcached://", "is no node"),
        ("memcached://h1/0", "is no node"),
        ("memcached://h1:", "is no node"),
        ("memcached://h1:0", "is no node"),
        ("memcached://h 1", "is no node"),
        ("memcached://a=,b=h2", "is no node"),
        ("memcached://h1,,h2", "is no node"),
        ("memcached://::1", "is no node"),
        ("memcached://h1#x", "is no node"),
        ("memcached://h1,h2?replicas=2#x", "has a #"),
        ("memcached://h1,h2?replicas=1&replicas=2", "an option twice"),
        ("memcacheds://h1?ssl_ca_certs=", "without a value"),
        ("sqlite://x.db", "takes a path"),
        ("sqlite://host/x.db", "takes a path"),
        ("sqlite:////", "names no file"),
        ("sqlite:///dir/", "names no file"),
        ("sqlite:////var/lib/..", "names no file"),
        ("sqlite:///%20", "names no file"),
        ("sqlite:///x%00.db", "names no file"),
        ("sqlite:///~/x.db", "~ is not your home"),
    ],
)
def test_a_url_that_would_be_read_as_something_else_is_refused(url: str, named: str) -> None:
    """At start-up, with the part that is wrong; and without a part of a password."""
    message = mistake(url)
    assert named in message
    assert not any(part in message for part in ("hunter2", "ss/word", "34@", "er2"))


@pytest.mark.parametrize(
    ("url", "host", "port", "database"),
    [
        ("redis://h", "h", 6379, 0),
        ("redis://h/", "h", 6379, 0),
        ("redis://h/0", "h", 6379, 0),
        ("redis://h/3/", "h", 6379, 3),
        ("redis://h:6380/15", "h", 6380, 15),
        ("redis://h:06380/1", "h", 6380, 1),
        ("redis://h?db=2", "h", 6379, 2),
        ("redis://h/2?db=2", "h", 6379, 2),
        (" redis://h/2\n", "h", 6379, 2),
        ("redis://?host=h&port=7000", "h", 7000, 0),
        ("redis://my_cache-1.svc:6379", "my_cache-1.svc", 6379, 0),
        ("redis://[::1]:6379/0", "::1", 6379, 0),
        ("redis://[fe80::1%25eth0]/0", "fe80::1%eth0", 6379, 0),
        ("redis://:p%40ss%2Fword@h/0", "h", 6379, 0),
        ("redis://:p@ss@h/0", "h", 6379, 0),
        ("redis://u:p@h/2", "h", 6379, 2),
        ("REDIS://h/2", "h", 6379, 2),
        ("valkey://h:1/2", "h", 1, 2),
    ],
)
def test_what_can_be_read_as_it_was_meant_is(url: str, host: str, port: int, database: int) -> None:
    """As redis-py reads it."""
    backend: Any = connect(url)
    address = backend._guard.address
    assert (address.host, address.port) == (host, port)
    selected = [request for request in backend._server.protocol.greeting if b"SELECT" in request]
    assert [b"\r\n%d\r\n" % database in request for request in selected] == [True] * bool(database)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("unix:///run/r.sock?db=1", "/run/r.sock"),
        ("unix://u:p@/run/r%20s.sock", "/run/r s.sock"),
        ("unix:///run/r s.sock", "/run/r s.sock"),
        ("unix:///run/a@b.sock", "/run/a@b.sock"),
    ],
)
def test_a_socket_is_a_whole_path(url: str, path: str) -> None:
    """With a user in front of it, where one is asked for."""
    assert connect(url)._guard.address.path == path


@pytest.mark.parametrize("url", ["memcached://a=h1, b=h2", "memcached://h1/", "memcached:///run/m 1.sock"])
def test_lists_of_nodes_may_have_spaces_between_them(url: str) -> None:
    """As people write lists."""
    assert connect(url)
