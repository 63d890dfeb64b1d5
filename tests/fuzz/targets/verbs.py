"""A server that answers each request with whatever bytes, through parser and check: what the operations make of it."""

from collections.abc import Callable, Sequence
from typing import Any

from sharedsession.backends.base import DoubtingBackend, Ended, Read, Stored
from sharedsession.backends.memcached import protocol, text
from sharedsession.backends.memcached.node import MemcachedStore
from sharedsession.backends.memcached.server import MemcachedServer
from sharedsession.backends.memcached.text_store import TextStore
from sharedsession.backends.redis.backend import RedisBackend
from sharedsession.backends.redis.resp import EXPECTED, RespParser
from sharedsession.backends.redis.server import Server
from sharedsession.backends.tombstone import Tombstone
from sharedsession.backends.wire.node_guard import NodeGuard
from sharedsession.backends.wire.protocol import (
    INCOMPLETE,
    Address,
    Desynchronised,
    FollowUp,
    Login,
    Parser,
    Request,
    WireProtocol,
    checked,
    result_of,
)
from sharedsession.concurrency import run
from sharedsession.errors import BackendError, BackendUnavailable
from sharedsession.testing import ManualEnvironment
from tests.fuzz.target import Choices, target
from tests.fuzz.targets.replies import HUGE_LIST

_ENVIRONMENT = ManualEnvironment(seed=1)
_KEY = "ss:key"
_NOTE = Tombstone(1200.0, b"note", 10.0).encode(1.8e9)
_PLAIN = Tombstone(1200.0).encode(1.8e9)
_NEXT = b"\xff\xfe"  # between what answers one request and what answers the next
_WORDS = (_NEXT, b" O@", b"ss:key", b"\r\n", _PLAIN, _NOTE, b"ERROR\r\n")


class _Scripted:
    """A client whose server has only these bytes to say. In them, ``O@`` stands for the number of a request."""

    def __init__(self, parser: Callable[[], Parser], answers: bytes, ending: Callable[[int], bytes]) -> None:
        self._parser = parser
        self._answers = iter(answers.split(_NEXT))
        self._ending = ending

    async def ask(self, request: Request, timeout: float) -> Any:
        """Same as `Client.ask`: what real clients make of no answer, or of none to this request."""
        try:
            checks = (request.check, *request.more)
            replies = [self._reply(check) for check in checks]
        except Desynchronised:
            raise BackendUnavailable("no answer") from None
        result = result_of(request, replies if request.more else replies[0], 1)
        return await result.work if type(result) is FollowUp else result

    ask_afresh = ask

    def close(self) -> None:
        pass

    def _reply(self, check: Any) -> Any:
        number = check[2] if check else 0
        parser = self._parser()
        parser.feed(next(self._answers, b"").replace(b"O@", b"O%d" % number) + self._ending(number))
        reply = parser.pop()
        if reply is INCOMPLETE:
            raise Desynchronised("half of a reply")
        return checked(reply, check)


def _nothing(_number: int) -> bytes:
    return b""


def _echo(number: int) -> bytes:
    return b"$9\r\n%09d\r\n" % number


_META_SEEDS = (
    b"\0VA 3 c7 f0 t1200 O@\r\nabc\r\n",
    b"\1VA %d c7 f1 t1200 O@\r\n%b\r\n" % (len(_NOTE), _NOTE) + _NEXT + b"HD c8 O@\r\n",
    b"\2HD c9 O@\r\n" + _NEXT + b"VA 1 c7 f0 t-1 O@\r\nx\r\n" + _NEXT + b"EN\r\n",
    b"\3HD c9 O@\r\n",
    b"\4EX O@\r\n",
    b"\5EN O@\r\n" + _NEXT + b"HD c1 O@\r\n",
    b"\6HD c1 f0 t9 O@\r\n" + _NEXT + b"SERVER_ERROR out of memory\r\n" + _NEXT + b"HD O@\r\n",
    b"\7NF O@\r\n" + _NEXT + b"EN O@\r\n" + _NEXT + b"NS O@\r\n",
    b"\x09MN\r\n",
    b"\xc9VA %d c7 f1 t1200 O@\r\n%b\r\n" % (len(_NOTE), _NOTE),
)
_TEXT_SEEDS = (
    b"\0VALUE ss:key 0 3 7\r\nabc\r\nEND\r\n",
    b"\1VALUE ss:key 1 %d 7\r\n%b\r\nEND\r\n" % (len(_NOTE), _NOTE) + _NEXT + b"STORED\r\n",
    b"\0END\r\n" + _NEXT + b"EXISTS\r\n" + _NEXT + b"VALUE ss:key 0 1 7\r\nx\r\nEND\r\n",
    b"\3STORED\r\n",
    b"\4EXISTS\r\n",
    b"\5END\r\n" + _NEXT + b"STORED\r\n",
    b"\7NOT_FOUND\r\n" + _NEXT + b"END\r\n" + _NEXT + b"NOT_STORED\r\n",
    b"\x09VALUE ss:key 0 3 7\r\nabc\r\nEND\r\n",
)
_REDIS_SEEDS = (
    b"\0$12\r\n\x01abcdefghxyz\r\n",
    b"\1-WRONGTYPE x\r\n" + _NEXT + b"$%d\r\n%b\r\n" % (len(_NOTE), _NOTE) + _NEXT + b":1200000\r\n",
    b"\2+OK\r\n" + _NEXT + b"$-1\r\n" + _NEXT + b"$-1\r\n",
    b"\3+OK\r\n",
    b"\4-ERR x\r\n",
    b"\5*2\r\n$%d\r\n%b\r\n:1200000\r\n" % (len(_NOTE), _NOTE),
    b"\6:1\r\n" + _NEXT + b"-OOM x\r\n" + _NEXT + b":2\r\n",
    b"\7*2\r\n$13\r\n%b.....\r\n:5\r\n" % _PLAIN[:8],
    b"\x09$12\r\n\x01abcdefghxyz\r\n",
)


@target(*_META_SEEDS, words=(*_WORDS, b"VA 1 c1 f1 t1 O@\r\nx\r\n", b"HD c1 O@\r\n", b"EN\r\n"))
def meta_operations(data: bytes) -> None:
    """Over meta commands each operation gives what its contract says, or says that it does not know."""
    _assert_contract(_memcached(protocol, MemcachedStore, data), data, _TOKEN)


@target(*_TEXT_SEEDS, words=(*_WORDS, b"VALUE ss:key 0 1 1\r\nx\r\nEND\r\n", b"STORED\r\n"))
def text_operations(data: bytes) -> None:
    """Over the text protocol each operation gives what its contract says, or says that it does not know."""
    _assert_contract(_memcached(text, TextStore, data), data, _TOKEN)


@target(*_REDIS_SEEDS, words=(*_WORDS, b"-WRONGTYPE x\r\n", b"*2\r\n", b"*0\r\n", b":1\r\n", b"$-1\r\n", b"%1\r\n"))
def redis_operations(data: bytes) -> None:
    """Over RESP each operation gives what its contract says, or says that it does not know."""
    if HUGE_LIST.search(data):
        return
    backend = RedisBackend(Address(host="h"), environment=_ENVIRONMENT)
    _assert_contract(backend._store_over(_Scripted(RespParser, data[1:], _echo)), data, b"\x01abcdefghold")


def _memcached(commands: Any, kind: type[MemcachedStore], data: bytes) -> MemcachedStore:
    """Of a ring, if the first byte is 128 or more."""
    server = MemcachedServer(
        Address(host="h"), 2.0, in_ring=data >= b"\x80", protocol=commands, kind=kind, environment=_ENVIRONMENT
    )
    return kind(_Scripted(commands.Parser, data[1:], _nothing), server)


_TOKEN = run(_memcached(protocol, MemcachedStore, b"\0HD c7 O@\r\n").add(_KEY, b"", 1.0, 1.0))


def _assert_contract(store: Any, data: bytes, version: Any) -> None:
    """The first byte says which operation; the rest is what the server has to say."""
    reads = [Read(_KEY, 60.0), Read(_KEY, 60.0, b"new")]
    operations: Sequence[tuple[Callable[[], Any], Callable[[Any], bool]]] = (
        (lambda: store.get(_KEY, None, 1.0), _is_held),
        (lambda: store.get(_KEY, 1200.0, 1.0), _is_held),
        (lambda: store.get_many(reads, 1.0), lambda found: len(found) == 2 and all(map(_is_held, found))),
        (lambda: store.add(_KEY, b"v", 60.0, 1.0), _is_version),
        (lambda: store.replace(_KEY, b"v", 60.0, version, 1.0), _is_version),
        (lambda: store.end(_KEY, 60.0, 1.0), lambda note: isinstance(note, bytes)),
        (lambda: store.end_many([_KEY, _KEY], 60.0, 1.0), lambda ended: [type(each) for each in ended] == [bool, bool]),
        (lambda: store.supersede(_KEY, 60.0, 1.0, version, b"n", 9.0), lambda done: isinstance(done, bool)),
        (lambda: store.touch(_KEY, 60.0, 1.0), lambda there: isinstance(there, bool)),
        (lambda: _afresh(store), _is_held),
    )
    operation, holds = operations[Choices(data).number(len(operations))]
    try:
        result = run(operation())
    except BackendError:
        return
    assert holds(result), result


def _afresh(store: Any) -> Any:
    """Asks once more, where replies name no request; else whether somebody is there."""
    if isinstance(store, DoubtingBackend):
        return store.get_afresh(_KEY, Stored(b"", None), 1.0)
    return store.ping(1.0)


def _is_held(found: Any) -> bool:
    if isinstance(found, Stored):
        return isinstance(found.value, bytes) and isinstance(found.ttl, float | None)
    return found is None or (isinstance(found, Ended) and isinstance(found.note, bytes))


def _is_version(version: Any) -> bool:
    return version is None or isinstance(version, bytes | tuple)


@target(
    b"STAT uptime 9\r\nSTAT evictions 0\r\nEND\r\nSTAT item_size_max 1048576\r\nSTAT evictions on\r\nEND\r\n",
    b"STORED\r\nSTAT uptime 9\r\nEND\r\nSTAT cas_enabled no\r\nEND\r\n",
    b"ERROR\r\nERROR\r\n",
    b"CLIENT_ERROR unauthenticated\r\n",
    words=(b"STAT ", b"uptime ", b"item_size_max ", b"evictions ", b"\r\n", b"END\r\n", b"STORED\r\n"),
)
def memcached_greeting(data: bytes) -> None:
    """A new connection to memcached is taken into use or refused, whatever its server says of itself."""
    login = Login(b"user", b"pass") if data.startswith(b"S") else None
    server = MemcachedServer(Address(host="h", login=login), 2.0, environment=_ENVIRONMENT)
    _greet(server._protocol, data)
    assert isinstance(server.max_value, int)
    server.knows(60.0)
    server.facts()


@target(
    b"*4\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n8.4.0\r\n$9\r\n000000000\r\n",
    b"+OK\r\n$9\r\n000000000\r\n-ERR unknown command\r\n$9\r\n000000000\r\n",
    b"*2\r\n*0\r\n:1\r\n$9\r\n000000000\r\n",
    words=(b"$6\r\nserver\r\n", b"$7\r\nversion\r\n", b"$4\r\nmode\r\n", b"$9\r\n000000000\r\n", b"*2\r\n", b"%1\r\n"),
)
def redis_greeting(data: bytes) -> None:
    """A new connection to Redis is taken into use or refused, whatever its server says of itself."""
    if HUGE_LIST.search(data):
        return
    guard = NodeGuard(Address(host="h"), 2.0, EXPECTED, environment=_ENVIRONMENT)
    server = Server(guard, None, "secret" if data.startswith(b"+") else None, 0)
    _greet(server.protocol, data)
    assert server.has_ifeq in {True, False}


def _greet(connecting: WireProtocol, data: bytes) -> None:
    parser = connecting.parser()
    parser.feed(data)
    replies = []
    try:
        for _ in connecting.greeting:
            replies.append(checked(parser.pop(), connecting.admits))
            if replies[-1] is INCOMPLETE:
                return
        connecting.greeted(replies)
    except BackendError:
        return


TARGETS = (meta_operations, text_operations, redis_operations, memcached_greeting, redis_greeting)
