"""A secret as it was typed, pasted or read from a file -> its bytes: the same ones, however it came here.

Editors and shells put byte order marks, line ends and zero bytes around a secret. They are no part of it. The bytes of
a secret that is no text are all its own.
"""

_AROUND = "\ufeff\u200b\u2060\0"
_MARKS_OF_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def bytes_of(secret: str | bytes) -> bytes:
    """Returns the bytes of a secret, without what stands around it.

    Args:
        secret: text, or bytes, which are text if they are UTF-8.
    """
    raw = secret if isinstance(secret, bytes) else _encoded(secret)
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return raw
    while (shorter := text.strip().strip(_AROUND)) != text:
        text = shorter
    return text.encode()


def is_utf_16(content: bytes) -> bool:
    """Returns whether some bytes begin as UTF-16 does, which some shells write."""
    return content.startswith(_MARKS_OF_UTF_16) and b"\0" in content


def _encoded(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")  # bytes that are no UTF-8, as Python reads the environment
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
