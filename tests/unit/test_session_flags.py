"""``accessed`` and ``modified``: each way of looking at a session, and each way of changing it."""

import pytest

from sharedsession import MachineKey
from sharedsession.session import state_of
from tests.support.node import Node

SECRET = MachineKey.generate()


@pytest.fixture
def manager():
    """A farm of one node, for an application that blocks."""
    return Node.of(secret_key=SECRET, backend="memory://")


@pytest.fixture
def token(manager):
    """Of a session that holds a list."""
    session = manager.open([])
    session["a"] = [1]
    return manager.commit(session).token.encode()


LOOKS = {
    "get": lambda session: session.get("a"),
    "[]": lambda session: session["a"],
    "in": lambda session: "a" in session,
    "not in": lambda session: "zz" not in session,
    "len": len,
    "bool": bool,
    "iter": list,
    "keys": lambda session: list(session.keys()),
    "values": lambda session: list(session.values()),
    "items": lambda session: list(session.items()),
    "==": lambda session: session == {},
    "id": lambda session: session.id,
    "is_new": lambda session: session.is_new,
    "created_at": lambda session: session.created_at,
    "expires_at": lambda session: session.expires_at,
    "principal": lambda session: session.principal,
    "idle_timeout": lambda session: session.idle_timeout,
    "persistent": lambda session: session.persistent,
    "load": lambda session: session.load(),
    "pop": lambda session: session.pop("zz", None),
}
CHANGES = {
    "set": lambda session: session.__setitem__("a", 9),
    "del": lambda session: session.__delitem__("a"),
    "pop": lambda session: session.pop("a"),
    "popitem": lambda session: session.popitem(),
    "clear": lambda session: session.clear(),
    "update": lambda session: session.update(b=1),
    "|=": lambda session: session.__ior__({"b": 1}),
    "setdefault": lambda session: session.setdefault("b", 1),
    "append": lambda session: session["a"].append(1),
    "increment": lambda session: session.increment("n"),
    "session.append": lambda session: session.append("a", 1),
    "regenerate": lambda session: session.regenerate(),
    "destroy": lambda session: session.destroy(),
    "principal": lambda session: setattr(session, "principal", "user:1"),
    "idle_timeout": lambda session: setattr(session, "idle_timeout", 5),
    "persistent": lambda session: setattr(session, "persistent", True),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
@pytest.mark.parametrize("new", [True, False], ids=["new", "stored"])
def test_every_way_of_looking_counts_as_access_and_not_as_change(manager, token, look, new):
    """Caches must know of each look, and no look is a reason to write."""
    session = manager.open([] if new else [token])
    assert not session.accessed
    try:
        look(session)
    except KeyError:
        assert new
    assert session.accessed
    assert not session.modified
    assert manager.commit(session) == (None, None, False)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_way_of_changing_counts_as_both(manager, token, change):
    """What was changed was looked at."""
    session = manager.open([token])
    change(session)
    assert session.accessed
    assert session.modified


def test_the_facts_are_read_only(manager):
    """An application cannot mark a session by hand."""
    session = manager.open([])
    for name in ("id", "is_new", "accessed", "modified", "created_at", "expires_at"):
        with pytest.raises(AttributeError):
            setattr(session, name, 1)
    with pytest.raises(AttributeError):
        session.user = 1


def test_a_session_that_nobody_looked_at_costs_nothing(manager, token):
    """It is not loaded, not saved, and says so."""
    session = manager.open([token])
    assert manager.commit(session) == (None, None, False)
    assert (session.accessed, session.modified, state_of(session).is_loaded) == (False, False, False)


def test_taking_a_change_back_leaves_nothing_to_save(manager, token):
    """What counts is what would be stored, not what was done on the way."""
    session = manager.open([token])
    session["a"].append(2)
    session["b"] = 1
    assert session.modified
    session["a"].pop()
    del session["b"]
    assert not session.modified


def test_a_save_in_the_middle_leaves_nothing_to_save(manager, token):
    """After `save` the session is as the store has it, and the next change counts again."""
    session = manager.open([token])
    session["a"].append(2)
    session.save()
    assert not session.modified
    session["a"].append(3)
    assert session.modified
    manager.commit(session)
    assert manager.open([token])["a"] == [1, 2, 3]
