"""What follows from the replies of several nodes: the rules of reading from replicas, case by case, without a node."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharedsession.backends.base import Ended, Stored
from sharedsession.backends.ring.read_result import CHANGED, NO_ANSWER, NO_JUDGE, NodeReply, ReadResult, Tokens
from sharedsession.backends.tombstone import Tombstone

DAMAGED = b"does not open"


def opened(value: bytes) -> int | None:
    """The number of a copy that looks like ``7`` or ``7a``."""
    digits = value.rstrip(b"abcxyz")
    return int(digits) if digits.isdigit() else None


class Numbers:
    """Judges by number: a copy was made from all those of lower ones; ``7a`` and ``7b`` know nothing of each other."""

    def is_genuine(self, value: bytes) -> bool:
        return opened(value) is not None

    def includes(self, value: bytes, other: bytes) -> bool:
        ours, theirs = opened(value), opened(other)
        return value == other or (ours is not None and theirs is not None and ours > theirs)

    replaces = includes


PLAIN, NOTED = Tombstone(60.0).encode(), Tombstone(60.0, b"note", 10.0).encode()


def copy(value: bytes | int, version: object = "token", ttl: float | None = 60) -> Stored:
    return Stored(value if isinstance(value, bytes) else b"%d" % value, version, ttl)


def result_of(*answers: NodeReply) -> ReadResult:
    """The replies of nodes 0, 1 and so on."""
    result = ReadResult(range(len(answers)), 2, Numbers())
    result.add(range(len(answers)), answers)
    return result


# -- a tombstone


@pytest.mark.parametrize("others", [[], [copy(9)], [None], [NO_ANSWER], [copy(DAMAGED)], [copy(9), None, NO_ANSWER]])
def test_one_tombstone_is_enough(others):
    """Whatever the other replies are, before it or behind it."""
    assert result_of(Ended(PLAIN), *others).tombstone == Ended(PLAIN)
    assert result_of(*others, Ended(PLAIN)).tombstone == Ended(PLAIN)


def test_of_two_tombstones_the_plain_one_counts():
    """A logout is final, also where another node only knows of a new ID."""
    assert result_of(Ended(NOTED), Ended(PLAIN), Ended(NOTED)).tombstone == Ended(PLAIN)


def test_without_a_tombstone_there_is_none():
    """Absence and silence are no end."""
    assert result_of(None, NO_ANSWER, copy(1)).tombstone is None


def test_the_end_is_spread_to_nodes_that_still_hold_a_copy():
    """Also if the copy is damaged; not to nodes that have nothing, or the tombstone."""
    assert result_of(copy(1), Ended(PLAIN), None, NO_ANSWER, copy(DAMAGED)).holding() == [0, 4]


# -- the newest copy


def test_the_newest_copy_wins():
    """By the number that is sealed in it, not by the order of the answers."""
    assert result_of(copy(3), copy(5), copy(4)).best == copy(5)
    assert result_of(copy(10), copy(9)).best == copy(10)


def test_a_copy_that_does_not_open_is_never_the_best():
    """Damaged, swapped or planted: it is no answer."""
    result = result_of(copy(DAMAGED), copy(2), copy(b""))
    assert result.best == copy(2)
    assert result.damaged == copy(DAMAGED)
    assert result_of(copy(DAMAGED)).best is None


def test_nothing_and_silence_have_no_best():
    """And nothing that is damaged either."""
    result = result_of(None, NO_ANSWER)
    assert (result.best, result.damaged) == (None, None)


def test_of_two_of_one_number_the_later_node_wins():
    """What has passed the owners behind is what writers acknowledge; the first owner may hold more than that."""
    assert result_of(copy(b"7a"), copy(b"7b")).best == copy(b"7b")
    assert result_of(copy(b"7b"), copy(b"7a"), None).best == copy(b"7a")
    assert result_of(copy(b"7a"), copy(b"7b"), copy(6)).best == copy(b"7b")


def test_what_an_owner_holds_comes_before_what_others_hold():
    """A node that is no owner may keep for long what was never acknowledged: it counts if no owner has one as new."""
    assert result_of(copy(b"7a"), copy(6), copy(b"7c")).best == copy(b"7a")
    assert result_of(copy(5), copy(6), copy(b"7b"), copy(b"7c")).best == copy(b"7c")
    assert result_of(None, NO_ANSWER, copy(b"7c")).best == copy(b"7c")


def test_what_was_made_from_the_last_owner_s_copy_comes_before_the_first_owner_s():
    """The other nodes were read a moment later: the last owner has been written since, and the third node after it."""

    class Ancestors(Numbers):
        def is_genuine(self, value: bytes) -> bool:
            return True

        def replaces(self, value: bytes, other: bytes) -> bool:
            return value.startswith(other)

    for third in (b"ab", b"abc"):
        result = ReadResult(range(3), 2, Ancestors())
        result.add(range(3), [copy(b"ax"), copy(b"ab"), copy(third)])
        assert result.best is not None
        assert result.best.value == third


def test_copies_that_each_include_the_other_are_not_nothing():
    """Whatever a judge says, a live record is never told as absent."""

    class Credulous(Numbers):
        def replaces(self, value: bytes, other: bytes) -> bool:
            return True

    result = ReadResult(range(3), 2, Credulous())
    result.add(range(3), [copy(1), copy(2), copy(3)])
    assert result.best is not None


def test_how_many_nodes_hold_the_best():
    """Copies of another writer do not count."""
    result = result_of(copy(b"7a"), copy(b"7b"), None, copy(b"7b"))
    assert result.best is not None
    assert result.copies(result.best) == 2


def test_a_copy_is_opened_once():
    """However often it is asked about, and however many nodes have it."""
    seen: list[bytes] = []

    class Counting(Numbers):
        def is_genuine(self, value: bytes) -> bool:
            seen.append(value)
            return super().is_genuine(value)

    result = ReadResult(range(4), 2, Counting())
    result.add(range(4), [copy(1), copy(1), copy(2), copy(DAMAGED)])
    for _ in range(3):
        assert result.best == copy(2)
        assert result.damaged
        assert result.outdated(copy(2)) == [0, 1, 3]
    assert sorted(seen) == [b"1", b"2", DAMAGED]


# -- agreement


def test_owners_that_hold_the_same_agree():
    """Then no other node is asked."""
    assert result_of(copy(4), copy(4)).agreed([0, 1]) == copy(4)
    assert result_of(copy(4)).agreed([0]) == copy(4)


def test_versions_and_lives_may_differ_where_bytes_agree():
    """Each node numbers by itself, and their seconds differ."""
    assert result_of(copy(4, "x", 60), copy(4, "y", 59)).agreed([0, 1]) == copy(4, "x", 60)


@pytest.mark.parametrize("other", [copy(5), copy(3), copy(b"4a"), None, NO_ANSWER, Ended(PLAIN), copy(DAMAGED)])
def test_anything_else_is_no_agreement(other):
    """Live and missing, live and silent, live and ended, older and newer: the other nodes are asked."""
    assert result_of(copy(4), other).agreed([0, 1]) is None
    assert result_of(other, copy(4)).agreed([0, 1]) is None


@pytest.mark.parametrize("reply", [None, NO_ANSWER, Ended(PLAIN)])
def test_owners_can_not_agree_on_nothing(reply):
    """That there is no session is concluded from all nodes, never from the owners alone."""
    assert result_of(reply, reply).agreed([0, 1]) is None


def test_an_owner_that_was_not_asked_does_not_agree():
    """Nor do nodes in its place that are no owners."""
    assert result_of(copy(4), copy(4)).agreed([0, 2]) is None
    assert result_of(copy(4), copy(4)).agreed([2, 3]) is None


# -- repair


def test_the_missing_and_the_outdated_are_repaired():
    """A silent node is neither; a copy that does not open counts as outdated."""
    result = result_of(copy(5), None, copy(4), NO_ANSWER, copy(DAMAGED), copy(5), Ended(PLAIN))
    assert result.missing() == [1]
    assert result.outdated(copy(5)) == [2, 4]


def test_another_writers_copy_is_outdated():
    """It is not acknowledged, so its writer finds out and merges."""
    assert result_of(copy(b"7a"), copy(b"7b")).outdated(copy(b"7b")) == [0]


def test_what_nodes_say_that_were_given_a_copy():
    """One has it now, one had changed meanwhile, one gave no answer: the next write is conditional on that."""
    result = result_of(copy(5), None, copy(4), copy(3))
    assert result.add_repairs([1, 2, 3], ["new", None, NO_ANSWER], copy(5, "old", 60), 59.0) == 1
    assert result.replies[1] == copy(5, "new", 59.0)
    assert result.tokens() == Tokens({0: "token", 1: "new"}, frozenset([2]))
    assert result.silent() == [3]
    assert result.add_repairs([2, 3], ["x", "y"], copy(5), 58.0) == 2
    assert result.replies[2] == copy(5, "x", 58.0)
    assert result.add_repairs([], [], copy(5), 58.0) == 0
    with pytest.raises(ValueError, match="zip"):
        result.add_repairs([1], [], copy(5), 58.0)


def test_without_a_judge_each_copy_opens_and_none_was_made_from_another():
    """Who only moves bytes takes the last owner's."""
    result = ReadResult(range(3), 2, NO_JUDGE)
    result.add(range(3), [copy(9), copy(DAMAGED), copy(10)])
    assert (result.best, result.damaged) == (copy(DAMAGED), None)
    for made in (NO_JUDGE.includes, NO_JUDGE.replaces):
        assert (made(b"1", b"1"), made(b"2", b"1")) == (True, False)


# -- silence and tokens


@pytest.mark.parametrize(("answers", "silent"), [([copy(1), NO_ANSWER], True), ([copy(1), None, Ended(PLAIN)], False)])
def test_silence_is_not_absence(answers, silent):
    """A node that gave no answer may hold anything."""
    assert bool(result_of(*answers).silent()) is silent
    assert 1 not in result_of(copy(1), NO_ANSWER).missing()


def test_a_write_is_conditional_on_what_each_node_held():
    """Of a silent node nothing is known, so there is no token; where there was nothing, it is ``add``."""
    result = result_of(copy(1, "x"), None, NO_ANSWER, copy(1, "y"), Ended(PLAIN))
    assert result.tokens() == Tokens({0: "x", 1: None, 3: "y", 4: None}, frozenset())


def test_of_a_node_that_has_changed_since_nothing_is_known():
    """It is told apart from a silent one: what it holds now has to be found out before a write."""
    result = result_of(copy(1, "x"), CHANGED, NO_ANSWER)
    assert result.tokens() == Tokens({0: "x"}, frozenset([1]))
    assert (result.silent(), result.missing(), result.holding()) == ([2], [], [0])


def test_each_node_that_was_asked_has_a_reply():
    """A reply too few, or too many, is a mistake of the caller."""
    with pytest.raises(ValueError, match="zip"):
        result_of().add([0, 1], [None])
    with pytest.raises(ValueError, match="zip"):
        result_of().add([0], [None, None])


def test_a_later_answer_of_a_node_takes_the_place_of_its_first():
    """A node that was silent, and then was not."""
    result = result_of(NO_ANSWER, copy(1))
    result.add([0], [copy(2)])
    assert result.best == copy(2)
    assert not result.silent()


# -- whatever the replies are

values = st.sampled_from([b"1", b"2", b"3", b"3a", b"3b", DAMAGED, b""])
replies = st.one_of(
    st.none(),
    st.just(NO_ANSWER),
    st.builds(Ended, st.sampled_from([PLAIN, NOTED])),
    st.builds(Stored, values, st.integers(1, 9), st.none() | st.floats(1, 60)),
)


@given(st.lists(replies, max_size=6))
def test_nothing_is_believed_but_a_genuine_copy(answers: list[Any]):
    """The best opens, and nothing that opens is newer."""
    result = result_of(*answers)
    numbers = [opened(answer.value) for answer in answers if isinstance(answer, Stored)]
    genuine = [number for number in numbers if number is not None]
    assert (result.best is None) == (not genuine)
    if result.best is not None:
        assert opened(result.best.value) == max(genuine)


@given(st.lists(replies, max_size=6))
def test_every_node_is_counted_once(answers: list[Any]):
    """Missing, holding, ended or silent; the outdated are among those that hold."""
    result = result_of(*answers)
    ended = [node for node, answer in enumerate(answers) if isinstance(answer, Ended)]
    silent = [node for node, answer in enumerate(answers) if answer is NO_ANSWER]
    assert sorted([*result.missing(), *result.holding(), *ended, *silent]) == list(range(len(answers)))
    if result.best is not None:
        assert set(result.outdated(result.best)) <= set(result.holding())
    assert set(result.tokens().by_node) == set(range(len(answers))) - set(silent)


@given(st.lists(replies, min_size=1, max_size=6), st.integers(1, 3))
def test_agreement_means_one_live_record_and_no_doubt(answers: list[Any], replicas):
    """All owners have answered, and with the same bytes."""
    owners = range(min(replicas, len(answers)))
    agreed = result_of(*answers).agreed(owners)
    if agreed is not None:
        assert {answers[node].value for node in owners} == {agreed.value}
        assert all(isinstance(answers[node], Stored) for node in owners)
