"""Is this secret fit to guard a farm? Pure arithmetic over its bytes, and hashes of a few hundred words: no I/O.

Three ways to fail, in this order: published (known to all), a placeholder (never replaced), too easy to
guess. Hexadecimal digits and Base64 are judged by what they encode, too. The estimate leans towards trusting: what
`sharedsession genkey`, ``openssl rand`` or ``secrets`` made of 24 random bytes or more always passes. Rules: OWASP ASVS
5.0, 11.2.3 (at least 128 bits); why it is an error and not a warning: CVE-2023-27524.
"""

import binascii
import hashlib
import math
import re
from collections.abc import Iterator
from itertools import islice

from sharedsession.keys.words import is_hash_of_word

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
        "52b3ba0a1beba93263b85647d0599a7bdabb37ee62c8d878194fff1b9912be42",  # the tests of this project (earlier)
        "64ca147b4408771ac335445ab0fb8e3ebe191332fb426925454d4ec83583ee5c",  # the tests of this project (earlier)
    }
)

_PLACEHOLDERS = re.compile(
    rb"change.{0,3}(me|this|it|in.?production)|replace.{0,3}(me|this|with)|your?.{0,10}(secret|key|password)"
    rb"|secret|s3cr3t|passw|pa55w|placeholder|insecure|example|default|sample|dummy|keyboard.?cat|super|private.?key"
    rb"|do.?not.?use|not.?for.?prod|development|testing|test.?key|dev.?key|foobar|lorem.?ipsum|qwert|asdfg|letmein|todo"
    rb"|azerty|qsdfg|django|(before.?)?deployment"
    rb"|random.?(string|key)|(string|key).?(here|goes)|goes.?here|machine.?key|session.?key|correct.?horse",
    re.IGNORECASE,
)
# RFC 9562: random ones hold 122 random bits, those of versions 1 and 7 a time and little else. Without dashes they are
# 32 hexadecimal digits like others, of which one in 21 has their form.
_UUID = re.compile(
    rb"(urn:uuid:)?\{?([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{12}[147][0-9a-f]{3}[89ab][0-9a-f]{15})\}?",
    re.IGNORECASE,
)
_UTF_16 = re.compile(rb"\A(\xff\xfe|\xfe\xff)|\0")
_HEX = re.compile(rb"(0x)?(([0-9a-f]{2}[: ]?)+)", re.IGNORECASE)
_BASE64 = re.compile(rb"(base64:)?([A-Za-z0-9+/_\s-]+)={0,2}")
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_MOST_FORMS = 8  # a form within a form within a form, and so on
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
_NEIGHBOURS = frozenset(
    (one, other)
    for one, (row, column) in _KEYS.items()
    for other, (its_row, its_column) in _KEYS.items()
    if max(abs(row - its_row), abs(column - its_column)) <= 1
)
_MOSTLY_WORDS = 0.75  # of the characters: random ones seldom come that far
_MORE_PAIRS = 4  # common pairs of letters that any other text must have beyond a third
_SHORTEST_TEXT = 8  # bytes: what is decoded to less may look like text by chance
_IS_PUBLISHED = "is a sample key that is printed in public documentation"
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
        return _IS_PUBLISHED
    if len(secret) < MIN_BYTES:
        return f"is too short: {len(secret)} bytes, at least {MIN_BYTES} are needed"
    if stripped.startswith(b"django-insecure-"):
        return "is the insecure start key that Django writes into new projects"
    if b"\0" in stripped and _is_text(_UTF_16.sub(b"", stripped)):
        return "has zero bytes between its characters: write it as UTF-8, not as UTF-16"
    problems = map(_problem_with_form, islice(_forms(stripped), _MOST_FORMS))
    problem = next(filter(None, problems), None)
    return problem or (None if _is_text(stripped) else _guessable(stripped))


def _problem_with_form(form: bytes) -> str | None:
    if _digest(form) in _PUBLISHED:
        return _IS_PUBLISHED
    if _UUID.fullmatch(form):
        return "is a UUID, which holds fewer than 128 random bits"
    if is_hash_of_word(form):
        return "is the hash of a word that stands in every list of guesses"
    return _guessable(form) if _is_text(form) else None


def _forms(secret: bytes) -> Iterator[bytes]:
    """Yields a secret, then what it repeats and what it encodes, and the same of those."""
    found = [secret]
    while found:
        form = found.pop(0)
        yield form
        period = (form + form).find(form, 1)
        if period < len(form):
            found.append(form[:period])
        for decoded in _decoded(form):
            if _is_text(text := decoded.replace(b"\0", b"").strip()):
                found.append(text)
            elif decoded:
                yield decoded


def _decoded(text: bytes) -> Iterator[bytes]:
    """Yields what a text encodes, if it is hexadecimal, or else Base64."""
    if match := _HEX.fullmatch(text):
        yield binascii.unhexlify(re.sub(rb"[: ]", b"", match[2]))
    elif match := _BASE64.fullmatch(text):
        digits = re.sub(rb"\s", b"", match[2]).translate(_URL_SAFE)
        if len(digits) % 4 != 1:
            yield binascii.a2b_base64(digits + b"=" * (-len(digits) % 4))


def _is_text(form: bytes) -> bool:
    return len(form) >= _SHORTEST_TEXT and form.isascii() and re.search(rb"[^ -~\s]", form) is None


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
        skip = max(_repeat(secret, position, predictable_after), _sequence(secret, position))
        if predictable_after < 4 <= (walk := _walk(secret, position)):
            skip = max(skip, walk)  # not where the keys of hexadecimal digits lie too close together to tell
        position += skip if skip >= predictable_after else 1
        count += 1
    return count


def _repeat(secret: bytes, position: int, least: int) -> int:
    """How many bytes from ``position`` on have stood together before; 0 if fewer than ``least``."""
    length = least - 1
    if secret[position : position + least] not in secret[: position + length]:
        return 0
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
    """How many bytes from ``position`` on are neighbours on a keyboard, one of the next, or column after column."""
    end = position + 1
    while end < len(secret) and (
        (secret[end - 1], secret[end]) in _NEIGHBOURS or _is_next_column(secret[max(position, end - 3) : end + 1])
    ):
        end += 1
    return end - position


def _is_next_column(pressed: bytes) -> bool:
    """Whether three keys of one column, down or up, are followed by the first one of the column beside it."""
    keys = [_KEYS[byte] for byte in pressed if byte in _KEYS]
    if len(keys) < 4:
        return False
    rows, columns = zip(*keys, strict=True)
    is_column = len(set(columns[:3])) == 1 and rows[1] - rows[0] == rows[2] - rows[1] in {1, -1}
    return is_column and abs(columns[3] - columns[2]) == 1 and abs(rows[3] - rows[0]) <= 1


def _reads_like_text(secret: bytes) -> bool:
    # Random letters change case in the middle of a word; where there is one case only, short words count as well.
    mixed = re.search(rb"[a-z]", secret) and re.search(rb"[A-Z]", secret)
    words = re.findall(rb"[A-Z]?[a-z]{3,}|[A-Z]{4,}" if mixed else rb"[a-z]{2,}|[A-Z]{2,}", secret)
    pairs = [word[i : i + 2].decode().lower() for word in words for i in range(len(word) - 1)]
    letters = sum(map(len, words)) / len(secret)
    is_prose = letters > _MOSTLY_WORDS and not re.search(rb"[0-9]", secret)
    expected = 0.3 * len(pairs) + (0 if is_prose else _MORE_PAIRS)
    return letters > 0.5 and len(pairs) >= 15 and sum(pair in _COMMON_PAIRS for pair in pairs) > expected


def _digest(secret: bytes) -> str:
    return hashlib.sha256(secret.lower()).hexdigest()
