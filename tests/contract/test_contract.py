"""Every promise of `sharedsession.backends.base`, over every backend in both colours, on real servers."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from sharedsession.backends.base import Ended, Stored
from sharedsession.concurrency.driver import Lifted
from tests.contract.conftest import Verbs

VALUES = [b"", b"x", b"\x00\xff\r\nEND\r\n", b"VA 3 c1\r\nabc\r\n", bytes(range(256)) * 200]


def key(name: str = "k") -> str:
    return f"ss:{name}-{time.perf_counter_ns()}"


def said(found: object) -> bytes:
    """What a tombstone says."""
    assert isinstance(found, Ended)
    return found.note


def gone_by(verbs: Verbs, name: str, deadline: float) -> bool:
    """Polls until the store has forgotten a record, or the deadline has passed."""
    while time.monotonic() < deadline:
        if not isinstance(verbs.get(name), Stored | Ended):
            return True
        time.sleep(0.02)
    return False


def test_an_unknown_key_holds_nothing(verbs: Verbs) -> None:
    """The store is sure: there is no record, and touching or ending it is no error."""
    name = key()
    assert verbs.get(name, 60) is None
    assert verbs.touch(name, 60) is False
    verbs.end(name)
    assert not isinstance(verbs.get(name), Stored)


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_what_is_added_comes_back(verbs: Verbs, value: bytes) -> None:
    """Any bytes are kept as they are, with the version that `add` returned."""
    name = key()
    version = verbs.add(name, value)
    assert version is not None
    found = verbs.get(name, 60)
    assert isinstance(found, Stored)
    assert found.value == value


def test_add_takes_no_taken_key(verbs: Verbs) -> None:
    """A second `add` is refused and changes nothing."""
    name = key()
    verbs.add(name, b"first")
    assert verbs.add(name, b"second") is None
    assert verbs.get(name).value == b"first"


def test_replace_with_the_version_of_add(verbs: Verbs) -> None:
    """The version from `add`, from `replace` and from `get` all stand for the record."""
    name = key()
    version = verbs.replace(name, b"2", verbs.add(name, b"1"))
    assert version is not None
    assert verbs.replace(name, b"3", version) is not None
    assert verbs.replace(name, b"4", verbs.get(name).version) is not None
    assert verbs.get(name).value == b"4"


def test_replace_refuses_an_old_version(verbs: Verbs) -> None:
    """What another request stored meanwhile is not overwritten, even with the same bytes as before."""
    name = key()
    old = verbs.add(name, b"1")
    verbs.replace(name, b"1", old)
    assert verbs.replace(name, b"mine", old) is None
    assert verbs.get(name).value == b"1"


def test_a_read_and_a_touch_change_no_version(verbs: Verbs) -> None:
    """A reader that renews does not disturb a writer."""
    name = key()
    version = verbs.add(name, b"1")
    verbs.get(name, 90)
    assert verbs.touch(name, 120) is True
    assert verbs.replace(name, b"2", version) is not None


def test_the_version_means_the_same_to_another_process(make) -> None:
    """Two nodes that read one record: the first to write wins, the second is refused."""
    one, two = make(), make()
    name = key()
    one.add(name, b"1")
    seen_by_one, seen_by_two = one.get(name).version, two.get(name).version
    assert two.replace(name, b"two", seen_by_two) is not None
    assert one.replace(name, b"one", seen_by_one) is None
    assert one.get(name).value == b"two"


def test_the_end_is_final(verbs: Verbs) -> None:
    """After `end` there is no record, and no earlier version brings it back."""
    name = key()
    version = verbs.add(name, b"1")
    verbs.end(name)
    verbs.end(name)
    assert not isinstance(verbs.get(name), Stored)
    assert verbs.replace(name, b"2", version) is None
    assert not isinstance(verbs.get(name), Stored)


def test_a_tombstone_says_its_note(verbs: Verbs) -> None:
    """With a note, `get` tells it, `add` and `replace` are refused, and a touch finds no live record."""
    name = key()
    version = verbs.add(name, b"1")
    verbs.end(name, b"moved", 30)
    assert said(verbs.get(name)) == b"moved"
    assert verbs.add(name, b"2") is None
    assert verbs.replace(name, b"2", version) is None
    assert verbs.touch(name, 60) is False
    assert said(verbs.get(name, 60)) == b"moved"


def test_to_leave_is_to_end_what_is_alive(verbs: Verbs) -> None:
    """Changed meanwhile or not; its note is told, and no earlier version succeeds afterwards."""
    name = key()
    first = verbs.add(name, b"1")
    second = verbs.replace(name, b"2", first)
    assert verbs.leave(name, first, b"moved", 30) is True
    assert said(verbs.get(name)) == b"moved"
    assert verbs.replace(name, b"3", second) is None
    assert verbs.add(name, b"4") is None


def test_to_leave_without_a_word(verbs: Verbs) -> None:
    """The record is ended as well."""
    name = key()
    assert verbs.leave(name, verbs.add(name, b"1")) is True
    assert not isinstance(verbs.get(name), Stored)


def test_who_leaves_after_a_logout_is_told(verbs: Verbs) -> None:
    """It stays ended."""
    name = key()
    version = verbs.add(name, b"1")
    verbs.end(name)
    assert verbs.leave(name, version, b"moved", 30) is False
    assert not isinstance(verbs.get(name), Stored)


def test_two_may_leave(verbs: Verbs) -> None:
    """The second one after the first is no logout."""
    name = key()
    version = verbs.add(name, b"1")
    assert verbs.leave(name, version, b"first", 30) is True
    assert verbs.leave(name, version, b"second", 30) is True
    assert said(verbs.get(name)) in {b"first", b"second"}


def test_a_logout_in_a_crowd_that_leaves(make: Callable[[], Verbs]) -> None:
    """Whoever leaves after the logout was answered is told; the record is ended in any case."""
    crowd = [make() for _ in range(4)]
    for number in range(10):
        name = key(str(number))
        crowd[0].add(name, b"1")
        versions = [verbs.get(name).version for verbs in crowd]
        with ThreadPoolExecutor(len(crowd)) as pool:
            pool.submit(crowd[0].end, name)
            early = [pool.submit(crowd[at].leave, name, versions[at], b"%d" % at, 30) for at in (1, 2)]
            assert {each.result() for each in early} <= {True, False}
        assert not isinstance(crowd[3].get(name), Stored)


def test_a_note_is_forgotten_in_time(verbs: Verbs) -> None:
    """A tombstone lives about as long as it is of use, and the record stays ended."""
    name = key()
    version = verbs.add(name, b"1")
    verbs.end(name, b"moved", 1, ttl=1)
    assert gone_by(verbs, name, time.monotonic() + 4)
    assert verbs.replace(name, b"2", version) is None


def test_a_record_ends_with_its_time_to_live(verbs: Verbs) -> None:
    """A record is forgotten after its time, not before, and its version is worth nothing then."""
    name = key()
    version = verbs.add(name, b"1", ttl=1)
    assert isinstance(verbs.get(name), Stored)
    assert gone_by(verbs, name, time.monotonic() + 4)
    assert verbs.replace(name, b"2", version) is None
    assert verbs.add(name, b"3") is not None


def test_a_read_renews(verbs: Verbs) -> None:
    """`get` with `touch` gives the record a new life in the same round trip."""
    name, brief = key(), key("brief")
    verbs.add(name, b"1", ttl=1)
    verbs.add(brief, b"1", ttl=1)
    verbs.get(name, 60)
    assert gone_by(verbs, brief, time.monotonic() + 4)
    assert isinstance(verbs.get(name), Stored)


def test_sixty_days_are_kept(verbs: Verbs) -> None:
    """A time to live beyond 30 days is not read as a date in the past."""
    name = key()
    version = verbs.add(name, b"1", ttl=60 * 86400)
    assert isinstance(verbs.get(name, 60 * 86400), Stored)
    assert verbs.replace(name, b"2", version, ttl=60 * 86400) is not None
    assert isinstance(verbs.get(name), Stored)


def test_a_fraction_of_a_second_is_not_for_ever(verbs: Verbs) -> None:
    """A very short life is short, neither zero, which some stores take for endless, nor an error."""
    name = key()
    verbs.add(name, b"1", ttl=0.2)
    assert gone_by(verbs, name, time.monotonic() + 4)


def test_one_of_many_writers_wins(make) -> None:
    """Of eight that write over the same version, exactly one succeeds, and its bytes are what is stored."""
    writers = [make() for _ in range(8)]
    for _ in range(10):
        name = key()
        writers[0].add(name, b"0")
        versions = [writer.get(name).version for writer in writers]
        with ThreadPoolExecutor(8) as pool:
            results = list(
                pool.map(
                    lambda n, name=name, versions=versions: writers[n].replace(name, b"%d" % n, versions[n]), range(8)
                )
            )
        winners = [n for n, version in enumerate(results) if version is not None]
        assert len(winners) == 1
        assert writers[0].get(name).value == b"%d" % winners[0]


def test_one_of_many_adders_wins(make) -> None:
    """Of eight that add one key at a time exactly one succeeds; on several nodes perhaps none."""
    adders = [make() for _ in range(8)]
    name = key()
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda n: adders[n].add(name, b"%d" % n), range(8)))
    winners = sum(version is not None for version in results)
    assert winners == 1 or (winners == 0 and adders[0].backend.health()["kind"] == "ring")


def test_it_may_be_closed_and_used_again(verbs: Verbs) -> None:
    """`close` lets go of connections, not of the sessions."""
    name = key()
    verbs.add(name, b"1")
    verbs.close()
    assert verbs.get(name).value == b"1"


def test_health_is_json_without_secrets(verbs: Verbs) -> None:
    """`health` says what kind it is, without I/O and without a password."""
    health = verbs.backend.health()
    assert health["kind"]
    assert "password" not in repr(health)


def test_the_largest_value_fits(verbs: Verbs) -> None:
    """What a backend says it takes, up to a megabyte here, it takes and gives back."""
    backend = verbs.backend.backend if isinstance(verbs.backend, Lifted) else verbs.backend
    value = b"x" * min(backend.max_value, 1_000_000)
    name = key()
    assert verbs.add(name, value) is not None
    assert verbs.get(name).value == value
