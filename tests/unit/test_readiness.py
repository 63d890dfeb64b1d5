"""What a load balancer is told, without a server: status, headers, and what is not in the answer."""

import asyncio
import json
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from sharedsession import BackendUnavailable, MachineKey, SessionManager, readiness
from sharedsession.backends.memory import MemoryBackend

SECRET = MachineKey.generate()


class Store(MemoryBackend):
    """A store that can be down, and notes which keys it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.down = False
        self.asked = []

    def get(self, key, touch, timeout):
        """Notes how long it may take."""
        self.asked.append((key, touch, timeout))
        if self.down:
            raise BackendUnavailable("down")
        return super().get(key, touch, timeout)

    def health(self):
        """As a network store has it."""
        node = {"name": "10.0.0.5:6379", "address": "10.0.0.5:6379", "state": "down" if self.down else "up"}
        return {"kind": "redis", "nodes": [node]}


@pytest.fixture
def store() -> Store:
    """One that is up."""
    return Store()


@pytest.fixture(params=["wsgi", "asgi"])
def ask(request, store):
    """Asks the application of either colour: status, headers and body."""
    blocking = request.param == "wsgi"
    manager = SessionManager.from_settings(secret_key=SECRET, backend=store, timeout=0.5)

    def asked(method="GET", **options):
        app = getattr(readiness, request.param)(manager, **options)
        return by_wsgi(app, method) if blocking else asyncio.run(by_asgi(app, method))

    return asked


def by_wsgi(app, method):
    """Over the validator of the standard library."""
    heads = []
    environ = {"REQUEST_METHOD": method, "QUERY_STRING": ""}
    setup_testing_defaults(environ)
    body = validator(app)(environ, lambda status, headers, exc_info=None: heads.append((status, headers)))
    content = b"".join(body)
    body.close()
    ((status, headers),) = heads
    return int(status[:3]), {name.lower(): value for name, value in headers}, content


async def by_asgi(app, method):
    """As a server does."""
    sent = []

    async def send(message):
        sent.append(message)

    await app({"type": "http", "method": method, "path": "/ready", "headers": []}, None, send)
    start, body = sent
    return start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, body["body"]


def test_a_node_whose_store_answers_is_ready(ask, store):
    """200, for nobody to keep, after one look for a key that no session can have."""
    status, headers, body = ask()
    assert (status, headers["cache-control"], headers["content-type"]) == (200, "no-store", "application/json")
    assert json.loads(body) == {"status": "ok", "backend": "redis", "nodes": {"up": 1, "down": 0}}
    assert headers["content-length"] == str(len(body))
    ((key, touch, within),) = store.asked
    assert key.startswith("ss:")  # all that some servers let us touch
    assert len(key) < len("ss:") + 43
    assert (touch, within) == (None, 0.5)


def test_a_node_whose_store_does_not_answer_is_not(ask, store):
    """503, and 200 again when it does."""
    store.down = True
    status, headers, body = ask()
    assert (status, headers["cache-control"]) == (503, "no-store")
    assert json.loads(body) == {"status": "unavailable", "backend": "redis", "nodes": {"up": 0, "down": 1}}
    store.down = False
    assert ask()[0] == 200


def test_a_head_request_is_told_the_same_without_a_body(ask, store):
    """Its head is that of GET."""
    for store.down in (False, True):
        get, head = ask("GET"), ask("HEAD")
        assert head == (*get[:2], b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_else_is_answered(ask, store, method):
    """405, and the store is not asked."""
    status, headers, body = ask(method)
    assert (status, headers["allow"], headers["cache-control"], body) == (405, "GET, HEAD", "no-store", b"")
    assert store.asked == []


def test_addresses_are_told_to_those_who_asked_for_them(ask):
    """All of `health`, which holds no secret; and nothing of it by default."""
    brief, full = ask()[2].decode(), ask(details=True)[2].decode()
    assert "10.0.0.5" not in brief
    assert "fingerprint" not in brief
    assert json.loads(full)["backend"]["nodes"][0]["address"] == "10.0.0.5:6379"
    assert json.loads(full).keys() == {"status", "backend", "counters", "fingerprint"}
    assert SECRET not in full


def test_a_backend_that_says_nothing_of_itself_will_do(ask, store, monkeypatch):
    """A user's own need not have nodes, nor a kind."""
    monkeypatch.setattr(store, "health", dict)
    assert json.loads(ask()[2]) == {"status": "ok", "backend": "", "nodes": {"up": 0, "down": 0}}


def test_what_is_not_http_is_left_alone(store):
    """A server's lifespan, or a websocket."""
    manager = SessionManager.from_settings(secret_key=SECRET, backend=store)
    asyncio.run(readiness.asgi(manager)({"type": "lifespan"}, None, None))
    assert store.asked == []
