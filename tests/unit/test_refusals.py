"""Errors of servers, and bytes of strangers, in words for the log: the fix is there, and nothing of the request is."""

import socket
import ssl
from typing import Any

import hiredis
import pytest

from sharedsession.backends.memcached import protocol, text
from sharedsession.backends.memcached.protocol import Reply
from sharedsession.backends.memcached.refusals import refusal as refusal_of_memcached
from sharedsession.backends.redis.refusals import code_of, refusal
from sharedsession.backends.redis.resp import RespParser
from sharedsession.backends.wire.protocol import INCOMPLETE, Desynchronised
from sharedsession.backends.wire.reasons import reason
from sharedsession.backends.wire.refusals import plain
from sharedsession.backends.wire.strangers import Expected, description
from sharedsession.errors import BackendError

KEY = "ss:AAAAAAAAAAAAAAAAAAAAAA.BBBBBBBBBBBBBBBBBBBBBB"
SCRIPT_6_2 = "ERR Error running script (call to f_7d): @user_script:6: @user_script: 6: -"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (f"ERR unknown command `GETEX`, with args beginning with: `{KEY}`, `PX`, `1200000`, ", "Redis 6.2 or newer"),
        (f"ERR unknown command 'GETEX', with args beginning with: '{KEY}' 'PX' '1200000' ", "Redis 6.2 or newer"),
        ("ERR Unknown Redis command called from script script: 7d, on @user_script:2.", "Redis 6.2 or newer"),
        ("ERR DB index is out of range", "no database of this number"),
        ("ERR invalid DB index", "no database of this number"),
        ("ERR SELECT is not allowed in cluster mode", "it is a node of a Redis Cluster"),
        ("MOVED 3999 10.0.0.7:6381", "it is a node of a Redis Cluster"),
        ("CROSSSLOT Keys in request don't hash to the same slot", "it is a node of a Redis Cluster"),
        ("READONLY You can't write against a read only replica.", "name the primary"),
        (f"{SCRIPT_6_2}READONLY You can't write against a read only replica. ", "name the primary"),
        ("OOM command not allowed when used memory > 'maxmemory'.", "raise its maxmemory"),
        ("MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist", "disk"),
        ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", "name the primary"),
        ("LOADING Redis is loading the dataset in memory", "when it has"),
        ("BUSY Redis is busy running a script. You can only call SCRIPT KILL", "SCRIPT KILL"),
        ("ERR invalid password", "WRONGPASS; compare"),
        ("ERR Client sent AUTH, but no password is set", "asks for none"),
        ("ERR AUTH <password> called without any password configured for the default user.", "asks for none"),
        ("ERR wrong number of arguments for 'auth' command", "older than Redis 6.2"),
    ],
)
def test_what_redis_refuses_has_a_fix(error: str, said: str) -> None:
    """Whatever its age, and wherever the command was."""
    line = refusal("GETEX", error, "redis 6.0.16", (KEY, "PX", "1200000"))
    assert line.startswith("refuses GETEX: ")
    assert said in line
    assert not any(word in line for word in (KEY, "ss:", "1200000", "10.0.0.7", "7d"))


def test_a_sentinel_is_called_that() -> None:
    """It answers as Redis does, and keeps nothing."""
    assert "it is a Sentinel" in refusal("ECHO", "ERR unknown command 'ECHO'", "sentinel 7.0.15")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("ERR value is not an integer or out of range", "ERR value is not an integer or out of range"),
        (f"ERR syntax error near PX 12 {KEY}", "ERR syntax error near"),
        (f"ERR {KEY}", "ERR"),
        (KEY, "an error"),
        ("hunter2 is wrong", "an error"),
        ("", "an error"),
    ],
)
def test_an_error_that_nobody_knows_is_cut_before_the_request(error: str, said: str) -> None:
    """Its code and its first plain words."""
    assert plain(error, ("PX", "12", KEY)) == said


def test_where_the_request_is_secret_only_the_code_is_told() -> None:
    """A login, for instance."""
    assert refusal("AUTH", "ERR hunter is no password") == "refuses AUTH: ERR"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("OOM command not allowed", "OOM"),
        (f"{SCRIPT_6_2}OOM command not allowed when used memory > 'maxmemory'.", "OOM"),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", "WRONGTYPE"),
        ("ERR syntax error", "ERR"),
    ],
)
def test_the_code_of_an_error_is_found_inside_of_a_script_too(error: str, code: str) -> None:
    """Else a full server of 6.2 would not be known as full."""
    assert code_of(error) == code


@pytest.mark.parametrize(
    ("status", "words", "has_meta", "said"),
    [
        (b"ERROR", [], True, "add ?protocol=text"),
        (b"ERROR", [], False, "1.5.3 or newer"),
        (b"SERVER_ERROR", [b"out", b"of", b"memory", b"storing", b"object"], True, "(-m)"),
        (b"SERVER_ERROR", [b"object", b"too", b"large", b"for", b"cache"], True, "lower max_size"),
        (b"SERVER_ERROR", [b"Connection", b"refused"], True, "SERVER_ERROR Connection refused"),
        (b"CLIENT_ERROR", [b"bad", KEY.encode(), b"x"], True, "refuses a request: CLIENT_ERROR bad"),
        (b"XX", [KEY.encode()], True, "an answer that fits no request (XX)"),
    ],
)
def test_what_memcached_refuses_has_a_fix(status: bytes, words: list[bytes], has_meta: bool, said: str) -> None:
    """A proxy's own words are told as far as they are plain."""
    line = refusal_of_memcached(Reply(status, words), has_meta=has_meta)
    assert said in line
    assert KEY not in line


# -- strangers

MEMCACHED, REDIS = protocol.EXPECTED, Expected("Redis", "redis", "rediss", "")


@pytest.mark.parametrize("expected", [MEMCACHED, REDIS])
@pytest.mark.parametrize("data", [b"\x00", b"hello\r\n", b"", f"QQ {KEY}\r\n".encode()])
def test_bytes_that_nobody_knows_are_not_shown(expected: Expected, data: bytes) -> None:
    """They may repeat the request."""
    assert description(data, expected).startswith(f"what came from there is not a reply of {expected.name}: ")


@pytest.mark.parametrize("parser", [protocol.Parser, text.Parser, RespParser])
def test_a_stream_that_ends_at_its_place(parser: Any) -> None:
    """A server hung up."""
    assert isinstance(parser().end(), EOFError)


@pytest.mark.parametrize("parser", [protocol.Parser, text.Parser])
def test_a_stream_that_ends_behind_other_bytes(parser: Any) -> None:
    """It was a stranger's, whose words have no line end."""
    cut = parser()
    cut.feed(b"<!DOCTYPE html>")
    assert cut.pop() is INCOMPLETE
    assert isinstance(cut.end(), Desynchronised)
    assert "is not memcached but a web server" in str(cut.end())


@pytest.mark.parametrize("parser", [protocol.Parser, text.Parser])
def test_a_memcached_that_hangs_up_behind_a_reply(parser: Any) -> None:
    """Nothing is left over."""
    cut = parser()
    cut.feed(b"SERVER_ERROR out of memory\r\n")
    assert cut.pop().is_error
    assert isinstance(cut.end(), EOFError)


def test_a_redis_that_refuses_everybody_and_hangs_up() -> None:
    """Its reply has no name, so it was never cut."""
    cut = RespParser()
    cut.feed(b"-DENIED Redis is running in protected mode\r\n")
    cut.pop()
    assert isinstance(cut.end(), BackendError)
    assert "it is in protected mode" in str(cut.end())


# -- why nothing was answered


def _tls(cause: str) -> ssl.SSLError:
    error = ssl.SSLError(1, f"[SSL: {cause}]")
    error.reason = cause
    return error


@pytest.mark.parametrize(
    ("error", "has_tls", "said"),
    [
        (ConnectionRefusedError(111, "Connect call failed ('10.0.0.1', 1)"), False, "(Connection refused)"),
        (socket.gaierror(-2, "Name or service not known"), False, "compare the host"),
        (TimeoutError(), False, "(no answer in time)"),
        (TimeoutError(), True, "(no answer in time; does it speak TLS?)"),
        (EOFError(), False, "it may expect TLS (memcacheds://), be a proxy"),
        (ConnectionResetError(), True, "it may speak no TLS (memcached://)"),
        (_tls("WRONG_VERSION_NUMBER"), True, "speaks no TLS: write memcached://"),
        (_tls("TLSV13_ALERT_CERTIFICATE_REQUIRED"), True, "name it as ssl_certfile"),
        (_tls("NO_CIPHERS_AVAILABLE"), True, "TLS fails: "),
        (BackendError("it runs with -C"), False, "cannot be used: it runs with -C"),
    ],
)
def test_the_reason_of_a_silence(error: Exception, has_tls: bool, said: str) -> None:
    """The same in both colours, with what to look at."""
    assert said in reason(error, MEMCACHED, has_tls=has_tls, was_connected=False)


def test_a_server_that_has_spoken_tls_is_not_doubted() -> None:
    """It is slow."""
    assert "TLS" not in reason(TimeoutError(), MEMCACHED, has_tls=True, was_connected=True)


def test_replies_of_redis_are_no_strangers() -> None:
    """All of them are cut."""
    cut = RespParser()
    cut.feed(b"-ERR no\r\n$9\r\n000000001\r\n")
    reply, name = cut.pop()
    assert isinstance(reply, hiredis.ReplyError)
    assert name == b"000000001"
