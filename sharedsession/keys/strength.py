"""Is this secret fit to guard a farm? Pure arithmetic over its bytes: no list of words, no I/O.

Three ways to fail, in this order: published (known to all), a placeholder (never replaced), too easy to
guess. The estimate leans towards trusting: what `sharedsession genkey`, ``openssl rand`` or ``secrets`` made always
passes. Rules: OWASP ASVS 5.0, 11.2.3 (at least 128 bits); why it is an error and not a warning: CVE-2023-27524.
"""

import hashlib
import math
import re

MIN_BYTES = 32
# 128 bits are asked for; a truly random 128-bit secret may contain a repeat by chance, which the estimate charges.
MIN_BITS = 100

# SHA-256 of secrets printed in the documentation or sample configuration of frameworks, so that the literals
# themselves do not stand here. Matched without regard to case and surrounding white space.
_PUBLISHED = frozenset(
    {
        "2598f7d6adc142d88161630f3db12ab2bd3403521c281811e5e1ce60d4ac5d76",  # Flask, configuration and tutorial
        "9cb335cb7b5fb805934637d85c4f57c695baac019c0a57ceffd0afe43144c9cb",  # Flask, configuration (older)
        "a6658d5d139bab768481a6aa4c5fad8cfe5107937ee39dd608781d3aa578c526",  # Flask, quickstart (older)
        "67dde0412edb40ae64e09af0d14bfa47757d7a2d222eda47b55d5dd74ba31584",  # a widespread Flask video course
        "570dad43de1af4c925f92c16a68a50936da42b7dd6fdeb24850507a1199aac89",  # FastAPI, security tutorial
        "4e5bec0d493541187e44774910e8c8f7986f91e73c3fff3a499d1199c0d0c542",  # aiohttp-session, README
        "caed503e0660eba589db01a9fe45c6e23bf4c9ae7b4c5c560826bc3b54027b37",  # Sitecore (CVE-2025-53690)
        "ca52cc836b1b34b067d607c769078c2a5ff9e1ca24d5a66623122c2e1b1163ad",  # ASP.NET reference
        "da6d537013110dcafd523c3718c18306513c2fabdc1f98ae191d8045df7705fb",  # ASP.NET reference
        "ee7f03f7115f7ca19d1d5e85cae4d27d6de57fabbdaa2eb2c0f99bd8888c28d4",  # ASP.NET how-to
        "f215faf9d88b7f0a881632ee22459ee452a296c808d261b6cc993d3a1fd0600e",  # MD5 of nothing
        "07e23ede2756aa3f5f7cc9759117c4910875e032c27b8556a1e20626224f10ec",  # SHA-1 of nothing
        "cd372fb85148700fa88095e3492d3f9f5beb43e555e5ff26d95f5a6adc36f8e6",  # SHA-256 of nothing
        "2e6523e8a1db272ff306dc6b5b6f5aa2abb8f2a3de371ef3d56964752a9fd16b",  # Exchange, CVE-2020-0688
        "022c5325dea544e20ebd4a3e0ff8c6e3fcb91ea2c76be35060291f3fdf341d79",  # ASP.NET tutorials
        "92f790b8267eb7e986844b4cbb45f559191afab2b18d7c27b66accd8741f07c0",  # Tornado applications
        "7c353551afe84ea683db03f9e0cdd5a166f3c206f2d873960f6b16b0d2bd6205",  # Tornado applications
        "c4295cac211aa0a0cc8984de7e335a040b3833f6611ea977034e987891cbee24",  # Tornado applications
    }
)

_PLACEHOLDERS = re.compile(
    rb"change.{0,3}(me|this|it|in.?production)|replace.{0,3}(me|this|with)|your?.{0,10}(secret|key|password)"
    rb"|secret|s3cr3t|passw|pa55w|placeholder|insecure|example|default|sample|dummy|keyboard.?cat|super|private.?key"
    rb"|do.?not.?use|not.?for.?prod|development|testing|test.?key|dev.?key|foobar|lorem.?ipsum|qwert|asdfg|letmein|todo"
    rb"|random.?(string|key)|(string|key).?(here|goes)|goes.?here|machine.?key|session.?key|correct.?horse",
    re.IGNORECASE,
)
_UUID = re.compile(rb"\{?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\}?", re.IGNORECASE)
# The thirty commonest letter pairs make a third of English text, and a twentieth of random letters.
_COMMON_PAIRS = frozenset(
    [
        "th",
        "he",
        "in",
        "er",
        "an",
        "re",
        "nd",
        "at",
        "on",
        "nt",
        "ha",
        "es",
        "st",
        "en",
        "ed",
        "to",
        "it",
        "ou",
        "ea",
        "hi",
        "is",
        "or",
        "ti",
        "as",
        "te",
        "et",
        "ng",
        "of",
        "al",
        "de",
        "se",
        "le",
        "sa",
        "si",
        "ar",
        "ve",
        "ra",
        "ld",
        "ur",
        "se",
        "ro",
        "io",
        "me",
        "ic",
        "co",
        "ne",
        "wo",
        "om",
    ]
)
_ROWS = ("`1234567890-=", " qwertyuiop[]", " asdfghjkl;'", " zxcvbnm,./")
_SHIFTED = ("~!@#$%^&*()_+", " QWERTYUIOP{}", ' ASDFGHJKL:"', " ZXCVBNM<>?")
_KEYS = {
    ord(character): (row, column)
    for rows in (_ROWS, _SHIFTED)
    for row, characters in enumerate(rows)
    for column, character in enumerate(characters)
    if character != " "
}
_TEXT_BITS_PER_LETTER = 1.5  # Shannon, "Prediction and Entropy of Printed English", 1951


def problem_with(secret: bytes) -> str | None:
    """Says what is wrong with a secret, without quoting any of it.

    Args:
        secret: the secret as the application would use it.

    Returns:
        The problem as the end of a sentence ("… is too short: …"), or ``None`` if the secret is good.
    """
    stripped = secret.strip()
    if _digest(stripped) in _PUBLISHED:
        return "is a sample key that is printed in public documentation"
    if len(secret) < MIN_BYTES:
        return f"is too short: {len(secret)} bytes, at least {MIN_BYTES} are needed"
    if stripped.startswith(b"django-insecure-"):
        return "is the insecure start key that Django writes into new projects"
    if _UUID.fullmatch(stripped):
        return "is a UUID, which holds fewer than 128 random bits"
    return _guessable(stripped)


def _guessable(secret: bytes) -> str | None:
    if estimated_bits(secret) < MIN_BITS:
        return "is easy to guess: it repeats itself, follows a pattern or is made of words"
    if _PLACEHOLDERS.search(secret) and estimated_bits(_PLACEHOLDERS.sub(b"", secret)) < MIN_BITS:
        return "looks like a placeholder that was never replaced"
    return None


def estimated_bits(secret: bytes) -> float:
    """Estimates the entropy of a secret from what can be seen in it, in bits.

    Repeats, runs and sequences count once; text that reads like English counts 1.5 bits a letter.
    """
    if not secret:
        return 0.0
    alphabet = _alphabet(secret)
    bits = _unpredicted(secret, predictable_after=4 if alphabet <= 16 else 3) * math.log2(alphabet)
    if _reads_like_text(secret):
        bits = min(bits, len(secret) * _TEXT_BITS_PER_LETTER)
    return bits


def _alphabet(secret: bytes) -> int:
    """The size of the set the characters seem to be drawn from, never more than the variety seen suggests."""
    classes = (rb"[a-z]", 26), (rb"[A-Z]", 26), (rb"[0-9]", 10), (rb"[!-/:-@\[-`{-~ ]", 33), (rb"[^ -~]", 160)
    if re.fullmatch(rb"[0-9a-f]+|[0-9A-F]+", secret):
        size = 16
    else:
        size = sum(min(count, 2 * len(set(re.findall(pattern, secret)))) for pattern, count in classes)
    return max(2, size)


def _unpredicted(secret: bytes, predictable_after: int) -> int:
    """Counts the characters that could not be foretold from those before: a repeat or a sequence counts as one."""
    count = position = 0
    while position < len(secret):
        skip = max(_repeat(secret, position), _sequence(secret, position))
        walk = _walk(secret, position)
        if walk >= 4 > predictable_after:  # the keys of hexadecimal digits lie too close together to tell
            skip = max(skip, walk)
        position += skip if skip >= predictable_after else 1
        count += 1
    return count


def _repeat(secret: bytes, position: int) -> int:
    """How many bytes from ``position`` on have stood together before."""
    length = 0
    while position + length < len(secret) and secret[position : position + length + 1] in secret[: position + length]:
        length += 1
    return length


def _sequence(secret: bytes, position: int) -> int:
    """How many bytes from ``position`` on go up or down by one, or stay."""
    if position + 1 >= len(secret):
        return 1
    step = secret[position + 1] - secret[position]
    if step not in {-1, 0, 1}:
        return 1
    end = position + 1
    while end < len(secret) and secret[end] - secret[end - 1] == step:
        end += 1
    return end - position


def _walk(secret: bytes, position: int) -> int:
    """How many bytes from ``position`` on are neighbours on a keyboard, one of the next."""
    end = position + 1
    while end < len(secret) and _are_neighbours(secret[end - 1], secret[end]):
        end += 1
    return end - position


def _are_neighbours(one: int, other: int) -> bool:
    here, there = _KEYS.get(one), _KEYS.get(other)
    return bool(here and there) and max(abs(a - b) for a, b in zip(here or (), there or (), strict=True)) <= 1


def _reads_like_text(secret: bytes) -> bool:
    # Random letters change case in the middle of a word; where there is one case only, short words count as well.
    mixed = re.search(rb"[a-z]", secret) and re.search(rb"[A-Z]", secret)
    words = re.findall(rb"[A-Z]?[a-z]{3,}|[A-Z]{4,}" if mixed else rb"[a-z]{2,}|[A-Z]{2,}", secret)
    pairs = [word[i : i + 2].decode().lower() for word in words for i in range(len(word) - 1)]
    letters = sum(map(len, words))
    return (
        letters > 0.5 * len(secret)
        and len(pairs) >= 15
        and sum(pair in _COMMON_PAIRS for pair in pairs) > 0.3 * len(pairs)
    )


def _digest(secret: bytes) -> str:
    return hashlib.sha256(secret.lower()).hexdigest()
