"""The contract suite: every promise of `sharedsession.backends.base` as a test, for any backend.

A backend's author subclasses `BackendContract` with a fixture that makes the backend. It needs nothing but pytest:

    class TestMyBackend(BackendContract):
        @pytest.fixture
        def make_backend(self, tmp_path):
            return lambda: MyBackend(tmp_path)

For the values inside of failed assertions, put this line into ``conftest.py``:

    pytest.register_assert_rewrite("sharedsession.testing.contract")
"""
# ruff: noqa: S101  (assertions are what a suite consists of)

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ClassVar, Literal

import pytest

from sharedsession.backends.adapters import is_asynchronous
from sharedsession.backends.base import AsyncBackend, Backend, BatchingBackend, Ended, Read, Stored
from sharedsession.environment import REAL
from sharedsession.testing.calls import LoopThread, Store, at_once, new_key

Colour = Literal["blocking", "asynchronous"]
MakeBackend = Callable[[], Backend | AsyncBackend]
"""Makes a new backend object over the same store, with connections of its own."""

_VALUES = [b"", b"x", b"\x00\xff\r\nEND\r\n", b"VA 3 c1\r\nabc\r\n", bytes(range(256)) * 200]
_POLL = 0.02  # seconds


class BackendContract:
    """The suite. Subclass it, and give the subclass a fixture ``make_backend``.

    Attributes:
        colours: the colours to test. A blocking backend without ``asynchronous`` is tested in both, as the library
            would call it; one whose methods are coroutines takes ``("asynchronous",)``.
        timeout: seconds for each operation.
        adders_may_all_lose: whether of several that add one key at the same time it may be that none succeeds, as
            where there is no single place to meet.
        tells_lives: whether the store tells how long a tombstone lives; else its note is shown as long as that lives.
    """

    colours: ClassVar[tuple[Colour, ...]] = ("blocking", "asynchronous")
    timeout: ClassVar[float] = 5.0
    adders_may_all_lose: ClassVar[bool] = False
    tells_lives: ClassVar[bool] = True

    # -- what a subclass provides

    @pytest.fixture
    def make_backend(self) -> MakeBackend:
        """Returns a function that makes a backend object: each time a new one, all over the same store, empty at first.

        A store that lives inside of the object returns the same object each time.
        """
        raise NotImplementedError(f"{type(self).__name__} needs a fixture make_backend")

    def pass_time(self, seconds: float) -> None:
        """Waits. A backend on a clock of the test moves that instead."""
        REAL.sleep(seconds)

    # -- fixtures

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Runs each test in each colour."""
        if "colour" in metafunc.fixturenames:
            metafunc.parametrize("colour", self.colours)

    @pytest.fixture
    def make_store(self, make_backend: MakeBackend, colour: Colour) -> Iterator[Callable[[], Store]]:
        """Makes stores of one colour, each over a backend of its own."""
        made: list[Store] = []
        thread = None if colour == "blocking" else LoopThread()

        def make() -> Store:
            backend = make_backend()
            if thread is None and is_asynchronous(backend):
                pytest.skip("set colours = ('asynchronous',): this backend has no blocking colour")
            made.append(Store(backend, thread.loop if thread else None, self.timeout))
            return made[-1]

        yield make
        for store in made:
            store.close()
        if thread is not None:
            thread.end()

    @pytest.fixture
    def store(self, make_store: Callable[[], Store]) -> Store:
        """A store of one colour."""
        return make_store()

    def is_forgotten(self, store: Store, key: str) -> bool:
        """Waits until the store has forgotten a record that lives for a second or less; gives up after four."""
        for _ in range(int(4 / _POLL)):
            if store.get(key) is None:
                return True
            self.pass_time(_POLL)
        return False

    # -- records

    def test_an_unknown_key_holds_nothing(self, store: Store) -> None:
        """`get` returns ``None``; to touch or end what is not there is no error."""
        key = new_key()
        assert store.get(key, 60) is None
        assert store.touch(key, 60) is False
        store.end(key)
        assert not isinstance(store.get(key), Stored)

    @pytest.mark.parametrize("value", _VALUES, ids=range(len(_VALUES)))
    def test_what_is_added_comes_back(self, store: Store, value: bytes) -> None:
        """`get` returns any bytes as they were given to `add`."""
        key = new_key()
        assert store.add(key, value) is not None
        found = store.get(key, 60)
        assert isinstance(found, Stored)
        assert found.value == value

    def test_add_takes_no_taken_key(self, store: Store) -> None:
        """A second `add` returns ``None`` and changes nothing."""
        key = new_key()
        store.add(key, b"first")
        assert store.add(key, b"second") is None
        assert store.record(key).value == b"first"

    def test_the_largest_value_fits(self, store: Store) -> None:
        """A value of ``max_value`` bytes, up to a megabyte here, is stored and comes back."""
        key = new_key()
        value = b"x" * min(store.backend.max_value, 1_000_000)
        assert store.add(key, value) is not None
        assert store.record(key).value == value

    # -- versions

    def test_every_version_of_the_record_is_good_for_replace(self, store: Store) -> None:
        """The version from `add`, from `replace` and from `get` all stand for the record."""
        key = new_key()
        version = store.replace(key, b"2", store.add(key, b"1"))
        assert version is not None
        assert store.replace(key, b"3", version) is not None
        assert store.replace(key, b"4", store.record(key).version) is not None
        assert store.record(key).value == b"4"

    def test_replace_refuses_an_old_version(self, store: Store) -> None:
        """What another request stored meanwhile is not overwritten, even if its bytes are those that were read."""
        key = new_key()
        old = store.add(key, b"1")
        store.replace(key, b"1", old)
        assert store.replace(key, b"mine", old) is None
        assert store.record(key).value == b"1"

    def test_a_renewal_changes_no_version(self, store: Store) -> None:
        """A reader that renews does not disturb a writer."""
        key = new_key()
        version = store.add(key, b"1")
        store.get(key, 90)
        assert store.touch(key, 120) is True
        assert store.replace(key, b"2", version) is not None

    def test_a_version_means_the_same_to_every_backend_object(self, make_store: Callable[[], Store]) -> None:
        """Of two web nodes that read one record the first to write wins, and the second is refused."""
        one, two = make_store(), make_store()
        key = new_key()
        one.add(key, b"1")
        seen_by_one, seen_by_two = one.record(key).version, two.record(key).version
        assert two.replace(key, b"two", seen_by_two) is not None
        assert one.replace(key, b"one", seen_by_one) is None
        assert one.record(key).value == b"two"

    # -- the end

    def test_the_end_is_final(self, store: Store) -> None:
        """After `end` there is no record, and no earlier version brings it back."""
        key = new_key()
        version = store.add(key, b"1")
        store.end(key)
        store.end(key)
        assert not isinstance(store.get(key), Stored)
        assert store.replace(key, b"2", version) is None
        assert not isinstance(store.get(key), Stored)

    def test_the_end_leaves_a_tombstone(self, store: Store) -> None:
        """What comes late finds it: an `add` that was delayed or sent twice stores nothing, also where nothing was."""
        for key in (new_key(), new_key()):
            store.end(key)
            assert store.add(key, b"late") is None
            assert store.touch(key, 60) is False
            assert store.note(key) == b""

    def test_the_end_replaces_a_note(self, store: Store) -> None:
        """`end` of a superseded record returns the note, and the note is gone. A plain tombstone stays plain."""
        key = new_key()
        version = store.add(key, b"1")
        store.supersede(key, version, b"moved", 30)
        assert store.end(key) == b"moved"
        assert store.note(key) == b""
        assert store.end(key) == b""
        assert store.supersede(key, version, b"late", 30) is False
        assert store.note(key) == b""

    def test_no_read_changes_the_life_of_a_tombstone(self, make_store: Callable[[], Store]) -> None:
        """A thousand reads that renew, by six web nodes, and the tombstone is forgotten when it was to be."""
        key, superseded, records = new_key(), new_key(), [make_store() for _ in range(6)]
        store = records[0]
        version = store.add(superseded, b"1")
        began = REAL.monotonic()
        store.end(key, ttl=3)
        store.supersede(superseded, version, b"moved", 1, ttl=3)

        def read(number: int) -> None:
            for _ in range(85):
                assert isinstance(records[number].get(key, 1000), Ended)
                assert isinstance(records[number].get(superseded, 1000), Ended)

        at_once([partial(read, number) for number in range(6)])
        if REAL.monotonic() - began < 2:  # a slow machine reads until they are forgotten
            assert store.note(key) == b""
        assert self.is_forgotten(store, key)
        assert self.is_forgotten(store, superseded)

    def test_a_note_is_shown_for_its_time(self, store: Store) -> None:
        """Afterwards the tombstone goes on without it."""
        if not self.tells_lives:
            pytest.skip("the store does not tell how long a tombstone lives")
        key = new_key()
        store.supersede(key, store.add(key, b"1"), b"moved", 1)
        for _ in range(int(4 / _POLL)):
            if store.note(key, 60) == b"":
                break
            self.pass_time(_POLL)
        assert store.note(key) == b""
        assert store.add(key, b"2") is None

    def test_a_tombstone_returns_its_note(self, store: Store) -> None:
        """Under a superseded key, `add` and `replace` are refused, and `touch` finds no live record."""
        key = new_key()
        version = store.add(key, b"1")
        assert store.supersede(key, version, b"moved", 30) is True
        assert store.note(key) == b"moved"
        assert store.add(key, b"2") is None
        assert store.replace(key, b"2", version) is None
        if self.tells_lives:
            assert store.touch(key, 60) is False
            assert store.note(key, touch=60) == b"moved"

    def test_supersede_ends_a_record_that_was_changed_since(self, store: Store) -> None:
        """The version need not be the newest one; afterwards none is good for `replace`."""
        key = new_key()
        first = store.add(key, b"1")
        second = store.replace(key, b"2", first)
        assert store.supersede(key, first, b"moved", 30) is True
        assert store.note(key) == b"moved"
        assert store.replace(key, b"3", second) is None
        assert store.add(key, b"4") is None

    def test_supersede_without_a_note(self, store: Store) -> None:
        """The record is ended as well."""
        key = new_key()
        assert store.supersede(key, store.add(key, b"1")) is True
        assert not isinstance(store.get(key), Stored)

    def test_supersede_after_a_logout(self, store: Store) -> None:
        """It returns ``False``, and the record stays ended."""
        key = new_key()
        version = store.add(key, b"1")
        store.end(key)
        assert store.supersede(key, version, b"moved", 30) is False
        assert not isinstance(store.get(key), Stored)

    def test_supersede_twice(self, store: Store) -> None:
        """The second time it returns ``True`` as well: it is no logout."""
        key = new_key()
        version = store.add(key, b"1")
        assert store.supersede(key, version, b"first", 30) is True
        assert store.supersede(key, version, b"second", 30) is True
        assert store.note(key) in {b"first", b"second"}

    def test_a_logout_while_others_supersede(self, make_store: Callable[[], Store]) -> None:
        """In whatever order they come, the record is ended, and every caller gets an answer."""
        stores = [make_store() for _ in range(4)]
        for _ in range(10):
            key = new_key()
            stores[0].add(key, b"1")
            versions = [store.record(key).version for store in stores]
            with ThreadPoolExecutor(len(stores)) as pool:
                logout = pool.submit(stores[0].end, key)
                logins = [pool.submit(stores[at].supersede, key, versions[at], b"%d" % at, 30) for at in (1, 2)]
            logout.result()
            assert {login.result() for login in logins} <= {True, False}
            assert not isinstance(stores[3].get(key), Stored)

    # -- times to live

    def test_a_record_ends_with_its_time_to_live(self, store: Store) -> None:
        """A record is forgotten after its time, not before; then its version is good for nothing."""
        key = new_key()
        version = store.add(key, b"1", ttl=1)
        assert isinstance(store.get(key), Stored)
        assert self.is_forgotten(store, key)
        assert store.replace(key, b"2", version) is None
        assert store.add(key, b"3") is not None

    def test_a_read_renews(self, store: Store) -> None:
        """`get` with ``touch`` gives the record a new life."""
        key, other = new_key(), new_key()
        store.add(key, b"1", ttl=1)
        store.add(other, b"1", ttl=1)
        store.get(key, 60)
        assert self.is_forgotten(store, other)
        assert isinstance(store.get(key), Stored)

    def test_a_touch_renews(self, store: Store) -> None:
        """`touch` gives the record a new life."""
        key, other = new_key(), new_key()
        store.add(key, b"1", ttl=1)
        store.add(other, b"1", ttl=1)
        assert store.touch(key, 60) is True
        assert self.is_forgotten(store, other)
        assert isinstance(store.get(key), Stored)

    def test_a_note_is_forgotten_in_time(self, store: Store) -> None:
        """A tombstone lives about as long as it is of use, and the record stays ended."""
        key = new_key()
        version = store.add(key, b"1", ttl=1)
        store.supersede(key, version, b"moved", 1, ttl=1)
        assert self.is_forgotten(store, key)
        assert store.replace(key, b"2", version) is None

    def test_sixty_days_are_kept(self, store: Store) -> None:
        """A time to live of more than 30 days is not taken for a date in the past."""
        key, days = new_key(), 60 * 86400
        version = store.add(key, b"1", ttl=days)
        assert isinstance(store.get(key, days), Stored)
        assert store.replace(key, b"2", version, ttl=days) is not None
        assert isinstance(store.get(key), Stored)

    def test_a_fraction_of_a_second_is_not_for_ever(self, store: Store) -> None:
        """A very short life is short: neither zero, which some stores take for endless, nor an error."""
        key = new_key()
        store.add(key, b"1", ttl=0.2)
        assert self.is_forgotten(store, key)

    # -- many at a time

    def test_one_of_many_writers_wins(self, make_store: Callable[[], Store]) -> None:
        """Of eight that replace the same version exactly one succeeds, and its bytes are what is stored."""
        writers = [make_store() for _ in range(8)]
        for _ in range(10):
            key = new_key()
            writers[0].add(key, b"0")
            versions = [writer.record(key).version for writer in writers]
            results = at_once(
                [partial(writers[n].replace, key, b"%d" % n, version) for n, version in enumerate(versions)]
            )
            winners = [number for number, version in enumerate(results) if version is not None]
            assert len(winners) == 1
            assert writers[0].record(key).value == b"%d" % winners[0]

    def test_one_of_many_adders_wins(self, make_store: Callable[[], Store]) -> None:
        """Of eight that add one key at most one succeeds."""
        adders = [make_store() for _ in range(8)]
        key = new_key()
        results = at_once([partial(adder.add, key, b"1") for adder in adders])
        winners = sum(version is not None for version in results)
        assert winners == 1 or (winners == 0 and self.adders_may_all_lose)

    # -- several keys at once, for backends that can

    @pytest.fixture
    def batching(self, store: Store) -> Store:
        """A store that does the same to several keys in one round trip."""
        if not isinstance(store.backend, BatchingBackend):
            pytest.skip("this backend has no get_many and end_many: it is asked one by one")
        return store

    def test_many_reads(self, batching: Store) -> None:
        """Each key is read, and renewed, as by `get`."""
        there, gone, ended = new_key(), new_key(), new_key()
        version = batching.add(there, b"1", ttl=1)
        batching.end(ended)
        found = batching.get_many(Read(there, 60), Read(gone), Read(ended, 60))
        assert isinstance(found[0], Stored)
        assert (found[0].value, found[1], type(found[2])) == (b"1", None, Ended)
        assert batching.replace(there, b"2", found[0].version) is not None
        assert batching.replace(there, b"3", version) is None
        assert [type(held) for held in batching.get_many(Read(there))] == [Stored]

    def test_a_read_may_add_what_is_not_there(self, batching: Store) -> None:
        """A default is added under a key that holds nothing, and under no other."""
        there, gone, ended = new_key(), new_key(), new_key()
        batching.add(there, b"1")
        batching.end(ended)
        found = batching.get_many(Read(there, 60, b"new"), Read(gone, 60, b"new"), Read(ended, 60, b"new"))
        assert [held.value for held in found if isinstance(held, Stored)] == [b"1", b"new"]
        assert isinstance(found[2], Ended)
        assert batching.record(gone).value == b"new"

    def test_many_ends(self, batching: Store) -> None:
        """Each key is ended, and it is told which held a live record."""
        there, gone, ended = new_key(), new_key(), new_key()
        batching.add(there, b"1")
        batching.end(ended)
        assert batching.end_many(there, gone, ended) == [True, False, False]
        assert [batching.note(key) for key in (there, gone, ended)] == [b"", b"", b""]
        assert batching.add(there, b"late") is None

    # -- the backend itself

    def test_it_may_be_closed_and_used_again(self, store: Store) -> None:
        """`close` ends connections, not records."""
        key = new_key()
        store.add(key, b"1")
        store.close()
        assert store.record(key).value == b"1"

    def test_health_is_json_without_secrets(self, store: Store) -> None:
        """`health` returns its kind, can be written as JSON, and holds no password and no key."""
        key = new_key()
        store.add(key, b"1")
        health = store.backend.health()
        assert health["kind"]
        text = json.dumps(health)
        assert "password" not in text
        assert key not in text
