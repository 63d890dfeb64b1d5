"""Bytes that are nearly right: seeds, mutated at random. The same seed of chance makes the same bytes."""

import random
import re
from collections.abc import Iterator

from tests.fuzz.target import Target

# What parsers stumble over: ends of text and of lines, numbers at a limit, digits that are none, text that is none.
HOSTILE = (
    b"", b"\0", b"\r", b"\n", b"\r\n", b" ", b"\t", b"\x85", b"\xa0", b"\x7f", b"\xff", b"\xff\xfe", b"\xef\xbb\xbf",
    b"-1", b"0", b"00", b"1", b"255", b"256", b"65536", b"2147483648", b"4294967296", b"9223372036854775808",
    b"18446744073709551616", b"9" * 30, b"9" * 400, b"9" * 5000, b"1e999", b"-0.0", b"nan", b"inf", b"-inf", b"1_0",
    "\u0661".encode(), "\u00b2".encode(), "\uff11".encode(), "\u2028".encode(), "\u200b".encode(), "\u0130".encode(),
    "\u212a".encode(), b"\xed\xa0\x80", b"\xf0\x9f\x98\x80", b"\xc0\x80", b"%00", b"%0d%0a", b"%", b"%ff", b"..", b"//",
    b"@", b":", b"#", b"?", b"=", b"&", b";", b",", b"[", b"]", b"*", b'"', b"\\", b"'", b"[" * 2000, b"{" * 50,
)  # fmt: skip
_DIGITS = re.compile(rb"\d+")


def mutations(target: Target, seed: str) -> Iterator[bytes]:
    """Yields the seeds of a target, and then mutations of them without an end."""
    chance = random.Random(f"{target.name} {seed}")
    yield b""
    yield from target.seeds
    while True:
        data = chance.choice(target.seeds)
        for _ in range(chance.choice((1, 1, 2, 3, 5, 8))):
            data = _mutated(data, target, chance)
        yield data[: target.longest]


def _mutated(data: bytes, target: Target, chance: random.Random) -> bytes:
    at = chance.randint(0, len(data))
    end = min(len(data), at + chance.choice((1, 1, 1, 2, 4, 16, 64)))
    match chance.randrange(9):
        case 0:
            return data[:at] + bytes(byte ^ 1 << chance.randrange(8) for byte in data[at : at + 1]) + data[at + 1 :]
        case 1:
            return data[:at] + chance.randbytes(chance.choice((1, 1, 2, 4, 9))) + data[at:]
        case 2:
            return data[:at] + chance.randbytes(end - at) + data[end:]
        case 3:
            return data[:at] + data[end:]
        case 4:
            return data[:at] + data[at:end] * chance.choice((2, 3, 100)) + data[end:]
        case 5 if target.words:
            return data[:at] + chance.choice(target.words) + data[chance.choice((at, end)) :]
        case 6:
            other = chance.choice(target.seeds)
            return data[:at] + other[chance.randint(0, len(other)) :]
        case 7 if found := list(_DIGITS.finditer(data)):
            number = chance.choice(found)
            return data[: number.start()] + chance.choice(HOSTILE) + data[number.end() :]
        case _:
            return data[:at] + chance.choice(HOSTILE) + data[chance.choice((at, end)) :]
