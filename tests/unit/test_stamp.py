"""The security stamp of a principal: which sessions are valid under it, and which are spared."""

import pytest

from sharedsession.records.record import NO_RECORD, Record
from sharedsession.records.stamp import Stamp, life_of_stamps, spared_from, stamp_record
from sharedsession.records.timeouts import Timeouts

OLDEST, OLD, NEW = (bytes(range(number, number + 16)) for number in (0, 50, 100))
HANDLE = "h" * 32


def session(stamp: bytes, *handles: str) -> Record:
    """A session of a principal that stands under a value."""
    return Record(version=1, created=0, refreshed=0, principal="ann", stamp=stamp, handles=handles)


def test_a_session_is_valid_under_the_value_of_its_login():
    """And under no other one, whatever its handles."""
    stamp = Stamp(NEW, {})
    assert stamp.admits(session(NEW))
    assert stamp.admits(session(NEW, HANDLE))
    assert not stamp.admits(session(OLD, HANDLE))
    assert not stamp.admits(session(b""))


@pytest.mark.parametrize("handles", [(HANDLE,), ("before", HANDLE), (HANDLE, "after")])
def test_a_session_is_spared_by_a_handle_and_the_value_that_it_stands_under(handles):
    """Any of its handles, and any of the values."""
    stamp = Stamp(NEW, {HANDLE: OLDEST + OLD, "another": b""})
    assert stamp.admits(session(OLDEST, *handles))
    assert stamp.admits(session(OLD, *handles))


@pytest.mark.parametrize(
    "ended",
    [
        session(OLD, "another"),
        session(OLD, "unknown"),
        session(OLD),
        session(bytes(16), HANDLE),
        session((OLDEST + OLD)[8:24], HANDLE),
        session((OLDEST + OLD)[1:17], HANDLE),
        session(OLD[:8], HANDLE),
        session(OLDEST + OLD, HANDLE),
        session(b"", HANDLE),
    ],
    ids=range(9),
)
def test_no_other_session_passes_for_a_spared_one(ended):
    """Not with the handle alone, the value alone, or something that only stands between two values."""
    assert not Stamp(NEW, {HANDLE: OLDEST + OLD, "another": OLDEST}).admits(ended)


@pytest.mark.parametrize("spared", [None, {}, {HANDLE: OLD}, {HANDLE: OLD, "value-like": OLDEST + OLD}])
def test_a_stamp_comes_back_from_its_record(spared):
    """Through its bytes; it is a record that belongs to nobody."""
    record = Record.decode(stamp_record(NO_RECORD, NEW, 1000.5, b"one!", spared).encode())
    assert Stamp.of(record) == Stamp(NEW, spared or {})
    assert (record.created, record.refreshed, record.principal) == (1000.5, 1000.5, None)


def test_a_new_stamp_takes_the_place_of_the_one_before():
    """Also of one that was made in the same moment; a clock that is behind does not matter."""
    before = stamp_record(NO_RECORD, OLD, 2e9, b"one!")
    after = stamp_record(before, NEW, 2e9 - 100, b"two!")
    assert (before.version, after.version) == (2_000_000_000_000, 2_000_000_000_001)
    assert after.write_ids == b"one!two!"
    assert after.replaces(before)
    assert not before.replaces(after)


def test_a_crowd_that_revokes_at_a_time_forgets_no_write():
    """Whoever still waits for its answer finds its own among those that came after it."""
    record = NO_RECORD._replace(write_ids=b"".join(b"%04d" % number for number in range(100)))
    assert stamp_record(record, NEW, 2e9, b"mine").write_ids == record.write_ids[4:] + b"mine"


def test_a_stamp_outlives_each_session_that_stands_under_it():
    """By what clocks may differ; where sessions have no end, for 400 days, as long as browsers keep a cookie."""
    assert life_of_stamps(Timeouts(60, 3600)) == 3600 + 1260
    assert life_of_stamps(Timeouts(60, None)) == 400 * 86400


def test_what_a_session_is_spared_from_is_each_value_once_and_the_newest():
    """However often it was spared: a request of it that began long before stands under an older value."""
    values = [bytes([number]) * 16 for number in range(12)]
    assert spared_from(b"", values[0]) == values[0]
    assert spared_from(values[0] + values[1], b"", values[1], values[2]) == b"".join(values[:3])
    assert spared_from(values[1], values[0], values[1]) == values[0] + values[1]
    assert spared_from(*values) == b"".join(values[4:])
