"""What passes with time: both ends of a session, and what its old ID still says after a new one. On a false clock."""

import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from sharedsession.backends.memory import MemoryBackend
from sharedsession.environment import Environment
from sharedsession.http import KEEP
from tests.unit.test_manager import START, Farm, stored


@pytest.fixture
def farm():
    """One empty store and one clock."""
    return Farm()


def test_the_absolute_end_holds_whatever_happens(farm):
    """Neither use nor a new ID extends it."""
    manager = farm.manager(idle_timeout=100, absolute_timeout=250)
    token = stored(manager, a=1)
    for _ in range(2):
        farm.now += 90
        session = manager.open([token])
        session.regenerate()
        token = manager.commit(session).token.encode()
        assert session.created_at == datetime.fromtimestamp(START, UTC)
    farm.now = START + 249.9
    assert manager.open([token])["a"] == 1
    farm.now = START + 250
    assert dict(manager.open([token])) == {}


def test_the_end_of_a_session_is_told_by_the_clock_that_was_passed_in(farm):
    """``expires_at`` is the earlier of the two ends, seen from now."""
    manager = farm.manager(idle_timeout=timedelta(seconds=100), absolute_timeout=250)
    session = manager.open([stored(manager, a=1)])
    assert session.expires_at == datetime.fromtimestamp(START + 100, UTC)
    farm.now += 200
    assert session.expires_at == datetime.fromtimestamp(START + 250, UTC)


@pytest.fixture
def store_clock(farm):
    """The store's clock, ahead of the web nodes' by so many seconds."""
    clock = SimpleNamespace(ahead=0.0)
    farm.store = MemoryBackend(Environment(monotonic=lambda: time.monotonic() + clock.ahead))
    return clock


def test_the_old_id_is_dead_at_once_and_silent_for_ten_seconds(farm, store_clock):
    """A request in flight gets an empty session that it cannot save, then the ID is simply unknown.

    The store counts the seconds: a web node whose clock is ahead treats the old ID no differently.
    """
    manager = farm.manager()
    old = stored(manager, a=1)
    session = manager.open([old])
    session.regenerate()
    manager.commit(session)
    late = manager.open([old])
    assert dict(late) == {}
    late["b"] = 1
    farm.now += 600
    assert manager.commit(late) == KEEP
    store_clock.ahead += 10
    anew = manager.open([old])
    anew["b"] = 1
    assert manager.commit(anew).token


def test_with_grace_the_old_id_still_shows_the_data_as_they_were(farm, store_clock):
    """For a rotation without a change of rights, read-only and for that long only."""
    manager = farm.manager()
    old = stored(manager, a=1)
    session = manager.open([old])
    session.regenerate(grace=5)
    session["a"] = 2
    new = manager.commit(session).token.encode()
    assert (manager.open([old])["a"], manager.open([new])["a"]) == (1, 2)
    view = manager.open([old])
    handle = view.id
    view.regenerate()  # another one: it is dropped, so what spares this session by its handle still does
    assert view.id == handle
    store_clock.ahead += 5
    assert dict(manager.open([old])) == {}


def test_a_session_s_own_idle_timeout_counts_from_the_next_request_on(farm):
    """For "remember me" the ID changes and carries the timeout, since a read renews before it has read."""
    manager = farm.manager(idle_timeout=100, absolute_timeout=None)
    old = stored(manager, a=1)
    session = manager.open([old])
    session.idle_timeout = 5000
    new = manager.commit(session).token.encode()
    assert new != old
    assert manager.open([new]).idle_timeout == 5000
    assert manager.open([new]).expires_at == datetime.fromtimestamp(START + 5000, UTC)


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan")])
def test_an_idle_timeout_that_is_none_is_refused(farm, seconds):
    """A session cannot be made immortal, or be born dead."""
    with pytest.raises(ValueError, match="positive number of seconds"):
        farm.manager().open([]).idle_timeout = seconds


@pytest.mark.parametrize("absolute", [1000, None])
def test_a_persistent_session_outlives_the_browser(farm, absolute):
    """Its cookie carries Max-Age: what is left until the absolute end, or as long as browsers allow."""
    manager = farm.manager(absolute_timeout=absolute)
    session = manager.open([])
    session["a"] = 1
    session.persistent = True
    outcome = manager.commit(session)
    cookie = manager.settings.transport.apply([], outcome, accessed=True, observer=manager.observer)[-1][1]
    assert f"; Max-Age={absolute or 34_560_000};" in cookie


def test_another_owner_is_another_id(farm):
    """Setting ``principal`` regenerates; setting it to what it is does not."""
    manager = farm.manager()
    old = stored(manager, a=1)
    session = manager.open([old])
    session.principal = "user:42"
    new = manager.commit(session).token.encode()
    again = manager.open([new])
    again.principal = "user:42"
    assert manager.commit(again) == KEEP
    assert (again.principal, dict(again)) == ("user:42", {"a": 1})
    assert dict(manager.open([old])) == {}


@pytest.mark.parametrize("principal", [42, b"user", ["user"]], ids=repr)
def test_an_owner_is_named_by_text(farm, principal):
    """The message says what type it was."""
    with pytest.raises(TypeError, match=type(principal).__name__):
        farm.manager().open([]).principal = principal
