"""An error that a server replied -> what is wrong and the fix, in words for the log. Pure.

Servers repeat in their errors what they were sent. So only the words of a rule are shown; of an error without one, its
code and the plain words behind it, up to the first that may come from the request.
"""

import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

_MOST_WORDS = 12
_CODE = re.compile(r"[A-Z][A-Z_]{1,20}")
_WORD = re.compile(r"[A-Za-z-]{1,20}[.,]?")


class Rule(NamedTuple):
    """One error of a server.

    Attributes:
        pattern: found in its text.
        said: what is told of it.
        fix: what to do.
    """

    pattern: re.Pattern[str]
    said: str
    fix: str


def rule(pattern: str, said: str, fix: str) -> Rule:
    """Makes a rule."""
    return Rule(re.compile(pattern), said, fix)


def explained(text: str, rules: Sequence[Rule], request: Collection[str] | None) -> str:
    """Returns what is wrong and the fix.

    Args:
        text: of the server's error.
        rules: the first that fits counts.
        request: the words that the server was sent; ``None``: they are secret.
    """
    for found, said, fix in rules:
        if found.search(text):
            return f"{said}; {fix}"
    return plain(text, request) if request is not None else plain(text).partition(" ")[0]


def plain(text: str, request: Collection[str] = ()) -> str:
    """Returns the code of an error and its plain words, up to the first that may come from the request."""
    code, *words = text.split()[:_MOST_WORDS] or [""]
    if not _CODE.fullmatch(code) or code in request:
        return "an error"
    for word in words:
        if not _WORD.fullmatch(word) or word in request:
            break
        code += f" {word}"
    return code
