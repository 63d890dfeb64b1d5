"""The draft against a plain dict: whatever a request does, both end with the same data."""

import copy

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sharedsession.records import codec
from sharedsession.session.changes import Draft

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


class DraftIsADict(RuleBasedStateMachine):
    """Does the same to a draft and to a dict, over several saves."""

    @initialize(data=DATA)
    def begin(self, data):
        self.stored = packed(data)
        self.draft = Draft(self.stored)
        self.model = copy.deepcopy(data)
        self.assigned = set()

    @rule(key=KEYS, value=VALUES)
    def put(self, key, value):
        self.draft.put(key, copy.deepcopy(value))
        self.model[key] = value
        self.assigned.add(key)
        assert key not in self.draft.replays()

    @rule(key=KEYS)
    def remove(self, key):
        if key in self.model:
            self.draft.remove(key)
            del self.model[key]
            self.assigned.discard(key)
        else:
            with pytest.raises(KeyError):
                self.draft.remove(key)

    @rule(key=KEYS)
    def get(self, key):
        if key in self.model:
            assert self.draft.get(key) == self.model[key]
            assert self.draft.get(key) is self.draft.get(key)
        else:
            with pytest.raises(KeyError):
                self.draft.get(key)

    @rule(key=KEYS, value=VALUES)
    def change_in_place(self, key, value):
        if isinstance(self.model.get(key), list):
            self.draft.get(key).append(copy.deepcopy(value))
            self.model[key].append(value)
        elif isinstance(self.model.get(key), dict):
            self.draft.get(key)["p"] = copy.deepcopy(value)
            self.model[key]["p"] = value

    @rule(key=KEYS, value=VALUES)
    def take_a_step(self, key, value):
        def step(old):
            return [old, value]

        assert self.draft.take(key, step) == step(self.model.get(key))
        self.model[key] = copy.deepcopy(step(self.model.get(key)))
        self.assigned.add(key)

    @rule()
    def clear(self):
        self.draft.clear()
        self.model.clear()
        self.assigned.clear()
        assert self.draft.was_cleared

    @rule()
    def save(self):
        self.stored = self.draft.with_changes(self.draft.changes())
        self.draft = self.draft.rebased(self.stored)
        assert not self.draft.changes()
        assert not self.draft.lost_keys
        self.assigned.clear()

    @rule()
    def load_again(self):
        self.stored = self.draft.with_changes(self.draft.changes())
        self.draft = Draft(self.stored)
        self.assigned.clear()
        assert not self.draft.was_cleared

    @invariant()
    def it_knows_what_was_set_anew(self):
        assert self.draft.assigned == self.assigned

    @invariant()
    def it_looks_like_the_dict(self):
        assert set(self.draft) == self.model.keys()
        assert len(list(self.draft)) == len(self.draft) == len(self.model)
        assert all((key in self.draft) == (key in self.model) for key in "abcd")

    @invariant()
    def it_would_store_the_dict(self):
        assert unpacked(self.draft.with_changes(self.draft.changes())) == self.model

    @invariant()
    def its_replays_explain_what_it_stores(self):
        now = packed(self.model)
        assert all(replay(self.stored.get(key)) == now[key] for key, replay in self.draft.replays().items())

    @invariant()
    def it_knows_what_changed(self):
        now = packed(self.model)
        before = {key: codec.pack(key, codec.unpack(value)) for key, value in self.stored.items()}
        changes = self.draft.changes()
        assert self.draft.lost_keys == bool(before.keys() - now.keys())
        # The order of a dict's keys is part of its bytes, so a change may be seen where the dict sees none.
        assert {key for key in now if before.get(key) != now[key]} <= changes.keys()
        assert all(key in self.draft.assigned or changes[key] != before[key] for key in changes)


TestDraftIsADict = DraftIsADict.TestCase
TestDraftIsADict.settings = settings(max_examples=150, stateful_step_count=25)


def test_what_nobody_looks_at_is_never_decoded():
    """A request pays only for the keys it uses: a value that cannot even be decoded is carried along."""
    draft = Draft({"broken": b"\xc1", "fine": codec.pack("fine", 1)})
    assert draft.get("fine") == 1
    assert set(draft) == {"broken", "fine"}
    draft.put("new", 2)
    assert draft.with_changes(draft.changes())["broken"] == b"\xc1"


def test_reading_is_no_change():
    """A value that was only looked at is not written again."""
    draft = Draft(packed({"text": "x", "list": [1, {"a": []}], "set": {1, 2}}))
    assert [draft.get(key) for key in draft] == ["x", [1, {"a": []}], {1, 2}]
    assert draft.changes() == {}


def test_setting_what_is_there_already_is_no_change():
    """The same bytes again are nothing to save, though the key counts as set anew for a merge."""
    draft = Draft(packed({"a": [1]}))
    draft.put("a", [1])
    assert draft.changes() == {}
    assert draft.assigned == {"a"}


def test_a_change_deep_inside_is_found_and_is_not_an_assignment():
    """Only that key is written again."""
    draft = Draft(packed({"cart": {"items": [{"n": 1}]}, "other": [1]}))
    draft.get("cart")["items"][0]["n"] = 2
    draft.get("other")
    assert unpacked(draft.changes()) == {"cart": {"items": [{"n": 2}]}}
    assert draft.assigned == set()


def test_two_keys_with_one_list_are_two_lists_after_a_load():
    """What packing each key on its own gives up, as `codec` says."""
    shared, draft = [1], Draft({})
    draft.put("a", shared)
    draft.put("b", shared)
    loaded = Draft(draft.with_changes(draft.changes()))
    loaded.get("a").append(2)
    assert (loaded.get("a"), loaded.get("b")) == ([1, 2], [1])


def test_an_unstorable_value_is_named_when_changes_are_asked_for():
    """Putting it in is not the moment, since it may be taken out again."""
    draft = Draft({})
    draft.put("bad", object())
    with pytest.raises(TypeError, match=r"session\['bad'\]"):
        draft.changes()
    draft.remove("bad")
    assert draft.changes() == {}


def doubled(old):
    """A step that does not commute with an assignment."""
    return (old or 0) * 2 + 1


def test_steps_alone_can_be_repeated_on_another_version():
    """Two steps on 5 give 23; on the 7 that another request stored meanwhile, 31; on nothing, 3."""
    draft = Draft(packed({"n": 5}))
    assert [draft.take("n", doubled), draft.take("n", doubled)] == [11, 23]
    replay = draft.replays()["n"]
    assert [codec.unpack(replay(base)) for base in (codec.pack("n", 7), None)] == [31, 3]


def test_steps_after_an_assignment_are_part_of_it():
    """What was set anew does not depend on what another request stored."""
    draft = Draft(packed({"n": 5}))
    draft.put("n", 1)
    draft.take("n", doubled)
    assert draft.get("n") == 3
    assert draft.replays() == {}


def test_a_value_that_was_also_changed_in_place_is_not_repeated():
    """Steps that do not explain the value would lose the other change."""
    draft = Draft(packed({"list": [1]}))
    draft.take("list", lambda old: [*old, 2])
    draft.get("list").append(3)
    assert draft.replays() == {}
    assert unpacked(draft.changes()) == {"list": [1, 2, 3]}
