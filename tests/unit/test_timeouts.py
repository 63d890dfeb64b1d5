"""The two clocks of a session, and the throttle of renewals."""

import math

from hypothesis import given
from hypothesis import strategies as st

from sharedsession.records.timeouts import LEEWAY, Timeouts, TouchThrottle

durations = st.floats(0.01, 1e8)
moments = st.floats(0, 1e10)
farms = st.builds(Timeouts, durations, st.none() | durations)


def test_the_idle_end_slides():
    """Whoever comes back in time gets a whole idle timeout again."""
    farm = Timeouts(idle=60, absolute=None)
    assert farm.expires_at(created=0, now=50) == 110
    assert farm.time_to_live(created=0, now=50) == 60


def test_a_session_may_have_an_idle_timeout_of_its_own():
    """Its absolute end stays the farm's."""
    farm = Timeouts(idle=60, absolute=100)
    assert farm.with_idle(None) == farm
    assert farm.with_idle(5) == Timeouts(idle=5, absolute=100)
    assert farm.with_idle(0.0) == Timeouts(idle=0.0, absolute=100)


def test_a_session_ends_at_the_earlier_of_its_ends():
    """The idle one at first, the absolute one in the end."""
    farm = Timeouts(idle=60, absolute=100)
    assert [farm.expires_at(created=5, now=now) for now in (5, 45, 90)] == [65, 105, 105]


def test_the_absolute_end_does_not_slide():
    """Near its end a session's life is cut short, whatever the visitor does."""
    farm = Timeouts(idle=60, absolute=100)
    assert farm.time_to_live(created=0, now=10) == 60
    assert farm.time_to_live(created=0, now=70) == 30
    assert farm.time_to_live(created=0, now=100) == 0
    assert farm.is_over(created=0, refreshed=100, now=100)
    assert not farm.is_over(created=0, refreshed=99, now=99.9)


def test_the_absolute_end_can_be_switched_off():
    """Without it only idleness ends a session."""
    assert Timeouts(60, None).ends_at(5) == math.inf
    assert not Timeouts(60, None).is_over(created=0, refreshed=1e9, now=1e9)


def test_a_record_that_a_stopped_clock_kept_is_over():
    """A record that is older than two idle timeouts and 21 minutes has not been asked for, whatever its store says."""
    farm = Timeouts(idle=60, absolute=None)
    assert not farm.is_over(created=0, refreshed=0, now=2 * 60 + 1260)
    assert farm.is_over(created=0, refreshed=0, now=2 * 60 + 1260.1)


@given(farms, moments, durations)
def test_a_life_is_never_longer_than_either_timeout(farm, created, age):
    """The store never keeps a record past the idle or the absolute end."""
    now = created + age
    ttl = farm.time_to_live(created, now)
    assert ttl <= farm.idle
    assert now + ttl <= farm.ends_at(created) + 1e-5  # what a float of this size can tell apart


@given(farms, moments, durations)
def test_a_session_in_use_is_never_over_before_its_absolute_end(farm, created, age):
    """A record that is rewritten whenever `wants_rewrite` asks is alive until the absolute end."""
    now = created + age
    refreshed = now - farm.idle
    if not farm.wants_rewrite(refreshed, now):
        assert farm.is_over(created, refreshed, now) == (now >= farm.ends_at(created))


@given(farms, moments, st.floats(-LEEWAY, LEEWAY))
def test_clocks_may_differ_by_the_leeway(farm, written, skew):
    """A record that another node wrote just now, by its own clock, is not over here; nobody lives in the future."""
    assert not Timeouts(farm.idle, None).is_over(written, written, written + skew)


def test_a_record_is_rewritten_once_an_idle_timeout():
    """Reads only renew the store's clock, so now and then a write must prove that the session is in use."""
    farm = Timeouts(idle=60, absolute=None)
    assert not farm.wants_rewrite(refreshed=0, now=60)
    assert farm.wants_rewrite(refreshed=0, now=60.1)


def test_a_busy_session_is_renewed_a_tenth_of_its_idle_timeout_apart():
    """Between two renewals the store is only read."""
    throttle = TouchThrottle()
    renewed = [now for now in range(100) if throttle.due("key", idle=100, now=now)]
    assert renewed == list(range(0, 100, 10))


def test_what_is_due_is_the_whole_idle_timeout():
    """A renewal gives a whole idle timeout, not what is missing."""
    assert TouchThrottle().due("key", idle=100, now=0) == 100


def test_each_key_is_throttled_on_its_own():
    """One busy session keeps no other from being renewed."""
    throttle = TouchThrottle()
    assert [throttle.due(key, 100, 0) for key in "abab"] == [100, 100, None, None]


def test_a_renewal_that_may_have_failed_is_repeated():
    """After `forget` the next read renews again, and to forget what is not there is no error."""
    throttle = TouchThrottle()
    throttle.due("key", 100, 0)
    throttle.forget("key")
    throttle.forget("never seen")
    assert throttle.due("key", 100, 0) == 100


def test_the_throttle_is_bounded():
    """A crawl of a million sessions costs no memory for ever."""
    throttle = TouchThrottle()
    most = 0
    for number in range(30_000):
        throttle.due(f"key{number}", 100, 0)
        most = max(most, len(throttle._renewed))
    assert most == 10_000


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 30)), max_size=40), durations)
def test_a_session_that_is_read_never_dies_of_the_throttle(steps, idle):
    """However reads fall, what is left of the store's clock is at least nine tenths of the idle timeout."""
    throttle, now, ends = TouchThrottle(), 1000.0, {}
    for key, pause in steps:
        now += pause
        if throttle.due(key, idle, now) is not None:
            ends[key] = now + idle
        assert ends[key] - now >= 0.9 * idle - 1e-6
