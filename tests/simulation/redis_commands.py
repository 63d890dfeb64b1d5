"""Random commands for Redis and Valkey: those of the library, their variants, and what is wrong with them."""

from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

from sharedsession.backends.redis.backend import _END, _SUPERSEDE, _SWAP, _TRY
from sharedsession.backends.tombstone import Tombstone

KEYS = ("one", "two", "ss:three")
LIVES = (20_000, 3_600_000, 2_592_000_000)  # milliseconds: none ends while a sequence is played
_VERSIONS = (b"\x01AAAAAAAA", b"\x01AAAAAAAB", b"\x01\r\n\x00+-:$*", b"")
_VALUES = tuple(version + rest for version in _VERSIONS for rest in (b"", b"x", b"y" * 300))
_TOMBSTONES = (Tombstone(60).encode(), Tombstone(60, b"note", 30).encode())

Command = tuple[bytes | str, ...]


def command(chance: Random, keys: Sequence[str] = KEYS, lives: Sequence[int] = LIVES) -> Command:
    """Returns a command.

    Args:
        chance: decides.
        keys: that it may name.
        lives: in milliseconds, that it may give.
    """
    words = _Words(chance.choice(keys), keys, chance.choice(_VALUES), str(chance.choice(lives)))
    made = chance.choice(_MAKERS)(chance, words)
    return chance.choice(_FAULTY)(chance, words) if chance.random() < 0.06 else made


class _Words(NamedTuple):
    key: str
    keys: Sequence[str]
    value: bytes
    life: str


def _get(_chance: Random, words: _Words) -> Command:
    return "GET", words.key


def _getex(_chance: Random, words: _Words) -> Command:
    return "GETEX", words.key, "PX", words.life


def _set(chance: Random, words: _Words) -> Command:
    options: list[tuple[bytes | str, ...]] = [("PX", words.life)] * chance.randint(0, 1)
    options += chance.choice([[], [("NX",)], [("IFEQ", chance.choice(_VALUES))]])
    chance.shuffle(options)
    return "SET", words.key, words.value, *(word for option in options for word in option)


def _replace(chance: Random, words: _Words) -> Command:
    if chance.random() < 0.5:
        return "SET", words.key, words.value, "IFEQ", chance.choice(_VALUES), "PX", words.life
    return "EVAL", _SWAP, "1", words.key, chance.choice(_VERSIONS[:3]), words.value, words.life


def _end(chance: Random, words: _Words) -> Command:
    return "EVAL", _END, "1", words.key, chance.choice(_TOMBSTONES), words.life


def _supersede(chance: Random, words: _Words) -> Command:
    return "EVAL", _SUPERSEDE, "1", words.key, chance.choice(_TOMBSTONES), words.life, _TOMBSTONES[0]


def _look(chance: Random, words: _Words) -> Command:
    looks: tuple[Command, ...] = (
        ("PTTL", words.key),
        ("LINDEX", words.key, chance.choice(("0", "0", "-1", "1"))),
        ("EVAL", _TRY, "1", words.key),
    )
    return chance.choice(looks)


def _del(chance: Random, words: _Words) -> Command:
    return "DEL", *chance.choices(words.keys, k=chance.randint(1, 3))


def _other(chance: Random, words: _Words) -> Command:
    others: tuple[Command, ...] = (
        ("ECHO", words.value),
        ("PING",),
        ("PING", words.value),
        ("HELLO", "2"),
        ("HELLO",),
        ("SELECT", "0"),
        ("AUTH", "secret"),
        ("AUTH", "default", "secret"),
        ("AUTH", "nobody", "secret"),
    )
    return chance.choice(others)


_Maker = Callable[[Random, _Words], Command]
_USUAL: tuple[_Maker, ...] = (_get, _getex, _set, _replace, _end, _supersede, _look)
_MAKERS = (*3 * _USUAL, _del, _other)


# -- with a fault


def _bad_option(chance: Random, words: _Words) -> Command:
    options: tuple[Command, ...] = (("FOO",), ("PX",), ("IFEQ",), ("NX", "IFEQ", words.value), ("PX", words.life, "1"))
    return "SET", words.key, words.value, *chance.choice(options)


def _bad_life(chance: Random, words: _Words) -> Command:
    life = chance.choice(("0", "-1", "x", "", str(2**63 - 1), str(2**63)))
    return "SET", words.key, words.value, "PX", life


def _bad_length(chance: Random, words: _Words) -> Command:
    short: tuple[Command, ...] = (("ECHO",), ("DEL",), ("LINDEX", words.key), ("EVAL", _TRY), ("SELECT",))
    long: tuple[Command, ...] = (
        ("GET", words.key, "x"),
        ("PTTL", words.key, "x"),
        ("PING", "x", "y"),
        ("AUTH", "x", "y", "z"),
    )
    return chance.choice((*short, *long, ("SET", words.key), ("GETEX",), ("AUTH",), ("ECHO", "x", "y")))


def _bad_index(_chance: Random, words: _Words) -> Command:
    return "LINDEX", words.key, "x"


_FAULTY: tuple[_Maker, ...] = (_bad_option, _bad_life, _bad_length, _bad_index)
