"""Tokens, names and sealed bytes, byte for byte: each version of the library must read what the one before it wrote.

A change that makes one of these tests fail ends all sessions of every farm at its upgrade.
"""

import pytest

from sharedsession.backends.tombstone import Tombstone
from sharedsession.keys.identity import INDEX, STAMP
from sharedsession.keys.machine_key import MachineKey
from sharedsession.records.record import NO_RECORD, Record, SupersededNote
from sharedsession.records.stamp import stamp_record

NONCE = bytes(12)
RANDOM = bytes(range(64, 80))


def key() -> MachineKey:
    return MachineKey(bytes(range(32)), app_name="shop", development=True)


@pytest.mark.parametrize(
    ("principal", "idle", "token", "store_key", "handle", "lock"),
    [
        (
            None,
            None,
            "QEFCQ0RFRkdISUpLTE1OT8XOGKzl9AEJgXB7FVAA.rDbK7XhB1ou7sf7_yhUTt2ENKIoAQp4Qr2flHECk0kc",
            "ss:660nefDYI8jJpl3C1FDAaA",
            "Jfdu4aPcWNzou-NhIw2zc9l--oTF8ihf",
            "ss:7PxzykEyKlQhc7Ox9CSiIA",
        ),
        (
            "ann",
            300,
            "QEFCQ0RFRkdISUpLTE1OTwN6iGWFrr94gXB7FVMs.Kl3vm7XiqJZYp4sHRhpTGUaKRQgGMO8oFPMCXkyvw-4",
            "ss:{xrSQyWBavnE}HGYCtVc7ImEHp_ElQAqR8w",
            "pJzL4iumQ8W20AepndFwhqHLP9jjtlBc",
            "ss:{xrSQyWBavnE}aQug4vJXek2QaWMFOpOIFQ",
        ),
    ],
)
def test_the_names_of_a_session(principal, idle, token, store_key, handle, lock):
    """Of one without a principal, and of one with a principal and an idle timeout of its own."""
    identity = key().new_identity(RANDOM, idle, principal)
    assert (identity.token, identity.store_key, identity.handle) == (token, store_key, handle)
    assert identity.for_lock().store_key == lock
    assert (identity.is_session, identity.for_lock().is_session) == (True, False)
    assert key().store_keys_of(handle) == [store_key]
    found = key().verify(token.encode())
    assert found is not None
    assert (found.name, found.idle_timeout) == (identity.name, idle)


def test_the_names_of_what_belongs_to_a_principal():
    """Its stamp and its index."""
    stamp = key().new_identity(RANDOM, None, "ann").stamp
    assert stamp is not None
    assert stamp.store_key == "ss:{xrSQyWBavnE}Pe8oBvzIQod3pKNy6CZ3Ww"
    assert [each.store_key for each in key().of_principal("ann", STAMP)] == [stamp.store_key]
    assert [each.store_key for each in key().of_principal("ann", INDEX)] == ["ss:{xrSQyWBavnE}O0URfOK2a8l9AiYQAkU5sA"]


@pytest.mark.parametrize(
    ("encrypt", "sealed"),
    [
        (True, "a167584237465600000000000000000000000082e8ae3603c91cef262bdd309cd58d0984e6ce85"),
        (False, "a26758423746564f8a516b180e788f8b59825cf6cb544d0ab8ce32f0d4d0ccfb30fc75cb1ac92664617461"),
    ],
)
def test_a_sealed_record(encrypt, sealed):
    """Encrypted, and only authenticated."""
    identity = key().new_identity(RANDOM)
    assert identity.seal(b"data", NONCE, encrypt=encrypt).hex() == sealed
    assert identity.open(bytes.fromhex(sealed)) == b"data"


def test_a_record_and_a_note():
    """What is sealed: of a session without a principal, with one, and of an ID that was superseded."""
    fields = "cb408f440000000000cb409f410000000000"
    record = Record(7, 1000.5, 2000.25, None, persistent=True, items={"a": b"\x01"}, write_ids=b"one!two!")
    of_ann = record._replace(principal="ann", stamp=b"s" * 16, handles=("h",), entered=3.0)
    assert record.encode().hex() == f"9707{fields}c0c381a161c40101c4086f6e652174776f21"
    assert of_ann.encode().hex() == (
        f"9a07{fields}a3616e6ec381a161c40101c4086f6e652174776f21c410{'73' * 16}91a168cb4008000000000000"
    )
    note = SupersededNote(successor="k", until=5.0, record=record)
    assert note.encode().hex() == f"93a16bcb4014000000000000c426{record.encode().hex()}"


def test_a_stamp():
    """Its value has a name that no handle has."""
    record = stamp_record(NO_RECORD, b"s" * 16, 2000.25, b"one!", {"h" * 32: b"t" * 16})
    assert record.items == {"value": b"s" * 16, "h" * 32: b"t" * 16}


def test_a_tombstone():
    """Plain, and with a note."""
    assert Tombstone(1200.0).encode(1000.5).hex() == "2e000004b000000898"
    assert Tombstone(1200.0, b"moved", 9.5).encode(1000.5).hex() == "2e000004b0000008980000000a6d6f766564"
    assert Tombstone(1200.0).encode().hex() == "2e000004b0000004b0"
