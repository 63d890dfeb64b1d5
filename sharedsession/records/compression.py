"""One record <-> fewer bytes: zstd, before a record is sealed and after it was opened. No I/O, no secret, no store.

A compressed record begins with zstd's magic number, which no MessagePack array begins with, so every reader knows one
when it sees it, whatever its own settings. The library is imported when one is met or made, and not before. What a
record grows to is read in its head before a byte of it is made: a bomb costs nothing.
"""

import sys

MAGIC = b"\x28\xb5\x2f\xfd"
MOST = 64 << 20  # bytes that any record may grow to

if sys.version_info >= (3, 14):
    MEND = "build this Python with zstd (the module compression.zstd)"

    class Zstd:
        """The standard library's. Raises `ImportError` where this Python was built without it."""

        def __init__(self) -> None:
            from compression import zstd  # noqa: PLC0415

            self._library = zstd

        def compress(self, plain: bytes) -> bytes:
            """One frame, with its content size in its head."""
            return self._library.compress(plain)

        def content_size(self, frame: bytes) -> int | None:
            """What the head says; ``None`` if it does not. Raises `ValueError` if it is damaged."""
            try:
                return self._library.get_frame_info(frame).decompressed_size
            except self._library.ZstdError as error:
                raise ValueError(str(error)) from None

        def decompress(self, frame: bytes, size: int) -> bytes:
            """The content of one frame and nothing behind it. Raises `ValueError` if it is not of this size."""
            decompressor = self._library.ZstdDecompressor()
            try:
                plain = decompressor.decompress(frame, size + 1)
            except self._library.ZstdError as error:
                raise ValueError(str(error)) from None
            if not decompressor.eof or decompressor.unused_data or len(plain) != size:
                raise ValueError("the frame is not what its head says")
            return plain

else:
    MEND = "pip install 'sharedsession[zstd]'"

    class Zstd:
        """The package ``zstandard``. Raises `ImportError` where it is not installed."""

        def __init__(self) -> None:
            import zstandard  # noqa: PLC0415

            self._library = zstandard

        def compress(self, plain: bytes) -> bytes:
            """One frame, with its content size in its head."""
            return self._library.compress(plain)

        def content_size(self, frame: bytes) -> int | None:
            """What the head says; ``None`` if it does not. Raises `ValueError` if it is damaged."""
            try:
                size = self._library.frame_content_size(frame)
            except self._library.ZstdError as error:
                raise ValueError(str(error)) from None
            return None if size < 0 else size

        def decompress(self, frame: bytes, size: int) -> bytes:
            """The content of one frame and nothing behind it. Raises `ValueError` if it is not of this size."""
            try:
                return self._library.ZstdDecompressor().decompress(frame, size, allow_extra_data=False)
            except self._library.ZstdError as error:
                raise ValueError(str(error)) from None


MISSING = (
    f"a record in the store is compressed, and zstd is not installed: {MEND}; "
    "the visitor is treated as anonymous and the record is kept"
)


def shrunk(plain: bytes, above: int | None) -> bytes:
    """A record, compressed if it is long and if that makes it shorter.

    Args:
        plain: its encoded bytes.
        above: how many bytes are not long yet; ``None``: any number.

    Raises:
        ImportError: this Python has no zstd; `MEND` says what to do.
    """
    if above is None or len(plain) <= above:
        return plain
    frame = Zstd().compress(plain)
    return frame if len(frame) < len(plain) else plain


def restored(stored: bytes) -> bytes:
    """What `shrunk` was given.

    Raises:
        ValueError: it is compressed and damaged, would grow to more, or does not tell to how much.
        ImportError: it is compressed, and this Python has no zstd; `MEND` says what to do.
    """
    if not stored.startswith(MAGIC):
        return stored
    zstd = Zstd()
    size = zstd.content_size(stored)
    if size is None or size > MOST:
        raise ValueError("a compressed record hides its size, or would be larger than a record can be")
    return zstd.decompress(stored, size)
