"""One Redis or Valkey as a state machine: bytes in, bytes out; no I/O, and no clock but the one that it is given.

It is what sharedsession relies on: strings and lists of one element, lives in milliseconds, and every command and
script that the library sends, with the refusals of each. The scripts are known by their text; each is written here once
more in Python. What the real server does beyond that is not guessed: it raises `NotImplementedError`. `test_redis`
holds it to Redis 7.0 and Valkey 9, reply by reply.
"""

import hashlib
import math
from collections.abc import Callable
from typing import NamedTuple

import hiredis

from sharedsession.backends.redis import backend as scripts

_OK = b"+OK\r\n"
_NIL = b"$-1\r\n"
_SYNTAX = b"-ERR syntax error"
_NO_INTEGER = b"-ERR value is not an integer or out of range"
_NO_PASSWORD = (
    b"-ERR AUTH <password> called without any password configured for the default user. Are you sure your "
    b"configuration is correct?\r\n"
)
_WRONG_PASSWORD = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
_WRONG_TYPE = b"-WRONGTYPE Operation against a key holding the wrong kind of value"
_OUT_OF_MEMORY = b"-OOM command not allowed when used memory > 'maxmemory'."
_READ_ONLY = b"-READONLY You can't write against a read only replica."
_OTHER_OPTIONS = {b"XX", b"EX", b"EXAT", b"PXAT", b"KEEPTTL", b"PERSIST", b"GET"}
_LARGEST = 2**63 - 1


class _Entry(NamedTuple):
    value: bytes
    deadline: int | None = None  # milliseconds of the server's clock
    is_list: bool = False  # of one element, as a tombstone is kept


class _Refused(Exception):
    """A command is refused; the reply to it, without the line end."""


class SimulatedRedis:
    """A Redis 7 or a Valkey 9, with one database and without a password.

    Args:
        clock: returns seconds that never go back.
        version: that it reports.
        has_ifeq: whether it is a Valkey, whose ``SET`` has ``IFEQ``.

    Attributes:
        flavour: ``valkey`` or ``redis``, as it reports itself.
        now: what the server's clock shows, in milliseconds.
        is_loading: whether it still reads its data after a start.
        is_read_only: whether it is a replica.
        out_of_memory: whether its memory is full, and nothing may be evicted.
        evictions: how many.
    """

    def __init__(self, clock: Callable[[], float], *, version: str = "", has_ifeq: bool = True) -> None:
        self._clock = clock
        self.has_ifeq = has_ifeq
        self.flavour = "valkey" if has_ifeq else "redis"
        self.version = version or ("9.1.2" if has_ifeq else "7.0.15")
        self.is_loading = self.is_read_only = self.out_of_memory = False
        self.restart()

    def restart(self) -> None:
        """Forgets everything. Connections of before lead nowhere, and must be dropped."""
        self._entries: dict[bytes, _Entry] = {}
        self.evictions = 0
        self._newest_client = 0
        self.look_at_clock()

    def connect(self) -> "Connection":
        """Returns a new connection."""
        self._newest_client += 1
        return Connection(self, self._newest_client)

    def copy(self) -> "SimulatedRedis":
        """Returns a server that knows the same and goes its own way. Connections stay with the first one."""
        twin = object.__new__(SimulatedRedis)
        vars(twin).update(vars(self), _entries=self._entries.copy())
        return twin

    def evict(self, key: bytes) -> bool:
        """Loses a key for want of memory, whatever it holds. Returns whether it held anything."""
        self.look_at_clock()
        if self.find(key) is None:
            return False
        del self._entries[key]
        self.evictions += 1
        return True

    def keys(self) -> list[bytes]:
        """Returns the keys of what has not expired, in the order in which they were first stored."""
        self.look_at_clock()
        return [key for key in list(self._entries) if self.find(key) is not None]

    # -- what commands consist of

    def look_at_clock(self) -> None:
        """Renews the server's clock; it stands still while a command is carried out."""
        self.now = int(self._clock() * 1000)

    def find(self, key: bytes) -> _Entry | None:
        """Returns what a key holds, unless that has expired: it lives through its last millisecond."""
        entry = self._entries.get(key)
        if entry is not None and entry.deadline is not None and entry.deadline < self.now:
            del self._entries[key]
            return None
        return entry

    def string(self, key: bytes) -> _Entry | None:
        """Returns the string that a key holds."""
        entry = self.find(key)
        if entry is not None and entry.is_list:
            raise _Refused(_WRONG_TYPE)
        return entry

    def put(self, key: bytes, value: bytes, life: int | None, *, is_list: bool = False) -> None:
        """Stores under a key, whatever it holds.

        Args:
            key: to store under.
            value: of the string, or the element of the list.
            life: in milliseconds.
            is_list: whether it is a list.
        """
        self._entries[key] = _Entry(value, None if life is None else self.now + life, is_list)

    def delete(self, key: bytes) -> bool:
        """Returns whether the key held anything."""
        return self.find(key) is not None and self._entries.pop(key) is not None

    def life(self, key: bytes) -> int:
        """Returns how many milliseconds a key has left; -1: it does not expire; -2: it holds nothing."""
        entry = self.find(key)
        if entry is None:
            return -2
        return -1 if entry.deadline is None else entry.deadline - self.now

    def admit(self, *, writes: bool, needs_memory: bool = False, inside: tuple[bytes, int] | None = None) -> None:
        """Refuses what the state of the server forbids.

        Args:
            writes: whether a command may change something.
            needs_memory: whether it may need memory.
            inside: the script that it stands in, and its line there.
        """
        if needs_memory and self.out_of_memory:
            raise _Refused(_OUT_OF_MEMORY + (self.where(*inside) if inside else b""))
        if writes and self.is_read_only:
            raise _Refused(_READ_ONLY + (self.where(*inside) if inside else b""))

    def where(self, script: bytes, line: int) -> bytes:
        """Returns what stands behind the error of a command inside of a script."""
        name = "" if self.has_ifeq else hashlib.sha1(script).hexdigest() + ", "
        return f" script: {name}on @user_script:{line}.".encode()


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
            return command.function(self, server, words)
        except _Refused as refusal:
            return b"%b\r\n" % refusal.args


# -- commands


def _get(_connection: Connection, server: SimulatedRedis, words: list[bytes]) -> bytes:
    return _string(server.string(words[1]))


def _getex(_connection: Connection, server: SimulatedRedis, words: list[bytes]) -> bytes:
    _, key, *options = words
    if len(options) != 2 or options[0] != b"PX":
        raise NotImplementedError(words)
    entry = server.string(key)
    if entry is not None:
        server.put(key, entry.value, _life(options[1], b"getex", server))
    return _string(entry)


def _set(_connection: Connection, server: SimulatedRedis, words: list[bytes]) -> bytes:
    key, value, options = words[1], words[2], _options(words, server)
    life = _life(options[b"PX"], b"set", server) if b"PX" in options else None
    if b"NX" in options and server.find(key) is not None:
        return _NIL
    if b"IFEQ" in options:
        entry = server.string(key)
        if entry is None or entry.value != options[b"IFEQ"]:
            return _NIL
    server.put(key, value, life)
    return _OK


def _del(_connection: Connection, server: SimulatedRedis, words: list[bytes]) -> bytes:
    return b":%d\r\n" % sum([server.delete(key) for key in words[1:]])


def _lindex(_connection: Connection, server: SimulatedRedis, words: list[bytes]) -> bytes:
    entry = server.find(words[1])
    if entry is not None and not entry.is_list:
        raise _Refused(_WRONG_TYPE)
    return _string(entry if entry is None or _integer(words[2]) in {0, -1} else None)


def _pttl(_connection: Connection, server: SimulatedRedis, words: list[bytes]) -> bytes:
    return b":%d\r\n" % server.life(words[1])


def _eval(_connection: Connection, server: SimulatedRedis, words: list[bytes]) -> bytes:
    script = _SCRIPTS.get(words[1])
    if script is None or words[2] != b"1":
        raise NotImplementedError(words)
    return script(server, words[3], words[4:])


def _echo(_connection: Connection, _server: SimulatedRedis, words: list[bytes]) -> bytes:
    return _bulk(words[1])


def _ping(_connection: Connection, _server: SimulatedRedis, words: list[bytes]) -> bytes:
    if len(words) > 2:
        raise _wrong_number(b"ping")
    return b"+PONG\r\n" if len(words) == 1 else _bulk(words[1])


def _hello(connection: Connection, server: SimulatedRedis, words: list[bytes]) -> bytes:
    if words[1:] not in ([], [b"2"]):
        raise NotImplementedError(words)
    facts: dict[bytes, bytes] = {
        b"server": _bulk(server.flavour.encode()),
        b"version": _bulk(server.version.encode()),
        b"proto": b":2\r\n",
        b"id": b":%d\r\n" % connection.client,
        b"mode": _bulk(b"standalone"),
        b"role": _bulk(b"replica" if server.is_read_only else b"master"),
        b"modules": _LUA if server.has_ifeq else b"*0\r\n",
    }
    return b"*%d\r\n%b" % (2 * len(facts), b"".join([_bulk(name) + fact for name, fact in facts.items()]))


def _auth(_connection: Connection, _server: SimulatedRedis, words: list[bytes]) -> bytes:
    if len(words) > 3:
        raise _Refused(_SYNTAX)
    if len(words) == 2:
        return _NO_PASSWORD
    return _OK if words[1] == b"default" else _WRONG_PASSWORD  # the default user without a password takes any


def _select(_connection: Connection, _server: SimulatedRedis, words: list[bytes]) -> bytes:
    if words[1] != b"0":
        raise NotImplementedError(words)
    return _OK


class _Command(NamedTuple):
    function: Callable[[Connection, SimulatedRedis, list[bytes]], bytes]
    fewest: int = 1  # words
    most: float = math.inf
    writes: bool = False
    needs_memory: bool = False
    while_loading: bool = False


_COMMANDS = {
    b"GET": _Command(_get, 2, 2),
    b"GETEX": _Command(_getex, 2, writes=True),
    b"SET": _Command(_set, 3, writes=True, needs_memory=True),
    b"DEL": _Command(_del, 2, writes=True),
    b"LINDEX": _Command(_lindex, 3, 3),
    b"PTTL": _Command(_pttl, 2, 2),
    b"EVAL": _Command(_eval, 3),
    b"ECHO": _Command(_echo, 2, 2, while_loading=True),
    b"PING": _Command(_ping),
    b"HELLO": _Command(_hello, while_loading=True),
    b"AUTH": _Command(_auth, 2, while_loading=True),
    b"SELECT": _Command(_select, 2, 2, while_loading=True),
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
        raise _Refused(_WRONG_TYPE + server.where(scripts._TRY, 3 if entry.is_list else 4))
    return _NIL


_SCRIPTS = {scripts._SWAP: _swap, scripts._END: _end, scripts._SUPERSEDE: _supersede, scripts._TRY: _try}


# -- words of the protocol


def _bulk(value: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(value), value)


def _string(entry: _Entry | None) -> bytes:
    return _NIL if entry is None else _bulk(entry.value)


def _tombstone(server: SimulatedRedis, key: bytes, entry: _Entry) -> bytes:
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
                raise _Refused(_SYNTAX)
            options[option] = argument
        else:
            raise _Refused(_SYNTAX)
    if b"NX" in options and b"IFEQ" in options:
        raise _Refused(_SYNTAX)
    return options


def _life(digits: bytes, command: bytes, server: SimulatedRedis) -> int:
    life = _integer(digits)
    if not 0 < life <= _LARGEST - server.now:
        raise _Refused(b"-ERR invalid expire time in '%b' command" % command)
    return life


def _wrong_number(command: bytes) -> _Refused:
    return _Refused(b"-ERR wrong number of arguments for '%b' command" % command.lower())


def _integer(digits: bytes) -> int:
    if not digits.removeprefix(b"-").isdigit() or not -_LARGEST <= (number := int(digits)) <= _LARGEST:
        raise _Refused(_NO_INTEGER)
    return number
