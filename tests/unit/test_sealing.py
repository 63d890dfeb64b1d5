"""Sealed records: they open for their own session, farm and application, and for nobody else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharedsession.keys.machine_key import MachineKey

A, B = MachineKey.generate(), MachineKey.generate()
KEY = MachineKey(A)
SESSION = KEY.new_id()
PLAIN = b"what the application keeps"


@pytest.fixture(params=[True, False], ids=["encrypted", "authenticated"])
def encrypt(request) -> bool:
    """Both forms of a record."""
    return request.param


@given(record=st.binary(max_size=500), encrypt=st.booleans())
def test_what_was_sealed_opens(record, encrypt):
    """Any bytes come back as they were, empty ones too."""
    assert MachineKey(A).open(SESSION, KEY.seal(SESSION, record, encrypt=encrypt)) == record


def test_encryption_hides_the_record():
    """A sealed record shows none of its bytes and never looks the same twice."""
    one, two = KEY.seal(SESSION, PLAIN * 4), KEY.seal(SESSION, PLAIN * 4)
    assert PLAIN not in one
    assert one[7:] != two[7:]


def test_without_encryption_the_record_is_readable_and_still_authenticated():
    """``encrypt=False`` shows the bytes and refuses them once they were changed."""
    sealed = KEY.seal(SESSION, PLAIN, encrypt=False)
    assert sealed.endswith(PLAIN)
    assert KEY.open(SESSION, sealed.replace(b"application", b"administrat")) is None


def test_no_flipped_bit_opens(encrypt):
    """Each bit of a record is guarded, header and nonce too."""
    sealed = KEY.seal(SESSION, PLAIN, encrypt=encrypt)
    for bit in range(len(sealed) * 8):
        damaged = bytearray(sealed)
        damaged[bit // 8] ^= 1 << bit % 8
        assert KEY.open(SESSION, bytes(damaged)) is None, bit


def test_no_part_of_a_record_opens(encrypt):
    """A record that was cut, or that has something added, is damaged."""
    sealed = KEY.seal(SESSION, PLAIN, encrypt=encrypt)
    assert not any(KEY.open(SESSION, sealed[:end]) is not None for end in range(len(sealed)))
    assert KEY.open(SESSION, sealed + b"\0") is None


def test_a_record_opens_for_its_own_session_only(encrypt):
    """Two records that were swapped in the store both stay shut."""
    other = KEY.new_id()
    mine, theirs = KEY.seal(SESSION, b"mine", encrypt=encrypt), KEY.seal(other, b"theirs", encrypt=encrypt)
    assert KEY.open(SESSION, theirs) is None
    assert KEY.open(other, mine) is None


def test_a_record_opens_for_its_own_application_only(encrypt):
    """The same secret under another ``app_name`` opens nothing, even when the record's key ID is rewritten."""
    other = MachineKey(A, app_name="forum")
    sealed = KEY.seal(SESSION, PLAIN, encrypt=encrypt)
    rewritten = sealed[:1] + other.fingerprints()[0].encode() + sealed[7:]
    assert other.open(SESSION, sealed) is None
    assert other.open(SESSION, rewritten) is None


def test_records_open_across_a_rotation(encrypt):
    """A record stays readable as long as its secret is in the list, wherever it stands there."""
    sealed = KEY.seal(SESSION, PLAIN, encrypt=encrypt)
    assert MachineKey([B, A]).open(SESSION, sealed) == PLAIN
    assert MachineKey([B]).open(SESSION, sealed) is None


def test_a_record_is_sealed_with_the_newest_secret(encrypt):
    """The next write after a rotation moves an old session to the new secret."""
    sealed = MachineKey([B, A]).seal(SESSION, PLAIN, encrypt=encrypt)
    assert MachineKey([B]).open(SESSION, sealed) == PLAIN


def test_one_form_cannot_be_passed_off_as_the_other():
    """The format byte is authenticated: turning it into the other one opens nothing."""
    sealed, signed = KEY.seal(SESSION, PLAIN), KEY.seal(SESSION, PLAIN, encrypt=False)
    assert KEY.open(SESSION, signed[:1] + sealed[1:]) is None
    assert KEY.open(SESSION, sealed[:1] + signed[1:]) is None


@given(st.binary(max_size=200), st.booleans())
def test_planted_bytes_never_open(planted, with_header):
    """Whatever somebody puts into the store is no record, and no exception."""
    header = KEY.seal(SESSION, b"")[:7] if with_header else b""
    assert KEY.open(SESSION, header + planted) is None
