"""The bytes of a tombstone: its lives, and its note while that is shown."""

import pytest

from sharedsession.backends.tombstone import (
    Tombstone,
    end_of,
    has_note,
    is_tombstone,
    life_before,
    life_of,
    note_on,
    plain,
)

PLAIN = Tombstone(1200.0).encode(1000.5)
WITH_NOTE = Tombstone(1200.0, b"moved", 10.0).encode(1000.5)


@pytest.mark.parametrize(("left", "note"), [(1200.0, b"moved"), (1191.0, b"moved"), (1190.0, b""), (1.0, b"")])
def test_a_note_is_shown_for_its_time(left, note):
    """For the first ten seconds of twenty minutes, by the tombstone's remaining life."""
    assert note_on(WITH_NOTE, left) == note


def test_a_store_that_does_not_tell_a_life_shows_the_note():
    """How long, the note itself must say."""
    assert note_on(WITH_NOTE, None) == b"moved"


@pytest.mark.parametrize("kept", [PLAIN, WITH_NOTE])
def test_it_tells_its_lives(kept):
    """The life that it was given, and when it ends by its writer's clock."""
    assert (life_of(kept), end_of(kept)) == (1200.0, 2200.0)


def test_without_its_note_it_is_plain():
    """And is otherwise the same."""
    assert plain(WITH_NOTE) == PLAIN
    assert plain(PLAIN) == PLAIN


def test_a_tombstone_is_never_empty():
    """So that damaged bytes are told from one."""
    assert PLAIN
    assert Tombstone(1200.0).encode(1000.5) == PLAIN
    assert note_on(PLAIN, 1200.0) == b""


def test_what_is_no_tombstone():
    """A record whose flags were damaged on the way, and a tombstone that was cut short."""
    assert is_tombstone(WITH_NOTE)
    assert is_tombstone(PLAIN)
    assert not any(map(is_tombstone, [b"", b"\xa1sealed", b".\0\0", WITH_NOTE[:-5], b"moved"]))


def test_an_end_for_good_is_told_from_a_new_id():
    """The end for good has no note."""
    assert has_note(WITH_NOTE)
    assert not has_note(PLAIN)
    assert not has_note(WITH_NOTE[: -len(b"moved")])


def test_a_note_for_longer_than_the_tombstone_lives():
    """It is shown to the end."""
    assert note_on(Tombstone(5.0, b"moved", 10.0).encode(), 1.0) == b"moved"


def test_lives_beyond_what_can_be_written():
    """A life of centuries is the longest that can be written, and no error."""
    assert life_of(Tombstone(1e12).encode(1e12)) == 2**32 - 1


def test_a_note_without_a_time_is_not_shown():
    """Not even in its first second."""
    assert note_on(Tombstone(60.0, b"moved").encode(), 60.0) == b""


TWO_SESSIONS = Tombstone(3600.0, b"moved", 10.0).encode(1000.0)  # it ends at 4600


@pytest.mark.parametrize(
    ("left", "touch", "now", "life"),
    [
        (3590.0, 600.0, 1010.0, 3590.0),  # nobody renewed it
        (600.0, 600.0, 1010.0, 3590.0),  # somebody did so a moment ago
        (599.0, 600.0, 1011.0, 3589.0),
        (600.0, 600.0, 910.0, 3600.0),  # by a clock that is behind it would live on, and show its note, for longer
        (590.0, 600.0, 1020.0, 2380.0),  # it was long ago, and the clocks of web nodes may differ
        (700.0, 600.0, 3900.0, 700.0),
        (700.0, 600.0, 2700.0, 700.0),  # by a clock that is twenty minutes behind
        (9000.0, 9000.0, 1010.0, 3590.0),  # the life of a session is longer
        (8000.0, 9000.0, 1010.0, 3590.0),  # than it ever had
    ],
)
def test_a_life_that_reads_took_comes_back(left, touch, now, life):
    """As far as the clocks of web nodes can tell; it is never made shorter by them."""
    assert life_before(TWO_SESSIONS, left, touch, now) == life
