"""The three-way merge, by its laws."""

from hypothesis import given
from hypothesis import strategies as st

from sharedsession.session.merge import merge

KEYS = st.sampled_from("abcdef")
sessions = st.dictionaries(KEYS, st.sampled_from([b"1", b"2", b"3"]), max_size=6)
keys = st.sets(KEYS)


def changed(base, new):
    """The keys that are not as they were."""
    return {key for key in base.keys() | new.keys() if base.get(key) != new.get(key)}


@given(sessions, sessions, keys)
def test_who_changed_nothing_takes_theirs(base, theirs, assigned):
    """A request that only read brings nothing back and loses nothing of the other's."""
    assert merge(base, base, theirs, assigned) == theirs


@given(sessions, sessions, keys)
def test_where_nobody_else_wrote_ours_stands(base, ours, assigned):
    """Without a competitor the merge is what this request left."""
    assert merge(base, ours, base, assigned) == ours


@given(sessions, sessions, sessions)
def test_disjoint_changes_both_survive(base, ours, theirs):
    """Two requests that changed different keys both keep their change, removals included."""
    merged = merge(base, ours, theirs, set())
    for key in changed(base, ours) - changed(base, theirs):
        assert merged.get(key) == ours.get(key)
    for key in changed(base, theirs) - changed(base, ours):
        assert merged.get(key) == theirs.get(key)
    for key in base.keys() - changed(base, ours) - changed(base, theirs):
        assert merged[key] == base[key]


@given(sessions, sessions, sessions)
def test_whoever_commits_last_wins_a_key_that_both_wrote(base, ours, theirs):
    """A value that both changed, and nobody took out, is the later one's."""
    merged = merge(base, ours, theirs, set())
    for key in changed(base, ours) & ours.keys() & theirs.keys():
        assert merged[key] == ours[key]


@given(sessions, sessions, sessions, keys)
def test_what_this_request_took_out_is_out(base, ours, theirs, assigned):
    """A removal wins over any change of the other request."""
    assert not (base.keys() - ours.keys()) & merge(base, ours, theirs, assigned).keys()


@given(sessions, sessions, sessions)
def test_a_removal_beats_a_change_in_place(base, ours, theirs):
    """Appending to a list that the other request took out does not bring it back: that is how logouts are written."""
    merged = merge(base, ours, theirs, set())
    assert not (base.keys() - theirs.keys()) & merged.keys()


@given(sessions, sessions, sessions)
def test_an_assignment_beats_a_removal(base, ours, theirs):
    """A key that this request set anew is there, even if the other one took it out."""
    merged = merge(base, ours, theirs, set(ours))
    assert all(merged[key] == ours[key] for key in changed(base, ours) & ours.keys())


@given(sessions, sessions, keys)
def test_equal_changes_are_no_conflict(base, both, assigned):
    """Two requests that left the same agree on it."""
    assert merge(base, both, both, assigned) == both


@given(sessions, sessions, sessions, keys)
def test_a_merge_invents_nothing_and_changes_no_argument(base, ours, theirs, assigned):
    """Every value comes from one of the two, and all three are left as they were."""
    before = dict(base), dict(ours), dict(theirs), set(assigned)
    merged = merge(base, ours, theirs, assigned)
    assert all(value in (ours.get(key), theirs.get(key)) for key, value in merged.items())
    assert (base, ours, theirs, assigned) == before


@given(sessions, sessions, sessions)
def test_the_order_of_theirs_is_kept(base, ours, theirs):
    """Keys stand where they stood in the store, new ones last."""
    merged = list(merge(base, ours, theirs, set(ours)))
    known = [key for key in theirs if key in merged]
    assert merged[: len(known)] == known


@given(sessions, sessions, sessions)
def test_repeatable_steps_are_taken_on_the_newest_version(base, ours, theirs):
    """A key that was changed by steps gets them on top of theirs; every other key is merged as ever."""
    replays = {key: lambda newest: b"+" + (newest or b"") for key in ours if key in "abc"}
    merged = merge(base, ours, theirs, set(), replays)
    plain = merge(base, ours, theirs, set())
    assert all(merged[key] == b"+" + theirs.get(key, b"") for key in replays)
    assert {key: merged[key] for key in merged.keys() - replays.keys()} == {
        key: plain[key] for key in plain.keys() - replays.keys()
    }
