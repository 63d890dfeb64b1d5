"""The plain path of a ring: owners that are calm are asked without a task, at once to read, one by one to write."""

import asyncio
import gc
import math
from typing import Any

import pytest

from sharedsession.backends import connect
from sharedsession.backends.base import Ended, Read, Stored
from sharedsession.backends.ring.backend import RingBackend
from sharedsession.backends.ring.nodes import RingNodes
from sharedsession.backends.ring.replicated_write import ReplicatedWrite
from tests.support.ring import Ring

KEY = "a" * 43


@pytest.fixture
def backend(ring: Ring):
    connected = connect(ring.url)
    assert isinstance(connected, RingBackend)
    yield connected
    connected.close()


def owners(backend: RingBackend, ring: Ring) -> list[Any]:
    return [ring.servers[at] for at in backend.ring.order(KEY)[:2]]


def with_a_record(backend: RingBackend, use: Any) -> Any:
    """Runs something over the asynchronous verbs, over connections that are in use."""

    async def main() -> Any:
        store = backend.asynchronous
        try:
            assert await store.add(KEY, b"one", 100, 1.0)
            await store.get(KEY, 100, 1.0)
            await store.get(KEY, 100, 1.0)
            return await use(store)
        finally:
            await store.close()

    return asyncio.run(main())


def test_a_read_and_a_write_make_no_task(backend: RingBackend) -> None:
    made: list[Any] = []

    async def use(store: Any) -> None:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(
            lambda loop, work, **options: made.append(work) or asyncio.Task(work, loop=loop, **options)
        )
        found = await store.get(KEY, 100, 1.0)
        version = await store.replace(KEY, b"two", 100, found.version, 1.0)
        assert await store.replace(KEY, b"three", 100, version, 1.0)
        assert (await store.get(KEY, None, 1.0)).value == b"three"
        loop.set_task_factory(None)

    with_a_record(backend, use)
    assert made == []


def test_several_reads_make_no_task_wherever_their_keys_live(backend: RingBackend) -> None:
    """A session and its principal's stamp mostly live on different nodes."""
    made: list[Any] = []
    keys = [letter * 43 for letter in "abcdef"]
    assert len({backend.ring.order(key) for key in keys}) > 1

    async def use(store: Any) -> Any:
        for key in keys[1:]:
            assert await store.add(key, key.encode(), 100, 1.0)
            await store.get(key, 100, 1.0)
        loop = asyncio.get_running_loop()
        loop.set_task_factory(lambda loop, work, **more: made.append(work) or asyncio.Task(work, loop=loop, **more))
        found = await store.get_many([Read(key, 100) for key in keys], 1.0)
        loop.set_task_factory(None)
        return [held.value for held in found]

    assert with_a_record(backend, use) == [b"one", *[key.encode() for key in keys[1:]]]
    assert made == []


@pytest.mark.parametrize("colour", ["blocking", "asynchronous"])
def test_of_several_reads_each_has_its_own_answer(backend: RingBackend, ring: Ring, colour: str) -> None:
    """One has ended, one is not there, one has a copy less; one owner is silent after that."""
    keys = [letter * 43 for letter in "abcd"]
    for key in keys[:3]:
        assert backend.add(key, key.encode(), 100, 1.0)
    backend.end(keys[1], 100, 1.0)
    ring.servers[backend.ring.order(keys[2])[0]].command(b"delete %b" % keys[2].encode())
    reads = [Read(key, 100) for key in keys]

    def read(timeout: float) -> Any:
        if colour == "blocking":
            return backend.get_many(reads[:3], timeout)
        return asyncio.run(asynchronously(timeout))

    async def asynchronously(timeout: float) -> Any:
        try:
            return await backend.asynchronous.get_many(reads[:3], timeout)
        finally:
            await backend.asynchronous.close()

    def values(found: Any) -> list[Any]:
        return [held.value if isinstance(held, Stored) else type(held) for held in found]

    assert backend.get_many(reads[3:], 1.0) == [None]
    assert values(read(1.0)) == [keys[0].encode(), Ended, keys[2].encode()]
    ring.servers[backend.ring.order(keys[0])[0]].freeze()
    assert values(read(0.3)) == [keys[0].encode(), Ended, keys[2].encode()]


def test_the_place_of_a_key_is_looked_for_once(backend: RingBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_for = []
    real = backend.ring.order
    monkeypatch.setattr(backend.ring, "order", lambda key: looked_for.append(key) or real(key))
    version = backend.add(KEY, b"one", 100, 1.0)
    for _ in range(3):
        found = backend.get(KEY, 100, 1.0)
        assert isinstance(found, Stored)
        version = backend.replace(KEY, b"two", 100, found.version, 1.0)
    assert version
    assert looked_for == [KEY]


def test_a_read_that_is_cancelled_leaves_nothing_behind(backend: RingBackend, ring: Ring) -> None:
    """The replies come all the same, and are nobody else's; asyncio has nothing to log."""
    logged: list[Any] = []

    async def use(store: Any) -> Any:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: logged.append(context))
        for server in owners(backend, ring):
            server.freeze()
        reading = asyncio.ensure_future(store.get(KEY, 100, 5.0))
        await asyncio.sleep(0.01)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        for server in owners(backend, ring):
            server.resume()
        found = await store.get(KEY, 100, 5.0)
        gc.collect()
        return found

    assert with_a_record(backend, use).value == b"one"
    assert logged == []


def test_where_one_owner_is_silent_the_answer_of_the_other_counts(backend: RingBackend, ring: Ring) -> None:
    """It is not asked twice, in either colour, and the third node has nothing."""

    async def use(store: Any) -> Any:
        silent, answers = owners(backend, ring)
        silent.freeze()
        reads = int(answers.stat("cmd_touch"))
        found = await store.get(KEY, 100, 0.3)
        return found.value, int(answers.stat("cmd_touch")) - reads

    assert with_a_record(backend, use) == (b"one", 1)


@pytest.mark.parametrize("silent", [0, 1])
@pytest.mark.parametrize("colour", ["blocking", "asynchronous"])
def test_a_write_goes_on_where_an_owner_is_silent(backend: RingBackend, ring: Ring, colour: str, silent: int) -> None:
    """The other owner and the third node have it then."""
    for server in backend.servers:
        server.guard.doubt_at = math.inf  # else the token would be given up with the connection
    if colour == "blocking":
        assert backend.add(KEY, b"one", 100, 1.0)
        found = backend.get(KEY, 100, 1.0)
        assert isinstance(found, Stored)
        owners(backend, ring)[silent].freeze()
        assert backend.replace(KEY, b"two", 100, found.version, 0.3)
    else:

        async def use(store: Any) -> None:
            found = await store.get(KEY, 100, 1.0)
            owners(backend, ring)[silent].freeze()
            assert await store.replace(KEY, b"two", 100, found.version, 0.3)

        with_a_record(backend, use)
    copies = [server.dump().get(KEY) for server in ring.servers if not server.frozen]
    assert copies == [b"two", b"two"]


@pytest.mark.parametrize("changed", [0, 1])
def test_a_write_is_refused_where_an_owner_has_changed(backend: RingBackend, ring: Ring, changed: int) -> None:
    assert backend.add(KEY, b"one", 100, 1.0)
    found = backend.get(KEY, 100, 1.0)
    assert isinstance(found, Stored)
    owners(backend, ring)[changed].put(KEY, b"another's")
    assert backend.replace(KEY, b"two", 100, found.version, 1.0) is None


def test_a_write_on_the_plain_path_asks_each_owner_once(backend: RingBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the general path is used, unless a node has missed something."""
    steps = []
    for name in ("begin_at", "bring_to"):
        real = getattr(ReplicatedWrite, name)
        monkeypatch.setattr(ReplicatedWrite, name, lambda self, node, real=real: steps.append(node) or real(self, node))
    assert backend.add(KEY, b"one", 100, 1.0)
    found = backend.get(KEY, 100, 1.0)
    assert isinstance(found, Stored)
    version = backend.replace(KEY, b"two", 100, found.version, 1.0)
    assert version
    assert steps == []
    assert isinstance(backend.store, RingNodes)
    backend.store._nodes[backend.ring.order(KEY)[1]].hints.add("b" * 43, b".\0\0\0\x64\0\0\0\0", 100, 0.0)
    assert backend.replace(KEY, b"three", 100, version, 1.0)
    assert steps == list(backend.ring.order(KEY)[:2])
