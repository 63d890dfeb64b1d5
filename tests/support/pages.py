"""The pages of the documentation, cut into their fenced blocks."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
FIRST_STEPS = "First steps"
"""The heading of what a newcomer follows word by word: files to save and commands to type, in an empty folder."""


class Block(NamedTuple):
    """One fenced block of a page.

    Attributes:
        language: of the block.
        text: what stands in it.
        line: of its first line.
        follows: the language of the block before, if nothing but white space stands between the two.
        before: the last paragraph before it.
        section: the last heading before it, of the second level.
    """

    language: str
    text: str
    line: int
    follows: str
    before: str
    section: str


def blocks(page: Path) -> Iterator[Block]:
    """Yields the blocks of a page, in order."""
    source, end, language, section = page.read_text(), 0, "", ""
    for match in FENCE.finditer(source):
        between = source[end : match.start()]
        section = next(reversed(re.findall(r"^## (.+)$", between, re.MULTILINE)), section)
        paragraph = between.strip().rpartition("\n\n")[2]
        line = source.count("\n", 0, match.start(3)) + 1
        yield Block(match[2], match[3], line, "" if between.strip() else language, paragraph, section)
        end, language = match.end(), match[2]


def prose(page: Path) -> str:
    """Returns what stands outside of the blocks."""
    return FENCE.sub("", page.read_text())
