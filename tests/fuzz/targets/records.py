"""What stores give back: sealed bytes that were damaged, and below the seal what another version may have written."""

import math

from sharedsession.backends.tombstone import Tombstone, end_of, has_note, is_tombstone, life_of, note_on, plain
from sharedsession.engine.entry import Entry, entries_in
from sharedsession.keys import STAMP, Identity
from sharedsession.keys.identity import NONCE_BYTES
from sharedsession.observe import Observer
from sharedsession.records import Record, codec, compression
from sharedsession.records.opener import CopyJudge, Opener
from sharedsession.records.record import SupersededNote
from tests.fuzz.target import Choices, damaged, target
from tests.fuzz.targets.keys import MACHINE_KEY

_NONCE = bytes(NONCE_BYTES)
_OWN = MACHINE_KEY.new_identity(bytes(range(16)), None, "alice")
_OTHER = MACHINE_KEY.new_identity(bytes(range(1, 17)), None, "alice")
_STAMP = MACHINE_KEY.of_principal("alice", STAMP)[0]
_OPENER = Opener(Observer())
_ITEMS = {"cart": codec.pack("cart", [1, 2.5, "x", None, True, b"\0"]), "who": codec.pack("who", {"a": (1, {2})})}
_PLAIN = Record(3, 1.8e9, 1.8e9 + 60, items=_ITEMS, write_ids=b"abcdefgh").encode()
_OWNED = Record(4, 1.8e9, 1.8e9, "alice", True, _ITEMS, b"abcd", bytes(16), (_OWN.handle,), 1.8e9).encode()
_NOTE = SupersededNote(successor="ss:abc", until=1.8e9, record=Record.decode(_PLAIN)).encode()
_STAMPED = Record(1, 1.8e9, 1.8e9, items={"value": bytes(16), _OWN.handle: bytes(32)}, write_ids=b"abcd").encode()
_SEALED = [_OWN.seal(record, _NONCE, encrypt=encrypt) for record in (_PLAIN, _OWNED, b"") for encrypt in (True, False)]
# Heads of MessagePack: arrays, maps, text, bytes, numbers, and tags with their numbers.
_HEADS = """
    90 97 9a dc0007 dd00000007 80 81 a0 a161 c0 c2 c3 c400 c4ff c70001 c7ff02 c9ffffffff01 d40a00 d801 c70105 c70707
    cb7ff8000000000000 cb7ff0000000000000 cfffffffffffffffff d38000000000000000 dbffffffff
"""
_PACKED = tuple(map(bytes.fromhex, _HEADS.split()))


@target(*_SEALED, words=(b"\xa1", b"\xa2", MACHINE_KEY.keys.first.key_id), tries=3000)
def sealed(data: bytes) -> None:
    """What was not sealed for this session, byte for byte, does not open; nor does another session's record."""
    assert data in _SEALED or _OWN.open(data) is None
    choices = Choices(data)
    genuine = _SEALED[choices.number(len(_SEALED))]
    assert _OWN.open(damaged(genuine, choices)) is None
    assert _OTHER.open(genuine) is None
    assert _OWN.for_lock().open(genuine) is None
    assert _OWN.open(_OWN.seal(data, _NONCE)) == data
    assert _OTHER.open(_OWN.seal(data, _NONCE)) is None


@target(_PLAIN, _OWNED, _NOTE, _STAMPED, compression.shrunk(_PLAIN * 9, 0), words=(*_PACKED, compression.MAGIC))
def record(data: bytes) -> None:
    """Below a genuine seal, whatever it is becomes a record that is encoded to the same again, or does not open."""
    found = _OPENER.record(_OWN, _sealed(_OWN, data))
    if found is None:
        return
    again = found.encode()
    assert Record.decode(again).encode() == again
    judge = CopyJudge(_OPENER, _OWN)
    for one, other in ((data, _OWNED), (_PLAIN, data), (data, data)):
        copies = _sealed(_OWN, one), _sealed(_OWN, other)
        assert judge.is_genuine(copies[0])
        assert judge.replaces(*copies) or not judge.includes(*copies)
    codec.unpack_all(found.items)


@target(*(head + body[1:] for head in (b"\x97", b"\x9a") for body in (_PLAIN, _OWNED)), words=_PACKED)
def record_fields(data: bytes) -> None:
    """Same as `record`, with the right number of fields, each of any type."""
    for head in (b"\x97", b"\x9a"):
        record.run(head + data[1:])


@target(_NOTE, _PLAIN, SupersededNote(successor="", until=math.inf).encode(), words=_PACKED)
def note(data: bytes) -> None:
    """Below a genuine seal, whatever it is becomes the note of a superseded ID, or does not open."""
    for plain_bytes in (data, b"\x93" + data[1:]):
        found = _OPENER.note(_OWN, _sealed(_OWN, plain_bytes))
        if found is not None:
            assert isinstance(found.successor, str)
            assert isinstance(found.until, float | int)
            assert found.record is None or isinstance(found.record, Record)
            SupersededNote.decode(found.encode())


@target(_STAMPED, _PLAIN, words=(*_PACKED, b"\xa5value", b"\x81"))
def stamp(data: bytes) -> None:
    """Below a genuine seal, whatever it is becomes a stamp that admits its own sessions only, or does not open."""
    session = Record.decode(_OWNED)
    found = _OPENER.stamp(_STAMP, _sealed(_STAMP, data))
    if found is not None:
        admitted = found.value == session.stamp or session.stamp in found.spared.get(_OWN.handle, b"")
        assert admitted or not found.admits(session)


@target(*_ITEMS.values(), codec.pack("", {1, 2}), codec.pack("", 10**30), words=_PACKED)
def values(data: bytes) -> None:
    """A packed value is read, and then packed to bytes that mean the same; or it is kept as it is."""
    found = codec.unpack_all({"a": data})
    if not isinstance(found["a"], codec.Unreadable):
        packed = _packed(found["a"])
        assert packed is None or codec.pack("a", codec.unpack(packed)) == packed
        codec.is_packed_as([found["a"]], [data])


@target(
    compression.shrunk(b"0123456789" * 99, 0),
    compression.shrunk(bytes(9999), 0),
    compression.shrunk(bytes(compression.MOST + 1), 0),
    words=(compression.MAGIC, b"\xfd", b"\xff" * 8, b"\0\0\0\1"),
)
def compressed(data: bytes) -> None:
    """A frame grows to what was compressed, and not beyond the most that a record may have; else it is refused."""
    try:
        plain_bytes = compression.restored(data)
    except ValueError:
        pass
    else:
        assert len(plain_bytes) <= max(len(data), compression.MOST)
        assert data.startswith(compression.MAGIC) or plain_bytes == data
    shrunk = compression.shrunk(data, 0)
    assert data.startswith(compression.MAGIC) or compression.restored(shrunk) == data


@target(
    Tombstone(1200.0).encode(1.8e9),
    Tombstone(1200.0, _SEALED[0], 10.0).encode(1.8e9),
    words=(b".", b"\xff\xff\xff\xff"),
)
def tombstone(data: bytes) -> None:
    """What is taken for a tombstone has two lives, and at most one note, which it shows at first and not for ever."""
    if not is_tombstone(data):
        return
    life = life_of(data)
    assert 0 <= life < 2**32
    assert 0 <= end_of(data) < 2**32
    assert is_tombstone(plain(data))
    assert not has_note(plain(data))
    assert has_note(data) or not note_on(data, None)
    assert note_on(data, life + 1) == note_on(data, None)
    assert note_on(data, -1.0) in {b"", note_on(data, None)}


@target(codec.pack("", list(Entry("ss:a", 1.8e9, 1200.0, bytes(16), "Firefox", None))), words=_PACKED)
def index_entry(data: bytes) -> None:
    """What stands in a principal's index becomes an entry that can be sorted, compared and shown, or is left out."""
    genuine = codec.pack("", list(Entry("ss:b", 1.8e9, 1200.0, bytes(16))))
    for packed in (data, b"\x96" + data[1:]):
        found = entries_in({"one": packed, "two": genuine})
        assert "two" in found
        for entry in found.values():
            assert isinstance(entry.store_key, str)
            assert isinstance(entry.stamp, bytes)
        sorted(entry.created for entry in found.values())
        max(entry.idle for entry in found.values())


def _sealed(identity: Identity, plain_bytes: bytes) -> bytes:
    return identity.seal(plain_bytes, _NONCE)


def _packed(value: object) -> bytes | None:
    try:
        return codec.pack("a", value)
    except TypeError:  # a dictionary that has lists for keys, say: our own writer never made it
        return None


TARGETS = (sealed, record, record_fields, note, stamp, values, compressed, tombstone, index_entry)
