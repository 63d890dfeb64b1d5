"""The index of a principal's sessions: entered, listed, ended, forgotten and made anew. No server, no waiting."""

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from sharedsession import LogoutNotConfirmed, MachineKey, SessionManager
from sharedsession.engine import principals
from sharedsession.errors import BackendUnavailable, Conflict
from sharedsession.keys import INDEX
from sharedsession.records import LEEWAY
from sharedsession.session import state_of
from tests.support.node import Node
from tests.support.watched_store import SECRET, Farm, counted, opened

DAY = 86400.0
USER = "user:1"


@pytest.fixture
def farm() -> Farm:
    """An empty store and a clock."""
    return Farm()


def login(node: Node, principal: str | None = USER, **data: Any) -> tuple[bytes, str]:
    """A session of a principal. Returns its token and its handle."""
    session = node.open(())
    session.update(data)
    session.principal = principal
    token = node.commit(session).token
    assert token
    return token.encode(), session.id


def handles(node: Node, principal: str = USER) -> list[str]:
    """The handles in a principal's list."""
    return [info.id for info in node.manager.list(principal)]


def wait_until(is_so: Callable[[], bool]) -> None:
    """Waits for what a node does in the background."""
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# -- entered and listed


def test_sessions_are_listed_oldest_first(farm: Farm) -> None:
    """Of one principal only, each with its handle and when it began; what is not of a principal is in no list."""
    node = farm.node()
    _, first = login(node)
    login(node, "user:2")
    node.stored(a=1)
    farm.environment.advance(5)
    _, second = login(node)
    assert handles(node) == [first, second]
    began = [info.created_at.timestamp() for info in node.manager.list(USER)]
    assert began[1] - began[0] == 5
    assert node.manager.list("user:3") == []


def test_a_list_tells_of_browser_and_address_what_the_request_told(farm: Farm) -> None:
    """Only where the front door remembers them; they are not part of a `repr`."""
    node = farm.node()
    session = node.open(())
    state_of(session).client = ("Firefox", "192.0.2.1")
    session.principal = USER
    node.commit(session)
    (info,) = node.manager.list(USER)
    assert (info.user_agent, info.address) == ("Firefox", "192.0.2.1")
    assert info.created_at == datetime.fromtimestamp(farm.environment.clock(), UTC)
    assert "Firefox" not in repr(info)
    assert "192.0.2.1" not in repr(info)


def test_the_entry_follows_the_session_to_its_new_id(farm: Farm) -> None:
    """After a new ID the list has the new handle, and the old one is not alive."""
    node = farm.node()
    token, _ = login(node)
    session = opened(node, token)
    session.regenerate()
    node.commit(session)
    assert handles(node) == [session.id]


def test_what_has_ended_is_not_listed(farm: Farm) -> None:
    """Neither after a logout nor after the idle timeout, though the index still has an entry."""
    node = farm.node(idle_timeout=100)
    token, _ = login(node)
    leaving = node.open([token])
    leaving.destroy()
    node.commit(leaving)
    assert handles(node) == []
    login(node)
    farm.environment.advance(101)
    assert handles(node) == []


def test_a_write_of_a_session_does_not_write_its_entry_again(farm: Farm) -> None:
    """It costs one round trip, as for any other session."""
    node = farm.node()
    token, _ = login(node)
    session = opened(node, token)
    session["a"] = 1
    assert farm.asked_for(lambda: node.commit(session)) == ["replace"]


def test_an_index_that_the_store_forgot_is_made_anew_by_use(farm: Farm) -> None:
    """Once an idle timeout, whether a session is only read or written all the time; the visitor does not wait."""
    node = farm.node(idle_timeout=100, absolute_timeout=None)
    token, handle = login(node)
    (index,) = node.settings.machine_key().of_principal(USER, INDEX)
    for writes in (False, True):
        farm.store.end(index.store_key, 1.0, 1.0)
        assert handles(node) == []
        for step in range(2):
            farm.environment.advance(60)
            session = opened(node, token)
            if writes:
                session["step"] = step  # so it is never too old
            node.commit(session)
        wait_until(lambda: handles(node) == [handle])


def test_an_entry_outlives_the_session_s_own_idle_timeout(farm: Farm) -> None:
    """A session of a day is still in the list when one of an hour is entered beside it."""
    node = farm.node(idle_timeout=DAY / 24, absolute_timeout=None)
    session = node.open(())
    session.idle_timeout = 3 * DAY
    session.principal = USER
    node.commit(session)
    login(node)
    farm.environment.advance(2 * DAY)
    assert handles(node) == [session.id]


@pytest.mark.parametrize("principal", [1, None, b"user:1"])
def test_a_principal_is_text(farm: Farm, principal: Any) -> None:
    """The message says what it was."""
    with pytest.raises(TypeError, match=type(principal).__name__):
        farm.node().manager.list(principal)


# -- room


def test_one_session_too_many_ends_the_oldest(farm: Farm) -> None:
    """It is counted; the others go on."""
    node = farm.node(max_sessions=2)
    tokens = []
    for number in range(4):
        farm.environment.advance(1)
        tokens.append(login(node, number=number)[0])
    assert [node.read(token) for token in tokens] == [{}, {}, {"number": 2}, {"number": 3}]
    assert len(handles(node)) == 2
    assert counted(node, "too_many_sessions", "revoked") == [2, 2]


def test_sessions_that_have_ended_take_no_room(farm: Farm) -> None:
    """Only then is there none to be ended."""
    node = farm.node(max_sessions=2)
    first, second = login(node, a=1)[0], login(node, a=2)[0]
    leaving = node.open([first])
    leaving.destroy()
    node.commit(leaving)
    third = login(node, a=3)[0]
    assert [node.read(token) for token in (second, third)] == [{"a": 2}, {"a": 3}]
    assert counted(node, "too_many_sessions") == [0]


def test_the_same_session_needs_no_room_of_its_own(farm: Farm) -> None:
    """Entered again, it takes the place that it has."""
    node = farm.node(max_sessions=1, idle_timeout=100, absolute_timeout=None)
    token, handle = login(node, a=1)
    for _ in range(4):
        farm.environment.advance(60)
        node.commit(opened(node, token))
    assert handles(node) == [handle]
    assert counted(node, "too_many_sessions") == [0]


# -- at the same time


def test_logins_at_the_same_time_are_all_entered(farm: Farm) -> None:
    """Of two processes, each with many threads: none is lost."""
    nodes = [farm.node(timeout=30.0), farm.node(timeout=30.0)]
    together = threading.Barrier(16)

    def request(number: int) -> None:
        together.wait(60)
        login(nodes[number % 2])

    threads = [threading.Thread(target=request, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(handles(nodes[0])) == 16


@pytest.mark.parametrize("verb", ["add", "replace"])
def test_an_entry_that_another_process_was_quicker_to_write(farm: Farm, verb: str) -> None:
    """Both stand in the index, whether it was there before or not."""
    node, other = farm.node(), farm.node()
    known = [login(node)[1]] if verb == "replace" else []
    farm.store.before(verb, lambda: known.append(login(other)[1]))
    known.append(login(node)[1])
    assert sorted(handles(node)) == sorted(known)


@pytest.mark.parametrize("verb", ["add", "replace"])
def test_an_entry_whose_answer_was_lost_is_entered_once(farm: Farm, verb: str) -> None:
    """The second try finds the first one's write."""
    node = farm.node()
    if verb == "replace":
        login(node)
    farm.store.ask_twice(verb)
    login(node)
    assert len(handles(node)) == 1 + (verb == "replace")


def test_an_index_that_is_forgotten_while_it_is_written(farm: Farm) -> None:
    """It is added, since there is nothing left to replace."""
    node = farm.node()
    login(node)
    (index,) = node.settings.machine_key().of_principal(USER, INDEX)
    farm.store.before("replace", lambda: farm.store.forget(index.store_key))
    _, handle = login(node)
    assert handles(node) == [handle]


def test_too_many_logins_at_once_are_given_up(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another one is always quicker: an outage for this request."""
    monkeypatch.setattr(principals, "_ATTEMPTS", 5)
    node, other = farm.node(), farm.node()
    login(node)
    busy: list[int] = []

    def another_login() -> None:
        if not busy:
            busy.append(1)
            login(other)
            busy.pop()

    farm.store.always_before("replace", another_login)
    session = node.open(())
    session.principal = USER
    with pytest.raises(Conflict, match="begin at once"):
        session.save()


def test_a_login_that_stands_still_holds_up_no_other_for_long(farm: Farm) -> None:
    """After twice the timeout of an operation the next one of the process goes ahead of it."""
    node = farm.node(timeout=0.02)
    stands, may_go_on = threading.Event(), threading.Event()
    farm.store.before("add", lambda: (stands.set(), may_go_on.wait(60)))
    thread = threading.Thread(target=lambda: login(node))
    thread.start()
    assert stands.wait(60)
    _, handle = login(node)
    assert handles(node) == [handle]
    may_go_on.set()
    thread.join(60)
    assert len(handles(node)) == 2


def test_an_index_that_cannot_be_read_can_be_added_to(farm: Farm) -> None:
    """One node of a ring that is down forbids to say that there is none; adding needs no such answer."""
    node = farm.node()
    farm.store.before("get", lambda: setattr(farm.store, "down", True))
    farm.store.before("add", lambda: setattr(farm.store, "down", False))
    _, handle = login(node)
    assert handles(node) == [handle]


# -- ended


def test_one_session_is_ended_by_its_handle(farm: Farm) -> None:
    """Everywhere, for good, whoever holds its token; the others go on."""
    node = farm.node()
    (token, handle), (other, _) = login(node, a=1), login(node, a=2)
    running = opened(node, token)
    running["a"] = 3
    assert node.manager.revoke(handle) is True
    node.commit(running)
    assert (node.read(token), node.read(other)) == ({}, {"a": 2})
    assert node.manager.revoke(handle) is False
    assert counted(node, "revoked") == [1]


@pytest.mark.parametrize("handle", ["", "x", "not a handle", "é" * 22, "A" * 22, "A" * 23])
def test_what_is_no_handle_ends_nothing(farm: Farm, handle: str) -> None:
    """It is not an error either: handles come from people."""
    node = farm.node()
    token, _ = login(node, a=1)
    assert node.manager.revoke(handle) is False
    assert node.read(token) == {"a": 1}


def test_a_session_without_a_principal_is_ended_by_its_handle_too(farm: Farm) -> None:
    """The handle alone leads to the record."""
    node = farm.node()
    token = node.stored(a=1)
    assert node.manager.revoke(opened(node, token).id) is True
    assert node.read(token) == {}


def test_all_sessions_but_one_are_ended(farm: Farm) -> None:
    """Log out everywhere else: the number of ended ones is returned, and other principals go on."""
    node = farm.node()
    sessions = []
    for number in range(40):
        farm.environment.advance(0.001)
        sessions.append(login(node, n=number))
    stranger, _ = login(node, "user:2", n=-1)
    kept_token, kept_handle = sessions[7]
    assert node.manager.revoke_all(USER, except_=kept_handle) == 39
    assert handles(node) == [kept_handle]
    assert (node.read(kept_token), node.read(stranger)) == ({"n": 7}, {"n": -1})
    assert node.manager.revoke_all(USER) == 1
    assert node.manager.revoke_all(USER) == 0


def test_the_one_that_is_kept_may_have_a_new_id_listed_beside_the_old_one(farm: Farm) -> None:
    """The list has both while its ID changes; neither is ended."""
    node = farm.node()
    token, handle = login(node, n=1)
    session = opened(node, token)
    session.regenerate()
    farm.store.before("supersede", lambda: node.manager.revoke_all(USER, except_=handle))
    renewed = node.commit(session).token
    assert renewed
    assert node.read(renewed.encode()) == {"n": 1}


def test_a_logout_by_the_old_id_of_the_one_that_is_kept(farm: Farm) -> None:
    """The end of all others leaves it the way to the new ID."""
    node = farm.node()
    token, _ = login(node, n=1)
    session = opened(node, token)
    session.regenerate()
    renewed = node.commit(session).token
    assert renewed
    node.manager.revoke_all(USER, except_=session.id)
    leaving = node.open([token])
    leaving.destroy()
    node.commit(leaving)
    assert node.read(renewed.encode()) == {}


def test_a_logout_while_the_session_is_about_to_be_spared(farm: Farm) -> None:
    """By its old ID it is not valid until the request ends that spares the new one; a logout ends it all the same."""
    node = farm.node()
    token, _ = login(node, n=1)
    session = opened(node, token)
    session.regenerate()
    node.manager.revoke_all(USER, except_=session.id)
    leaving = opened(node, token)
    leaving.destroy()
    node.commit(leaving)
    assert node.commit(session).token is None
    assert farm.store.alive == 2  # index and stamp


def test_an_end_is_remembered_as_long_as_a_copy_may_live(farm: Farm) -> None:
    """The longest of the farm's idle timeout, the session's own, and what the store says is left."""
    node = farm.node(idle_timeout=100, absolute_timeout=None)
    for life, longest in ((None, 100), (50.0, 100), (700.0, 700)):
        farm.store.life = life
        _, handle = login(node)
        assert node.manager.revoke(handle)
        assert farm.store.ended[-1] == 2 * longest + LEEWAY
    session = node.open(())
    session.idle_timeout = 5000
    session.principal = USER
    node.commit(session)
    assert node.manager.revoke_all(USER) == 1
    assert farm.store.ended[-1] == 2 * 5000 + LEEWAY


def test_an_end_that_the_store_did_not_confirm_is_an_error(farm: Farm) -> None:
    """The session may be alive, and is."""
    node = farm.node()
    token, handle = login(node, n=1)
    farm.store.before("end", lambda: _down_for_one(farm))
    with pytest.raises(LogoutNotConfirmed, match="did not confirm"):
        node.manager.revoke(handle)
    assert node.read(token) == {"n": 1}


def test_the_end_of_all_needs_no_end_of_each(farm: Farm) -> None:
    """Their stamp has ended them, whatever the store says to the rest."""
    node = farm.node()
    sessions = [login(node, n=number) for number in range(3)]
    farm.store.before("end", lambda: _down_for_one(farm))
    node.manager.revoke_all(USER)
    assert [node.read(token) for token, _ in sessions] == [{}, {}, {}]


def _down_for_one(farm: Farm) -> None:
    farm.store.down = True
    farm.store.before("end", lambda: setattr(farm.store, "down", False))
    farm.store.before("get", lambda: setattr(farm.store, "down", False))


@pytest.mark.parametrize("verb", ["list", "revoke", "revoke_all"])
def test_a_store_that_is_down_tells_nothing(farm: Farm, verb: str) -> None:
    """No list is shorter because of an outage."""
    node = farm.node()
    _, handle = login(node)
    farm.store.down = True
    with pytest.raises(LogoutNotConfirmed if verb == "revoke_all" else BackendUnavailable):
        getattr(node.manager, verb)(handle if verb == "revoke" else USER)


def test_a_list_with_one_answer_missing_is_none(farm: Farm) -> None:
    """Even if the index itself was read."""
    node = farm.node()
    login(node)
    login(node)
    farm.store.before("get", lambda: farm.store.before("get", lambda: _down_for_one(farm)))
    with pytest.raises(BackendUnavailable):
        node.manager.list(USER)
    assert len(handles(node)) == 2


def test_a_logout_by_the_id_before_ends_a_session_that_was_spared(farm: Farm) -> None:
    """The view of that ID is no longer valid, since it stands under no stamp; yet it leads to the session."""
    node = farm.node()
    old, _ = login(node)
    session = node.open((old,))
    session.load()
    session.regenerate(grace=20)
    token = node.commit(session).token
    assert token
    node.manager.revoke_all(USER, except_=session.id)
    late = node.open((old,))
    assert dict(late) == {}
    late.destroy()
    assert node.commit(late).clear
    assert node.open((token.encode(),)).is_new


def test_a_session_that_is_spared_twice_across_a_new_id_is_seen_at_once(farm: Farm) -> None:
    """Its record still stands under the first stamp when it is spared by its new ID."""
    node = farm.node()
    first, _ = login(node)
    session = node.open((first,))
    session.load()
    node.manager.revoke_all(USER, except_=session.id)
    session.regenerate()
    second = node.commit(session).token
    assert second
    again = node.open((second.encode(),))
    again.load()
    node.manager.revoke_all(USER, except_=again.id)
    assert not node.open((second.encode(),)).is_new
    node.commit(again)
    assert not node.open((second.encode(),)).is_new


# -- secrets


def test_sessions_of_older_secrets_are_found(farm: Farm) -> None:
    """While secrets rotate, list and end look under all of them."""
    newer = MachineKey.generate()
    old, both = farm.node(), farm.node(secret_key=[newer, SECRET])
    (old_token, old_handle), (new_token, new_handle) = login(old, a=1), login(both, a=2)
    assert sorted(handles(both)) == sorted([old_handle, new_handle])
    assert both.manager.revoke(old_handle) is True
    assert both.manager.revoke_all(USER) == 1
    assert (both.read(old_token), both.read(new_token)) == ({}, {})


def test_the_store_cannot_tell_whose_index_it_is(farm: Farm) -> None:
    """Neither the name nor the record has the principal's."""
    node = farm.node()
    login(node)
    entries = farm.store._backend._entries
    assert USER not in "".join(entries)
    assert not [entry for entry in entries.values() if USER.encode() in entry.value]


# -- on an event loop


async def _on_a_loop(manager: SessionManager, handle: str) -> tuple[int, bool, int, int]:
    return (
        len(await manager.alist(USER)),
        await manager.arevoke(handle),
        await manager.arevoke_all(USER),
        len(await manager.alist(USER)),
    )


def test_each_verb_has_a_twin_for_event_loops(farm: Farm) -> None:
    """With the same result."""
    node = farm.node()
    _, handle = login(node)
    login(node)
    assert asyncio.run(_on_a_loop(node.manager, handle)) == (2, True, 1, 0)
