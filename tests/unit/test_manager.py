"""The decision table: what each state of a session asks of the store, and what the client is told. On a false clock."""

import pytest

from sharedsession import Conflict, LogoutNotConfirmed, MachineKey, SessionEnded
from sharedsession.backends.memory import MemoryBackend
from sharedsession.environment import Environment
from sharedsession.errors import BackendUnavailable, SessionError
from sharedsession.http import CLEAR, KEEP
from sharedsession.session import state_of
from tests.support.node import Node

SECRET = MachineKey.generate()
START = 1_800_000_000.0


class Farm:
    """A store that notes what it is asked, a clock, and managers over both."""

    def __init__(self) -> None:
        self.store, self.asked, self.now, self.down = MemoryBackend(), [], START, False
        self.max_value = self.store.max_value

    def manager(self, **keywords):
        """A web node of this farm."""
        environment = Environment(clock=lambda: self.now)
        return Node.of(environment, secret_key=SECRET, backend=self, **keywords)

    def get(self, *arguments):
        return self._ask("get", *arguments)

    def add(self, *arguments):
        return self._ask("add", *arguments)

    def replace(self, *arguments):
        return self._ask("replace", *arguments)

    def end(self, *arguments):
        return self._ask("end", *arguments)

    def supersede(self, *arguments):
        return self._ask("supersede", *arguments)

    def touch(self, *arguments):
        return self._ask("touch", *arguments)

    def health(self):
        return self.store.health()

    def _ask(self, verb, *arguments):
        self.asked.append(verb)
        if self.down:
            raise BackendUnavailable("down")
        return getattr(self.store, verb)(*arguments)


@pytest.fixture
def farm():
    """One empty store and one clock."""
    return Farm()


def stored(manager, **data):
    """The token of a session with these data."""
    session = manager.open([])
    session.update(data)
    return manager.commit(session).token.encode()


class Cookies:
    """What finds the tokens of a request; counts how often it is asked."""

    def __init__(self, *tokens):
        self.tokens, self.asked = tokens, 0

    def __call__(self):
        self.asked += 1
        return self.tokens


def test_tokens_are_not_searched_for_a_session_that_nobody_looks_at(farm):
    manager, cookies = farm.manager(), Cookies(b"junk")
    session = manager.open(cookies)
    assert manager.commit(session) is KEEP
    assert (cookies.asked, farm.asked) == (0, [])


def test_tokens_are_searched_once(farm):
    manager = farm.manager()
    first = manager.open(())
    first["a"] = 1
    cookies = Cookies(manager.commit(first).token.encode())
    session = manager.open(cookies)
    assert (session["a"], dict(session), state_of(session).had_token, cookies.asked) == (1, {"a": 1}, True, 1)


def test_a_request_that_carries_no_token_has_none_to_take_back(farm):
    manager = farm.manager()
    session = manager.open(Cookies())
    session.destroy()
    assert (manager.commit(session), state_of(session).had_token, farm.asked) == (KEEP, False, [])


@pytest.mark.parametrize(
    ("existed", "act", "verbs", "outcome"),
    [
        (False, lambda _: None, [], "keep"),
        (False, lambda s: s.get("x"), [], "keep"),
        (False, lambda s: s.update(x=1), ["add"], "set"),
        (False, lambda s: s.regenerate(), [], "keep"),
        (False, lambda s: s.clear(), [], "keep"),
        (False, lambda s: s.destroy(), [], "keep"),
        (True, lambda _: None, [], "keep"),
        (True, lambda s: s.get("x"), ["get"], "keep"),
        (True, lambda s: s.update(x=1), ["get", "replace"], "keep"),
        (True, lambda s: s.regenerate(), ["get", "add", "supersede"], "set"),
        (True, lambda s: (s.update(x=1), s.regenerate()), ["get", "add", "supersede"], "set"),
        (
            True,
            lambda s: setattr(s, "principal", "user:1"),
            [
                "get",
                *("get", "add", "get"),
                "get",
                "add",
                "add",
                "supersede",
            ],  # the stamp is made, then record and index
            "set",
        ),
        (True, lambda s: s.clear(), ["get", "end"], "clear"),
        (True, lambda s: s.destroy(), ["end"], "clear"),
        (True, lambda s: (s.get("x"), s.destroy()), ["get", "end"], "clear"),
        (True, lambda s: (s.destroy(), s.update(y=1)), ["end", "add"], "set"),
    ],
)
def test_the_decision_table(farm, existed, act, verbs, outcome):
    """Each row asks the store for exactly this much, in this order."""
    manager = farm.manager()
    tokens = [stored(manager, a=1)] if existed else []
    farm.asked.clear()
    session = manager.open(tokens)
    act(session)
    found = manager.commit(session)
    assert farm.asked == verbs
    assert ("set" if found.token else "clear" if found.clear else "keep") == outcome
    assert not existed or found.token != tokens[0].decode()


@pytest.mark.parametrize("tokens", [[b""], [b"garbage"], [b"a.b.c"], [b"\xff" * 500]])
def test_a_bad_token_costs_no_store_operation(farm, tokens):
    """It is no session: nothing is asked, nothing is told, and logging out takes the cookie back."""
    manager = farm.manager()
    session = manager.open(tokens)
    assert dict(session) == {}
    assert manager.commit(session) == KEEP
    session.destroy()
    assert manager.commit(session) == CLEAR
    assert farm.asked == []


def test_two_genuine_tokens_are_nobody_s(farm, caplog):
    """Somebody planted a cookie, so the request is anonymous; the same token twice is no riddle."""
    manager = farm.manager()
    one, two = stored(manager, who=1), stored(manager, who=2)
    assert dict(manager.open([one, two])) == {}
    assert manager.observer.counters["two_tokens"] == 1
    assert dict(manager.open([one, one, b"garbage"])) == {"who": 1}
    assert one.decode() not in caplog.text


def test_an_id_that_the_store_does_not_hold_is_never_adopted(farm):
    """After the end of a session its ID stays dead: the next write makes a new one."""
    manager = farm.manager()
    token = stored(manager, a=1)
    farm.store = MemoryBackend()
    session = manager.open([token])
    session["a"] = 2
    assert manager.commit(session).token.encode() != token
    assert dict(manager.open([token])) == {}


@pytest.mark.parametrize(
    ("conflict", "left"),
    [("merge", {"a": 1, "ours": 1, "theirs": 1, "n": 3}), ("overwrite", {"a": 1, "ours": 1, "n": 3})],
)
def test_two_requests_that_changed_one_session(farm, conflict, left):
    """Merged by key, or the later one's; increments are exact either way."""
    manager = farm.manager(conflict=conflict)
    token = stored(manager, a=1, n=1)
    first, second = manager.open([token]), manager.open([token])
    assert first == second  # both have read before either writes
    for session, key in ((first, "theirs"), (second, "ours")):
        session[key] = 1
        session.increment("n")
        manager.commit(session)
    assert dict(manager.open([token])) == left


def test_a_conflict_can_be_an_error(farm):
    """Who asked for it gets it, and the other request's version stands."""
    manager = farm.manager(conflict="raise")
    token = stored(manager, a=1)
    first, second = manager.open([token]), manager.open([token])
    first["a"], second["a"] = 2, 3
    manager.commit(first)
    with pytest.raises(Conflict):
        manager.commit(second)
    assert manager.open([token])["a"] == 2


def test_a_logout_is_final_for_a_request_that_was_running(farm):
    """Its change is dropped and counted, or reported where the application saves by itself; nothing comes back."""
    manager = farm.manager()
    token = stored(manager, a=1)
    running, saving = manager.open([token]), manager.open([token])
    running["a"], saving["a"] = 2, 3
    leaving = manager.open([token])
    leaving.destroy()
    assert manager.commit(leaving) == CLEAR
    assert manager.commit(running) == KEEP
    with pytest.raises(SessionEnded):
        saving.save()
    assert manager.observer.counters["write_dropped"] == 1
    assert dict(manager.open([token])) == {}


def test_an_outage_is_an_error_or_an_anonymous_request(farm):
    """With "anonymous" the page is served from an empty session; the cookie stays, and nothing is saved."""
    token = stored(farm.manager(), a=1)
    farm.down = True
    with pytest.raises(BackendUnavailable):
        len(farm.manager().open([token]))
    manager = farm.manager(on_outage="anonymous")
    session = manager.open([token])
    session["a"] = 2
    assert manager.commit(session) == KEEP
    farm.down = False
    assert manager.open([token])["a"] == 1


@pytest.mark.parametrize("on_outage", ["error", "anonymous"])
def test_a_logout_that_nobody_confirmed_is_an_error(farm, on_outage):
    """The user must not believe to be logged out."""
    manager = farm.manager(on_outage=on_outage)
    session = manager.open([stored(manager, a=1)])
    session.destroy()
    farm.down = True
    with pytest.raises(LogoutNotConfirmed):
        manager.commit(session)


def test_after_the_first_byte_no_new_id_can_be_handed_out(farm):
    """What would need a cookie is an error where it is asked for, not a session that is lost."""
    manager = farm.manager()
    new, old = manager.open([]), manager.open([stored(manager, a=1)])
    for session in (new, old):
        state_of(session).response_started = True
    with pytest.raises(SessionError, match="response has started"):
        new["a"] = 1
    with pytest.raises(SessionError, match="response has started"):
        old.regenerate()
    old["a"] = 2
    assert manager.commit(old) == KEEP


def test_fingerprints_tell_what_a_farm_must_agree_on(farm):
    """Equal on nodes that agree, different in the one part where they do not, and no secret among them."""
    same, other = farm.manager().manager.fingerprint(), farm.manager(app_name="other").manager.fingerprint()
    assert farm.manager().manager.fingerprint() == same
    assert {part for part in same if same[part] != other[part]} == {"app_name", "secret_key"}
    assert SECRET not in str(farm.manager().manager.health())
