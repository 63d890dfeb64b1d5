"""Which records are known not to open: each for a minute, and by itself."""

from sharedsession.records.doubts import Doubts


def test_a_record_is_believed_for_a_minute():
    """Then it is doubted again; others are doubted all the time."""
    doubts = Doubts()
    assert not doubts.settled
    assert not doubts.are_settled("x", 100)
    doubts.settle("x", 100)
    assert doubts.settled
    assert doubts.are_settled("x", 159.9)
    assert not doubts.are_settled("x", 160)
    assert not doubts.are_settled("y", 101)


def test_a_record_that_opens_is_forgotten():
    """It may have been written anew."""
    doubts = Doubts()
    doubts.settle("x", 100)
    doubts.forget("x")
    doubts.forget("y")
    assert not doubts.are_settled("x", 101)


def test_the_memory_is_bounded():
    """However many records are damaged."""
    doubts = Doubts()
    for number in range(5000):
        doubts.settle(str(number), 100)
    assert len(doubts.settled) <= 1000
    assert doubts.are_settled("4999", 101)
