"""The tombstones that a node did not hear of, on a clock of the test's own."""

import threading

from hypothesis import given
from hypothesis import strategies as st

from sharedsession.backends.ring import hints as module
from sharedsession.backends.ring.hints import Backlog


def test_what_was_missed_is_due_with_the_life_it_has_left():
    """A tombstone has to outlive the copies it is meant for, no longer."""
    backlog = Backlog()
    backlog.add("a", b".note", ttl=60, now=100)
    assert backlog.due(now=110) == [("a", b".note", 50)]


def test_an_empty_backlog_has_nothing_due():
    """The everyday case."""
    assert Backlog().due(now=0) == []
    assert len(Backlog()) == 0


def test_it_is_due_until_the_node_has_heard():
    """A failure in between loses nothing."""
    backlog = Backlog()
    backlog.add("a", b".", 60, 0)
    assert backlog.due(1) == backlog.due(1)
    backlog.done("a")
    assert backlog.due(1) == []
    assert len(backlog) == 0


def test_it_may_be_told_twice_that_the_node_has_heard():
    """Two requests may have sent the same tombstone."""
    backlog = Backlog()
    backlog.add("a", b".", 60, 0)
    backlog.done("a")
    backlog.done("a")
    backlog.done("never known")


def test_what_no_longer_matters_is_dropped():
    """By then every copy has died by itself."""
    backlog = Backlog()
    backlog.add("a", b".", 10, 0)
    backlog.add("b", b".", 20, 0)
    assert [key for key, _, _ in backlog.due(10)] == ["b"]
    assert len(backlog) == 1


def test_seconds_are_rounded_up():
    """A whole second that is missing would let a copy outlive its tombstone."""
    backlog = Backlog()
    backlog.add("a", b".", 10, 0)
    assert [ttl for _, _, ttl in backlog.due(0.5)] == [10]
    assert [ttl for _, _, ttl in backlog.due(9.9)] == [1]


def test_the_latest_tombstone_of_a_key_counts():
    """With its note and its end."""
    backlog = Backlog()
    backlog.add("a", b".", 10, 0)
    backlog.add("a", b".farewell", 60, 5)
    assert backlog.due(20) == [("a", b".farewell", 45)]
    assert len(backlog) == 1


def test_only_so_many_are_sent_at_a_time():
    """So that one request does not carry out the whole backlog; the oldest go first."""
    backlog = Backlog()
    for number in range(1000):
        backlog.add(f"key{number}", b".", 60, 0)
    batch = [key for key, _, _ in backlog.due(1)]
    assert batch == [f"key{number}" for number in range(module._BATCH)]
    for key in batch:
        backlog.done(key)
    assert backlog.due(1)[0][0] == f"key{module._BATCH}"


def test_it_is_bounded(monkeypatch):
    """When it is full the oldest give way."""
    monkeypatch.setattr(module, "_MOST", 3)
    backlog = Backlog()
    for key in "abcde":
        backlog.add(key, b".", 60, 0)
    assert [key for key, _, _ in backlog.due(1)] == ["c", "d", "e"]


def test_threads_may_use_it_together():
    """Nothing is lost, nothing breaks."""
    backlog = Backlog()

    def work(thread: int) -> None:
        for number in range(500):
            backlog.add(f"{thread}-{number}", b".", 60, 0)
            backlog.due(1)
            if number % 2:
                backlog.done(f"{thread}-{number}")

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(backlog) == 4 * 250


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 20), st.integers(0, 20)), max_size=20))
def test_it_is_a_dictionary_with_ends(added):
    """Whatever was added: each key once, with its latest end, unless that is past."""
    backlog = Backlog()
    ends = {}
    for key, ttl, now in added:
        backlog.add(key, b".", ttl, now)
        ends[key] = now + ttl
    left = {key: end - 15 for key, end in ends.items() if end > 15}
    assert {key: ttl for key, _, ttl in backlog.due(15)} == left
