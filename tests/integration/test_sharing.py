"""One session, any web node, four real backends, both colours."""

import datetime as dt
import uuid
from decimal import Decimal

import pytest

from sharedsession.session import state_of
from tests.integration.conftest import SHARED
from tests.support.farm import Browser, WebNode, destroy, everything, read, untouched, write

pytestmark = pytest.mark.parametrize("url", SHARED, indirect=True)

RICH = {
    "int": 2**70,
    "float": 1.5,
    "none": None,
    "text": "Grüße\u2028",
    "bytes": b"\x00\xff",
    "tuple": (1, (2, "x")),
    "set": {1, 2},
    "datetime": dt.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=dt.UTC),
    "date": dt.date(2026, 1, 2),
    "timedelta": dt.timedelta(days=-1, microseconds=3),
    "uuid": uuid.UUID(int=42),
    "decimal": Decimal("1.10"),
    "nested": {"list": [1, {"deep": (None,)}]},
}


def count(session):
    session["n"] = session.get("n", 0) + 1
    return session["n"]


def test_one_counter_over_both_nodes(browser: Browser) -> None:
    """A visitor who is served by two nodes in turn has one session."""
    assert [browser.go(count).body for _ in range(10)] == [str(n) for n in range(1, 11)]


def test_every_promised_type_comes_back_as_itself(browser: Browser) -> None:
    """What one node stores the other one reads, type by type."""
    browser.go(lambda session: session.update(RICH))
    seen = []
    browser.go(lambda session: seen.append(dict(session)))
    assert seen == [RICH]
    assert [type(value) for value in seen[0].values()] == [type(value) for value in RICH.values()]


def test_changes_in_place_are_kept(browser: Browser) -> None:
    """A nested change and an append need no assignment."""
    browser.go(lambda session: session.update(a={"b": 0}, cart=[]))
    browser.go(lambda session: session["a"].update(b=1))
    browser.go(lambda session: session["cart"].append("apple"))
    browser.go(lambda session: session["cart"].append("pear"))
    assert browser.go(everything).body == repr({"a": {"b": 1}, "cart": ["apple", "pear"]})


def test_reading_is_no_change(browser: Browser) -> None:
    """Looking at nested values stores nothing and sets no cookie."""
    browser.go(lambda session: session.update(a={"b": [1, {2}]}))
    versions = []
    for _ in range(3):
        answer = browser.go(
            lambda session: versions.append((repr(session["a"]), session.modified, state_of(session).record))
        )
        assert answer.set_cookies == []
    assert len({version for _, modified, record in versions for version in [record.version]}) == 1
    assert not any(modified for _, modified, _ in versions)


def test_logout_ends_the_session_everywhere(browser: Browser) -> None:
    """After a logout on one node the old cookie is nobody's on any node, and the cookie is taken back."""
    browser.go(write("user", "alice"))
    old = browser.cookie
    answer = browser.go(destroy)
    assert browser.cookie == ""
    assert "Max-Age=0" in answer.set_cookies[0]
    for node in browser.nodes:
        assert node.request(everything, old).body == "{}"


def test_clearing_a_session_ends_it(browser: Browser) -> None:
    """`clear()` is how many applications log out: nothing is left, and the cookie is taken back."""
    browser.go(write("user", "alice"))
    old = browser.cookie
    browser.go(lambda session: session.clear())
    assert browser.cookie == ""
    assert browser.nodes[0].request(everything, old).body == "{}"


def test_what_is_written_after_a_logout_is_a_new_session(browser: Browser) -> None:
    """A farewell message after the logout lives under a new ID."""
    browser.go(write("user", "alice"))
    old = browser.cookie

    def leave(session):
        session.destroy()
        session["flash"] = "Goodbye"

    browser.go(leave)
    assert browser.cookie not in {"", old}
    assert browser.go(everything).body == repr({"flash": "Goodbye"})


def test_regenerate_keeps_the_data_under_a_new_id(browser: Browser) -> None:
    """After a login the old ID is dead, shows nothing and sets no cookie; the new one has the data."""
    browser.go(write("cart", ["apple"]))
    old = browser.cookie

    def login(session):
        session.regenerate()
        session["user"] = "alice"

    browser.go(login)
    assert browser.cookie != old
    assert browser.go(everything).body == repr({"cart": ["apple"], "user": "alice"})
    for node in browser.nodes:
        answer = node.request(count, old)
        assert (answer.body, answer.set_cookies) == ("1", [])
        assert node.request(everything, old).body == "{}"
    assert browser.go(everything).body == repr({"cart": ["apple"], "user": "alice"})


def test_regenerate_with_grace_shows_the_data_as_they_were(browser: Browser) -> None:
    """For a rotation without a change of rights the old ID gives a read-only view."""
    browser.go(write("cart", ["apple"]))
    old = browser.cookie

    def rotate(session):
        session.regenerate(grace=10)
        session["later"] = 1

    browser.go(rotate)
    for node in browser.nodes:
        answer = node.request(lambda session: (dict(session), session.update(x=1)), old)
        assert answer.body == repr(({"cart": ["apple"]}, None))
        assert answer.set_cookies == []
    assert browser.go(everything).body == repr({"cart": ["apple"], "later": 1})


def test_an_unknown_id_is_never_adopted(browser: Browser, nodes: list[WebNode]) -> None:
    """A genuine token whose session is gone gets a new ID on its first write (100 of 100)."""
    browser.go(write("user", "alice"))
    gone = browser.cookie
    browser.go(destroy)
    for _ in range(100):
        answer = nodes[0].request(write("x", 1), gone)
        assert len(answer.set_cookies) == 1
        assert not answer.set_cookies[0].startswith(gone)


def test_untouched_and_anonymous_requests_leave_nothing(browser: Browser) -> None:
    """Without a write there is no record, no cookie, and an untouched page stays cacheable."""
    answer = browser.go(untouched)
    assert (answer.set_cookies, answer.all("vary")) == ([], [])
    answer = browser.go(read("user"))
    assert (answer.set_cookies, answer.all("vary")) == ([], ["Cookie"])
    assert browser.go(lambda session: session.clear()).set_cookies == []


def test_an_own_idle_timeout_survives_reads_by_other_nodes(browser: Browser) -> None:
    """A longer life is not shortened to the idle timeout of the farm by a read."""

    def remember(session):
        session["user"] = "alice"
        session.idle_timeout = 86_400
        session.persistent = True

    answer = browser.go(remember)
    assert "Max-Age=" in answer.set_cookies[0]
    for _ in range(2):
        assert browser.go(lambda session: (session["user"], session.idle_timeout)).body == repr(("alice", 86_400.0))


def test_the_principal_changes_the_id(browser: Browser) -> None:
    """Setting another principal is a change of rights, so the old ID is dead."""
    browser.go(write("x", 1))
    old = browser.cookie
    browser.go(lambda session: setattr(session, "principal", "user:42"))
    assert browser.cookie != old
    assert browser.go(lambda session: (session.principal, session["x"])).body == repr(("user:42", 1))
    current = browser.cookie
    browser.go(lambda session: setattr(session, "principal", "user:42"))
    assert browser.cookie == current
