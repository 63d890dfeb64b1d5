"""The sessions of one principal over the farm: listed alive, ended one by one or all at once, others untouched."""

import asyncio
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sharedsession import MachineKey
from sharedsession.backends import connect
from sharedsession.environment import Environment
from sharedsession.keys import INDEX
from sharedsession.manager import engines_of
from tests.support.farm import SECRET, Browser, WebNode, destroy, everything, read, write
from tests.support.stopwatch import Stopwatch

SHARED = ("sqlite", "redis", "memcached", "ring")
OTHER = MachineKey.generate()
pytestmark = pytest.mark.parametrize("url", SHARED, indirect=True)


def login(principal: str) -> Any:
    """A handler that logs somebody in, and answers with the session's handle."""

    def handler(session: Any) -> str:
        session.principal = principal
        session["user"] = principal
        return session.id

    return handler


def logged_in(nodes: list[WebNode], principal: str, count: int) -> list[Browser]:
    """So many browsers of one person, each logged in on a node in turn."""
    browsers = [Browser(nodes, visits=number) for number in range(count)]
    for browser in browsers:
        assert browser.go(login(principal)).status == 200
    return browsers


def of(node: WebNode, verb: str, *arguments: Any, **options: Any) -> Any:
    """What a manager answers, in the colour of its node."""
    if node.colour == "wsgi":
        return getattr(node.manager, verb)(*arguments, **options)
    return node.do(getattr(node.manager, f"a{verb}")(*arguments, **options))


def handles(node: WebNode, principal: str) -> list[str]:
    return [info.id for info in of(node, "list", principal)]


def who(browser: Browser) -> list[str]:
    """Who the browser is on each node."""
    return [node.request(read("user"), browser.cookie).body for node in browser.nodes]


@pytest.fixture
def farm(url: str, web_node: Any) -> list[WebNode]:
    """Three web nodes."""
    return [web_node(url, timeout=5.0) for _ in range(3)]


def test_revoke_all_logs_out_everywhere(farm: list[WebNode]) -> None:
    """Twenty sessions over three nodes: all out within a second, others and the one excepted untouched."""
    alice, bob = logged_in(farm, "user:alice", 20), logged_in(farm, "user:bob", 3)
    assert len(handles(farm[1], "user:alice")) == 20
    kept = alice[7].go(lambda session: session.id).body.strip("'")
    with Stopwatch() as stopwatch:
        assert of(farm[2], "revoke_all", "user:alice", except_=kept) == 19
    assert stopwatch.took < 1
    assert [set(who(browser)) for browser in alice] == [
        {repr("user:alice")} if number == 7 else {"None"} for number in range(20)
    ]
    assert [set(who(browser)) for browser in bob] == [{repr("user:bob")}] * 3
    assert handles(farm[0], "user:alice") == [kept]


def test_what_is_listed_was_seen_alive(farm: list[WebNode]) -> None:
    """Logged out, or given a new ID: the old one is in no list; a new ID of the same session is."""
    one, two, three = logged_in(farm, "user:1", 3)
    one.go(destroy)
    two.go(lambda session: session.regenerate())
    expected = {browser.go(lambda session: session.id).body.strip("'") for browser in (two, three)}
    assert set(handles(farm[0], "user:1")) == expected
    assert handles(farm[0], "user:nobody") == []


def test_revoke_ends_one(farm: list[WebNode]) -> None:
    """By its public handle, on any node; what is none, or has ended, is a plain no."""
    one, two = logged_in(farm, "user:1", 2)
    handle = one.go(lambda session: session.id).body.strip("'")
    assert of(farm[2], "revoke", handle) is True
    assert (set(who(one)), set(who(two))) == ({"None"}, {repr("user:1")})
    assert [of(farm[0], "revoke", text) for text in (handle, "", "x" * 22, "A" * 22, "é", handle + "A")] == [False] * 6


def test_a_request_in_flight_does_not_bring_it_back(farm: list[WebNode]) -> None:
    """It had read its session before `revoke_all`; its change is dropped and no cookie is set."""
    (browser,) = logged_in(farm, "user:1", 1)

    def slow(session: Any) -> None:
        session["seen"] = 1
        assert of_other_colour(farm[1], "revoke_all", "user:1") == 1

    answer = farm[0].request(slow, browser.cookie)
    assert (answer.status, answer.set_cookies) == (200, [])
    assert set(who(browser)) == {"None"}


def of_other_colour(node: WebNode, verb: str, *arguments: Any) -> Any:
    """From a worker thread the blocking verbs serve in either colour."""
    return getattr(node.manager, verb)(*arguments)


def test_each_verb_has_both_colours(farm: list[WebNode]) -> None:
    """A manager of either colour answers blocking code, and code on a loop."""
    logged_in(farm, "user:1", 1)
    manager = farm[0].manager
    (info,) = manager.list("user:1")

    async def on_loop() -> list[Any]:
        answers = [await manager.alist("user:1"), await manager.arevoke(info.id), await manager.arevoke_all("user:1")]
        native = getattr(engines_of(manager).settings.backend, "asynchronous", None)
        if native is not None:
            await native.close()
        return answers

    assert asyncio.run(on_loop()) == [[info], True, 0]
    engines_of(manager).settings.backend.close()


def test_logins_at_a_time_are_all_found(farm: list[WebNode]) -> None:
    """Each is in the index, however many write it at once."""
    browsers = [Browser(farm, visits=number) for number in range(16)]
    with ThreadPoolExecutor(8) as crowd:
        answers = list(crowd.map(lambda browser: browser.go(login("user:1")), browsers))
    assert sorted(handles(farm[0], "user:1")) == sorted(answer.body.strip("'") for answer in answers)


def test_a_limit_ends_the_oldest(url: str, web_node: Any) -> None:
    """`max_sessions`: one more login ends the oldest that lives, and no other."""
    nodes = [web_node(url, timeout=5.0, max_sessions=3) for _ in range(2)]
    browsers = logged_in(nodes, "user:1", 3)
    browsers[1].go(destroy)
    browsers += logged_in(nodes, "user:1", 2)
    assert [set(who(browser)) for browser in browsers] == [{"None"}] * 2 + [{repr("user:1")}] * 3
    assert sum(engines_of(node.manager).observer.counters["too_many_sessions"] for node in nodes) == 1


def test_lists_survive_a_rotation(url: str, web_node: Any) -> None:
    """Sessions that began under the old and under the new secret are in one list, and all end."""
    old, both = web_node(url, timeout=5.0), web_node(url, timeout=5.0, secret_key=[OTHER, SECRET])
    (before,), (after,) = logged_in([old], "user:1", 1), logged_in([both], "user:1", 1)
    assert len(handles(both, "user:1")) == 2
    assert of(both, "revoke_all", "user:1") == 2
    assert both.request(everything, before.cookie).body == both.request(everything, after.cookie).body == "{}"


def test_the_store_sees_no_name(farm: list[WebNode], url: str, request: pytest.FixtureRequest, tmp_path: Any) -> None:
    """Neither the name of a principal nor a handle stands in the store."""
    (browser,) = logged_in(farm, "user:alice@example.org", 1)
    handle = browser.go(lambda session: session.id).body.strip("'")
    if url.startswith("sqlite"):
        found = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    else:
        server = request.getfixturevalue({"redis": "redis"}.get(url.partition(":")[0], "memcached"))
        server = request.getfixturevalue("ring") if "replicas" in url else server
        found = b"".join(key.encode() + value for key, value in server.dump().items())
    assert found
    assert b"alice" not in found
    assert handle.encode() not in found


def test_a_client_is_remembered_only_if_asked_for(farm: list[WebNode]) -> None:
    """Browser and address of a login are personal data."""
    logged_in(farm, "user:1", 1)
    (info,) = of(farm[0], "list", "user:1")
    assert (info.user_agent, info.address) == (None, None)
    assert abs(info.created_at.timestamp() - time.time()) < 60
    assert "user" not in repr(info)


def forget(url: str, request: Any, key: str) -> None:
    """Has a store lose one record, as if it needed the memory."""
    if url.startswith("sqlite"):
        with sqlite3.connect(url.partition(":///")[2]) as connection:
            connection.execute("DELETE FROM sessions WHERE key = ?", (key,))
    elif "replicas" in url:
        for server in request.getfixturevalue("ring").servers:
            server.command("delete", key)
    else:
        kind = url.partition(":")[0]
        request.getfixturevalue(kind).command("DEL" if kind == "redis" else "delete", key)


def test_a_session_is_found_again_after_its_index_was_lost(url: str, web_node: Any, request: Any) -> None:
    """Use makes the index anew, once an idle timeout, while the visitor does not wait."""
    clock = [time.time()]
    node = web_node(connect(url), environment=Environment(clock=lambda: clock[0]), timeout=5.0, idle_timeout=60)
    (browser,) = logged_in([node], "user:1", 1)
    key = engines_of(node.manager).settings.machine_key()
    (index,) = key.of_principal("user:1", INDEX)
    forget(url, request, index.store_key)
    assert handles(node, "user:1") == []
    clock[0] += 61  # as far as the web node's clock goes, it was last written an idle timeout ago
    assert browser.go(read("user")).status == 200
    for _ in range(1000):
        if handles(node, "user:1"):
            break
        time.sleep(0.01)
    assert len(handles(node, "user:1")) == 1
    assert browser.go(write("x", 1)).status == 200
