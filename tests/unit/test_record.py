"""What is sealed: records and farewells, to bytes and back."""

import ormsgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharedsession.records.record import Record, SupersededNote
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
