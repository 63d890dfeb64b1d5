"""The breaker of one node, on a clock of the test's own."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharedsession.backends.wire.breaker import NodeHealth


def answered(health, now, took=0.0):
    """Notes an answer that took so much of the one second there was."""
    return health.worked(now, took, 1.0)


def asked(health, *moments):
    """Whether the node may be asked, at each of these moments in turn."""
    return [health.may_ask(now) for now in moments]


def test_a_node_is_asked_until_it_fails():
    """A node is not down before it has failed."""
    health = NodeHealth(window=2)
    assert health.is_up
    assert all(asked(health, *range(5)))


def test_a_failed_node_is_skipped_for_the_window():
    """Within the window no request waits for it."""
    health = NodeHealth(window=2)
    assert health.failed(now=10)
    assert asked(health, 10, 11, 11.99) == [False, False, False]
    assert not health.is_up


def test_after_the_window_one_request_is_the_probe():
    """The others go on without the node until the probe has reported."""
    health = NodeHealth(window=2)
    health.failed(now=10)
    assert asked(health, 12, 12, 12) == [True, False, False]


def test_looking_is_not_asking():
    """Whether a request could be the probe may be looked at without becoming it."""
    health = NodeHealth(window=2)
    health.failed(now=10)
    assert [health.is_askable(now) for now in (10, 11.9, 12, 12)] == [False, False, True, True]
    assert health.may_ask(12)
    assert not health.is_askable(12)


@pytest.mark.parametrize("demotes_slow", [False, True])
def test_the_probe_decides_for_all(demotes_slow):
    """An answer opens the node to everybody, a failure closes it for another window."""
    health = NodeHealth(window=2, demotes_slow=demotes_slow)
    health.failed(now=10)
    assert health.may_ask(12)
    assert health.failed(now=12.5) is False
    assert asked(health, 14.4, 14.5) == [False, True]
    assert answered(health, 14.6)
    assert all(asked(health, 14.6, 14.6, 14.6))
    assert health.is_up


def test_a_probe_that_never_reports_does_not_block_the_next_one():
    """A request that was cancelled in the middle of its probe leaves no node behind for ever."""
    health = NodeHealth(window=2)
    health.failed(now=10)
    assert asked(health, 12, 13, 14, 15) == [True, False, True, False]


def test_only_the_change_of_state_is_news():
    """Going down and coming back are each told once, for the log."""
    health = NodeHealth(window=2)
    news = [answered(health, 0), health.failed(1), health.failed(2), answered(health, 5), answered(health, 6)]
    assert news == [False, True, False, True, False]
    assert health.failures == 2


def test_the_only_node_is_never_skipped_for_being_slow():
    """Where no other node holds the data, a slow answer is better than none."""
    health = NodeHealth(window=2)
    assert not any(answered(health, now, took=0.99) for now in range(20))
    assert health.is_up


def test_three_slow_answers_in_a_row_demote_a_node():
    """Two do not, and a quick one in between starts the count anew."""
    health = NodeHealth(window=2, demotes_slow=True)
    news = [answered(health, 10, took) for took in (0.6, 0.6, 0.5, 0.6, 0.6, 0.6)]
    assert news == [False, False, False, False, False, True]
    assert asked(health, 10, 11.9, 12) == [False, False, True]


def test_a_demoted_node_comes_back_only_when_it_is_quick():
    """A probe in the middle between slow and quick changes nothing, so that a node at the limit does not flap."""
    health = NodeHealth(window=2, demotes_slow=True)
    for _ in range(3):
        answered(health, 10, took=0.6)
    assert [answered(health, 12, took) for took in (0.6, 0.4, 0.25)] == [False, False, False]
    assert answered(health, 12, took=0.2)
    assert health.is_up
    assert [answered(health, 13, took=0.6) for _ in range(3)] == [False, False, True]


def test_of_many_threads_one_is_the_probe():
    """The rush after the window does not fall on a node that has just come back."""
    health, answers, barrier = NodeHealth(window=2), [], threading.Barrier(8)
    health.failed(now=0)

    def ask() -> None:
        barrier.wait()
        answers.append(health.may_ask(2))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [False] * 7 + [True]


steps = st.lists(st.tuples(st.sampled_from(["ask", "worked", "failed"]), st.floats(0, 3), st.floats(0, 1)), max_size=50)


@given(steps, st.booleans())
def test_a_node_that_is_down_is_asked_once_a_window_at_most(steps, demotes_slow):
    """Whatever happens in whatever order: at least a window lies between two askings of a node that is down."""
    health, now, closed_until = NodeHealth(window=2, demotes_slow=demotes_slow), 100.0, 0.0
    for step, pause, took in steps:
        now += pause
        if step == "ask":
            expected = health.is_up or now >= closed_until
            assert health.is_askable(now) == expected
            assert health.may_ask(now) == expected
            closed_until = now + 2 if expected else closed_until
        elif step == "failed" or (health.is_up and answered(health, now, took)):
            health.failed(now)
            closed_until = now + 2
        elif not health.is_up:
            answered(health, now, took)
