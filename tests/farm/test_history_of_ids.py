"""The judge of the laboratory on sessions that get new IDs: what it acquits, and each crime, planted here."""

import pytest

from tests.farm.script import NEVER, Script
from tests.support.history import ENDED, Outcome


def test_a_login_in_the_middle_of_a_life_is_acquitted(script: Script) -> None:
    """The new ID shows what the regenerate saw, and then its own writes; the old one nothing."""
    script.add("write", 1, 2, value="s/2")
    script.regenerate(3, 4, "s/2")
    script.read(4, 5, "s/2", id="s'")
    script.read(4, 5, ENDED)
    script.add("write", 6, 7, value="s/3", id="s'")
    script.read(7, 8, "s/3", id="s'")
    assert script.verdict == []


def test_an_old_id_that_lives_on_is_caught(script: Script) -> None:
    """It was asked after the answer."""
    script.regenerate(1, 2, "s/1")
    script.read(3, 4, "s/1")
    assert script.verdict == ["old ID"]


def test_a_request_in_flight_may_see_either(script: Script) -> None:
    """It began before the answer."""
    script.regenerate(1, 3, "s/1")
    script.read(2, 9, "s/1")
    script.read(2, 9, ENDED)
    assert script.verdict == []


def test_an_old_id_that_was_seen_ended_and_then_alive_is_caught(script: Script) -> None:
    """Both looks began before the answer, but one after the other."""
    script.regenerate(1, 9, "s/1")
    script.read(2, 3, ENDED)
    script.read(4, 5, "s/1")
    assert script.verdict == ["revived"]


def test_an_old_id_that_ends_before_its_regenerate_is_caught(script: Script) -> None:
    """A regenerate that began later is no excuse."""
    script.read(1, 2, ENDED)
    script.add("regenerate", 3, 4, Outcome.UNKNOWN)
    assert script.verdict == ["lost"]


def test_an_old_id_that_shows_what_was_written_with_the_new_one_is_caught(script: Script) -> None:
    """Even to a request in flight: data of after the login never stand under the ID of before."""
    script.regenerate(1, 2, "s/1")
    script.add("write", 3, 4, value="s/2", id="s'")
    script.read(1.5, 9, "s/2")
    assert script.verdict == ["old ID"]


def test_a_new_id_that_gets_what_was_written_with_the_old_one_is_caught(script: Script) -> None:
    """A write that the regenerate did not see stays behind."""
    script.regenerate(1, 4, "s/1")
    script.add("write", 2, 5, value="s/2")
    script.read(6, 7, "s/2", id="s'")
    assert script.verdict == ["old ID"]


def test_a_write_that_overlaps_a_regenerate_may_stay_behind_or_be_seen_by_it(script: Script) -> None:
    """Neither is promised."""
    script.add("write", 2, 4, value="s/2")
    script.regenerate(1, 5, "s/1")
    script.read(6, 7, "s/1", id="s'")
    script.add("write", 8, 10, value="s/3", id="s'")
    script.regenerate(9, 11, "s/3", id="s'")
    script.read(12, 13, "s/3", id="s''")
    assert script.verdict == []


def test_a_regenerate_that_forgets_an_answered_write_is_caught(script: Script) -> None:
    """It looked at the session after that write."""
    script.add("write", 1, 2, value="s/2")
    script.regenerate(3, 4, "s/1")
    assert script.verdict == ["rolled back"]


def test_a_new_id_that_is_lost_is_caught(script: Script) -> None:
    """The old one's end is no excuse."""
    script.regenerate(1, 2, "s/1")
    script.read(1, 4, ENDED, id="s'")
    assert script.verdict == ["lost"]


def test_a_new_id_that_is_rolled_back_is_caught(script: Script) -> None:
    """To what it began with."""
    script.regenerate(1, 2, "s/1")
    script.add("write", 3, 4, value="s/2", id="s'")
    script.read(5, 6, "s/1", id="s'")
    assert script.verdict == ["rolled back"]


def test_a_new_id_with_a_value_that_nobody_wrote_is_caught(script: Script) -> None:
    """Of no ID of the session."""
    script.regenerate(1, 2, "s/1")
    script.read(3, 4, "s/9", id="s'")
    assert script.verdict == ["mixed up"]


@pytest.mark.parametrize("seen", ["s/1", ENDED])
def test_an_unknown_regenerate_may_have_ended_the_id_or_not(script: Script, seen: str | None) -> None:
    """The client has no other cookie, and either is fine."""
    script.add("regenerate", 1, 2, Outcome.UNKNOWN)
    script.read(3, 4, seen)
    assert script.verdict == []


def test_an_id_that_comes_back_after_an_unknown_regenerate_is_caught(script: Script) -> None:
    """Once it was seen ended, it had been left."""
    script.add("regenerate", 1, NEVER, Outcome.UNKNOWN)
    script.read(2, 3, ENDED)
    script.read(4, 5, "s/1")
    assert script.verdict == ["revived"]


def test_a_failed_regenerate_is_no_excuse(script: Script) -> None:
    """There was no session to it, though there should have been: that is the loss."""
    script.add("regenerate", 1, 2, Outcome.FAILED).saw(ENDED)
    assert script.verdict == ["lost"]


def test_two_at_a_time_both_get_an_id(script: Script) -> None:
    """As from a double click: each has what it saw, and goes its own way."""
    script.regenerate(1, 4, "s/1")
    other = script.add("regenerate", 2, 5)
    other.saw("s/1")
    other.new_id = "other"
    script.add("write", 6, 7, value="s/2", id="s'")
    script.read(8, 9, "s/2", id="s'")
    script.read(8, 9, "s/1", id="other")
    assert script.verdict == []
    script.read(9, 10, "s/2", id="other")
    assert script.verdict == ["old ID"]


def test_a_logout_of_the_new_id(script: Script) -> None:
    """It ends that one, for good."""
    script.regenerate(1, 2, "s/1")
    script.add("logout", 3, 4, id="s'")
    script.read(5, 6, ENDED, id="s'")
    assert script.verdict == []
    script.read(7, 8, "s/1", id="s'")
    assert script.verdict == ["revived"]
