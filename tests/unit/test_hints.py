"""The tombstones that a node missed, on a clock of the test's own."""

import threading

from hypothesis import given
from hypothesis import strategies as st

from sharedsession.backends.ring import hints as module
from sharedsession.backends.ring.hints import Hints


def test_what_was_missed_is_due_with_the_life_it_has_left():
    """A tombstone has to outlive the copies it is meant for, no longer."""
    hints = Hints()
    hints.add("a", b".note", ttl=60, now=100)
    assert hints.due(now=110) == [("a", b".note", 50)]


def test_without_hints_nothing_is_due():
    """The everyday case."""
    assert Hints().due(now=0) == []
    assert len(Hints()) == 0


def test_a_tombstone_is_due_until_the_node_has_it():
    """A failure in between loses nothing."""
    hints = Hints()
    hints.add("a", b".", 60, 0)
    assert hints.due(1) == hints.due(1)
    hints.done("a")
    assert hints.due(1) == []
    assert len(hints) == 0


def test_it_may_be_done_twice():
    """Two requests may have sent the same tombstone."""
    hints = Hints()
    hints.add("a", b".", 60, 0)
    hints.done("a")
    hints.done("a")
    hints.done("never known")


def test_what_no_longer_matters_is_dropped():
    """By then every copy has died by itself."""
    hints = Hints()
    hints.add("a", b".", 10, 0)
    hints.add("b", b".", 20, 0)
    assert [key for key, _, _ in hints.due(10)] == ["b"]
    assert len(hints) == 1


def test_seconds_are_rounded_up():
    """A whole second that is missing would let a copy outlive its tombstone."""
    hints = Hints()
    hints.add("a", b".", 10, 0)
    assert [ttl for _, _, ttl in hints.due(0.5)] == [10]
    assert [ttl for _, _, ttl in hints.due(9.9)] == [1]


def test_the_latest_tombstone_of_a_key_counts():
    """With its note and its end."""
    hints = Hints()
    hints.add("a", b".", 10, 0)
    hints.add("a", b".moved", 60, 5)
    assert hints.due(20) == [("a", b".moved", 45)]
    assert len(hints) == 1


def test_only_so_many_are_sent_at_a_time():
    """So that one request does not send all hints; the oldest go first."""
    hints = Hints()
    for number in range(1000):
        hints.add(f"key{number}", b".", 60, 0)
    batch = [key for key, _, _ in hints.due(1)]
    assert batch == [f"key{number}" for number in range(module._BATCH)]
    for key in batch:
        hints.done(key)
    assert hints.due(1)[0][0] == f"key{module._BATCH}"


def test_it_is_bounded(monkeypatch):
    """When there are too many, the oldest are dropped."""
    monkeypatch.setattr(module, "_MOST", 3)
    hints = Hints()
    for key in "abcde":
        hints.add(key, b".", 60, 0)
    assert [key for key, _, _ in hints.due(1)] == ["c", "d", "e"]


def test_threads_may_use_it_together():
    """Nothing is lost, nothing breaks."""
    hints = Hints()

    def work(thread: int) -> None:
        for number in range(500):
            hints.add(f"{thread}-{number}", b".", 60, 0)
            hints.due(1)
            if number % 2:
                hints.done(f"{thread}-{number}")

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(hints) == 4 * 250


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 20), st.integers(0, 20)), max_size=20))
def test_it_is_a_dictionary_with_ends(added):
    """Whatever was added: each key once, with its latest end, unless that is past."""
    hints = Hints()
    ends = {}
    for key, ttl, now in added:
        hints.add(key, b".", ttl, now)
        ends[key] = now + ttl
    left = {key: end - 15 for key, end in ends.items() if end > 15}
    assert {key: ttl for key, _, ttl in hints.due(15)} == left
