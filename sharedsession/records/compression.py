"""One record <-> fewer bytes: zstd, before a record is sealed and after it was opened. No I/O, no secret, no store.

A compressed record begins with zstd's magic number (RFC 8878, 3.1.1), which no MessagePack array begins with. So every
reader recognises one, whatever its own settings. The library is imported when a compressed record is met or made, and
not before. The size a record grows to stands in its head and is checked before a byte of it is made: a decompression
bomb costs nothing.
"""

import sys
from types import ModuleType

MAGIC = b"\x28\xb5\x2f\xfd"
MOST = 64 << 20  # bytes that any record may grow to
FIX = (
    "build this Python with zstd (the module compression.zstd)"
    if sys.version_info >= (3, 14)
    else "pip install 'sharedsession[zstd]'"
)
MISSING = (
    f"session record in the store is compressed, and zstd is not installed: {FIX}; "
    "the visitor is treated as anonymous and the record is kept"
)


class Zstd:
    """The standard library's zstd (Python 3.14), or its backport. Raises `ImportError` where neither is installed."""

    def __init__(self) -> None:
        self._library = _library()

    def compress(self, plain: bytes) -> bytes:
        """Returns one frame, with its content size in its head."""
        frame: bytes = self._library.compress(plain)
        return frame

    def content_size(self, frame: bytes) -> int | None:
        """Returns the content size that a frame's head tells; ``None`` if it tells none.

        Raises:
            ValueError: the head is damaged.
        """
        try:
            size: int | None = self._library.get_frame_info(frame).decompressed_size
        except self._library.ZstdError as error:
            raise ValueError(str(error)) from None
        return size

    def decompress(self, frame: bytes, size: int) -> bytes:
        """Returns the content of one frame.

        Raises:
            ValueError: the content is not of this size, or something stands behind the frame.
        """
        decompressor = self._library.ZstdDecompressor()
        try:
            plain: bytes = decompressor.decompress(frame, size + 1)
        except self._library.ZstdError as error:
            raise ValueError(str(error)) from None
        if not decompressor.eof or decompressor.unused_data or len(plain) != size:
            raise ValueError("the frame is not what its head tells")
        return plain


def shrunk(plain: bytes, above: int | None) -> bytes:
    """Compresses a record if it is long and if that makes it shorter.

    Args:
        plain: its encoded bytes.
        above: the most bytes that are not long yet; ``None``: any number.

    Raises:
        ImportError: this Python has no zstd; `FIX` tells what to do.
    """
    if above is None or len(plain) <= above:
        return plain
    frame = Zstd().compress(plain)
    return frame if len(frame) < len(plain) else plain


def restored(stored: bytes) -> bytes:
    """Returns what `shrunk` was given.

    Raises:
        ValueError: the record is compressed and damaged, would grow too large, or does not tell its size.
        ImportError: the record is compressed, and this Python has no zstd; `FIX` tells what to do.
    """
    if not stored.startswith(MAGIC):
        return stored
    zstd = Zstd()
    size = zstd.content_size(stored)
    if size is None or size > MOST:
        raise ValueError("a compressed record hides its size, or would be larger than a record can be")
    return zstd.decompress(stored, size)


def _library() -> ModuleType:
    if sys.version_info >= (3, 14):
        from compression import zstd  # noqa: PLC0415 - imported when it is needed
    else:
        from backports import zstd  # noqa: PLC0415
    return zstd  # type: ignore[no-any-return, unused-ignore]
