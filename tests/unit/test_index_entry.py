"""The entries of a principal's index: what a later version may have written stops no login."""

import pytest

from sharedsession.engine.entry import Entry, entries_in
from sharedsession.records import codec

ENTRY = Entry("ss:a", 1.8e9, 1200.0, bytes(16), "Firefox")


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"\xc0",
        codec.pack("", "text"),
        codec.pack("", [*ENTRY, "a field more"]),
        codec.pack("", [1, *ENTRY[1:]]),
        codec.pack("", [*ENTRY[:2], "1200", *ENTRY[3:]]),
        codec.pack("", [*ENTRY[:3], None, *ENTRY[4:]]),
    ],
    ids=range(7),
)
def test_what_is_no_entry_is_left_out(packed: bytes) -> None:
    """The others are listed."""
    assert entries_in({"one": packed, "two": codec.pack("", list(ENTRY))}) == {"two": ENTRY}
