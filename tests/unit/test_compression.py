"""Compressed records: who reads them, what counts for which limit, and what a bomb costs."""

import sys
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharedsession import ConfigurationError, MachineKey, SessionTooLarge, Settings
from sharedsession.backends.adapters import for_blocking
from sharedsession.backends.memory import MemoryBackend
from sharedsession.concurrency import run
from sharedsession.environment import REAL
from sharedsession.observe import Observer
from sharedsession.records.compression import MAGIC, MOST, restored, shrunk
from sharedsession.records.record import NO_RECORD, Record, SupersededNote
from sharedsession.records.sealed_store import SealedStore

KEY = MachineKey(MachineKey.generate())
SESSION = KEY.new_identity(bytes(range(16)))
LONG = Record(version=1, created=0.0, refreshed=0.0, items={"text": b"\xc5\x9c\x40" + b"a" * 40_000})
NO_SIZE, SIZE = b"\x00\x38", b"\xa0"  # heads of frames: without a content size, and with one of four bytes


def frame(head: bytes, blocks: int = 1, each: int = 1000) -> bytes:
    """A frame as nobody's compressor makes it: so many blocks, each of one byte that is repeated."""
    headers = [(each << 3 | 2 | (block == blocks - 1)).to_bytes(3, "little") for block in range(blocks)]
    return MAGIC + head + b"".join(header + b"a" for header in headers)


def sized(size: int) -> bytes:
    """A head that promises so many bytes."""
    return SIZE + size.to_bytes(4, "little")


@pytest.fixture
def no_zstd(monkeypatch) -> None:
    """A Python without the library."""
    monkeypatch.setitem(sys.modules, "backports", None)
    monkeypatch.setitem(sys.modules, "compression", None)


class Store(MemoryBackend):
    """A store whose items hold as much as a test wants."""

    def __init__(self, max_value: int = 1 << 20) -> None:
        super().__init__()
        self.max_value = max_value

    def value(self) -> bytes:
        """What is stored of the session."""
        return self.get(SESSION.store_key, None, 1.0).value


def sealed_store(store, compress_above=None, max_size=1 << 16, observer=None) -> SealedStore:
    """A web node's view of the store."""
    return SealedStore(
        for_blocking(store),
        timeout=1.0,
        encrypt=True,
        max_size=max_size,
        observer=observer or Observer(),
        compress_above=compress_above,
        environment=REAL,
    )


def add(node: SealedStore, record: Record = LONG):
    return run(node.add(SESSION, record, 60.0, node.time_budget()))


def read(node: SealedStore):
    return run(node.read(SESSION, 60.0, node.time_budget()))


# -- bytes


@given(st.binary(max_size=300), st.integers(1, 200), st.sampled_from([None, 1, 100, 10_000]))
def test_what_was_shrunk_is_restored(piece, times, above):
    """Whatever it is and whatever the setting, and it never gets longer."""
    plain = b"\x97" + piece * times
    stored = shrunk(plain, above)
    assert restored(stored) == plain
    assert len(stored) <= len(plain)
    assert stored.startswith(MAGIC) == (stored != plain)


def test_what_is_short_or_does_not_shrink_is_left_alone():
    """The limit itself is not long yet."""
    assert shrunk(b"a" * 100, 100) == b"a" * 100
    assert shrunk(b"a" * 100, 99).startswith(MAGIC)
    assert shrunk(bytes(range(256)), 1) == bytes(range(256))


def test_no_record_is_taken_for_a_compressed_one():
    """A MessagePack array never begins as a frame does."""
    for made in (LONG.encode(), SupersededNote(record=LONG).encode(), SupersededNote().encode()):
        assert made[0] >> 4 == 0x9
        assert restored(made) == made


@pytest.mark.parametrize(
    "bomb",
    [
        shrunk(bytes(MOST + 1), 1),
        frame(NO_SIZE),
        frame(NO_SIZE, blocks=8192, each=1 << 17),
        frame(sized(10), blocks=8192, each=1 << 17),
        frame(sized(9999), each=1000),
        frame(sized((1 << 32) - 1), blocks=8192, each=1 << 17),
        MAGIC + b"\xe0" + (1 << 62).to_bytes(8, "little"),
        MAGIC,
        MAGIC + b"\xff" * 100,
        shrunk(b"a" * 5000, 1)[:-1],
        shrunk(b"a" * 5000, 1) + b"x",
        shrunk(b"a" * 5000, 1) * 2,
    ],
    ids=range(12),
)
def test_a_bomb_does_not_open_and_costs_nothing(bomb):
    """Too large, of unknown size, or not what its head says: refused before its content is made."""
    restored(shrunk(b"a" * 100, 1))  # the library is loaded
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"."):
            restored(bomb)
        assert tracemalloc.get_traced_memory()[1] < 500_000
    finally:
        tracemalloc.stop()


def test_nothing_grows_to_more_than_64_mib():
    """However large sessions may be."""
    assert len(restored(shrunk(bytes(MOST), 1))) == MOST
    with pytest.raises(ValueError, match="larger"):
        restored(shrunk(bytes(MOST + 1), 1))


# -- records


def test_every_node_reads_what_any_node_stored():
    """With and without the setting, both ways; a long record takes fewer bytes."""
    for writer, reader in [(1000, None), (None, 1000)]:
        store = Store()
        add(sealed_store(store, writer))
        assert read(sealed_store(store, reader)).record == LONG
        assert (len(store.value()) < 500) == (writer is not None)


def test_the_old_id_of_a_long_session_leaves_a_note_of_few_bytes():
    """What requests in flight may still look at is compressed as well."""
    store = Store()
    node = sealed_store(store, 1000)
    version = add(node)
    note = SupersededNote(record=LONG)
    assert run(node.supersede(SESSION, 60.0, node.time_budget(), version, note, 10.0))
    assert len(store.get(SESSION.store_key, None, 1.0).note) < 500
    assert read(sealed_store(store)) == note


def test_max_size_counts_what_the_application_keeps():
    """However small it gets."""
    with pytest.raises(SessionTooLarge, match=r"40\d\d\d bytes, the limit is 40000"):
        add(sealed_store(Store(), 1000, max_size=40_000))


def test_what_an_item_of_the_store_holds_counts_what_is_stored():
    """A session that is too large for the store as it is may fit when it is compressed."""
    with pytest.raises(SessionTooLarge, match="the limit is 9872"):
        add(sealed_store(Store(10_000)))
    store = Store(10_000)
    add(sealed_store(store, 1000))
    assert read(sealed_store(store)).record == LONG


@pytest.mark.parametrize("bomb", [frame(NO_SIZE), shrunk(b"a" * 100_000, 1), shrunk(b"a" * 100, 1)], ids=range(3))
def test_an_authentic_bomb_is_no_session(bomb):
    """Even the holder of the secret, and of the ID, cannot plant one; it is kept, and told to the log."""
    store = Store()
    store.add(SESSION.store_key, SESSION.seal(bomb, bytes(12)), 60.0, 1.0)
    observer = Observer()
    assert read(sealed_store(store, observer=observer)).record is NO_RECORD
    assert observer.counters == {"unsealed": 1}
    assert store.value()


# -- without the library


@pytest.mark.usefixtures("no_zstd")
def test_the_setting_without_the_library_fails_at_the_start():
    """The message names the setting, the problem and the mend."""
    given = {"secret_key": MachineKey.generate(), "backend": "memory://"}
    with pytest.raises(ConfigurationError, match=r"^compress_above needs zstd, which is not installed: .*(pip|build)"):
        Settings.load({**given, "compress_above": 1000}, {})
    assert Settings.load(given, {}).compress_above is None


def test_a_compressed_record_without_the_library_does_not_open(monkeypatch, caplog):
    """It is not lost: the log says what to install, in an event of its own."""
    store = Store()
    add(sealed_store(store, 1000))
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "backports", None)
        without.setitem(sys.modules, "compression", None)
        assert read(sealed_store(store)).record is NO_RECORD
        (record,) = caplog.records
        assert record.event == "zstd_missing"
        assert "sharedsession[zstd]" in record.message or sys.version_info >= (3, 14)
    assert read(sealed_store(store)).record == LONG


@pytest.mark.usefixtures("no_zstd")
def test_who_does_not_compress_needs_no_library():
    """Records that are not compressed are stored and read without it."""
    store = Store()
    add(sealed_store(store))
    assert read(sealed_store(store)).record == LONG
