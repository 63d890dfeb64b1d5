"""What a tombstone says: its note while that is of use, by the life that it has left; then only that it is one."""

import pytest

from sharedsession.backends.ring.tombstone import has_note, inscribed, is_stone, note_on


@pytest.mark.parametrize(
    ("left", "told"), [(1200.0, b"moved"), (1191.0, b"moved"), (1190.0, b""), (1.0, b""), (None, b"")]
)
def test_a_note_is_told_while_it_is_of_use(left, told):
    """For ten of twenty minutes' seconds; a node that does not tell the life that is left tells no note."""
    assert note_on(inscribed(b"moved", 1200.0, 10.0), left) == told


def test_a_tombstone_is_never_empty():
    """A node takes an empty note for leave to delete."""
    assert inscribed(b"", 1200.0, 0.0)
    assert note_on(inscribed(b"", 1200.0, 0.0), 1200.0) == b""


def test_what_is_no_tombstone():
    """A record whose flags were garbled on the way, and a tombstone that was cut short."""
    assert is_stone(inscribed(b"moved", 1200.0, 10.0))
    assert is_stone(inscribed(b"", 1200.0, 0.0))
    assert not any(map(is_stone, [b"", b"\xa1sealed", b".\0\0", b"moved"]))


def test_an_end_for_good_is_told_from_a_new_id():
    """The one is believed whoever was first; of two of the other kind the first counts."""
    assert has_note(inscribed(b"moved", 1200.0, 10.0))
    assert not has_note(inscribed(b"", 1200.0, 0.0))


def test_a_note_for_longer_than_the_tombstone_lives():
    """It is told to the end."""
    assert note_on(inscribed(b"moved", 5.0, 10.0), 1.0) == b"moved"
