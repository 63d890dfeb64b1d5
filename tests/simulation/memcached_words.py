"""The words of memcached's protocol: a line to keys, flags and numbers, with what the real server says of a bad one."""

from tests.simulation.memcached_items import ADD, CAS, REPLACE, SET

ERROR = b"ERROR\r\n"
BAD_LINE = b"CLIENT_ERROR bad command line format\r\n"
BAD_CHUNK = b"CLIENT_ERROR bad data chunk\r\n"
BAD_TOKEN = b"CLIENT_ERROR bad token in command line format\r\n"
BAD_FLAG = b"CLIENT_ERROR invalid or duplicate flag\r\n"
BAD_EXPTIME = b"CLIENT_ERROR invalid exptime argument\r\n"
BAD_DELETE = b"CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n"
LONGEST_KEY = 250  # bytes
MG_FLAGS = frozenset((b"v", b"c", b"f", b"t", b"T", b"O", b"k", b"s"))
MS_FLAGS = frozenset((b"c", b"C", b"T", b"F", b"M", b"O", b"k"))
MD_FLAGS = frozenset((b"C", b"I", b"T", b"O", b"k"))
_ALL_FLAGS = frozenset(bytes([letter]) for letter in b"bNTRlOPLkstcfvhuqFCMJDI")  # of the real server
_MODES = {b"S": SET, b"E": ADD, b"R": REPLACE}


class Refused(Exception):
    """A command has a fault; the reply to it."""


def key_of(words: list[bytes]) -> bytes:
    if len(words) < 2:
        raise Refused(ERROR)
    if len(words[1]) > LONGEST_KEY:
        raise Refused(BAD_LINE)
    return words[1]


def meta(words: list[bytes], start: int, simulated: frozenset[bytes]) -> tuple[bytes, dict[bytes, bytes]]:
    """Returns the key of a meta command, and its flags in order: letter -> argument."""
    key = key_of(words)
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
            return Refused(b"CLIENT_ERROR duplicate flag\r\n")
        if letter not in _ALL_FLAGS:
            return Refused(b"CLIENT_ERROR invalid flag\r\n")
        seen.add(letter)
    return NotImplementedError(b" ".join(words))


def mode_of(flags: dict[bytes, bytes]) -> int:
    letter = flags.get(b"M", b"S")
    if len(letter) != 1:
        raise Refused(b"CLIENT_ERROR incorrect length for M token\r\n")
    if letter in b"AP":
        raise NotImplementedError("appending")
    if letter not in _MODES:
        raise Refused(b"CLIENT_ERROR invalid mode for ms M token\r\n")
    mode = _MODES[letter]
    return CAS if b"C" in flags and mode != ADD else mode


def size_of(digits: bytes) -> int:
    size = int32(digits, BAD_LINE)
    if not 0 <= size <= 2**31 - 3:
        raise Refused(BAD_LINE)
    return size


def int32(digits: bytes, fault: bytes) -> int:
    return (_integer(digits, fault) + 2**31 & 0xFFFFFFFF) - 2**31


def unsigned(digits: bytes, fault: bytes) -> int:
    number = _integer(digits, fault)
    if not 0 <= number < 2**64:
        raise Refused(fault)
    return number


def _integer(digits: bytes, fault: bytes) -> int:
    if digits.isdigit() or (digits[:1] in {b"-", b"+"} and digits[1:].isdigit()):
        return int(digits)
    raise Refused(fault)


def refuse_noreply(words: list[bytes]) -> None:
    if words[-1] == b"noreply":
        raise NotImplementedError("noreply")


def echoes(key: bytes, flags: dict[bytes, bytes]) -> list[bytes]:
    """Returns what a reply repeats of its request."""
    return [letter + (key if letter == b"k" else flags[letter]) for letter in flags if letter in b"Ok"]


def reply(status: bytes, told: list[bytes]) -> bytes:
    return b" ".join([status, *told]) + b"\r\n"
