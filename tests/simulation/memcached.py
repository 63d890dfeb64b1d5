"""One memcached as a state machine: bytes in, bytes out; no I/O, and no clock but the one that it is given.

It is what sharedsession relies on: items, lives in whole seconds, CAS numbers that begin again with the process, and
every command that the library sends, with the refusals of each. What the real server does beyond that is not guessed:
it raises `NotImplementedError`. `test_memcached` holds it to memcached 1.6.18, reply by reply.
"""

from collections.abc import Callable

from tests.simulation.memcached_items import ADD, CAS, REPLACE, SET, VERSION, Items
from tests.simulation.memcached_words import (
    BAD_CHUNK,
    BAD_DELETE,
    BAD_EXPTIME,
    BAD_FLAG,
    BAD_LINE,
    BAD_TOKEN,
    ERROR,
    LONGEST_KEY,
    MD_FLAGS,
    MG_FLAGS,
    MS_FLAGS,
    Refused,
    echoes,
    int32,
    key_of,
    meta,
    mode_of,
    refuse_noreply,
    reply,
    size_of,
    unsigned,
)

_LONGEST_LINE = 2048  # bytes
_OTHER_COMMANDS = frozenset(
    b"ma me append prepend incr decr bget verbosity lru lru_crawler watch slabs shutdown cache_memlimit".split()
)


class SimulatedMemcached(Items):
    """A memcached; see `Items` for what it can be told to do."""

    def connect(self) -> "Connection":
        """Returns a new connection."""
        return Connection(self)


class _Incomplete(Exception):
    """A command has not arrived as a whole."""


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
        except Refused as refusal:
            answer: bytes = refusal.args[0]
            return answer

    def _unknown(self, words: list[bytes]) -> bytes:
        if words and words[0] in _OTHER_COMMANDS:
            raise NotImplementedError(words[0])
        self.closed = bool(words) and words[-1].startswith(b"HTTP/")
        return b"" if self.closed else ERROR

    def _block(self, size: int) -> bytes | None:
        """Takes the data block behind a line; ``None`` if it does not end where it should."""
        begin, end = self._at, self._at + size
        if len(self._buffer) < end + 2:
            raise _Incomplete
        self._at = end + 2
        return self._buffer[begin:end] if self._buffer[end : end + 2] == b"\r\n" else None

    # -- meta commands

    def _mg(self, words: list[bytes]) -> bytes:
        key, flags = meta(words, 2, MG_FLAGS)
        server = self._server
        renewed = server.exptime(int32(flags.get(b"T", b"0"), BAD_TOKEN))
        item = server.find(key)
        if item is None:
            return reply(b"EN", echoes(key, flags))
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
            elif letter == b"T":
                expires = renewed
            elif letter == b"k":
                told.append(b"k" + key)
            elif letter == b"s":
                told.append(b"s%d" % len(value))
        if b"T" in flags:
            server.renew(key, item, renewed)
        if is_stale:
            told += (b"Z", b"X") if has_winner else (b"X", b"W")
            server.promise(key)
        return reply(b"VA %d" % len(value), told) + value + b"\r\n" if b"v" in flags else reply(b"HD", told)

    def _ms(self, words: list[bytes]) -> bytes:
        key = key_of(words)
        if len(words) < 3:
            raise Refused(BAD_LINE)
        size = size_of(words[2])
        try:
            _, flags = meta(words, 3, MS_FLAGS)
            client_flags = unsigned(flags.get(b"F", b"0"), BAD_LINE) & 0xFFFFFFFF
            exptime = self._server.exptime(int32(flags.get(b"T", b"0"), BAD_TOKEN))
            cas = unsigned(flags.get(b"C", b"0"), BAD_TOKEN)
            mode = mode_of(flags)
        except Refused:
            self._block(size)
            raise
        refusal = self._server.refusal(key, client_flags, size)
        value = self._block(size)
        if refusal:
            self._server.delete(key)  # so that nothing stale is left, whatever the mode
            return refusal
        if value is None:
            return BAD_CHUNK
        status, new = self._server.store(mode, key, value, client_flags, exptime, cas)
        told = []
        for letter, argument in flags.items():
            if letter == b"O":
                told.append(b"O" + argument)
            elif letter == b"c":
                told.append(b"c%d" % new)
            elif letter == b"k":
                told.append(b"k" + key)
        return reply(status, told)

    def _md(self, words: list[bytes]) -> bytes:
        try:
            key, flags = meta(words, 2, MD_FLAGS)
            exptime = self._server.exptime(int32(flags.get(b"T", b"0"), BAD_FLAG))
            cas = unsigned(flags.get(b"C", b"0"), BAD_FLAG)
        except Refused as refusal:
            raise refusal if refusal.args[0] in {ERROR, BAD_LINE} else Refused(BAD_FLAG) from None
        item = self._server.find(key)
        if item is None:
            status = b"NF"
        elif b"C" in flags and item.cas != cas:
            status = b"EX"
        else:
            status = b"HD"
            if b"I" in flags:
                self._server.mark_stale(key, item, exptime if b"T" in flags else item.exptime)
            else:
                self._server.delete(key)
        return reply(status, echoes(key, flags))

    def _mn(self, _words: list[bytes]) -> bytes:
        return b"MN\r\n"

    # -- classic commands

    def _get(self, words: list[bytes]) -> bytes:
        with_cas = words[0].endswith(b"s")
        if len(words) < 2:
            return ERROR
        if words[0].startswith(b"gat"):
            exptime: int | None = self._server.exptime(int32(words[1], BAD_EXPTIME))
            keys = words[2:]
        else:
            exptime, keys = None, words[1:]
        found = []
        for key in keys:
            if len(key) > LONGEST_KEY:
                raise NotImplementedError("memcached 1.6.18 then drops the replies to commands before this one")
            item = self._server.find(key)
            if item is None:
                continue
            if exptime is not None:
                self._server.renew(key, item, exptime)
            token = b" %d" % item.cas if with_cas else b""
            found.append(b"VALUE %b %d %d%b\r\n%b\r\n" % (key, item.flags, len(item.value), token, item.value))
        return b"".join(found) + b"END\r\n"

    def _change(self, words: list[bytes]) -> bytes:
        mode = _CHANGES[words[0]]
        if len(words) - (mode == CAS) not in {5, 6}:
            return ERROR
        refuse_noreply(words)
        key = key_of(words)
        flags = unsigned(words[2], BAD_LINE) & 0xFFFFFFFF
        exptime = self._server.exptime(int32(words[3], BAD_LINE))
        cas = unsigned(words[5], BAD_LINE) if mode == CAS else 0
        size = size_of(words[4])
        refusal = self._server.refusal(key, flags, size)
        value = self._block(size)
        if refusal:
            if mode == SET:
                self._server.delete(key)  # so that nothing stale is left
            return refusal
        if value is None:
            return BAD_CHUNK
        return _WORDS[self._server.store(mode, key, value, flags, exptime, cas)[0]]

    def _touch(self, words: list[bytes]) -> bytes:
        if len(words) not in {3, 4}:
            return ERROR
        refuse_noreply(words)
        key = key_of(words)
        exptime = self._server.exptime(int32(words[2], BAD_EXPTIME))
        item = self._server.find(key)
        if item is None:
            return b"NOT_FOUND\r\n"
        self._server.renew(key, item, exptime)
        return b"TOUCHED\r\n"

    def _delete(self, words: list[bytes]) -> bytes:
        if not 2 <= len(words) <= 4:
            return ERROR
        refuse_noreply(words)
        if len(words) > 2 and words[2:] != [b"0"]:
            return BAD_DELETE
        return b"DELETED\r\n" if self._server.delete(key_of(words)) else b"NOT_FOUND\r\n"

    # -- about the server

    def _flush_all(self, words: list[bytes]) -> bytes:
        if len(words) > 3:
            return ERROR
        refuse_noreply(words)
        if len(words) > 1 and int32(words[1], BAD_EXPTIME) > 0:
            raise NotImplementedError("a flush that comes later")
        self._server.flush()
        return b"OK\r\n"

    def _stats(self, words: list[bytes]) -> bytes:
        if words[1:] not in ([], [b"settings"]):
            raise NotImplementedError(b" ".join(words))
        told = self._server.settings() if words[1:] else self._server.statistics()
        return "".join([f"STAT {name} {value}\r\n" for name, value in told]).encode() + b"END\r\n"

    def _version(self, _words: list[bytes]) -> bytes:
        return b"VERSION %b\r\n" % VERSION.encode()

    def _quit(self, _words: list[bytes]) -> bytes:
        self.closed = True
        return b""


_CHANGES = {b"set": SET, b"add": ADD, b"replace": REPLACE, b"cas": CAS}
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
