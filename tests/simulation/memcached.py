"""One memcached as a state machine: bytes in, bytes out; no I/O, and no clock but the one that it is given.

It is what sharedsession relies on: items, lives in whole seconds, CAS numbers that begin again with the process, and
every command that the library sends, with the refusals of each. What the real server does beyond that is not guessed:
it raises `NotImplementedError`. `test_memcached` holds it to memcached 1.6.18, reply by reply.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

VERSION = b"1.6.18"
_BORN = 62  # seconds: what memcached's own clock shows when it starts, so that nothing is stored at 0
_UPTIME_BEGINS = 60  # at this second; so `uptime` is 2 when it starts
_IN_THE_PAST = 1  # the exptime of what has expired before it was stored
_LONGEST_LIFE = 2_592_000  # seconds; what is larger is a date
_LONGEST_KEY = 250  # bytes
_LONGEST_LINE = 2048  # bytes
_HEADER = 48 + 8 + 1 + 2  # bytes of an item: header, CAS number, the end of the key and that of the value

_ERROR = b"ERROR\r\n"
_BAD_LINE = b"CLIENT_ERROR bad command line format\r\n"
_BAD_CHUNK = b"CLIENT_ERROR bad data chunk\r\n"
_BAD_TOKEN = b"CLIENT_ERROR bad token in command line format\r\n"
_BAD_FLAG = b"CLIENT_ERROR invalid or duplicate flag\r\n"
_BAD_EXPTIME = b"CLIENT_ERROR invalid exptime argument\r\n"
_BAD_DELETE = b"CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n"
_TOO_LARGE = b"SERVER_ERROR object too large for cache\r\n"
_NO_MEMORY = b"SERVER_ERROR out of memory storing object\r\n"

_SET, _ADD, _REPLACE, _CAS = range(4)
_MODES = {b"S": _SET, b"E": _ADD, b"R": _REPLACE}
_MG_FLAGS = frozenset((b"v", b"c", b"f", b"t", b"T", b"O", b"k", b"s"))
_MS_FLAGS = frozenset((b"c", b"C", b"T", b"F", b"M", b"O", b"k"))
_MD_FLAGS = frozenset((b"C", b"I", b"T", b"O", b"k"))
_ALL_FLAGS = frozenset(bytes([letter]) for letter in b"bNTRlOPLkstcfvhuqFCMJDI")  # of the real server
_OTHER_COMMANDS = frozenset(
    b"ma me append prepend incr decr bget verbosity lru lru_crawler watch slabs shutdown cache_memlimit".split()
)


class _Item(NamedTuple):
    value: bytes
    flags: int
    exptime: int  # a second of the server's clock; 0: it never expires
    cas: int
    is_stale: bool = False  # by `md I`
    has_winner: bool = False  # some reader was told to make the stale item anew


class _Incomplete(Exception):
    """A command has not arrived as a whole."""


class _Refused(Exception):
    """A command has a fault; the reply to it."""


class SimulatedMemcached:
    """A memcached.

    Args:
        clock: returns seconds that never go back. It is the server's date as well.
        item_size_max: as ``-I`` sets it, in bytes.

    Attributes:
        second: what the server's own clock shows. It is renewed once a second, and that is when items expire.
        is_held: whether that clock stands still, as while the process is stopped; the first commands after it is
            continued may still see the old second. `tick` goes on.
        out_of_memory: whether there is no memory for one item more, as on a full node with ``-M``.
        evictions: how many.
    """

    def __init__(self, clock: Callable[[], float], *, item_size_max: int = 1_048_576) -> None:
        self._clock = clock
        self.item_size_max = item_size_max
        self.is_held = False
        self.out_of_memory = False
        self.restart()

    def restart(self) -> None:
        """Forgets everything: items, CAS numbers, uptime. Connections of before lead nowhere, and must be dropped."""
        self._items: dict[bytes, _Item] = {}
        self._newest_cas = 0
        self.evictions = 0
        self._started = self._clock()
        self.tick()

    def connect(self) -> "Connection":
        """Returns a new connection."""
        return Connection(self)

    def copy(self) -> "SimulatedMemcached":
        """Returns a server that knows the same and goes its own way. Connections stay with the first one."""
        twin = object.__new__(SimulatedMemcached)
        vars(twin).update(vars(self), _items=self._items.copy())
        return twin

    def evict(self, key: bytes) -> bool:
        """Loses an item for want of memory, whatever it is. Returns whether there was one."""
        self.look_at_clock()
        if self.find(key) is None:
            return False
        del self._items[key]
        self.evictions += 1
        return True

    def keys(self) -> list[bytes]:
        """Returns the keys of what has not expired, in the order in which they were first stored."""
        self.look_at_clock()
        return [key for key in list(self._items) if self.find(key) is not None]

    def tick(self) -> None:
        """Renews the server's clock."""
        self.second = _BORN + int(self._clock() - self._started)

    # -- what commands consist of

    def look_at_clock(self) -> None:
        """Renews the server's clock, unless that is held."""
        if not self.is_held:
            self.tick()

    def find(self, key: bytes) -> _Item | None:
        """Returns the item under a key, unless it has expired."""
        item = self._items.get(key)
        if item is not None and item.exptime and item.exptime <= self.second:
            del self._items[key]
            return None
        return item

    def store(self, mode: int, key: bytes, value: bytes, flags: int, exptime: int, cas: int) -> tuple[bytes, int]:
        """Stores if the mode allows it. Returns the status as the meta commands tell it, and the new CAS number."""
        if mode != _SET:
            item = self.find(key)
            if mode == _ADD:
                if item is not None:
                    return b"NS", 0
            elif item is None:
                return b"NS" if mode == _REPLACE else b"NF", 0
            elif mode == _CAS and item.cas != cas:
                return b"EX", 0
        self.put(key, _Item(value, flags, exptime, 0))
        return b"HD", self._newest_cas

    def put(self, key: bytes, item: _Item) -> None:
        """Stores an item under a new CAS number."""
        self._newest_cas += 1
        value, flags, exptime, _, is_stale, has_winner = item
        self._items[key] = _Item(value, flags, exptime, self._newest_cas, is_stale, has_winner)

    def renew(self, key: bytes, item: _Item) -> None:
        """Puts an item in its own place: its CAS number stays."""
        self._items[key] = item

    def delete(self, key: bytes) -> bool:
        """Returns whether there was an item."""
        return self.find(key) is not None and self._items.pop(key) is not None

    def refusal(self, key: bytes, flags: int, size: int) -> bytes | None:
        """Returns why an item cannot be held; ``None`` if it can."""
        if _HEADER + len(key) + (4 if flags else 0) + size > self.item_size_max:
            return _TOO_LARGE
        return _NO_MEMORY if self.out_of_memory else None

    def exptime(self, seconds: int) -> int:
        """Returns the second of the server's clock that a time to live stands for."""
        if 0 < seconds <= _LONGEST_LIFE:
            return self.second + seconds
        if seconds == 0:
            return 0
        return max(_IN_THE_PAST, seconds - self._epoch()) if seconds > 0 else _IN_THE_PAST

    def flush(self) -> None:
        """Deletes everything. That takes a CAS number."""
        self._items.clear()
        self._newest_cas += 1

    def statistics(self) -> Iterator[tuple[str, object]]:
        """Yields of ``stats`` what anyone asks for."""
        yield "uptime", self.second - _UPTIME_BEGINS
        yield "time", self.second + self._epoch()
        yield "version", VERSION.decode()
        yield "curr_items", len(self.keys())
        yield "evictions", self.evictions

    def settings(self) -> Iterator[tuple[str, object]]:
        """Yields of ``stats settings`` what anyone asks for."""
        yield "evictions", "on"
        yield "cas_enabled", "yes"
        yield "item_size_max", self.item_size_max

    def _epoch(self) -> int:
        """Returns the date at which the server's clock would have shown 0."""
        return int(self._started) - _BORN


class Connection:
    """One client's connection.

    Args:
        server: at its other end.

    Attributes:
        closed: whether the server has hung up.
    """

    def __init__(self, server: SimulatedMemcached) -> None:
        self._server = server
        self._buffer = b""
        self._at = 0
        self.closed = False

    def receive(self, data: bytes) -> bytes:
        """Takes bytes, cut anywhere. Returns the replies to all commands that are now whole."""
        self._server.look_at_clock()
        buffer = self._buffer = self._buffer + data if self._buffer else data
        begin = self._at = 0
        replies = []
        try:
            while not self.closed and (end := buffer.find(b"\n", begin)) >= 0:
                self._at = end + 1
                replies.append(self._carry_out(buffer[begin:end].removesuffix(b"\r")))
                begin = self._at
        except _Incomplete:
            pass
        else:
            self.closed = self.closed or len(buffer) - begin > _LONGEST_LINE
        self._buffer = b"" if self.closed else buffer[begin:]
        return b"".join(replies)

    def _carry_out(self, line: bytes) -> bytes:
        words = line.split(b" ")
        if b"" in words:
            words = [word for word in words if word]
        command = _COMMANDS.get(words[0]) if words else None
        if command is None:
            return self._unknown(words)
        try:
            return command(self, words)
        except _Refused as refusal:
            reply: bytes = refusal.args[0]
            return reply

    def _unknown(self, words: list[bytes]) -> bytes:
        if words and words[0] in _OTHER_COMMANDS:
            raise NotImplementedError(words[0])
        self.closed = bool(words) and words[-1].startswith(b"HTTP/")
        return b"" if self.closed else _ERROR

    def _block(self, size: int) -> bytes | None:
        """Takes the data block behind a line; ``None`` if it does not end where it should."""
        begin, end = self._at, self._at + size
        if len(self._buffer) < end + 2:
            raise _Incomplete
        self._at = end + 2
        return self._buffer[begin:end] if self._buffer[end : end + 2] == b"\r\n" else None

    # -- meta commands

    def _mg(self, words: list[bytes]) -> bytes:
        key, flags = _meta(words, 2, _MG_FLAGS)
        server = self._server
        renewed = server.exptime(_int32(flags[b"T"], _BAD_TOKEN)) if b"T" in flags else None
        item = server.find(key)
        if item is None:
            return _reply(b"EN", _echoes(key, flags))
        value, _, expires, _, is_stale, has_winner = item
        told = []
        for letter, argument in flags.items():
            if letter == b"c":
                told.append(b"c%d" % item.cas)
            elif letter == b"f":
                told.append(b"f%d" % item.flags)
            elif letter == b"t":
                told.append(b"t%d" % (expires - server.second & 0xFFFFFFFF) if expires else b"t-1")
            elif letter == b"O":
                told.append(b"O" + argument)
            elif letter == b"T" and renewed is not None:
                expires = renewed
            elif letter == b"k":
                told.append(b"k" + key)
            elif letter == b"s":
                told.append(b"s%d" % len(value))
        if is_stale:
            told += (b"Z", b"X") if has_winner else (b"X", b"W")
        if is_stale or renewed is not None:
            server.renew(key, item._replace(exptime=expires, has_winner=is_stale))
        return _reply(b"VA %d" % len(value), told) + value + b"\r\n" if b"v" in flags else _reply(b"HD", told)

    def _ms(self, words: list[bytes]) -> bytes:
        key = _key(words)
        if len(words) < 3:
            raise _Refused(_BAD_LINE)
        size = _size(words[2])
        try:
            _, flags = _meta(words, 3, _MS_FLAGS)
            client_flags = _unsigned(flags.get(b"F", b"0"), _BAD_LINE) & 0xFFFFFFFF
            exptime = self._server.exptime(_int32(flags.get(b"T", b"0"), _BAD_TOKEN))
            cas = _unsigned(flags.get(b"C", b"0"), _BAD_TOKEN)
            mode = _mode(flags)
        except _Refused:
            self._block(size)
            raise
        refusal = self._server.refusal(key, client_flags, size)
        value = self._block(size)
        if refusal:
            self._server.delete(key)  # so that nothing stale is left, whatever the mode
            return refusal
        if value is None:
            return _BAD_CHUNK
        status, new = self._server.store(mode, key, value, client_flags, exptime, cas)
        told = []
        for letter, argument in flags.items():
            if letter == b"O":
                told.append(b"O" + argument)
            elif letter == b"c":
                told.append(b"c%d" % new)
            elif letter == b"k":
                told.append(b"k" + key)
        return _reply(status, told)

    def _md(self, words: list[bytes]) -> bytes:
        try:
            key, flags = _meta(words, 2, _MD_FLAGS)
            exptime = self._server.exptime(_int32(flags.get(b"T", b"0"), _BAD_FLAG))
            cas = _unsigned(flags.get(b"C", b"0"), _BAD_FLAG)
        except _Refused as refusal:
            raise refusal if refusal.args[0] in {_ERROR, _BAD_LINE} else _Refused(_BAD_FLAG) from None
        item = self._server.find(key)
        if item is None:
            status = b"NF"
        elif b"C" in flags and item.cas != cas:
            status = b"EX"
        else:
            status = b"HD"
            if b"I" in flags:
                life = exptime if b"T" in flags else item.exptime
                self._server.put(key, item._replace(exptime=life, is_stale=True, has_winner=False))
            else:
                self._server.delete(key)
        return _reply(status, _echoes(key, flags))

    def _mn(self, _words: list[bytes]) -> bytes:
        return b"MN\r\n"

    # -- classic commands

    def _get(self, words: list[bytes]) -> bytes:
        with_cas = words[0].endswith(b"s")
        if len(words) < 2:
            return _ERROR
        if words[0].startswith(b"gat"):
            exptime: int | None = self._server.exptime(_int32(words[1], _BAD_EXPTIME))
            keys = words[2:]
        else:
            exptime, keys = None, words[1:]
        found = []
        for key in keys:
            if len(key) > _LONGEST_KEY:
                raise NotImplementedError("memcached 1.6.18 then drops the replies to commands before this one")
            item = self._server.find(key)
            if item is None:
                continue
            if exptime is not None:
                self._server.renew(key, item._replace(exptime=exptime))
            token = b" %d" % item.cas if with_cas else b""
            found.append(b"VALUE %b %d %d%b\r\n%b\r\n" % (key, item.flags, len(item.value), token, item.value))
        return b"".join(found) + b"END\r\n"

    def _change(self, words: list[bytes]) -> bytes:
        mode = _CHANGES[words[0]]
        if len(words) - (mode == _CAS) not in {5, 6}:
            return _ERROR
        _refuse_noreply(words)
        key = _key(words)
        flags = _unsigned(words[2], _BAD_LINE) & 0xFFFFFFFF
        exptime = self._server.exptime(_int32(words[3], _BAD_LINE))
        cas = _unsigned(words[5], _BAD_LINE) if mode == _CAS else 0
        size = _size(words[4])
        refusal = self._server.refusal(key, flags, size)
        value = self._block(size)
        if refusal:
            if mode == _SET:
                self._server.delete(key)  # so that nothing stale is left
            return refusal
        if value is None:
            return _BAD_CHUNK
        return _WORDS[self._server.store(mode, key, value, flags, exptime, cas)[0]]

    def _touch(self, words: list[bytes]) -> bytes:
        if len(words) not in {3, 4}:
            return _ERROR
        _refuse_noreply(words)
        key = _key(words)
        exptime = self._server.exptime(_int32(words[2], _BAD_EXPTIME))
        item = self._server.find(key)
        if item is None:
            return b"NOT_FOUND\r\n"
        self._server.renew(key, item._replace(exptime=exptime))
        return b"TOUCHED\r\n"

    def _delete(self, words: list[bytes]) -> bytes:
        if not 2 <= len(words) <= 4:
            return _ERROR
        _refuse_noreply(words)
        if len(words) > 2 and words[2:] != [b"0"]:
            return _BAD_DELETE
        return b"DELETED\r\n" if self._server.delete(_key(words)) else b"NOT_FOUND\r\n"

    # -- about the server

    def _flush_all(self, words: list[bytes]) -> bytes:
        if len(words) > 3:
            return _ERROR
        _refuse_noreply(words)
        if len(words) > 1 and _int32(words[1], _BAD_EXPTIME) > 0:
            raise NotImplementedError("a flush that comes later")
        self._server.flush()
        return b"OK\r\n"

    def _stats(self, words: list[bytes]) -> bytes:
        if words[1:] not in ([], [b"settings"]):
            raise NotImplementedError(b" ".join(words))
        told = self._server.settings() if words[1:] else self._server.statistics()
        return "".join([f"STAT {name} {value}\r\n" for name, value in told]).encode() + b"END\r\n"

    def _version(self, _words: list[bytes]) -> bytes:
        return b"VERSION %b\r\n" % VERSION

    def _quit(self, _words: list[bytes]) -> bytes:
        self.closed = True
        return b""


_CHANGES = {b"set": _SET, b"add": _ADD, b"replace": _REPLACE, b"cas": _CAS}
_WORDS = {b"HD": b"STORED\r\n", b"NS": b"NOT_STORED\r\n", b"EX": b"EXISTS\r\n", b"NF": b"NOT_FOUND\r\n"}
_COMMANDS: dict[bytes, Callable[[Connection, list[bytes]], bytes]] = {
    b"mg": Connection._mg,
    b"ms": Connection._ms,
    b"md": Connection._md,
    b"mn": Connection._mn,
    **dict.fromkeys((b"get", b"gets", b"gat", b"gats"), Connection._get),
    **dict.fromkeys(_CHANGES, Connection._change),
    b"touch": Connection._touch,
    b"delete": Connection._delete,
    b"flush_all": Connection._flush_all,
    b"stats": Connection._stats,
    b"version": Connection._version,
    b"quit": Connection._quit,
}


def _key(words: list[bytes]) -> bytes:
    if len(words) < 2:
        raise _Refused(_ERROR)
    if len(words[1]) > _LONGEST_KEY:
        raise _Refused(_BAD_LINE)
    return words[1]


def _meta(words: list[bytes], start: int, simulated: frozenset[bytes]) -> tuple[bytes, dict[bytes, bytes]]:
    """Returns the key of a meta command, and its flags in order: letter -> argument."""
    key = _key(words)
    flags = {word[:1]: word[1:] for word in words[start:]}
    if len(flags) + start != len(words) or not flags.keys() <= simulated:
        raise _fault(words[start:])
    return key, flags


def _fault(words: list[bytes]) -> Exception:
    """Returns what is wrong with the flags of a meta command: the first that is unknown, or there twice."""
    seen = set()
    for word in words:
        letter = word[:1]
        if letter in seen or letter >= b"\x7f":
            return _Refused(b"CLIENT_ERROR duplicate flag\r\n")
        if letter not in _ALL_FLAGS:
            return _Refused(b"CLIENT_ERROR invalid flag\r\n")
        seen.add(letter)
    return NotImplementedError(b" ".join(words))


def _mode(flags: dict[bytes, bytes]) -> int:
    letter = flags.get(b"M", b"S")
    if len(letter) != 1:
        raise _Refused(b"CLIENT_ERROR incorrect length for M token\r\n")
    if letter in b"AP":
        raise NotImplementedError("appending")
    if letter not in _MODES:
        raise _Refused(b"CLIENT_ERROR invalid mode for ms M token\r\n")
    mode = _MODES[letter]
    return _CAS if b"C" in flags and mode != _ADD else mode


def _size(digits: bytes) -> int:
    size = _int32(digits, _BAD_LINE)
    if not 0 <= size <= 2**31 - 3:
        raise _Refused(_BAD_LINE)
    return size


def _int32(digits: bytes, fault: bytes) -> int:
    return (_integer(digits, fault) + 2**31 & 0xFFFFFFFF) - 2**31


def _unsigned(digits: bytes, fault: bytes) -> int:
    number = _integer(digits, fault)
    if not 0 <= number < 2**64:
        raise _Refused(fault)
    return number


def _integer(digits: bytes, fault: bytes) -> int:
    if digits.isdigit() or (digits[:1] in {b"-", b"+"} and digits[1:].isdigit()):
        return int(digits)
    raise _Refused(fault)


def _refuse_noreply(words: list[bytes]) -> None:
    if words[-1] == b"noreply":
        raise NotImplementedError("noreply")


def _echoes(key: bytes, flags: dict[bytes, bytes]) -> list[bytes]:
    """Returns what a reply repeats of its request."""
    return [letter + (key if letter == b"k" else flags[letter]) for letter in flags if letter in b"Ok"]


def _reply(status: bytes, told: list[bytes]) -> bytes:
    return b" ".join([status, *told]) + b"\r\n"
