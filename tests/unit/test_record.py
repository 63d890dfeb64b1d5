"""What is sealed: records and farewells, to bytes and back."""

import math

import ormsgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharedsession.records.record import NO_RECORD, Record, SupersededNote, with_write_id
from sharedsession.records.stamp import Stamp

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
times = st.floats(0, 1e11)
fields = {
    "version": st.integers(1, 2**40),
    "created": times,
    "refreshed": times,
    "persistent": st.none() | st.booleans(),
    "items": st.dictionaries(texts, st.binary(max_size=20), max_size=5),
    "write_ids": st.binary(max_size=8),
}
of_principal = {
    "principal": texts,
    "stamp": st.binary(min_size=16, max_size=16),
    "handles": st.lists(texts, max_size=4),
    "entered": times,
}
nobodys = {"principal": st.none(), "stamp": st.just(b""), "handles": st.just(()), "entered": st.just(0.0)}
records = st.builds(Record, **fields, **nobodys) | st.builds(Record, **fields, **of_principal)
farewells = st.builds(SupersededNote, successor=texts, until=times, record=st.none() | records)


@given(records)
def test_a_record_comes_back_as_it_was(record):
    """Every field survives, and the order of the keys."""
    found = Record.decode(record.encode())
    assert found == record
    assert list(found.items) == list(record.items)


@given(farewells)
def test_a_farewell_comes_back_as_it_was(farewell):
    """With and without the record that requests in flight may look at."""
    assert SupersededNote.decode(farewell.encode()) == farewell


@given(records, farewells)
def test_the_two_forms_are_never_taken_for_each_other(record, farewell):
    """Whoever reads one as the other gets an error, not a session."""
    with pytest.raises((ValueError, TypeError)):
        Record.decode(farewell.encode())
    with pytest.raises((ValueError, TypeError)):
        SupersededNote.decode(record.encode())


@given(st.binary(max_size=60))
def test_garbage_is_an_error_of_the_expected_kind(garbage):
    """What is no record raises nothing that its reader does not expect."""
    for form in (Record, SupersededNote):
        try:
            form.decode(garbage)
        except (ValueError, TypeError):
            continue
        pytest.fail("garbage was read as a record")


@given(records, records)
def test_a_record_that_lost_a_race_follows_the_newest(ours, newest):
    """Its version goes on from the newest, whose owner and persistence hold; when it began stays its own."""
    merged = ours.following(newest, {"merged": b"x"}, b"next")
    assert (merged.version, merged.items) == (newest.version + 1, {"merged": b"x"})
    assert (merged.principal, merged.persistent) == (newest.principal, newest.persistent)
    assert (merged.stamp, merged.handles) == (newest.stamp, newest.handles)
    assert merged.entered == max(ours.entered, newest.entered)
    assert (merged.created, merged.refreshed) == (ours.created, ours.refreshed)


def test_a_write_that_is_tried_again_is_another_write() -> None:
    """What was refused may be on some node all the same: neither of the two was made from the other."""
    base = Record(version=1, created=1.0, refreshed=1.0, write_ids=b"base")
    first = base._replace(version=2, write_ids=b"baseone!")
    theirs = base._replace(version=2, write_ids=b"basetwo!")
    again = first.following(theirs, {}, b"one?")
    assert again.includes(theirs)
    assert (again.includes(first), first.includes(again)) == (False, False)
    assert again.includes_any([first, again])


def test_a_record_prints_none_of_its_data():
    """Data of a session never reach a log by way of a repr."""
    record = Record(version=1, created=1.0, refreshed=1.0, items={"card": b"4111111111111111"})
    assert "card" not in repr(record)
    assert "4111" not in repr(SupersededNote(record=record))


@pytest.mark.parametrize(("field", "value"), [(0, "1"), (1, None), (5, []), (5, 1), (6, None), (7, "stamp")])
def test_fields_of_other_types_are_no_record(field, value):
    """A later version may have another idea of them: then the record does not open, and nothing fails over it."""
    fields = [1, 1.8e9, 1.8e9, "alice", None, {}, b"abcd", bytes(16), [], 1.8e9]
    assert Record.decode(ormsgpack.packb(fields)).version == 1
    fields[field] = value
    with pytest.raises(ValueError, match="no record"):
        Record.decode(ormsgpack.packb(fields))


@pytest.mark.parametrize("note", [("ss:a", "1", None), ("ss:a", 1.8e9, b""), ("ss:a", 1.8e9, [])])
def test_fields_of_other_types_are_no_note(note):
    """Likewise."""
    with pytest.raises((ValueError, TypeError)):
        SupersededNote.decode(ormsgpack.packb(note))


@pytest.mark.parametrize("items", [{}, {"value": b"short"}, {"other": bytes(16)}, {"value": bytes(16), "handle": 1}])
def test_a_record_without_a_value_is_no_stamp(items):
    """It admits nobody."""
    with pytest.raises(ValueError, match="no stamp"):
        Stamp.of(Record(1, 1.8e9, 1.8e9, items=items))


# -- which record was made from which


def written(version: int, write_ids: bytes) -> Record:
    """A record of a version, with the IDs of its last writes."""
    return Record(version=version, created=1.0, refreshed=1.0, write_ids=write_ids)


def test_a_record_includes_the_writes_that_it_names() -> None:
    """Whole ones: four bytes that stand across two IDs are no ID; nor does a record without an ID include another."""
    record = written(3, b"one!two!new!")
    assert all(record.includes(written(1, write_id)) for write_id in (b"one!", b"two!", b"new!", b"old!two!"))
    assert not any(record.includes(written(1, across)) for across in (b"ne!t", b"e!tw", b"!two", b"old!", b"new", b""))
    unnamed = written(1, b"")
    assert unnamed.includes(unnamed)
    assert not unnamed.includes(written(1, b""))
    assert record.includes_any([written(1, b"old!"), written(1, b"two!")])
    assert not record.includes_any([written(1, b"old!"), written(1, b"ne!t")])
    assert not record.includes_any([])


def test_the_same_write_is_known_by_its_id() -> None:
    """Whatever was written before it."""
    assert written(3, b"one!new!").is_same_write(written(2, b"two!new!"))
    assert not written(3, b"one!new!").is_same_write(written(3, b"new!one!"))


def test_a_record_takes_the_place_of_one_that_is_older_than_the_writes_it_names() -> None:
    """Of a counted version, by so many writes as it names: any of them later would be named here."""
    record = written(10, b"one!two!new!")
    assert record.replaces(written(9, b"two!"))
    assert record.replaces(written(7, b"old!"))
    assert not record.replaces(written(8, b"else"))
    assert not record.replaces(written(11, b"else"))


def test_where_versions_are_clocks_a_record_is_old_after_what_clocks_may_differ() -> None:
    """A record that was made anew has a clock for a version: 21 minutes in milliseconds, however few IDs it names."""
    clock = 10**11
    assert written(clock, b"new!").replaces(written(clock - 1_260_000, b"old!"))
    assert not written(clock, b"new!").replaces(written(clock - 1_259_999, b"old!"))
    assert written(clock - 1, b"new!").replaces(written(clock - 2, b"old!"))


def test_a_version_is_the_clock_unless_that_is_behind() -> None:
    """So no number comes back after a store has forgotten the record."""
    assert written(5, b"").next_number(2e9 + 0.0015) == 2_000_000_000_001
    assert written(2_000_000_000_007, b"").next_number(2e9) == 2_000_000_000_008
    assert written(2_000_000_000_000, b"").next_number(2e9) == 2_000_000_000_001


def ids(count: int, first: int = 0) -> bytes:
    """So many write IDs."""
    return b"".join(b"%04d" % number for number in range(first, first + count))


def test_a_record_names_its_last_writes() -> None:
    """32; while many write at once, as many as it has; when it is calm again, 32."""
    assert with_write_id(b"", b"new!", calm=True) == b"new!"
    assert with_write_id(ids(31), b"new!", calm=False) == ids(31) + b"new!"
    assert with_write_id(ids(32), b"new!", calm=False) == ids(31, 1) + b"new!"
    assert with_write_id(ids(50), b"new!", calm=False) == ids(49, 1) + b"new!"
    assert with_write_id(ids(50), b"new!", calm=True) == ids(31, 19) + b"new!"


def test_a_record_that_lost_many_races_names_256_writes() -> None:
    """And no more, however many there were."""
    ours = written(1, b"ours")
    assert ours.following(written(2, ids(255)), {}, b"new!").write_ids == ids(255) + b"new!"
    assert ours.following(written(2, ids(256)), {}, b"new!").write_ids == ids(255, 1) + b"new!"


def test_what_is_another_form_is_an_error_that_says_so() -> None:
    """An array of another length is no record; one whose first field is no key is no note."""
    with pytest.raises(ValueError, match=r"^no record$"):
        Record.decode(SupersededNote().encode())
    with pytest.raises(ValueError, match=r"^no note$"):
        SupersededNote.decode(ormsgpack.packb((1, 2.0, None)))


def test_what_is_not_there_has_the_first_version_after_it() -> None:
    """A record of nothing, and a note that does not open: both name nothing."""
    assert NO_RECORD == (0, 0.0, 0.0, None, None, {}, b"", b"", (), 0.0)
    assert SupersededNote() == SupersededNote(successor="", until=math.inf, record=None)
