"""The commit beyond the plain rows of the table: conflicts, lost answers, new IDs, ends. No server, no waiting."""

import contextlib
import threading
from typing import Any

import pytest

from sharedsession import Conflict, LogoutNotConfirmed, SessionEnded, SessionTooLarge
from sharedsession.engine import commit
from sharedsession.errors import BackendUnavailable, SessionNotLoaded
from sharedsession.http import CLEAR, KEEP
from sharedsession.manager import engines_of
from sharedsession.records import LEEWAY
from sharedsession.session import state_of
from tests.support.watched_store import Farm, Names, WatchedStore, counted, opened

DAY = 86400.0


@pytest.fixture
def farm() -> Farm:
    """An empty store and a clock."""
    return Farm()


# -- rows of the table that time makes


def test_a_session_in_use_is_written_again_once_an_idle_timeout(farm: Farm) -> None:
    """So its record proves that it is in use, also to a store whose clock stood still; the client is told nothing."""
    node = farm.node(idle_timeout=100, absolute_timeout=None)
    token = node.stored(a=1)
    farm.environment.advance(60)
    assert farm.asked_for(lambda: node.commit(opened(node, token))) == ["get"]
    farm.environment.advance(60)
    session = opened(node, token)
    assert not session.modified
    assert farm.asked_for(lambda: node.commit(session)) == ["replace"]
    assert state_of(session).outcome == KEEP
    farm.environment.advance(60)
    assert farm.asked_for(lambda: node.commit(opened(node, token))) == ["get"]


def test_such_a_rewrite_gives_way_to_what_another_request_changed(farm: Farm) -> None:
    """It has no change of its own, so nothing is in conflict, whatever the setting."""
    node = farm.node(idle_timeout=100, absolute_timeout=None, conflict="raise")
    token = node.stored(a=1)
    for _ in range(2):
        farm.environment.advance(60)
        session = opened(node, token)
    farm.store.before("replace", farm.changed_by_another(node, token, a=2))
    assert node.commit(session) == KEEP
    assert node.read(token) == {"a": 2}


def test_a_session_that_reaches_its_absolute_end_during_a_request_is_not_saved(farm: Farm) -> None:
    """The change is dropped and counted, or reported where the application saves by itself."""
    node = farm.node(absolute_timeout=1000)
    session, saving = (opened(node, node.stored(a=1)) for _ in range(2))
    session["a"] = saving["a"] = 2
    farm.environment.advance(1000)
    assert node.commit(session) == KEEP
    assert counted(node, "write_dropped") == [1]
    with pytest.raises(SessionEnded, match="absolute end"):
        saving.save()


def test_a_session_that_was_long_over_is_not_merged_with(farm: Farm) -> None:
    """What the store still has of it, since its own clock stood still, is no session any more."""
    node = farm.node(idle_timeout=5000, absolute_timeout=1000)
    token = node.stored(a=1)
    behind = Farm()
    behind.store = farm.store
    late = behind.node(idle_timeout=5000, absolute_timeout=1000, timeout=3000.0)  # this request waits long
    session = opened(late, token)
    session["a"] = 2
    farm.changed_by_another(node, token, b=1)()
    behind.store.before("replace", lambda: behind.environment.advance(1000))
    with pytest.raises(SessionEnded, match="destroyed, or given a new ID"):
        session.save()


@pytest.mark.parametrize(
    ("persistent", "default", "left"), [(True, False, 600.0), (None, True, 600.0), (False, True, None)]
)
def test_a_persistent_cookie_lives_until_the_absolute_end(
    farm: Farm, persistent: bool | None, default: bool, left: float | None
) -> None:
    """What the session says counts, then what the farm says; setting the same token once more says what is left."""
    node = farm.node(absolute_timeout=1000, cookie_persistent=default)
    session = node.open(())
    session["a"] = 1
    if persistent is not None:
        session.persistent = persistent
    token = node.commit(session).token
    assert token
    farm.environment.advance(400)
    outcome = node.engine.renewed(opened(node, token.encode()))
    assert (outcome.token, outcome.max_age) == (token, left)


def test_only_a_stored_session_has_its_token_set_once_more(farm: Farm) -> None:
    """Not a new one, and not the read-only one of a superseded ID."""
    node = farm.node()
    token = node.stored(a=1)
    session = opened(node, token)
    session.regenerate(grace=5)
    node.commit(session)
    assert node.engine.renewed(node.open(())) == KEEP
    assert node.engine.renewed(opened(node, token)) == KEEP


# -- conflicts


@pytest.mark.parametrize("conflict", ["merge", "overwrite"])
def test_steps_are_made_again_on_the_newest_version(farm: Farm, conflict: str) -> None:
    """Increments and appends of both requests count, also where the later one overwrites the rest."""
    node = farm.node(conflict=conflict)
    token = node.stored(n=1, log=["a"], x=0)
    first, second = opened(node, token), opened(node, token)
    for session, name in ((first, "b"), (second, "c")):
        session.increment("n", 10)
        session.append("log", name)
    first["x"] = 1
    node.commit(first)
    node.commit(second)
    assert node.read(token) == {"n": 21, "log": ["a", "b", "c"], "x": 1 if conflict == "merge" else 0}
    assert counted(node, "merged", "overwritten") == ([1, 0] if conflict == "merge" else [0, 1])


def test_after_a_merge_the_session_shows_what_is_stored(farm: Farm) -> None:
    """A stream that goes on after `save` sees the other request's change, and can save again."""
    node = farm.node()
    token = node.stored(a=1)
    session = opened(node, token)
    session["b"] = 1
    farm.changed_by_another(node, token, c=1)()
    session.save()
    assert session == {"a": 1, "b": 1, "c": 1}
    session["b"] = 2
    assert farm.asked_for(session.save) == ["replace"]
    assert node.read(token) == {"a": 1, "b": 2, "c": 1}


def test_what_the_other_request_removed_stays_removed(farm: Farm) -> None:
    """A change inside of a value does not bring the key back; an assignment does."""
    node = farm.node()
    token = node.stored(user={"name": "x"}, cart=[1])
    session, removing = opened(node, token), opened(node, token)
    session["user"]["seen"] = True
    session["cart"] = [2]
    del removing["user"], removing["cart"]
    node.commit(removing)
    node.commit(session)
    assert node.read(token) == {"cart": [2]}


def test_a_conflict_as_an_error_changes_nothing(farm: Farm) -> None:
    """It is counted, and the other request's version stands; in the middle of a request as at its end."""
    node = farm.node(conflict="raise")
    token = node.stored(a=1)
    session = opened(node, token)
    session["a"] = 2
    farm.changed_by_another(node, token, a=3)()
    with pytest.raises(Conflict):
        session.save()
    with pytest.raises(Conflict):
        node.commit(session)
    assert node.read(token) == {"a": 3}
    assert counted(node, "conflict") == [2]


@pytest.mark.parametrize("way", ["save", "commit"])
def test_a_session_that_is_written_without_end_is_given_up(
    farm: Farm, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """It is a conflict where the application saves, and an outage at the end of a request: try again later."""
    monkeypatch.setattr(commit, "_ATTEMPTS", 5)
    node = farm.node()
    token = node.stored(a=0)
    session = opened(node, token)
    session["b"] = 1
    inner = farm.node()
    busy: list[int] = []

    def other_request() -> None:
        if not busy:
            busy.append(1)
            writing = opened(inner, token)
            writing["a"] += 1
            inner.commit(writing)
            busy.pop()

    farm.store.always_before("replace", other_request)
    error = Conflict if way == "save" else BackendUnavailable
    with pytest.raises(error, match="too many requests"):
        session.save() if way == "save" else node.commit(session)


def test_requests_of_one_process_take_turns(farm: Farm) -> None:
    """Of thirty threads that add to one number at the same time none starves, and each counts."""
    node = farm.node()
    token = node.stored(n=0)
    together = threading.Barrier(30)

    def request() -> None:
        session = opened(node, token)
        session.increment("n")
        together.wait(60)
        node.commit(session)

    threads = [threading.Thread(target=request) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert node.read(token) == {"n": 30}


def test_a_writer_that_stands_still_holds_up_no_other_for_long(farm: Farm) -> None:
    """After twice the timeout of an operation the next one of the process goes ahead of it."""
    node = farm.node(timeout=0.02)
    token = node.stored(a=1)
    slow, quick = opened(node, token), opened(node, token)
    slow["slow"] = quick["quick"] = True
    stands, may_go_on = threading.Event(), threading.Event()
    farm.store.before("replace", lambda: (stands.set(), may_go_on.wait(60)))
    thread = threading.Thread(target=lambda: node.commit(slow))
    thread.start()
    assert stands.wait(60)
    node.commit(quick)
    assert node.read(token) == {"a": 1, "quick": True}
    may_go_on.set()
    thread.join(60)
    assert node.read(token) == {"a": 1, "quick": True, "slow": True}


# -- answers that are lost


@pytest.mark.parametrize("verb", ["add", "replace", "end", "supersede"])
def test_a_request_whose_answer_was_lost_is_asked_again(farm: Farm, verb: str) -> None:
    """A client repeats what it asked; the second answer says that it was done already, and that is success."""
    node = farm.node()
    token = node.stored(a=1, n=1)
    session = opened(node, token) if verb != "add" else node.open(())
    {"end": session.destroy, "supersede": session.regenerate}.get(verb, lambda: session.increment("n"))()
    farm.store.ask_twice(verb)
    outcome = node.commit(session)
    assert counted(node, "unavailable", "merged", "write_dropped") == [0, 0, 0]
    now = outcome.token.encode() if outcome.token else token
    expected: dict[str, dict[str, int]] = {"add": {"n": 1}, "end": {}, "replace": {"a": 1, "n": 2}}
    assert node.read(now) == expected.get(verb, {"a": 1, "n": 1})


def test_a_write_whose_answer_was_lost_is_known_by_its_own_id(farm: Farm) -> None:
    """Also if another request has written since: the increment is in there, once."""
    node = farm.node()
    token = node.stored(n=1)
    session = opened(node, token)
    session.increment("n")

    def done_and_overtaken() -> None:
        farm.store.before("get", farm.changed_by_another(node, token, other=True))

    farm.store.ask_twice("replace")
    farm.store.before("replace", done_and_overtaken)
    node.commit(session)
    assert node.read(token) == {"n": 2, "other": True}


@pytest.mark.parametrize("verb", ["add", "replace"])
def test_a_write_that_nobody_confirmed_may_be_stored_all_the_same(farm: Farm, verb: str) -> None:
    """The request is an outage; a new session is not handed out, a stored one has the change at the next look."""
    node = farm.node()
    token = node.stored(a=1)
    session = node.open([token] if verb == "replace" else ())
    session["b"] = 2
    farm.store.lose_answer(verb)
    with pytest.raises(BackendUnavailable):
        node.commit(session)
    assert counted(node, "unavailable") == [1]
    assert state_of(session).outcome == KEEP
    assert node.read(token) == ({"a": 1, "b": 2} if verb == "replace" else {"a": 1})


@pytest.mark.parametrize(("verb", "existed"), [("add", False), ("add", True), ("supersede", True)])
def test_a_new_id_that_nobody_confirmed_is_not_used_again(farm: Farm, verb: str, existed: bool) -> None:
    """Where the application goes on after a `save` that failed, the commit hands out one that is certainly free."""
    node = farm.node()
    token = node.stored(a=1)
    session = opened(node, token) if existed else node.open(())
    session["b"] = 2
    session.regenerate()
    farm.store.lose_answer(verb)
    with pytest.raises(BackendUnavailable):
        session.save()
    new = node.commit(session).token
    assert new
    assert node.read(new.encode()) == ({"a": 1, "b": 2} if existed else {"b": 2})
    assert node.read(token) == ({} if existed else {"a": 1})


@pytest.mark.parametrize(
    ("conflict", "another"),
    [("merge", False), ("merge", True), ("overwrite", False), ("overwrite", True), ("raise", False)],
)
def test_a_save_whose_answer_was_lost_counts_once(farm: Farm, conflict: str, another: bool) -> None:
    """The next save of the request finds its own write, also below another's, and repeats no step that is in it."""
    node = farm.node(conflict=conflict)
    token = node.stored(n=0, log=[], kept=1)
    session = opened(node, token)
    session.increment("n")
    session.append("log", "first")
    session["a"] = 1
    farm.store.lose_answer("replace")
    with pytest.raises(BackendUnavailable):
        session.save()
    if another:
        other = opened(node, token)
        other.increment("n", 10)
        node.commit(other)
    session.increment("n")
    session["b"] = 2
    session.save()
    expected = {"n": 12 if another else 2, "log": ["first"], "kept": 1, "a": 1, "b": 2}
    assert node.read(token) == expected
    assert session == expected


def test_a_version_that_is_of_no_use_is_no_conflict(farm: Farm) -> None:
    """Nothing has changed: the connection that it belonged to is gone."""
    node = farm.node(conflict="raise")
    token = node.stored(n=0)
    session = opened(node, token)
    state_of(session).version = -1
    session["n"] = 1
    node.commit(session)
    assert node.read(token) == {"n": 1}
    assert counted(node, "conflict") == [0]


def test_a_logout_whose_answer_was_lost_is_not_confirmed(farm: Farm) -> None:
    """The user must not believe that it worked, even if it did."""
    node = farm.node()
    token = node.stored(a=1)
    session = opened(node, token)
    session.destroy()
    farm.store.lose_answer("end")
    with pytest.raises(LogoutNotConfirmed):
        node.commit(session)


# -- new IDs


def test_a_new_id_whose_old_one_was_not_confirmed_is_not_handed_out(farm: Farm) -> None:
    """The login fails as an outage; neither ID is of use to the client that holds the old one."""
    node = farm.node()
    token = node.stored(a=1)
    session = opened(node, token)
    session.regenerate()
    farm.store.lose_answer("supersede")
    with pytest.raises(BackendUnavailable):
        node.commit(session)
    assert state_of(session).outcome == KEEP
    assert node.read(token) == {}


@pytest.mark.parametrize("way", ["save", "commit"])
def test_a_logout_that_was_first_ends_the_new_session_too(farm: Farm, way: str) -> None:
    """A login that ran beside a logout leaves nothing behind, under either ID."""
    node = farm.node()
    token = node.stored(a=1)
    session = opened(node, token)
    session.regenerate()
    leaving = node.open([token])
    leaving.destroy()
    farm.store.before("supersede", lambda: node.commit(leaving))
    if way == "save":
        with pytest.raises(SessionEnded):
            session.save()
    else:
        assert node.commit(session) == KEEP
        assert counted(node, "write_dropped", "regenerated") == [1, 0]
    assert farm.store.asked[-2:] == ["end", "end"]  # of the logout, and of the new session
    assert farm.store.alive == 0


def test_a_destroyed_session_and_the_new_one_in_its_place(farm: Farm) -> None:
    """What is written after `destroy` is a new session; the old one is ended as a logout, without a note."""
    node = farm.node()
    token = node.stored(a=1)
    session = opened(node, token)
    session.regenerate(grace=10)
    session.destroy()
    session["b"] = 2
    new = node.commit(session).token
    assert new
    assert node.read(new.encode()) == {"b": 2}
    assert node.read(token) == {}
    assert counted(node, "destroyed", "created", "regenerated") == [1, 2, 0]


def test_the_end_is_asked_for_as_long_as_a_copy_may_live(farm: Farm) -> None:
    """A session with an idle timeout of its own is remembered as ended for that long."""
    node = farm.node(idle_timeout=100)
    session = node.open(())
    session["a"] = 1
    session.idle_timeout = 5000
    token = node.commit(session).token
    assert token
    for carried in (token.encode(), node.stored(a=1)):
        leaving = node.open([carried])
        leaving.destroy()
        assert node.commit(leaving) == CLEAR
    assert farm.store.ended == [2 * 5000 + LEEWAY, 2 * 100 + LEEWAY]


# -- what is refused


def test_what_is_too_large_is_refused_before_anything_is_sent(farm: Farm) -> None:
    """The message names the largest key; the version saved before is untouched, and a smaller one can be saved."""
    node = farm.node(max_size=1000)
    token = node.stored(a=1)
    session = opened(node, token)
    session["big"] = "x" * 2000
    before = len(farm.store.asked)
    with pytest.raises(SessionTooLarge, match="big"):
        node.commit(session)
    assert farm.store.asked[before:] == []
    assert node.read(token) == {"a": 1}
    session["big"] = "x"
    node.commit(session)
    assert node.read(token) == {"a": 1, "big": "x"}


def test_a_value_that_cannot_be_stored_is_named(farm: Farm) -> None:
    """Nothing is sent."""
    node = farm.node()
    token = node.stored(a=1)
    session = opened(node, token)
    session["thing"] = object()
    with pytest.raises(TypeError, match="thing"):
        node.commit(session)
    assert node.read(token) == {"a": 1}


def test_a_read_only_session_is_not_saved(farm: Farm) -> None:
    """A request with a superseded ID changes nothing, says nothing to the client, and is counted."""
    node = farm.node()
    token = node.stored(a=1)
    session = opened(node, token)
    session.regenerate(grace=10)
    node.commit(session)
    late = opened(node, token)
    late["a"] = 2
    assert farm.asked_for(lambda: node.commit(late)) == []
    assert state_of(late).outcome == KEEP
    assert counted(node, "write_dropped") == [1]


# -- time


def test_a_request_waits_for_the_store_twice_the_timeout_in_all(farm: Farm) -> None:
    """Then it is an outage, however many answers it got; a second try has time of its own, and nothing was lost."""
    node = farm.node(timeout=1.0)
    token = node.stored(a=1)
    session = node.open([token])
    farm.store.takes = 0.99
    session["a"] = 2  # the look takes one part
    farm.store.before("replace", farm.changed_by_another(farm.node(timeout=100.0), token, b=2))
    with pytest.raises(BackendUnavailable, match="used up"):
        node.commit(session)
    session.load()
    assert session == {"a": 2}
    farm.store.takes = 0.1
    session.save()
    assert session == {"a": 2, "b": 2}


def test_saving_in_the_middle_has_time_of_its_own(farm: Farm) -> None:
    """A stream may save as often as it likes."""
    node = farm.node(timeout=1.0)
    session = node.open([node.stored(n=0)])
    farm.store.takes = 0.9
    for _ in range(5):
        session.increment("n")
        session.save()
    assert node.read(*_tokens_of(session)) == {"n": 5}


def _tokens_of(session: Any) -> tuple[bytes, ...]:
    identity = state_of(session).identity
    assert identity
    return (identity.token.encode(),)


def test_an_operation_gets_what_is_left_of_the_time(farm: Farm) -> None:
    """The store is told how long it may take: never more than its share, never more than the rest."""
    node = farm.node(timeout=1.0)
    session = node.open([node.stored(a=1)])
    timeouts: list[float] = []
    backend = farm.store._backend
    for verb in ("get", "replace"):
        setattr(backend, verb, _noting(timeouts, getattr(backend, verb)))
    farm.store.takes = 1.6
    session["a"] = 2
    node.commit(session)
    assert timeouts == [1.0, pytest.approx(0.4)]


def _noting(timeouts: list[float], verb: Any) -> Any:
    def noted(*arguments: Any) -> Any:
        timeouts.append(arguments[-1])
        return verb(*arguments)

    return noted


# -- outages


def test_an_outage_at_the_commit_is_an_error_or_a_dropped_change(farm: Farm) -> None:
    """With "anonymous" the page is served, the cookie stays, and the change is counted as lost."""
    for on_outage in ("error", "anonymous"):
        node = farm.node(on_outage=on_outage)
        session = opened(node, node.stored(a=1))
        session["a"] = 2
        farm.store.down = True
        if on_outage == "error":
            with pytest.raises(BackendUnavailable):
                node.commit(session)
        else:
            assert node.commit(session) == KEEP
        farm.store.down = False
        assert counted(node, "unavailable", "write_dropped") == [1, int(on_outage == "anonymous")]


@pytest.mark.parametrize("on_outage", ["error", "anonymous"])
def test_a_framework_s_own_500_gives_way_where_an_outage_is_an_error(farm: Farm, on_outage: str) -> None:
    """Not where the request went on without a session, and not without an outage."""
    node = farm.node(on_outage=on_outage)
    session = node.open([node.stored(a=1)])
    assert not node.engine.must_refuse(session)
    farm.store.down = True
    with contextlib.suppress(BackendUnavailable):
        len(session)
    assert node.engine.must_refuse(session) == (on_outage == "error")


def test_what_a_front_door_drops_is_not_saved(farm: Farm) -> None:
    """Though the application still sees what it wrote; it is logged with the reason."""
    node = farm.node()
    token = node.stored(a=1)
    session = opened(node, token)
    session["a"] = 2
    node.engine.drop(session, "its websocket was closed")
    assert node.commit(session) == KEEP
    assert (session["a"], node.read(token)) == (2, {"a": 1})
    assert counted(node, "write_dropped") == [1]


# -- what watches


def test_a_tracer_sees_each_load_and_commit_and_how_it_ended(farm: Farm) -> None:
    """In one word: what was found, and what the client is told."""
    node = farm.node(on_outage="anonymous")
    tracer = node.observer.tracer = Names()
    token = node.stored(a=1)
    session = opened(node, token)
    session["a"] = 2
    node.commit(session)
    session.regenerate()
    node.commit(session)
    opened(node, token)
    gone = opened(node, _tokens_of(session)[0])
    gone.destroy()
    node.commit(gone)
    opened(node, _tokens_of(session)[0])
    farm.store.down = True
    opened(node, token)
    assert tracer.seen == [
        ("commit", "set"),
        ("load", "found"),
        ("commit", "keep"),
        ("commit", "set"),
        ("load", "superseded"),
        ("load", "found"),
        ("commit", "clear"),
        ("load", "none"),
        ("load", "unavailable"),
    ]


def test_an_asynchronous_session_is_not_read_before_it_is_loaded(farm: Farm) -> None:
    """On an event loop a look may not wait, so it says what to do; after `load` it is as any other."""
    node = farm.node()
    token = node.stored(a=1)
    session: Any = engines_of(node.manager).on_loop.open(type(node.open(())), [token])
    with pytest.raises(SessionNotLoaded, match=r"await session.load\(\)"):
        len(session)


def test_the_watched_store_is_a_store() -> None:
    """It carries out what it is asked, so that these tests are about the library."""
    store = WatchedStore(Farm().environment)
    version = store.add("k", b"1", 60.0, 1.0)
    assert store.get("k", None, 1.0).version == version
    assert store.touch("k", 60.0, 1.0)
