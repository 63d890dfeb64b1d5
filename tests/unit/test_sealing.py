"""Sealed records: they open for their own session, farm and application, and for no other."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharedsession.keys import Identity, MachineKey

A, B = MachineKey.generate(), MachineKey.generate()
KEY = MachineKey(A)
TOKEN = KEY.new_identity(os.urandom(16)).token.encode()
PLAIN = b"what the application keeps"


def under(key: MachineKey = KEY, token: bytes = TOKEN) -> Identity:
    """The session as a holder of these secrets knows it."""
    found = key.verify(token)
    assert found is not None
    return found


def seal(record: bytes, identity: Identity | None = None, *, encrypt: bool = True) -> bytes:
    """A sealed record of the session, or of another one."""
    return (identity or under()).seal(record, os.urandom(12), encrypt=encrypt)


@pytest.fixture(params=[True, False], ids=["encrypted", "authenticated"])
def encrypt(request) -> bool:
    """Both forms of a record."""
    return request.param


@given(record=st.binary(max_size=500), encrypt=st.booleans())
def test_what_was_sealed_opens(record, encrypt):
    """Any bytes come back as they were, empty ones too."""
    assert under(MachineKey(A)).open(seal(record, encrypt=encrypt)) == record


def test_encryption_hides_the_record():
    """A sealed record shows none of its bytes and never looks the same twice."""
    one, two = seal(PLAIN * 4), seal(PLAIN * 4)
    assert PLAIN not in one
    assert one[7:] != two[7:]


def test_without_encryption_the_record_is_readable_and_still_authenticated():
    """``encrypt=False`` shows the bytes and refuses them once they were changed."""
    sealed = seal(PLAIN, encrypt=False)
    assert sealed.endswith(PLAIN)
    assert under().open(sealed.replace(b"application", b"administrat")) is None


def test_no_flipped_bit_opens(encrypt):
    """Each bit of a record is guarded, header and nonce too."""
    sealed = seal(PLAIN, encrypt=encrypt)
    for bit in range(len(sealed) * 8):
        damaged = bytearray(sealed)
        damaged[bit // 8] ^= 1 << bit % 8
        assert under().open(bytes(damaged)) is None, bit


def test_no_part_of_a_record_opens(encrypt):
    """A record that was cut, or that has something added, is damaged."""
    sealed = seal(PLAIN, encrypt=encrypt)
    assert not any(under().open(sealed[:end]) is not None for end in range(len(sealed)))
    assert under().open(sealed + b"\0") is None


def test_a_record_opens_for_its_own_session_only(encrypt):
    """Two records that were swapped in the store both stay shut."""
    other = KEY.new_identity(os.urandom(16))
    mine, theirs = seal(b"mine", encrypt=encrypt), seal(b"theirs", other, encrypt=encrypt)
    assert under().open(theirs) is None
    assert other.open(mine) is None


def test_a_record_opens_for_its_own_application_only(encrypt):
    """The same secret under another ``app_name`` opens nothing, even when the record's key ID is rewritten."""
    forum = MachineKey(A, app_name="forum")
    sealed, other = seal(PLAIN, encrypt=encrypt), forum.new_identity(os.urandom(16))
    rewritten = sealed[:1] + forum.fingerprints()[0].encode() + sealed[7:]
    assert other.open(sealed) is None
    assert other.open(rewritten) is None


def test_records_open_across_a_rotation(encrypt):
    """A record stays readable as long as its secret is in the list, wherever it stands there."""
    sealed = seal(PLAIN, encrypt=encrypt)
    assert under(MachineKey([B, A])).open(sealed) == PLAIN
    assert MachineKey([B]).verify(TOKEN) is None
    assert MachineKey([B]).new_identity(os.urandom(16)).open(sealed) is None


def test_a_record_is_sealed_with_the_newest_secret(encrypt):
    """The next write after a rotation moves an old session's record to the new secret."""
    sealed = seal(PLAIN, under(MachineKey([B, A])), encrypt=encrypt)
    assert sealed[1:7].decode() == MachineKey(B).fingerprints()[0]
    assert under(MachineKey([A, B])).open(sealed) == PLAIN
    assert under(MachineKey(A)).open(sealed) is None


def test_a_request_that_has_begun_keeps_its_secrets(encrypt):
    """An identity opens and seals as it did, though its secret was taken away meanwhile."""
    identity = under(MachineKey([B, A]))
    sealed = seal(PLAIN, identity, encrypt=encrypt)
    assert identity.open(sealed) == PLAIN
    assert identity.open(seal(b"before", encrypt=encrypt)) == b"before"
    assert not identity.is_of(MachineKey([B]).keys)
    assert identity.is_of(MachineKey([A]).keys)


def test_one_form_cannot_be_passed_off_as_the_other():
    """The format byte is authenticated: turning it into the other one opens nothing."""
    sealed, signed = seal(PLAIN), seal(PLAIN, encrypt=False)
    assert under().open(signed[:1] + sealed[1:]) is None
    assert under().open(sealed[:1] + signed[1:]) is None


@given(st.binary(max_size=200), st.booleans())
def test_planted_bytes_never_open(planted, with_header):
    """Bytes that were planted in the store are no record, and no exception."""
    header = seal(b"")[:7] if with_header else b""
    assert under().open(header + planted) is None


@pytest.mark.parametrize(
    "named",
    [
        lambda key: under(key),
        lambda key: under(key).for_lock(),
        lambda key: key.identity_of(under(key).name),
        lambda key: key.of_principal("ann", "index")[1],
        lambda key: key.new_identity(bytes(16), None, "ann").stamp,
    ],
    ids=["session", "lock", "by ID", "index", "stamp"],
)
def test_each_record_is_sealed_for_itself(named):
    """Locks, indexes and stamps as sessions are: encrypted unless asked otherwise, under the newest secret."""
    identity = named(MachineKey([B, A]))
    sealed = identity.seal(PLAIN, bytes(12))
    assert PLAIN not in sealed
    assert sealed[1:7].decode() == MachineKey(B).fingerprints()[0]
    assert identity.open(sealed) == PLAIN
    assert under().open(sealed) is None
