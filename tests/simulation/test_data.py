"""What `data` explains by some order of the requests, and what it does not."""

from typing import Any

from tests.simulation.data import Access, Change, Life
from tests.support.ends import Span, Token


def life(*accesses: Access, first: dict[str, Any] | None = None, leaving: float = float("inf")) -> Life:
    return Life("s ID 1", Token("", leaving), first or {}, accesses=list(accesses))


def sees(begin: float, end: float, **data: Any) -> Access:
    return Access(Span(begin, end), data, (), acked=True, by="w")


def does(begin: float, end: float, change: Change, *, acked: bool = True, seen: dict[str, Any] | None = None) -> Access:
    return Access(Span(begin, end), seen, (change,), acked, "w")


def explained(*accesses: Access, **options: Any) -> bool:
    return not list(life(*accesses, **options).violations())


SET_ONE, SET_TWO = Change("set", "a", 1), Change("set", "a", 2)
ONE_MORE = Change("increment", "a", 1)


def test_an_acknowledged_write_is_seen_from_then_on() -> None:
    assert explained(does(0, 1, SET_ONE), sees(2, 3, a=1))
    assert not explained(does(0, 1, SET_ONE), sees(2, 3))


def test_one_under_way_may_be_seen_or_not_but_not_taken_back() -> None:
    assert explained(does(0, 9, SET_ONE), sees(2, 3), sees(4, 5, a=1))
    assert not explained(does(0, 9, SET_ONE), sees(2, 3, a=1), sees(4, 5))


def test_one_without_an_answer_may_come_at_any_time_or_never() -> None:
    lost = does(0, 1, SET_ONE, acked=False)
    assert explained(lost, sees(2, 3))
    assert explained(lost, sees(2, 3), sees(100, 101, a=1))
    assert not explained(lost, sees(2, 3, a=1), sees(100, 101))


def test_a_later_write_is_not_rolled_back() -> None:
    writes = does(0, 1, SET_ONE), does(2, 3, SET_TWO)
    assert explained(*writes, sees(4, 5, a=2))
    assert not explained(*writes, sees(4, 5, a=1))


def test_of_two_at_the_same_time_either_may_be_the_last() -> None:
    writes = does(0, 3, SET_ONE), does(1, 2, SET_TWO)
    assert explained(*writes, sees(4, 5, a=1))
    assert explained(*writes, sees(4, 5, a=2))
    assert not explained(*writes, sees(4, 5, a=1), sees(6, 7, a=2))


def test_steps_count_once_each() -> None:
    steps = [does(0, 1, ONE_MORE), does(0, 1, ONE_MORE)]
    assert explained(*steps, sees(2, 3, a=2))
    assert not explained(*steps, sees(2, 3, a=1))
    assert not explained(*steps, sees(2, 3, a=3))


def test_every_appended_value_is_there() -> None:
    appended = [does(0, 2, Change("append", "a", 1)), does(1, 2, Change("append", "a", 2))]
    assert explained(*appended, sees(3, 4, a=[2, 1]))
    assert not explained(*appended, sees(3, 4, a=[1]))


def test_two_holders_of_a_lock_do_not_start_from_the_same_value() -> None:
    held = [does(0, 5, Change("step", "a", 1), seen={"a": 0}), does(0, 5, Change("step", "a", 2), seen={"a": 1})]
    assert explained(*held, sees(6, 7, a=2), first={"a": 0})
    twice = [does(0, 5, Change("step", "a", 1), seen={"a": 0})] * 2
    assert not explained(*twice, sees(6, 7, a=1), first={"a": 0})


def test_an_id_that_is_being_left_promises_nothing() -> None:
    assert explained(does(0, 5, SET_ONE), sees(6, 7), leaving=4)
