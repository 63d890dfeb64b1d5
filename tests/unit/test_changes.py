"""The changes of a request against a plain dict: whatever the request does, both end with the same data."""

import copy

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sharedsession.records import codec
from sharedsession.session.changes import Changes, Unsaved

KEYS = st.sampled_from("abcd")
VALUES = st.recursive(
    st.integers(-3, 3) | st.text("xy", max_size=2) | st.none(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("pq"), inner, max_size=2),
    max_leaves=4,
)
DATA = st.dictionaries(KEYS, VALUES, max_size=4)


def packed(data):
    """Data as the store keeps them."""
    return {key: codec.pack(key, value) for key, value in data.items()}


def unpacked(data):
    """Data as the application sees them."""
    return {key: codec.unpack(value) for key, value in data.items()}


class Worked:
    """The data of a session and its changes, as `Session` works on them."""

    def __init__(self, stored):
        self.changes = Changes(stored)
        self.data = dict(self.changes.original)

    def put(self, key, value):
        self.changes.assign(key)
        self.data[key] = value

    def put_unseen(self, key, value):
        """As C code does that calls the dictionary itself."""
        self.data[key] = value

    def remove(self, key):
        del self.data[key]
        self.changes.forget(key)

    def clear(self):
        self.data.clear()
        self.changes.clear()

    def take(self, key, step):
        self.data[key] = self.changes.step(key, step, self.data.get(key))
        return self.data[key]

    def changed(self):
        """The new bytes of what changed."""
        unsaved = self.changes.unsaved(self.data)
        return dict(unsaved.changed) if unsaved else {}

    def lost_keys(self):
        unsaved = self.changes.unsaved(self.data)
        return bool(unsaved and unsaved.removed)

    def stored(self):
        """What would be stored."""
        return self.changes.items(self.data, self.changes.unsaved(self.data) or Unsaved({}, removed=False))

    def assigned(self):
        return self.changes.assigned(self.data)

    def replays(self):
        return self.changes.replays(self.data)


class ChangesAreThoseOfADict(RuleBasedStateMachine):
    """Does the same to a session's data and to a dict, over several saves."""

    @initialize(data=DATA)
    def begin(self, data):
        self.before = packed(data)
        self.ours = Worked(self.before)
        self.model = copy.deepcopy(data)
        self.assigned = set()

    @rule(key=KEYS, value=VALUES)
    def put(self, key, value):
        self.ours.put(key, copy.deepcopy(value))
        self.model[key] = value
        self.assigned.add(key)
        assert key not in self.ours.replays()

    @rule(key=KEYS, value=VALUES)
    def put_unseen(self, key, value):
        if key not in self.ours.changes.steps:
            self.ours.put_unseen(key, copy.deepcopy(value))
            self.model[key] = value

    @rule(key=KEYS)
    def remove(self, key):
        if key in self.model:
            self.ours.remove(key)
            del self.model[key]
            self.assigned.discard(key)

    @rule(key=KEYS, value=VALUES)
    def change_in_place(self, key, value):
        if isinstance(self.model.get(key), list):
            self.ours.data[key].append(copy.deepcopy(value))
            self.model[key].append(value)
        elif isinstance(self.model.get(key), dict):
            self.ours.data[key]["p"] = copy.deepcopy(value)
            self.model[key]["p"] = value

    @rule(key=KEYS, value=VALUES)
    def take_a_step(self, key, value):
        def step(old):
            return [old, value]

        assert self.ours.take(key, step) == step(self.model.get(key))
        self.model[key] = copy.deepcopy(step(self.model.get(key)))
        self.assigned.add(key)

    @rule()
    def clear(self):
        self.ours.clear()
        self.model.clear()
        self.assigned.clear()
        assert self.ours.changes.was_cleared

    @rule()
    def save(self):
        self.before = self.ours.stored()
        self.ours.changes = Changes(self.before, dict(self.ours.data))
        assert self.ours.changes.unsaved(self.ours.data) is None
        self.assigned.clear()

    @rule()
    def load_again(self):
        self.before = self.ours.stored()
        self.ours = Worked(self.before)
        self.assigned.clear()
        assert not self.ours.changes.was_cleared

    @invariant()
    def it_knows_what_was_set_anew(self):
        assert self.ours.assigned() >= self.assigned
        assert self.ours.assigned() <= self.assigned | self.model.keys()

    @invariant()
    def it_looks_like_the_dict(self):
        assert self.ours.data == self.model

    @invariant()
    def it_would_store_the_dict(self):
        assert unpacked(self.ours.stored()) == self.model

    @invariant()
    def its_replays_explain_what_it_stores(self):
        now = packed(self.model)
        assert all(replay(self.before.get(key)) == now[key] for key, replay in self.ours.replays().items())

    @invariant()
    def it_knows_what_changed(self):
        now = packed(self.model)
        before = {key: codec.pack(key, codec.unpack(value)) for key, value in self.before.items()}
        changes = self.ours.changed()
        assert self.ours.lost_keys() == bool(before.keys() - now.keys())
        # The order of a dict's keys is part of its bytes, so a change may be seen where the dict sees none.
        assert {key for key in now if before.get(key) != now[key]} <= changes.keys()
        assert all(key not in before or changes[key] != self.before[key] for key in changes)


TestChangesAreThoseOfADict = ChangesAreThoseOfADict.TestCase
TestChangesAreThoseOfADict.settings = settings(max_examples=150, stateful_step_count=25)


def test_what_a_newer_version_wrote_is_carried_along():
    """A value that does not decode is stored again as it is, and costs none of the others."""
    ours = Worked({"broken": b"\xc1", "fine": codec.pack("fine", 1)})
    assert (ours.data["fine"], list(ours.data)) == (1, ["broken", "fine"])
    assert "newer version" in repr(ours.data["broken"])
    ours.put("new", 2)
    assert ours.stored()["broken"] == b"\xc1"


def test_reading_is_no_change():
    """A value that was only looked at is not written again."""
    ours = Worked(packed({"text": "x", "list": [1, {"a": []}], "set": {1, 2}}))
    assert list(ours.data.values()) == ["x", [1, {"a": []}], {1, 2}]
    assert ours.changes.unsaved(ours.data) is None


def test_setting_what_is_there_already_is_no_change():
    """The same bytes again are nothing to save, though the key counts as set anew for a merge."""
    ours = Worked(packed({"a": [1]}))
    ours.put("a", [1])
    assert ours.changes.unsaved(ours.data) is None
    assert ours.assigned() == {"a"}


def test_a_change_deep_inside_is_found_and_is_not_an_assignment():
    """Only that key is written again."""
    ours = Worked(packed({"cart": {"items": [{"n": 1}]}, "other": [1]}))
    ours.data["cart"]["items"][0]["n"] = 2
    assert unpacked(ours.changed()) == {"cart": {"items": [{"n": 2}]}}
    assert ours.assigned() == set()


@pytest.mark.parametrize("value", [2, "x", [1], None], ids=repr)
def test_a_change_that_no_python_code_saw_is_found(value):
    """C code may call the dictionary itself, so the commit compares."""
    ours = Worked(packed({"a": 1, "b": [1]}))
    ours.put_unseen("a", value)
    dict.pop(ours.data, "b")
    assert unpacked(ours.stored()) == {"a": value}
    assert ours.assigned() == {"a"}


def test_two_keys_with_one_list_are_two_lists_after_a_load():
    """What packing each key on its own gives up, as `codec` tells."""
    shared, ours = [1], Worked({})
    ours.put("a", shared)
    ours.put("b", shared)
    loaded = Worked(ours.stored())
    loaded.data["a"].append(2)
    assert (loaded.data["a"], loaded.data["b"]) == ([1, 2], [1])


def test_an_unstorable_value_is_named_when_changes_are_asked_for():
    """Putting it in is not the moment, since it may be removed again."""
    ours = Worked({})
    ours.put("bad", object())
    with pytest.raises(TypeError, match=r"session\['bad'\]"):
        ours.changed()
    ours.remove("bad")
    assert ours.changes.unsaved(ours.data) is None


def doubled(old):
    """A step that does not commute with an assignment."""
    return (old or 0) * 2 + 1


def test_steps_alone_can_be_repeated_on_another_version():
    """Two steps on 5 give 23; on the 7 that another request stored meanwhile, 31; on nothing, 3."""
    ours = Worked(packed({"n": 5}))
    assert [ours.take("n", doubled), ours.take("n", doubled)] == [11, 23]
    replay = ours.replays()["n"]
    assert [codec.unpack(replay(base)) for base in (codec.pack("n", 7), None)] == [31, 3]


def test_steps_after_an_assignment_are_part_of_it():
    """What was set anew does not depend on what another request stored."""
    ours = Worked(packed({"n": 5}))
    ours.put("n", 1)
    ours.take("n", doubled)
    assert ours.data["n"] == 3
    assert ours.replays() == {}


def test_a_value_that_was_also_changed_in_place_is_not_repeated():
    """Steps that do not explain the value would lose the other change."""
    ours = Worked(packed({"list": [1]}))
    ours.take("list", lambda old: [*old, 2])
    ours.data["list"].append(3)
    assert ours.replays() == {}
    assert unpacked(ours.changed()) == {"list": [1, 2, 3]}


def test_steps_after_an_assignment_are_no_steps_though_they_would_explain_the_value():
    """Set to what it was and counted on, a value is what this request says: no change of another one is added."""
    ours = Worked(packed({"n": 5}))
    ours.put("n", 5)
    ours.take("n", doubled)
    assert ours.data["n"] == 11
    assert ours.replays() == {}


def test_an_assignment_after_steps_takes_their_place():
    """Also of the value that they made: no step of it is repeated."""
    ours = Worked(packed({"n": 5}))
    ours.put("n", ours.take("n", doubled))
    assert ours.replays() == {}
    assert ours.assigned() == {"n"}


def test_a_key_that_is_no_text_is_named():
    """C code may have put it there."""
    ours = Worked({})
    ours.put_unseen(5, 1)
    with pytest.raises(TypeError, match=r"session\[5\] cannot be stored"):
        ours.changed()


def test_what_was_removed_has_no_steps():
    """Set anew by a step, it begins from nothing, and only that is repeated."""
    ours = Worked(packed({"n": 5}))
    ours.take("n", doubled)
    ours.remove("n")
    assert ours.changes.steps == {}
    ours.put_unseen("n", 11)
    assert ours.replays() == {}


def test_a_new_key_is_set_anew_whatever_its_value():
    """Also where C code has set it to ``None``."""
    ours = Worked({})
    ours.put_unseen("a", None)
    assert ours.assigned() == {"a"}


def test_the_keys_that_changed_are_told():
    """Not those that were removed."""
    ours = Worked(packed({"a": 1, "b": 1, "c": 1}))
    assert ours.changes.keys_of(ours.data) == []
    ours.put("b", 2)
    ours.put("d", 2)
    ours.remove("a")
    assert ours.changes.keys_of(ours.data) == ["b", "d"]


# -- what comes after a mark


def stored_at_a_mark(ours):
    """Stores what there is, and goes on from there."""
    mark, stored = ours.changes.mark(ours.data), ours.stored()
    return mark, lambda: ours.changes.since(mark, stored)


def test_what_came_before_a_mark_is_no_change_any_more():
    """It is stored: nothing is left to do, and nothing counts as set anew or as a step."""
    ours = Worked(packed({"n": 5, "kept": [1]}))
    ours.put("a", [1])
    ours.take("n", doubled)
    _, since = stored_at_a_mark(ours)
    after = since()
    assert after.unsaved(ours.data) is None
    assert (after.assigned(ours.data), after.steps, after.was_cleared) == (set(), {}, False)


def test_what_came_after_a_mark_is_a_change():
    """Other keys, the same keys again, and removals."""
    ours = Worked(packed({"n": 5, "gone": 1}))
    ours.put("a", 1)
    ours.put("b", 1)
    mark, since = stored_at_a_mark(ours)
    ours.put("c", 2)
    ours.put("b", 2)
    ours.remove("gone")
    after = since()
    assert after.keys_of(ours.data) == ["b", "c"]
    assert after.assigned(ours.data) == {"b", "c"}
    assert after.unsaved(ours.data).removed
    assert mark.assigned == {"a", "b"}
    assert (mark.values["b"], "c" in mark.values) == (1, False)


def test_only_the_steps_after_a_mark_are_repeated():
    """Those before it are stored already: on another request's 7 there is one step to take, not two."""
    ours = Worked(packed({"n": 5, "m": 5, "k": 5}))
    ours.take("n", doubled)
    ours.take("m", doubled)
    mark, since = stored_at_a_mark(ours)
    ours.take("n", doubled)
    ours.take("k", doubled)
    after = since()
    assert {key: len(steps) for key, steps in after.steps.items()} == {"n": 1, "k": 1}
    assert after.assigned(ours.data) == {"n", "k"}
    assert on_sevens(after.replays(ours.data)) == {"n": 15, "k": 15}
    assert on_sevens(ours.changes.replays(ours.data, mark.steps)) == {"n": 15, "m": 7, "k": 15}


def on_sevens(replays):
    """What the steps make where another request has stored a 7 for each key."""
    return {key: codec.unpack(replay(codec.pack(key, 7))) for key, replay in replays.items()}
