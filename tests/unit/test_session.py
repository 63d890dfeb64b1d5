"""The session as a mapping, against the store in memory: what it keeps, and what it knows of itself."""

import copy
import pickle
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharedsession import ConfigurationError, MachineKey, SessionTooLarge
from tests.support.node import Node

SECRET = MachineKey.generate()


@pytest.fixture
def manager():
    """A farm of one node, for an application that blocks."""
    return Node.of(secret_key=SECRET, backend="memory://")


def stored(manager, data):
    """The token of a session with these data."""
    session = manager.open([])
    session.update(data)
    return manager.commit(session).token.encode()


def loaded(manager, token):
    """A session of the next request."""
    return manager.open([token])


def data_of(manager, token):
    """What the next request will see."""
    return dict(loaded(manager, token))


def test_it_behaves_like_a_dict(manager):
    """Everything a mapping can do, it does."""
    session = loaded(manager, stored(manager, {"a": 1, "b": [2]}))
    assert session["a"] == session.get("a") == 1
    assert session.get("x") is None
    assert session.get("x", 5) == 5
    assert ("a" in session, "x" in session, 5 in session) == (True, False, False)
    assert (list(session), len(session), bool(session)) == (["a", "b"], 2, True)
    assert (list(session.keys()), list(session.values())) == (["a", "b"], [1, [2]])
    assert list(session.items()) == [("a", 1), ("b", [2])]
    assert list(reversed(session)) == ["b", "a"]
    assert session.copy() == {"a": 1, "b": [2]}
    assert type(session.copy()) is dict
    assert (session | {"a": 3}, {"a": 3, "c": 4} | session) == ({"a": 3, "b": [2]}, {"a": 1, "c": 4, "b": [2]})
    with pytest.raises(KeyError, match="'x'"):
        session["x"]
    with pytest.raises(KeyError, match="'x'"):
        del session["x"]


def test_it_changes_like_a_dict(manager):
    """Every way to change a mapping is stored."""
    token = stored(manager, {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5})
    session = loaded(manager, token)
    assert session.pop("a") == 1
    assert session.pop("a", None) is None
    del session["b"]
    assert session.setdefault("c", 0) == 3
    assert session.setdefault("new", []) == []
    session.update({"d": 40}, f=6)
    session |= {"e": 50}
    session["new"].append(1)
    manager.commit(session)
    assert data_of(manager, token) == {"c": 3, "d": 40, "e": 50, "f": 6, "new": [1]}


def test_popitem_empties_it_item_by_item(manager):
    """Each item comes once, and then there is a `KeyError`."""
    session = loaded(manager, stored(manager, {"a": 1, "b": 2}))
    assert {session.popitem(), session.popitem()} == {("a", 1), ("b", 2)}
    with pytest.raises(KeyError):
        session.popitem()


def test_it_equals_a_dict_with_the_same_data(manager):
    """Also another session, and nothing else."""
    token = stored(manager, {"a": [1]})
    session = loaded(manager, token)
    assert session == {"a": [1]} == session
    assert session == loaded(manager, token)
    assert session != {"a": [2]}
    assert session != [("a", [1])]


@given(st.dictionaries(st.text("abcé", max_size=3), st.integers() | st.lists(st.booleans()), max_size=5))
def test_what_one_request_stores_the_next_one_finds(data):
    """Any text is a key, the empty one too; nothing is stored for an empty session."""
    manager = Node.of(secret_key=SECRET, backend="memory://")
    session = manager.open([])
    session.update(data)
    outcome = manager.commit(session)
    assert bool(outcome.token) == bool(data)
    assert not data or data_of(manager, outcome.token.encode()) == data


@pytest.mark.parametrize("key", [1, None, b"a", ("a",), 1.5], ids=repr)
def test_a_key_that_is_no_text_is_refused_at_once(manager, key):
    """JSON-like means keys of text; the message names the type, and nothing is changed."""
    session = manager.open([])
    for write in (session.__setitem__, session.setdefault, session.append):
        with pytest.raises(TypeError, match=f"keys are str, not {type(key).__name__}"):
            write(key, 1)
    assert not session


class Name(str):
    __slots__ = ()


@pytest.mark.parametrize("key", ["\ud800", "a\udcffb"], ids=ascii)
def test_a_key_that_is_no_unicode_is_named_in_the_error(manager, key):
    """Such a key cannot be stored, and whoever reads the error must be able to find it."""
    with pytest.raises(TypeError, match="session\\["):
        stored(manager, {key: 1})


def test_a_key_of_a_subclass_of_text_is_text(manager):
    """A `StrEnum` member as a key is stored as the text that it is."""
    assert data_of(manager, stored(manager, {Name("a"): 1})) == {"a": 1}


def test_a_value_that_cannot_be_stored_is_named_at_the_commit(manager):
    """The version saved before stays as it is."""
    token = stored(manager, {"a": 1})
    session = loaded(manager, token)
    session["a"] = 2
    session["bad"] = object()
    with pytest.raises(TypeError, match=r"session\['bad'\].*object"):
        manager.commit(session)
    assert data_of(manager, token) == {"a": 1}


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value["list"].append(1),
        lambda value: value["dict"]["deep"].update(x=1),
        lambda value: value["dict"]["deep"]["list"].pop(),
        lambda value: value["set"].add(5),
        lambda value: value["tuple"][0].append(1),
        lambda value: value["list"].sort(reverse=True),
    ],
    ids=range(6),
)
def test_a_nested_change_is_kept(manager, change):
    """Whatever is changed in place, at any depth, is found and stored without a word from the application."""
    data = {"list": [1, 2], "dict": {"deep": {"list": [0]}}, "set": {1}, "tuple": ([],), "other": "x"}
    token = stored(manager, data)
    session = loaded(manager, token)
    change(session)
    change(data)
    assert session.modified
    manager.commit(session)
    assert data_of(manager, token) == data


def test_nothing_of_it_is_printed(manager):
    """No ID, no key and no value is in a repr, whatever the state."""
    token = stored(manager, {"card": "4111111111111111"})
    session = loaded(manager, token)
    assert (repr(session), session["card"] and repr(session), repr(manager.open([]))) == (
        "<Session not loaded>",
        "<Session stored>",
        "<Session new>",
    )
    assert session.id not in repr(session)


def test_it_is_never_pickled(manager):
    """It belongs to one request; the error tells what to use instead."""
    with pytest.raises(TypeError, match=r"use dict\(session\)"):
        pickle.dumps(manager.open([]))


@pytest.mark.parametrize("take", [copy.copy, copy.deepcopy])
def test_a_copy_is_a_plain_dict(manager, take):
    """As with Starlette's own session; what is set in the copy is not saved."""
    token = stored(manager, {"a": [1]})
    session = loaded(manager, token)
    taken = take(session)
    assert (type(taken), taken) == (dict, {"a": [1]})
    taken["b"] = 2
    manager.commit(session)
    assert data_of(manager, token) == {"a": [1]}


def test_too_much_is_refused_before_anything_is_sent():
    """The error names the largest keys, and what was stored before is still there."""
    small = Node.of(secret_key=SECRET, backend="memory://", max_size=1000)
    token = stored(small, {"a": 1})
    session = loaded(small, token)
    session.update(photo="x" * 2000, name="y")
    with pytest.raises(SessionTooLarge, match=r"limit is 1000; its largest keys: 'photo' \(2003 bytes\)"):
        small.commit(session)
    assert data_of(small, token) == {"a": 1}


def test_the_wrong_colour_of_backend_fails_at_the_start():
    """An asynchronous backend cannot serve an application that blocks, and the message says so."""
    native = Node.of(secret_key=SECRET, backend="memcached://127.0.0.1:1").settings.backend
    with pytest.raises(ConfigurationError, match="blocks"):
        Node.of(secret_key=SECRET, backend=native.asynchronous)


def test_an_idle_timeout_of_its_own_is_a_duration(manager):
    """As in the settings: seconds, or a timedelta."""
    session = manager.open([])
    session.idle_timeout = timedelta(minutes=5)
    assert session.idle_timeout == 300.0
    for wrong in (0, -1, "soon", True, None, float("inf"), 1e30):
        with pytest.raises(ValueError, match="idle_timeout must be"):
            session.idle_timeout = wrong


@pytest.mark.parametrize("verb", ["list", "revoke_all"])
def test_a_principal_is_text(manager, verb):
    """A number is a mistake that is told at once."""
    with pytest.raises(TypeError, match="a principal is a str, not int"):
        getattr(manager.manager, verb)(42)
