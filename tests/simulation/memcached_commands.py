"""Random commands for memcached: those of the library, their variants, and what is wrong with them."""

from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

from sharedsession.backends.memcached import protocol, text
from tests.simulation.memcached import SimulatedMemcached

KEYS = ("A", "K", "Z:c")  # no letters of flags that are not simulated
_VALUES = (b"", b"x", b"10", b"END\r\n", b"VA 1 c1\r\nx", b"x" * 300)
_LIVES = (60, 60, 10, 1, 2, 3, 0, -1, -5, 2_592_000, 2_592_001, 2**31 - 1, 2**31 + 5, 2**32 + 60)
_FLAGS = (0, 1, 2**32 - 1, 2**32 + 7)


def command(
    chance: Random, server: SimulatedMemcached, date: int, keys: Sequence[str] = KEYS, faults: float = 0.06
) -> bytes:
    """Returns a command.

    Args:
        chance: decides.
        server: what holds the keys, so that CAS numbers and sizes often fit.
        date: now, in seconds since the epoch.
        keys: the keys that it may name.
        faults: the share of commands with one.
    """
    key = chance.choice(keys)
    life = chance.choice((*_LIVES, date + 100, date + 1, date - 100))
    item = server.find(key.encode())
    fits = item.cas if item else server._newest_cas
    cas = chance.choice((fits, fits, fits, fits - 1, server._newest_cas + 1, 0, 2**64 - 1))
    value = chance.choice(_VALUES)
    if server.item_size_max < 10_000 and chance.random() < 0.4:
        value = b"x" * (server.item_size_max - 60 - len(key) + chance.randint(-6, 3))
    made = chance.choice(_MAKERS)(chance, _Words(key, keys, value, life, cas))
    return _with_fault(chance, made) if chance.random() < faults else made


class _Words(NamedTuple):
    key: str
    keys: Sequence[str]
    value: bytes
    life: int
    cas: int


# -- as the library sends them


def _of_library(chance: Random, words: _Words) -> bytes:
    key, _, value, life, cas = words
    module = chance.choice((protocol, protocol, text))
    opaque = chance.randrange(1, 10_000)
    requests = (
        lambda: module.get(key, chance.choice((None, life)), opaque),
        lambda: module.look(key, opaque),
        lambda: module.add(key, value, life, opaque),
        lambda: module.replace(key, value, life, cas, opaque),
        lambda: module.write_tombstone(key, value, life, chance.choice((None, cas)), opaque),
        lambda: module.add_tombstone(key, value, life, opaque),
        lambda: module.delete(key, opaque),
        lambda: module.NOTHING,
        lambda: text.confirm_absence(key),
    )
    return chance.choice(requests)()


# -- in any form


def _mg(chance: Random, words: _Words) -> bytes:
    flags = (b"v", b"c", b"f", b"t", b"k", b"s", b"O", b"T%d" % words.life)
    return b"mg %b%b\r\n" % (words.key.encode(), _some(chance, flags))


def _ms(chance: Random, words: _Words) -> bytes:
    mode = b"M" + chance.choice((b"E", b"R", b"S", b"s"))
    flags = (b"c", b"k", b"O", b"T%d" % words.life, b"F%d" % chance.choice(_FLAGS), b"C%d" % words.cas, mode)
    size = len(words.value)
    return b"ms %b %d%b\r\n%b\r\n" % (words.key.encode(), size, _some(chance, flags), words.value)


def _md(chance: Random, words: _Words) -> bytes:
    flags = (b"k", b"O", b"I", b"C%d" % words.cas, b"T%d" % words.life)
    return b"md %b%b\r\n" % (words.key.encode(), _some(chance, flags))


def _some(chance: Random, flags: Sequence[bytes]) -> bytes:
    """Returns some of the flags, in any order."""
    return b"".join(b" " + flag for flag in chance.sample(flags, chance.randrange(len(flags) + 1)))


def _change(chance: Random, words: _Words) -> bytes:
    key, _, value, life, cas = words
    verb = chance.choice((b"set", b"add", b"replace", b"cas"))
    token = b" %d" % cas if verb == b"cas" else b""
    head = b"%b %b %d %d %d%b" % (verb, key.encode(), chance.choice(_FLAGS), life, len(value), token)
    return b"%b\r\n%b\r\n" % (head, value)


def _retrieval(chance: Random, words: _Words) -> bytes:
    keys = " ".join(chance.choices(words.keys, k=chance.randint(1, 4))).encode()
    verb = chance.choice((b"get", b"gets", b"gat %d" % words.life, b"gats %d" % words.life))
    return b"%b %b\r\n" % (verb, keys)


def _other(chance: Random, words: _Words) -> bytes:
    key, life = words.key, words.life
    lines = (
        f"touch {key} {life}",
        f"delete {key}",
        f"delete {key} 0",
        f"delete {key}\r",
        f"gets {key}\t",
        f"ms {key} 0 MSS\r\n",
        "version",
        "mn",
        "\n",
        "MG a",
        "foo",
    )
    return chance.choice(lines).encode() + b"\r\n"


def _flush(_chance: Random, _words: _Words) -> bytes:
    return b"flush_all\r\n"


_USUAL = (_of_library, _mg, _ms, _change)
_MAKERS: tuple[Callable[[Random, _Words], bytes], ...] = (*5 * _USUAL, *3 * (_md, _retrieval, _other), _flush)


# -- with a fault


def _with_fault(chance: Random, made: bytes) -> bytes:
    line, end, rest = made.partition(b"\r\n")
    words = line.split(b" ")
    return chance.choice(_FAULTY)(chance, words) + end + rest


def _twice(_chance: Random, words: list[bytes]) -> bytes:
    return b" ".join([*words, words[-1]])


def _unknown_flag(chance: Random, words: list[bytes]) -> bytes:
    return b" ".join([*words, chance.choice((b"x", b"!", b"?", b"\xc3\xa4"))])


def _long_key(_chance: Random, words: list[bytes]) -> bytes:
    if words[0].startswith(b"g"):
        return b" ".join(words)
    return b" ".join([words[0], b"k" * 251, *words[2:]])


def _fewer(chance: Random, words: list[bytes]) -> bytes:
    return b" ".join(words[: chance.randrange(len(words))])


def _one_less(chance: Random, words: list[bytes]) -> bytes:
    gone = chance.randrange(len(words))
    return b" ".join(words[:gone] + words[gone + 1 :])


def _no_number(chance: Random, words: list[bytes]) -> bytes:
    at = chance.randrange(len(words))
    return b" ".join([*words[:at], words[at] + b"x", *words[at + 1 :]])


def _other_number(chance: Random, words: list[bytes]) -> bytes:
    return b" ".join([b"%d" % (int(word) + chance.randint(-3, 3)) if word.isdigit() else word for word in words])


def _spaces(_chance: Random, words: list[bytes]) -> bytes:
    return b"  ".join([b"", *words, b""])


_FAULTY = (_twice, _unknown_flag, _long_key, _fewer, _one_less, _no_number, _other_number, _spaces)
