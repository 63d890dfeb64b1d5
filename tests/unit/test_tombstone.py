"""What a tombstone returns: its note while that is of use, by its remaining life; then only that it is one."""

import pytest

from sharedsession.backends.ring.tombstone import has_note, inscribed, is_tombstone, note_on


@pytest.mark.parametrize(
    ("left", "note"), [(1200.0, b"moved"), (1191.0, b"moved"), (1190.0, b""), (1.0, b""), (None, b"")]
)
def test_a_note_is_returned_while_it_is_of_use(left, note):
    """For the first ten seconds of twenty minutes; without a remaining life no note is returned."""
    assert note_on(inscribed(b"moved", 1200.0, 10.0), left) == note


def test_a_tombstone_is_never_empty():
    """So that damaged bytes are told from one."""
    assert inscribed(b"", 1200.0, 0.0)
    assert note_on(inscribed(b"", 1200.0, 0.0), 1200.0) == b""


def test_what_is_no_tombstone():
    """A record whose flags were damaged on the way, and a tombstone that was cut short."""
    assert is_tombstone(inscribed(b"moved", 1200.0, 10.0))
    assert is_tombstone(inscribed(b"", 1200.0, 0.0))
    assert not any(map(is_tombstone, [b"", b"\xa1sealed", b".\0\0", b"moved"]))


def test_an_end_for_good_is_told_from_a_new_id():
    """The end for good wins, in whatever order; of two new IDs the first counts."""
    assert has_note(inscribed(b"moved", 1200.0, 10.0))
    assert not has_note(inscribed(b"", 1200.0, 0.0))


def test_a_note_for_longer_than_the_tombstone_lives():
    """It is returned to the end."""
    assert note_on(inscribed(b"moved", 5.0, 10.0), 1.0) == b"moved"
