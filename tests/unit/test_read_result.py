"""What follows from what several nodes said: the rules of reading from replicas, case by case, without a node."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharedsession.backends.base import Ended, Stored
from sharedsession.backends.ring.read_result import SILENCE, Said, Survey, Tokens

DAMAGED = b"does not open"


def opened(value: bytes) -> int | None:
    """The number of a copy that looks like ``7`` or ``7a``."""
    digits = value.rstrip(b"abcxyz")
    return int(digits) if digits.isdigit() else None


def copy(value: bytes | int, version: object = "token", ttl: float | None = 60) -> Stored:
    return Stored(value if isinstance(value, bytes) else b"%d" % value, version, ttl)


def survey_of(*answers: Said) -> Survey:
    """What nodes 0, 1, 2 … said."""
    survey = Survey(opened)
    survey.add(range(len(answers)), answers)
    return survey


# -- a tombstone


@pytest.mark.parametrize("others", [[], [copy(9)], [None], [SILENCE], [copy(DAMAGED)], [copy(9), None, SILENCE]])
def test_one_tombstone_is_enough(others):
    """Whatever else was said, before it or behind it."""
    assert survey_of(Ended(b"."), *others).tombstone == Ended(b".")
    assert survey_of(*others, Ended(b".")).tombstone == Ended(b".")


def test_of_two_tombstones_the_one_that_says_more_counts():
    """The farewell of a new ID is not lost where one node has the bare mark only."""
    assert survey_of(Ended(b"."), Ended(b".farewell"), Ended(b".")).tombstone == Ended(b".farewell")


def test_without_a_tombstone_there_is_none():
    """Absence and silence are no end."""
    assert survey_of(None, SILENCE, copy(1)).tombstone is None


def test_those_that_still_hold_a_copy_are_told_of_the_end():
    """Also if it is damaged; those that have nothing, or the tombstone, need not be."""
    assert survey_of(copy(1), Ended(b"."), None, SILENCE, copy(DAMAGED)).holding() == [0, 4]


# -- the newest copy


def test_the_newest_copy_wins():
    """By the number that is sealed in it, not by the order of the answers."""
    assert survey_of(copy(3), copy(5), copy(4)).best == copy(5)
    assert survey_of(copy(10), copy(9)).best == copy(10)


def test_a_copy_that_does_not_open_is_never_the_best():
    """Damaged, swapped or planted: it is no answer."""
    survey = survey_of(copy(DAMAGED), copy(2), copy(b""))
    assert survey.best == copy(2)
    assert survey.damaged == copy(DAMAGED)
    assert survey_of(copy(DAMAGED)).best is None


def test_nothing_and_silence_have_no_best():
    """And nothing that is damaged either."""
    survey = survey_of(None, SILENCE)
    assert (survey.best, survey.damaged, survey.siblings) == (None, None, ())


def test_of_two_of_one_number_every_reader_takes_the_same():
    """So that two web nodes do not repair against each other."""
    assert survey_of(copy(b"7a"), copy(b"7b")).best == survey_of(copy(b"7b"), copy(b"7a")).best


def test_others_of_the_newest_number_are_siblings():
    """They were written side by side, by writers who saw no common node; older ones are not among them."""
    survey = survey_of(copy(b"7a"), copy(b"7b"), copy(b"7c"), copy(b"7b"), copy(6), copy(DAMAGED))
    best = survey.best
    assert best is not None
    assert {best.value, *survey.siblings} == {b"7a", b"7b", b"7c"}
    assert len(survey.siblings) == 2


def test_a_copy_is_opened_once():
    """However often it is asked about, and however many nodes have it."""
    seen: list[bytes] = []

    def counting(value: bytes) -> int | None:
        seen.append(value)
        return opened(value)

    survey = Survey(counting)
    survey.add(range(4), [copy(1), copy(1), copy(2), copy(DAMAGED)])
    for _ in range(3):
        assert survey.best == copy(2)
        assert survey.damaged
        assert survey.outdated() == [0, 1, 3]
    assert sorted(seen) == [b"1", b"2", DAMAGED]


# -- agreement


def test_owners_that_hold_the_same_agree():
    """Then nobody else is asked."""
    assert survey_of(copy(4), copy(4)).agreed([0, 1]) == copy(4)
    assert survey_of(copy(4)).agreed([0]) == copy(4)


def test_versions_and_lives_may_differ_where_bytes_agree():
    """Each node numbers by itself, and their seconds differ."""
    assert survey_of(copy(4, "x", 60), copy(4, "y", 59)).agreed([0, 1]) == copy(4, "x", 60)


@pytest.mark.parametrize("other", [copy(5), copy(3), copy(b"4a"), None, SILENCE, Ended(b"."), copy(DAMAGED)])
def test_anything_else_is_no_agreement(other):
    """Live and missing, live and silent, live and ended, older and newer: the other nodes are asked."""
    assert survey_of(copy(4), other).agreed([0, 1]) is None
    assert survey_of(other, copy(4)).agreed([0, 1]) is None


@pytest.mark.parametrize("said", [None, SILENCE, Ended(b".")])
def test_owners_can_not_agree_on_nothing(said):
    """That there is no session is concluded from all nodes, never from the owners alone."""
    assert survey_of(said, said).agreed([0, 1]) is None


def test_an_owner_that_was_not_asked_does_not_agree():
    """Nor do nodes in its place that are no owners."""
    assert survey_of(copy(4), copy(4)).agreed([0, 2]) is None
    assert survey_of(copy(4), copy(4)).agreed([2, 3]) is None


# -- repair


def test_the_missing_and_the_outdated_are_repaired():
    """A silent node is neither; a copy that does not open counts as outdated."""
    survey = survey_of(copy(5), None, copy(4), SILENCE, copy(DAMAGED), copy(5), Ended(b"."))
    assert survey.missing() == [1]
    assert survey.outdated() == [2, 4]


def test_without_a_genuine_copy_nobody_is_outdated():
    """A damaged record is kept: a wrong key that was deployed by mistake can be taken back."""
    assert survey_of(copy(DAMAGED), None).outdated() == []


def test_siblings_are_not_outdated():
    """Neither of them may be overwritten before both were merged."""
    assert survey_of(copy(b"7a"), copy(b"7b")).outdated() == []


# -- silence and tokens


@pytest.mark.parametrize(("answers", "silent"), [([copy(1), SILENCE], True), ([copy(1), None, Ended(b".")], False)])
def test_silence_is_not_absence(answers, silent):
    """A node that gave no answer may hold anything."""
    assert survey_of(*answers).has_silence() is silent
    assert 1 not in survey_of(copy(1), SILENCE).missing()


def test_a_write_is_conditional_on_what_each_node_held():
    """Of a silent node nothing is known, so there is no token; where there was nothing, it is ``add``."""
    survey = survey_of(copy(1, "x"), None, SILENCE, copy(1, "y"), Ended(b"."))
    assert survey.tokens() == Tokens({0: "x", 1: None, 3: "y", 4: None})


def test_a_later_answer_of_a_node_takes_the_place_of_its_first():
    """A node that was silent, and then was not."""
    survey = survey_of(SILENCE, copy(1))
    survey.add([0], [copy(2)])
    assert survey.best == copy(2)
    assert not survey.has_silence()


# -- whatever was said

values = st.sampled_from([b"1", b"2", b"3", b"3a", b"3b", DAMAGED, b""])
said = st.one_of(
    st.none(),
    st.just(SILENCE),
    st.builds(Ended, st.sampled_from([b".", b".note"])),
    st.builds(Stored, values, st.integers(1, 9), st.none() | st.floats(1, 60)),
)


@given(st.lists(said, max_size=6), st.randoms())
def test_the_order_of_the_nodes_does_not_matter(answers: list[Any], chance):
    """Two readers who ask in another order believe the same."""
    shuffled = list(answers)
    chance.shuffle(shuffled)
    one, other = survey_of(*answers), survey_of(*shuffled)
    assert (one.best and one.best.value) == (other.best and other.best.value)
    assert one.siblings == other.siblings
    assert (one.tombstone is None) == (other.tombstone is None)
    assert (one.damaged is None) == (other.damaged is None)


@given(st.lists(said, max_size=6))
def test_nothing_is_believed_that_nobody_genuine_said(answers: list[Any]):
    """The best and its siblings open, and nothing that opens is newer."""
    survey = survey_of(*answers)
    numbers = [opened(answer.value) for answer in answers if isinstance(answer, Stored)]
    genuine = [number for number in numbers if number is not None]
    assert (survey.best is None) == (not genuine)
    if survey.best is not None:
        assert opened(survey.best.value) == max(genuine)
        assert {opened(value) for value in survey.siblings} <= {max(genuine)}
        assert survey.best.value not in survey.siblings


@given(st.lists(said, max_size=6))
def test_every_node_is_counted_once(answers: list[Any]):
    """Missing, holding, ended or silent; the outdated are among those that hold."""
    survey = survey_of(*answers)
    ended = [node for node, answer in enumerate(answers) if isinstance(answer, Ended)]
    silent = [node for node, answer in enumerate(answers) if answer is SILENCE]
    assert sorted([*survey.missing(), *survey.holding(), *ended, *silent]) == list(range(len(answers)))
    assert set(survey.outdated()) <= set(survey.holding())
    assert set(survey.tokens().by_node) == set(range(len(answers))) - set(silent)


@given(st.lists(said, min_size=1, max_size=6), st.integers(1, 3))
def test_agreement_means_one_live_record_and_no_doubt(answers: list[Any], replicas):
    """Whoever agrees has answered, and with the same bytes."""
    owners = range(min(replicas, len(answers)))
    agreed = survey_of(*answers).agreed(owners)
    if agreed is not None:
        assert {answers[node].value for node in owners} == {agreed.value}
        assert all(isinstance(answers[node], Stored) for node in owners)
