"""`regenerate_on`: a login that a library makes gives the session a new ID. No server, no waiting."""

import contextlib
from typing import Any

import pytest

from sharedsession import Session
from sharedsession.http import KEEP
from sharedsession.session import state_of
from tests.support.node import Node
from tests.support.watched_store import Farm, counted, opened


@pytest.fixture
def farm() -> Farm:
    """An empty store and a clock."""
    return Farm()


@pytest.fixture
def node(farm: Farm) -> Node:
    """A web node that knows two keys of logins."""
    return farm.node(regenerate_on=("user", "admin"))


LOGINS = {
    "assigned": lambda session: session.__setitem__("user", 1),
    "updated": lambda session: session.update(x=1, admin={"name": "a"}),
    "set once": lambda session: session.setdefault("user", "a"),
    "counted": lambda session: session.increment("user"),
    "by a dict's own method": lambda session: dict.update(session, user=1),
    "saved in the middle": lambda session: (session.update(user=1), session.save(), session.update(y=1)),
    "after a save": lambda session: (session.update(y=1), session.save(), session.update(user=1)),
}


@pytest.mark.parametrize("login", LOGINS.values(), ids=LOGINS)
def test_the_id_of_before_a_login_is_dead(node: Node, login: Any) -> None:
    """However the key gets its value, and whenever it is stored; the data go on under the new ID."""
    planted = node.stored(cart=["book"])
    session = opened(node, planted)
    login(session)
    token = node.commit(session).token
    assert token
    assert node.read(planted) == {}
    assert node.read(token.encode()) == dict(session)
    assert node.read(token.encode())["cart"] == ["book"]
    assert counted(node, "regenerated", "login_kept_id", "principal_dropped") == [1, 0, 0]


def test_another_user_is_a_login_too(node: Node) -> None:
    """A change of the value, also inside of it."""
    token = node.stored(user=1, admin={"name": "a"})
    for change in (lambda s: s.update(user=2), lambda s: s["admin"].update(name="b")):
        session = opened(node, token)
        change(session)
        old, token = token, (node.commit(session).token or "").encode()
        assert token
        assert node.read(old) == {}


NO_LOGINS = {
    "another key": lambda session: session.update(cart=[]),
    "the same value": lambda session: session.update(user=1),
    "another object of the same value": lambda session: session.update(admin={"name": "a"}),
    "a logout": lambda session: session.pop("user"),
    "a change that was taken back": lambda session: session.update(user=2) or session.update(user=1),
}


@pytest.mark.parametrize("deed", NO_LOGINS.values(), ids=NO_LOGINS)
def test_what_is_no_login_keeps_the_id(node: Node, deed: Any) -> None:
    """Removing a key is none, and the same value is no change."""
    token = node.stored(user=1, admin={"name": "a"})
    session = opened(node, token)
    deed(session)
    assert node.commit(session) == KEEP
    assert node.read(token) == dict(session)


def test_without_the_setting_nothing_happens(farm: Farm) -> None:
    """It is for applications whose login is a library's."""
    for node in (farm.node(), farm.node(regenerate_on=())):
        token = node.stored(a=1)
        session = opened(node, token)
        session["user"] = session["_user_id"] = 1
        assert node.commit(session) == KEEP


def test_a_login_is_asked_for_what_a_new_id_costs(farm: Farm, node: Node) -> None:
    """The same as by `regenerate()`; one of a session that is not stored yet costs nothing more."""
    token = node.stored(a=1)
    session = opened(node, token)
    session["user"] = 1
    assert farm.asked_for(lambda: node.commit(session)) == ["add", "supersede"]
    new = node.open(())
    new["user"] = 1
    assert farm.asked_for(lambda: node.commit(new)) == ["add"]


def test_an_application_that_regenerates_itself_does_so_once(farm: Farm, node: Node) -> None:
    """In any order, also with a save between."""
    for deed in (
        lambda session: (session.regenerate(), session.update(user=1)),
        lambda session: (session.update(user=1), session.regenerate()),
    ):
        session = opened(node, node.stored(a=1))
        deed(session)
        assert farm.asked_for(lambda session=session: node.commit(session)) == ["add", "supersede"]
    session = opened(node, node.stored(a=1))
    session.regenerate()
    session.save()
    session["user"] = 1
    assert farm.asked_for(lambda: node.commit(session)) == ["replace"]


def test_a_session_that_this_request_made_keeps_its_id(farm: Farm, node: Node) -> None:
    """Nobody can have planted it."""
    session = node.open(())
    session["a"] = 1
    session.save()
    session["user"] = 1
    assert farm.asked_for(lambda: node.commit(session)) == ["replace"]


def test_a_new_id_after_a_logout_is_enough(farm: Farm, node: Node) -> None:
    """Destroyed and begun anew, as by a library that clears the session first."""
    planted = node.stored(a=1)
    session = opened(node, planted)
    session.destroy()
    session["user"] = 1
    token = node.commit(session).token
    assert token
    assert (node.read(planted), node.read(token.encode())) == ({}, {"user": 1})


def test_a_read_only_session_is_not_touched(farm: Farm, node: Node) -> None:
    """A tab with the old ID gets no cookie, whatever it logs in."""
    token = node.stored(a=1)
    first, late = opened(node, token), node.open([token])
    first["user"] = 1
    node.commit(first)
    late["user"] = 2
    assert farm.asked_for(lambda: node.commit(late)) == []
    assert state_of(late).outcome == KEEP


def test_two_logins_at_a_time_by_one_id(node: Node) -> None:
    """Each gets a session of its own, as by `regenerate()`; the ID that they share is dead."""
    token = node.stored(a=1)
    both = [opened(node, token), opened(node, token)]
    for user, session in enumerate(both):
        session["user"] = user
    tokens = [(node.commit(session).token or "").encode() for session in both]
    assert [node.read(each) for each in tokens] == [{"a": 1, "user": 0}, {"a": 1, "user": 1}]
    assert node.read(token) == {}


def test_a_login_whose_answer_was_lost_can_be_tried_again(farm: Farm, node: Node) -> None:
    """In the same request: the second attempt gets an ID of its own, and the old one dies."""
    planted = node.stored(a=1)
    session = opened(node, planted)
    session["user"] = 1
    farm.store.lose_answer("add")
    with contextlib.suppress(Exception):
        session.save()
    token = node.commit(session).token
    assert token
    assert (node.read(planted), node.read(token.encode())) == ({}, {"a": 1, "user": 1})


def test_under_a_lock(node: Node) -> None:
    """The ID changes when the lock is left."""
    planted = node.stored(a=1)
    session = node.open([planted])
    with session.lock():
        session["user"] = 1
    assert node.read(planted) == {}
    assert node.read((state_of(session).outcome.token or "").encode()) == {"a": 1, "user": 1}


def late(node: Node, token: bytes) -> Session:
    """The session of a request whose head has left."""
    session = opened(node, token)
    state_of(session).response_started = True
    return session


def test_where_no_cookie_can_be_sent_the_write_is_kept_and_told(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    """The visitor would lose the session by a new ID."""
    token = node.stored(a=1)
    session = late(node, token)
    session["user"] = 1
    assert node.commit(session) == KEEP
    assert node.read(token) == {"a": 1, "user": 1}
    assert [record.event for record in caplog.records] == ["login_kept_id"]


# -- whose session it is


def of_principal(node: Node, principal: str) -> bytes:
    """The token of a principal's session."""
    session = node.open(())
    session.update(user=principal)
    session.principal = principal
    token = node.commit(session).token
    assert token
    return token.encode()


def test_nobody_logs_in_to_another_s_principal(node: Node) -> None:
    """A login that sets no principal leaves the session without one: an end of alice's sessions is not bob's."""
    session = opened(node, of_principal(node, "alice"))
    session["user"] = "bob"
    token = (node.commit(session).token or "").encode()
    assert opened(node, token).principal is None
    assert counted(node, "principal_dropped") == [1]
    node.manager.revoke_all("alice")
    assert node.read(token) == {"user": "bob"}


@pytest.mark.parametrize("regenerates", [True, False])
def test_also_where_the_application_regenerates(node: Node, *, regenerates: bool) -> None:
    """At once, or in a commit before."""
    session = opened(node, of_principal(node, "alice"))
    session.regenerate()
    if not regenerates:
        session.save()
    session["user"] = "bob"
    token = (node.commit(session).token or "").encode()
    assert opened(node, token).principal is None
    assert node.read(token) == {"user": "bob"}


@pytest.mark.parametrize("principal", ["alice", "bob"])
@pytest.mark.parametrize("saves", [True, False])
def test_a_login_that_says_whose_session_it_is(node: Node, principal: str, *, saves: bool) -> None:
    """Also if that stays the same, and if the key follows in a later commit of the request."""
    session = opened(node, of_principal(node, "alice"))
    session.principal = principal
    if saves:
        session.save()
    session["user"] = "another name"
    token = (node.commit(session).token or "").encode()
    assert opened(node, token).principal == principal
    assert counted(node, "principal_dropped") == [0]


def test_too_late_the_principal_stays(node: Node) -> None:
    """It is part of the ID, which stays, too."""
    token = of_principal(node, "alice")
    session = late(node, token)
    session["user"] = "bob"
    assert node.commit(session) == KEEP
    assert (opened(node, token).principal, node.read(token)) == ("alice", {"user": "bob"})
    assert counted(node, "login_kept_id", "principal_dropped") == [1, 0]
