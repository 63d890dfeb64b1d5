"""One Redis or Valkey as a state machine: bytes in, bytes out; no I/O, and no clock but the one that it is given.

It is what sharedsession relies on: strings and lists of one element, lives in milliseconds, and every command and
script that the library sends, with the refusals of each. The scripts are known by their text; each is written here once
more in Python. What the real server does beyond that is not guessed: it raises `NotImplementedError`. `test_redis`
holds it to Redis 7.0 and Valkey 9, reply by reply.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import hiredis

from sharedsession.backends.redis import backend as scripts
from tests.simulation.redis_entries import WRONG_TYPE, Entries, Entry, Refused

_OK = b"+OK\r\n"
_NIL = b"$-1\r\n"
_SYNTAX = b"-ERR syntax error"
_NO_INTEGER = b"-ERR value is not an integer or out of range"
_NO_PASSWORD = (
    b"-ERR AUTH <password> called without any password configured for the default user. Are you sure your "
    b"configuration is correct?\r\n"
)
_WRONG_PASSWORD = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
_OTHER_OPTIONS = {b"XX", b"EX", b"EXAT", b"PXAT", b"KEEPTTL", b"PERSIST", b"GET"}
_LARGEST = 2**63 - 1


class SimulatedRedis(Entries):
    """A Redis 7 or a Valkey 9 without a password; see `Entries` for what it can be told to do."""

    _newest_client = 0

    def connect(self) -> "Connection":
        """Returns a new connection."""
        self._newest_client += 1
        return Connection(self, self._newest_client)


class Connection:
    """One client's connection.

    Args:
        server: at its other end.
        client: its number there.

    Attributes:
        closed: whether the server has hung up; this one never does.
    """

    closed = False

    def __init__(self, server: SimulatedRedis, client: int) -> None:
        self._server = server
        self._reader = hiredis.Reader()
        self.client = client

    def receive(self, data: bytes) -> bytes:
        """Takes bytes, cut anywhere. Returns the replies to all commands that are now whole."""
        self._server.look_at_clock()
        self._reader.feed(data)
        replies = []
        while (words := self._reader.gets()) is not False:
            replies.append(self._carry_out(words))
        return b"".join(replies)

    def _carry_out(self, words: list[bytes]) -> bytes:
        command = _COMMANDS.get(words[0])
        if command is None:
            raise NotImplementedError(words[0])
        server = self._server
        try:
            if not command.fewest <= len(words) <= command.most:
                raise _wrong_number(words[0])
            if server.out_of_memory or server.is_read_only:
                server.admit(writes=command.writes, needs_memory=command.needs_memory)
            if server.is_loading and not command.while_loading:
                return b"-LOADING %b is loading the dataset in memory\r\n" % server.flavour.title().encode()
            return command.function(self, words)
        except Refused as refusal:
            answer: bytes = refusal.args[0]
            return answer + b"\r\n"

    # -- commands

    def _get(self, words: list[bytes]) -> bytes:
        return _string(self._server.string(words[1]))

    def _getex(self, words: list[bytes]) -> bytes:
        _, key, *options = words
        if len(options) != 2 or options[0] != b"PX":
            raise NotImplementedError(words)
        entry = self._server.string(key)
        if entry is not None:
            self._server.put(key, entry.value, _life(options[1], b"getex", self._server))
        return _string(entry)

    def _set(self, words: list[bytes]) -> bytes:
        key, value, options = words[1], words[2], _options(words, self._server)
        life = _life(options[b"PX"], b"set", self._server) if b"PX" in options else None
        if b"NX" in options and self._server.find(key) is not None:
            return _NIL
        if b"IFEQ" in options:
            entry = self._server.string(key)
            if entry is None or entry.value != options[b"IFEQ"]:
                return _NIL
        self._server.put(key, value, life)
        return _OK

    def _del(self, words: list[bytes]) -> bytes:
        return b":%d\r\n" % sum([self._server.delete(key) for key in words[1:]])

    def _lindex(self, words: list[bytes]) -> bytes:
        entry = self._server.find(words[1])
        if entry is not None and not entry.is_list:
            raise Refused(WRONG_TYPE)
        return _string(entry if entry is None or _integer(words[2]) in {0, -1} else None)

    def _pttl(self, words: list[bytes]) -> bytes:
        return b":%d\r\n" % self._server.life(words[1])

    def _eval(self, words: list[bytes]) -> bytes:
        script = _SCRIPTS.get(words[1])
        if script is None or words[2] != b"1":
            raise NotImplementedError(words)
        return script(self._server, words[3], words[4:])

    def _echo(self, words: list[bytes]) -> bytes:
        return _bulk(words[1])

    def _ping(self, words: list[bytes]) -> bytes:
        if len(words) > 2:
            raise _wrong_number(b"ping")
        return b"+PONG\r\n" if len(words) == 1 else _bulk(words[1])

    def _hello(self, words: list[bytes]) -> bytes:
        if words[1:] not in ([], [b"2"]):
            raise NotImplementedError(words)
        facts: dict[bytes, bytes] = {
            b"server": _bulk(self._server.flavour.encode()),
            b"version": _bulk(self._server.version.encode()),
            b"proto": b":2\r\n",
            b"id": b":%d\r\n" % self.client,
            b"mode": _bulk(b"standalone"),
            b"role": _bulk(b"replica" if self._server.is_read_only else b"master"),
            b"modules": _LUA if self._server.has_ifeq else b"*0\r\n",
        }
        return b"*%d\r\n%b" % (2 * len(facts), b"".join([_bulk(name) + fact for name, fact in facts.items()]))

    def _auth(self, words: list[bytes]) -> bytes:
        if len(words) > 3:
            raise Refused(_SYNTAX)
        if len(words) == 2:
            return _NO_PASSWORD
        return _OK if words[1] == b"default" else _WRONG_PASSWORD  # the default user without a password takes any

    def _select(self, words: list[bytes]) -> bytes:
        if words[1] != b"0":
            raise NotImplementedError(words)
        return _OK


class _Command(NamedTuple):
    function: Callable[[Connection, list[bytes]], bytes]
    fewest: int = 1  # words
    most: float = math.inf
    writes: bool = False
    needs_memory: bool = False
    while_loading: bool = False


_COMMANDS = {
    b"GET": _Command(Connection._get, 2, 2),
    b"GETEX": _Command(Connection._getex, 2, writes=True),
    b"SET": _Command(Connection._set, 3, writes=True, needs_memory=True),
    b"DEL": _Command(Connection._del, 2, writes=True),
    b"LINDEX": _Command(Connection._lindex, 3, 3),
    b"PTTL": _Command(Connection._pttl, 2, 2),
    b"EVAL": _Command(Connection._eval, 3),
    b"ECHO": _Command(Connection._echo, 2, 2, while_loading=True),
    b"PING": _Command(Connection._ping),
    b"HELLO": _Command(Connection._hello, while_loading=True),
    b"AUTH": _Command(Connection._auth, 2, while_loading=True),
    b"SELECT": _Command(Connection._select, 2, 2, while_loading=True),
}


# -- scripts


def _swap(server: SimulatedRedis, key: bytes, arguments: list[bytes]) -> bytes:
    head, value, life = arguments
    entry = server.find(key)
    if entry is None or entry.is_list or entry.value[:9] != head:
        return _NIL
    server.admit(writes=True, needs_memory=True, inside=(scripts._SWAP, 4))
    server.put(key, value, int(life))
    return _OK


def _end(server: SimulatedRedis, key: bytes, arguments: list[bytes]) -> bytes:
    tombstone, life = arguments
    entry = server.find(key)
    before = _NIL if entry is None else _tombstone(server, key, entry) if entry.is_list else b":1\r\n"
    server.admit(writes=True, inside=(scripts._END, 5))  # once DEL was let through, RPUSH finds memory
    server.put(key, tombstone, int(life), is_list=True)
    return before


def _supersede(server: SimulatedRedis, key: bytes, arguments: list[bytes]) -> bytes:
    tombstone, life, plain = arguments
    entry = server.find(key)
    if entry is not None and entry.is_list:
        return _tombstone(server, key, entry)
    server.admit(writes=True, inside=(scripts._SUPERSEDE, 4))
    server.put(key, plain if entry is None else tombstone, int(life), is_list=True)
    return _NIL if entry is None else b":1\r\n"


def _try(server: SimulatedRedis, key: bytes, _arguments: list[bytes]) -> bytes:
    entry = server.find(key)
    if entry is not None:
        raise Refused(WRONG_TYPE + server.where(scripts._TRY, 3 if entry.is_list else 4))
    return _NIL


_SCRIPTS = {scripts._SWAP: _swap, scripts._END: _end, scripts._SUPERSEDE: _supersede, scripts._TRY: _try}


# -- words of the protocol


def _bulk(value: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(value), value)


def _string(entry: Entry | None) -> bytes:
    return _NIL if entry is None else _bulk(entry.value)


def _tombstone(server: SimulatedRedis, key: bytes, entry: Entry) -> bytes:
    return b"*2\r\n%b:%d\r\n" % (_bulk(entry.value), server.life(key))


_LUA = b"*1\r\n*8\r\n" + b"".join(
    (_bulk(b"name"), _bulk(b"lua"), _bulk(b"ver"), b":1\r\n", _bulk(b"path"), _bulk(b"lua"), _bulk(b"args"), b"*0\r\n")
)


def _options(words: list[bytes], server: SimulatedRedis) -> dict[bytes, bytes]:
    """Returns the options of a SET, with their arguments."""
    options: dict[bytes, bytes] = {}
    rest = iter(words[3:])
    for option in rest:
        if option in _OTHER_OPTIONS:
            raise NotImplementedError(words)
        if option == b"NX":
            options[option] = b""
        elif option == b"PX" or (option == b"IFEQ" and server.has_ifeq):
            argument = next(rest, None)
            if argument is None:
                raise Refused(_SYNTAX)
            options[option] = argument
        else:
            raise Refused(_SYNTAX)
    if b"NX" in options and b"IFEQ" in options:
        raise Refused(_SYNTAX)
    return options


def _life(digits: bytes, command: bytes, server: SimulatedRedis) -> int:
    life = _integer(digits)
    if not 0 < life <= _LARGEST - server.now:
        raise Refused(b"-ERR invalid expire time in '%b' command" % command)
    return life


def _wrong_number(command: bytes) -> Refused:
    return Refused(b"-ERR wrong number of arguments for '%b' command" % command.lower())


def _integer(digits: bytes) -> int:
    if not digits.removeprefix(b"-").isdigit() or not -_LARGEST <= (number := int(digits)) <= _LARGEST:
        raise Refused(_NO_INTEGER)
    return number
