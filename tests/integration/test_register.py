"""Web nodes find each other in the store, whatever they disagree on, and the log says what that is. Real servers."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from sharedsession import MachineKey, Session
from sharedsession.asgi import SessionMiddleware as AsgiMiddleware
from sharedsession.backends import connect
from sharedsession.backends.adapters import for_blocking
from sharedsession.backends.base import ManyNodesBackend
from sharedsession.concurrency import run
from sharedsession.environment import Environment
from sharedsession.errors import BackendUnavailable, FarmDisagrees
from sharedsession.farm import monitor
from sharedsession.farm.drift import WebNode
from sharedsession.farm.registry import KEY, Registry, decoded, encoded
from sharedsession.manager import engines_of
from sharedsession.readiness import is_ready
from sharedsession.wsgi import SessionMiddleware as WsgiMiddleware
from tests.support.node import Node
from tests.support.ring import Ring

SECRETS = [MachineKey.generate(), MachineKey.generate()]
SHARED = ("memory", "sqlite", "redis", "valkey", "memcached", "memcached+text", "ring")
WITHIN = 5.0
OPEN: list[Any] = []
QUARTER = 900.0

# What one web node is given in place of what the others have, and the part that must be named.
PLANTED: dict[str, tuple[dict[str, Any], str]] = {
    "other secret": ({"secret_key": MachineKey.generate()}, "the secrets"),
    "other order of secrets": ({"secret_key": SECRETS[::-1]}, "the order of the secrets"),
    "other app_name": ({"app_name": "shpo"}, "app_name"),
    "other idle timeout": ({"idle_timeout": 600}, "idle_timeout"),
    "other absolute timeout": ({"absolute_timeout": None}, "absolute_timeout"),
    "other conflict": ({"conflict": "overwrite"}, "conflict"),
    "other max_size": ({"max_size": 1000}, "max_size"),
    "encrypt off": ({"encrypt": False}, "encrypt"),
    "clock ahead": ({"clock": lambda: time.time() + QUARTER}, "the time"),
    "clock behind": ({"clock": lambda: time.time() - QUARTER}, "the time"),
    "other cookie": ({"cookie_name": "__Host-sid"}, "the cookie's settings"),
    "other persistence of the cookie": ({"cookie_persistent": True}, "cookie_persistent"),
    "other transport": ({"transport": "cookie+header"}, "transport"),
}
PLANTED_RINGS = {
    "a list without a node": (lambda ring: ring.url_of([0, 1]), "the list of nodes in the ring"),
    "one node alone": (lambda ring: ring.servers[2].url, "the list of nodes in the ring"),
    "another layout": (lambda ring: f"{ring.url}&layout=ketama", "the layout of the ring"),
    "other replicas": (lambda ring: ring.url.replace("replicas=2", "replicas=3"), "the replicas of the ring"),
}


def web_node(backend: Any, *, clock: Callable[[], float] = time.time, **keywords: Any) -> Node:
    """A web node like all others, but for what is given."""
    backend = connect(backend) if isinstance(backend, str) else backend  # the store's clock is right
    given = {"secret_key": SECRETS, "backend": backend, "timeout": WITHIN, "farm_check": "refuse", **keywords}
    node = Node.of(Environment(clock=clock), **given)
    OPEN.append(node.settings.backend)
    return node


def announced(*nodes: Node) -> None:
    """As if each had served a request."""
    for node in nodes:
        run(node.engine.monitor.announce())


def visit(node: Node) -> None:
    """A request that stores something."""
    session = node.open([])
    session["seen"] = 1
    node.commit(session)


def registered(url: str) -> list[WebNode]:
    """Who stands in the register."""
    backend = connect(url)
    OPEN.append(backend)
    store = for_blocking(backend)
    assert store is not None
    return run(Registry(store).read(WITHIN))


def records(caplog: pytest.LogCaptureFixture, event: str) -> list[logging.LogRecord]:
    return [record for record in caplog.records if getattr(record, "event", None) == event]


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """Leaves no connection open."""
    yield
    while OPEN:
        OPEN.pop().close()


@pytest.fixture
def shared(request: pytest.FixtureRequest, url: str) -> Any:
    """A backend for all web nodes: of memory they share the object."""
    return connect(url) if url == "memory://" else url


# -- what the log says


@pytest.mark.parametrize("url", SHARED, indirect=True)
@pytest.mark.parametrize("name", PLANTED)
def test_each_misconfiguration_is_named_in_the_log_with_its_mend(shared, name, caplog):
    """By the web node that has it, and by one that has not; with the mend, and without a secret."""
    keywords, part = PLANTED[name]
    caplog.set_level(logging.INFO, "sharedsession")
    good, other, odd = web_node(shared), web_node(shared), web_node(shared, **keywords)
    announced(other)
    for manager in (odd, good):
        caplog.clear()
        try:
            visit(manager)
        except FarmDisagrees:
            assert manager is odd
        is_lawful = part == "app_name"
        (record,) = records(caplog, "farm_differs" if is_lawful else "farm_disagrees")
        assert record.levelno == (logging.INFO if is_lawful else logging.ERROR)
        assert f" on {part}" in record.getMessage()
        assert ": " in record.getMessage()
        assert not any(secret in caplog.text for secret in SECRETS)


@pytest.mark.parametrize("name", PLANTED_RINGS)
def test_web_nodes_with_different_rings_find_each_other(ring: Ring, name, caplog):
    """On any server that both have in their list, whatever a key's owners are for each of them."""
    url_of, part = PLANTED_RINGS[name]
    announced(web_node(ring.url), web_node(ring.url))
    with pytest.raises(FarmDisagrees):
        visit(web_node(url_of(ring)))
    (record,) = records(caplog, "farm_disagrees")
    assert f" on {part}" in record.getMessage()


@pytest.mark.parametrize("url", SHARED, indirect=True)
def test_those_who_agree_say_nothing(shared, caplog):
    """And each sees the other."""
    first, second = web_node(shared), web_node(shared, timeout=4.0, compress_above=None)
    for manager in (first, second, first):
        visit(manager)
    announced(first)
    assert records(caplog, "farm_disagrees") == records(caplog, "farm_differs") == []
    farm = first.manager.health()["farm"]
    assert len(farm["nodes"]) == 1
    assert (farm["disagreements"], farm["notes"], farm["refuses"]) == ([], [], False)


def test_what_may_be_meant_is_said_once(memcached, caplog):
    """Two applications in one store would fill the log otherwise; a fault is said again."""
    caplog.set_level(logging.INFO, "sharedsession")
    manager = web_node(memcached.url)
    announced(web_node(memcached.url, app_name="blog"), web_node(memcached.url, encrypt=False))
    for _ in range(2):
        manager.engine.monitor._this_node.process.next = 0.0
        run(manager.engine.monitor._tick())
    assert len(records(caplog, "farm_differs")) == 1
    assert len(records(caplog, "farm_disagrees")) == 2
    assert manager.manager.health()["counters"]["farm_disagrees"] == 2


# -- when


def test_without_the_setting_nobody_announces_anything(memcached):
    """No I/O that nobody asked for."""
    manager = web_node(memcached.url, farm_check=None)
    visit(manager)
    assert KEY not in memcached.dump()
    assert "farm" not in manager.manager.health()


def test_nothing_is_announced_before_a_request_has_asked_the_store(memcached):
    """Not by making a manager, and not by a visitor without a session."""
    manager = web_node(memcached.url)
    manager.commit(manager.open([]))
    assert memcached.dump() == {}


class Told(logging.Handler):
    """Waits for an event in the log."""

    def __init__(self, event: str) -> None:
        super().__init__()
        self.event, self.came = event, threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "event", None) == self.event:
            self.came.set()


@pytest.fixture
def told() -> Iterator[threading.Event]:
    """Is set when the log says that web nodes disagree."""
    handler = Told("farm_disagrees")
    logging.getLogger("sharedsession").addHandler(handler)
    yield handler.came
    logging.getLogger("sharedsession").removeHandler(handler)


@pytest.mark.parametrize("url", ["redis", "memcached", "ring", "sqlite"], indirect=True)
def test_warn_looks_in_the_background_of_a_blocking_application(url, told):
    """The request is answered, a thread announces."""
    announced(web_node(url), web_node(url))
    visit(web_node(url, farm_check="warn", idle_timeout=5))
    assert told.wait(WITHIN)


@pytest.mark.parametrize("url", ["redis", "memcached", "ring"], indirect=True)
def test_warn_looks_in_the_background_of_an_event_loop(url, told):
    """The request is answered, a task announces."""
    announced(web_node(url), web_node(url))

    async def serve() -> None:
        engine = engines_of(web_node(url, farm_check="warn", idle_timeout=5).manager).on_loop
        session = engine.open(Session, ())
        session["seen"] = 1
        await engine.finish(session)
        assert await asyncio.to_thread(told.wait, WITHIN)
        await engine.settings.backend.asynchronous.close()

    asyncio.run(serve())


def test_a_read_is_enough(memcached, told):
    """A web node that only reads announces itself as well."""
    writer = web_node(memcached.url, farm_check=None, idle_timeout=5)
    session = writer.open([])
    session["seen"] = 1
    token = writer.commit(session).token
    announced(web_node(memcached.url))
    reader = web_node(memcached.url, farm_check="warn", idle_timeout=5)
    assert reader.open([token.encode()])["seen"] == 1
    assert told.wait(WITHIN)


# -- refuse


def shop(environ: Any, start_response: Any) -> list[bytes]:
    environ["sharedsession.session"]["seen"] = 1
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def settings_of(url: str, **keywords: Any) -> dict[str, Any]:
    return {"secret_key": SECRETS, "backend": url, "timeout": WITHIN, "farm_check": "refuse", **keywords}


@pytest.mark.parametrize("url", ["redis", "ring"], indirect=True)
@pytest.mark.parametrize("on_outage", ["error", "anonymous"])
def test_the_odd_one_out_answers_503_until_the_farm_agrees(url, on_outage):
    """The others serve; and when more of them have its secret than not, it serves, too."""
    odd = {"secret_key": MachineKey.generate()}
    friends = [web_node(url), web_node(url)]
    announced(*friends)
    app = WsgiMiddleware(shop, **settings_of(url, on_outage=on_outage, **odd))
    OPEN.append(engines_of(app.manager).settings.backend)
    with httpx.Client(transport=httpx.WSGITransport(app=app), base_url="https://shop.example") as client:
        answers = [client.get("/") for _ in range(2)]
        assert [answer.status_code for answer in answers] == [503, 503]
        assert answers[0].headers["Retry-After"]
        assert "Set-Cookie" not in answers[0].headers
        assert app.manager.health()["farm"]["refuses"]
        visit(friends[0])
        announced(web_node(url, **odd), web_node(url, **odd), Node(app.manager))
        assert client.get("/").status_code == 200


@pytest.mark.parametrize("url", ["redis", "ring"], indirect=True)
def test_the_odd_one_out_is_not_ready(url):
    """So a load balancer sends it nobody, though the store answers."""
    friend, other = web_node(url), web_node(url)
    announced(friend, other)
    assert is_ready(friend.manager)
    assert not is_ready(web_node(url, encrypt=False).manager)
    assert is_ready(web_node(url, encrypt=False, farm_check="warn").manager)


def test_a_visitor_with_a_session_is_refused_as_well(memcached):
    """Loading is refused before the store is asked; in ASGI, too."""
    announced(web_node(memcached.url), web_node(memcached.url))

    async def application(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("not reached")

    async def serve() -> int:
        app = AsgiMiddleware(application, **settings_of(memcached.url, idle_timeout=5))
        token = Node(app.manager).engine.new_identity(None, None).token
        cookies = {"Cookie": f"__Host-session={token}"}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="https://x.example") as client:
            answer = await client.get("/", headers=cookies)
        await engines_of(app.manager).settings.backend.asynchronous.close()
        return answer.status_code

    assert asyncio.run(serve()) == 503


def test_a_store_that_does_not_answer_refuses_nobody(fresh):
    """What cannot be known is no disagreement: the visitor meets the outage itself, or none."""
    server = fresh("memcached")
    manager = web_node(server.url, timeout=1.0)
    server.kill()
    with pytest.raises(BackendUnavailable) as caught:
        visit(manager)
    assert not isinstance(caught.value, FarmDisagrees)
    server.restart()
    visit(web_node(server.url))


def test_a_ring_with_a_node_down_still_has_its_register(ring: Ring):
    """The other nodes have all of it."""
    announced(web_node(ring.url, timeout=1.0))
    ring.servers[0].kill()
    manager = web_node(ring.url, timeout=1.0, idle_timeout=5)
    assert [str(each.difference.part) for each in run(manager.engine.monitor.announce())] == ["idle_timeout"]


# -- the register


def test_all_who_announce_themselves_at_a_time_are_there(memcached):
    """Compare-and-swap loses nobody."""
    managers = [web_node(memcached.url) for _ in range(8)]
    threads = [threading.Thread(target=announced, args=(manager,)) for manager in managers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = {node.id for node in registered(memcached.url)}
    assert ids == {manager.engine.monitor.described().id for manager in managers}


def test_who_says_nothing_new_is_forgotten(memcached, monkeypatch):
    """Told by the clock of who looks; whoever speaks again is there again."""
    gone, lives, looks = (web_node(memcached.url) for _ in range(3))
    announced(gone, lives, looks)
    monkeypatch.setattr(monitor, "FORGET_AFTER", -1.0)
    announced(looks)
    assert {node.id for node in registered(memcached.url)} == {looks.engine.monitor.described().id}
    announced(lives)
    announced(looks)
    assert {lives.engine.monitor.described().id} == {node.id for node in looks.engine.monitor._this_node.process.others}


def test_a_child_after_a_fork_is_a_web_node_of_its_own(memcached, monkeypatch):
    """With its own ID and process number, and it announces itself anew."""
    manager = web_node(memcached.url)
    visit(manager)
    parent = manager.engine.monitor.described()
    monkeypatch.setattr(monitor.os, "getpid", lambda: 4711)
    child = manager.engine.monitor.described()
    assert child.id != parent.id
    assert child.name.endswith(":4711")
    assert "farm" not in manager.manager.health()


@pytest.mark.parametrize(
    "garbage",
    [
        *(b"", b"\xff", b"[]", b"{}", b"null", b'{"a": 1}', b'{"a": {"id": "x"}}', b"[" * 10000),
        b'{"a":{"id":"x","name":"n","version":"1","app":"a","secrets":[],"parts":{},"at":1e999,"since":0}}',
    ],
    ids=range(9),
)
def test_whoever_writes_garbage_there_does_no_harm(memcached, garbage):
    """Anybody who reaches the store can write to it; what cannot be read is left out."""
    assert decoded(garbage) == {}
    memcached.command("set", KEY, 0, 60, len(garbage), b"\r\n" + garbage)
    announced(web_node(memcached.url))
    assert len(registered(memcached.url)) == 1


@pytest.mark.parametrize("url", ["memory", "sqlite", "redis", "ring"], indirect=True)
def test_a_register_that_is_too_large_is_refused(shared, caplog):
    """It is not parsed, the log names the node and the fix, and the next announcement replaces it."""
    one = web_node(shared)
    store = for_blocking(one.settings.backend)
    stores = store.node_stores if isinstance(store, ManyNodesBackend) else [store]
    entry = b'{"id":"x","name":"n","version":"1","app":"a","secrets":[],"parts":{},"at":1,"since":0}'
    planted = b'{"x":%b%b}' % (entry, b" " * 1_000_000)
    assert list(decoded(planted)) == ["x"]
    put = [each for each in stores if each.max_value >= len(planted)]
    for each in put:
        run(each.add(KEY, planted, 60.0, WITHIN))
    announced(one)
    refused = records(caplog, "registry_refused")
    assert len(refused) == len(put)
    assert all("1,000,0" in record.getMessage() and "who else can write" in record.getMessage() for record in refused)
    assert [node.id for node in run(Registry(store).read(WITHIN))] == [one.engine.monitor.described().id]


def test_what_is_announced_is_bounded():
    """However long the names and however many the web nodes: at most what a reader takes, the newest of them."""
    long = "\u20ac" * 10_000
    many = {
        str(n): WebNode(
            str(n), long, long, long, (long,) * 500, {f"{n}{long}": long for n in range(500)}, float(n), 0.0
        )
        for n in range(600)
    }
    written = encoded(many)
    assert 900_000 < len(written) <= 1_000_000
    assert "599" in decoded(written)
    assert len(encoded(many, 50_000)) <= 50_000


def test_what_stands_there_is_cut_and_made_fit_for_a_log():
    """No control characters, nothing long, not too many."""
    node = WebNode("i", "evil\x1b[2J\n" + "x" * 500, "1", "a", ("s",) * 500, {"p": "\r"}, 1.0, 2.0)
    (found,) = decoded(encoded({"i": node})).values()
    assert found.name == "evil[2J" + "x" * 71
    assert (len(found.secrets), found.parts) == (80, {"p": ""})
    many = {str(n): WebNode(str(n), "w", "1", "a", (), {}, float(n), 0.0) for n in range(600)}
    assert set(decoded(encoded(many))) == {str(n) for n in range(100, 600)}


def test_a_redis_user_who_may_touch_no_more_than_sessions(fresh):
    """What the documentation asks of an ACL is enough to announce oneself, and to be ready."""
    server = fresh("redis")
    commands = ("+get", "+getex", "+getrange", "+set", "+del", "+eval", "+hello", "+echo", "+select")
    server.command("ACL", "SETUSER", "shop", "on", ">pw", "~ss:*", *commands)
    manager = web_node(f"redis://shop:pw@127.0.0.1:{server.port}/0")
    announced(manager)
    visit(manager)
    assert is_ready(manager.manager)
    assert KEY in server.dump()


def test_no_secret_and_nothing_that_opens_a_record_is_in_the_register(memcached):
    """Digests, names and times; not the key IDs that stand in tokens, either."""
    manager = web_node(memcached.url)
    announced(manager)
    raw = memcached.dump()[KEY].decode("latin-1")
    for hidden in (*SECRETS, *manager.settings.machine_key().fingerprints(), "default"):
        assert hidden not in raw
