"""A fuzz target: one parser with its law, as a function of bytes.

The function raises if the law is broken, and returns nothing otherwise. It takes all that it needs from the bytes, so
the same bytes always do the same: a finding is a file.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Target:
    """One parser and its law.

    Attributes:
        run: takes bytes; raises if they break the law.
        seeds: what the parser is made for, to begin with.
        words: what means something to the parser, to be put anywhere.
        tries: how often the short run mutates a seed.
        longest: bytes of one input at most.
    """

    run: Callable[[bytes], None] = field(repr=False)
    seeds: Sequence[bytes] = field(repr=False)
    words: Sequence[bytes] = field(default=(), repr=False)
    tries: int = 1500
    longest: int = 20_000

    @property
    def name(self) -> str:
        return self.run.__name__

    @property
    def law(self) -> str:
        return (self.run.__doc__ or "").strip()


def target(
    *seeds: bytes, words: Sequence[bytes] = (), tries: int = 1500, longest: int = 20_000
) -> Callable[[Callable[[bytes], None]], Target]:
    """Makes a target of a function; see `Target`."""
    return lambda run: Target(run, seeds, words, tries, longest)


class Choices:
    """Decisions, taken from the front of some bytes; where these have ended, each decision is the first one."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self, below: int) -> int:
        """Returns a number from 0 on."""
        width = 1 if below <= 1 << 8 else 2
        return int.from_bytes(self.take(width), "big") % below

    def take(self, size: int) -> bytes:
        """Returns the next bytes; fewer at the end."""
        taken = self._data[self._at : self._at + size]
        self._at += size
        return taken

    def rest(self) -> bytes:
        """Returns all bytes that are left."""
        return self.take(max(0, len(self._data) - self._at))

    def pieces(self, data: bytes) -> list[bytes]:
        """Cuts bytes as a network might: into up to 8 pieces."""
        cuts = sorted(self.number(len(data) + 1) for _ in range(self.number(8)))
        return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def as_text(data: bytes) -> str:
    """Returns bytes as Python reads them from the environment: what is no UTF-8 becomes lone surrogates (PEP 383)."""
    return data.decode("utf-8", "surrogateescape")


def damaged(genuine: bytes, choices: Choices) -> bytes:
    """Returns other bytes than these: cut, longer, or with some changed, as the choices say."""
    changed = bytearray(genuine)
    for _ in range(1 + choices.number(3)):
        place, kind = choices.number(len(genuine)), choices.number(4)
        if kind == 0:
            del changed[place:]
        elif kind == 1:
            changed[place:place] = choices.take(2) or b"\0"
        elif changed:
            changed[place % len(changed)] ^= 1 + choices.number(255)
    result = bytes(changed)
    return result if result != genuine else genuine + b"\0"
